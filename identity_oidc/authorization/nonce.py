"""`nonce`, required by policy strict; `state` within its bound. Source: OIDC Core §3.1.2.1, R-ID-7."""

from __future__ import annotations

from typing import Final

from identity_oidc.authorization.request import Draft, refuse

MAX_NONCE_CHARS: Final = 256
MAX_STATE_CHARS: Final = 1_024


def check(draft: Draft) -> None:
    """A nonce that is there is kept, whatever the policy."""
    nonce = draft.get("nonce") or ""
    if len(nonce) > MAX_NONCE_CHARS:
        raise refuse("invalid_request", f"nonce is longer than {MAX_NONCE_CHARS} characters")
    if not nonce and draft.client.policy == "strict":
        raise refuse("invalid_request", "nonce is missing: it is required of this app")
    if len(draft.state or "") > MAX_STATE_CHARS:
        raise refuse("invalid_request", f"state is longer than {MAX_STATE_CHARS} characters")
    draft.nonce = nonce
