"""Only data that the app is registered for, each with its purpose (R-ID-3, R-DATA-1)."""

from __future__ import annotations

from identity_oidc.authorization.request import Draft, refuse


def check(draft: Draft) -> None:
    """Policy strict refuses the request; basic passes over what is not registered, as if it were not on file."""
    allowed = draft.client.items
    unknown = sorted(set(draft.items) - set(allowed))
    if unknown and draft.client.policy == "strict":
        raise refuse("invalid_scope", f"this app is not registered for {unknown[0]}: ask the member that admitted it")
    draft.items = {name: essential for name, essential in draft.items.items() if name in allowed}
    draft.id_token_claims = tuple(name for name in draft.id_token_claims if name in allowed)
    draft.userinfo_claims = tuple(name for name in draft.userinfo_claims if name in allowed)
