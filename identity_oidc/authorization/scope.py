"""`scope` holds `openid`; what is not known is passed over. Source: OIDC Core §3.1.2.1, §5.4."""

from __future__ import annotations

from identity_oidc.authorization.request import Draft, refuse
from identity_oidc.claims import SCOPE_CLAIMS, SCOPES

MAX_SCOPE_CHARS = 512


def check(draft: Draft) -> None:
    """Claims of a scope are asked for at UserInfo. A permission for one login only leaves nothing to come back for."""
    text = draft.get("scope") or ""
    scopes = text.split(" ")
    if len(text) > MAX_SCOPE_CHARS:
        raise refuse("invalid_scope", f"scope is longer than {MAX_SCOPE_CHARS} characters")
    if "openid" not in scopes:
        raise refuse("invalid_scope", "scope must hold openid")
    known = [scope for scope in SCOPES if scope in scopes]
    if "offline_access" in known and not (draft.client.may_refresh and draft.client.grant_days):
        known.remove("offline_access")
    draft.scope = tuple(known)
    draft.userinfo_claims = tuple(name for scope in known for name in SCOPE_CLAIMS.get(scope, ()))
    draft.items = dict.fromkeys(draft.userinfo_claims, False)
