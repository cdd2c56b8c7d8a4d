"""`login_hint` and `id_token_hint`. Source: OIDC Core §3.1.2.1."""

from __future__ import annotations

from typing import Final

from identity_oidc.authorization.request import Draft, refuse

MAX_LOGIN_HINT_CHARS: Final = 320


def check(draft: Draft) -> None:
    """A hint names nobody to the app: whether it fits somebody shows in nothing but the login itself."""
    login_hint = draft.get("login_hint") or ""
    if len(login_hint) > MAX_LOGIN_HINT_CHARS:
        raise refuse("invalid_request", f"login_hint is longer than {MAX_LOGIN_HINT_CHARS} characters")
    draft.login_hint = login_hint
    hint = draft.get("id_token_hint")
    if hint is None:
        return
    sub = draft.surroundings.subject_of_hint(hint, draft.client)
    if sub is None:
        raise refuse("invalid_request", "id_token_hint is no ID Token that this provider issued to this app")
    if draft.hinted_sub not in {"", sub}:
        raise refuse("invalid_request", "id_token_hint and claims name two persons")
    draft.hinted_sub = sub
