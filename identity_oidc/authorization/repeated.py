"""No parameter twice. Source: RFC 6749 §3.1."""

from __future__ import annotations

from identity_oidc.authorization.request import Draft, refuse


def check(draft: Draft) -> None:
    """`client_id` and `redirect_uri` have said so themselves; `resource` (RFC 8707) is not for us."""
    for name, values in sorted(draft.parameters.items()):
        if len(values) > 1:
            shown = name if name.isascii() and name.isprintable() else "(unprintable)"
            raise refuse("invalid_request", f"parameter {shown} is there {len(values)} times: send it once")
