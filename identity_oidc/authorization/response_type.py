"""`response_type` is `code`, answered in the query. Source: RFC 9700 §2.1.2."""

from __future__ import annotations

from identity_oidc.authorization.request import Draft, refuse


def check(draft: Draft) -> None:
    """No token ever comes out of the front channel."""
    response_type = draft.get("response_type")
    if response_type is None:
        raise refuse("invalid_request", "parameter response_type is missing: send response_type=code")
    if response_type != "code":
        raise refuse("unsupported_response_type", "only response_type=code is offered")
    if draft.get("response_mode") not in {None, "query"}:
        raise refuse("invalid_request", "only response_mode=query is offered")
