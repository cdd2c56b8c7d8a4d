"""`prompt` and `display`. Source: OIDC Core §3.1.2.1."""

from __future__ import annotations

from typing import Final

from identity_oidc.authorization.request import Draft, refuse

_PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})
_DISPLAYS: Final = frozenset({"page", "popup", "touch", "wap"})


def check(draft: Draft) -> None:
    """`none` stands alone."""
    prompts = tuple((draft.get("prompt") or "").split())
    if not set(prompts) <= _PROMPTS:
        raise refuse("invalid_request", "prompt must be of none, login, consent, select_account")
    if "none" in prompts and len(prompts) > 1:
        raise refuse("invalid_request", "prompt=none stands alone")
    if draft.get("display") is not None and draft.get("display") not in _DISPLAYS:
        raise refuse("invalid_request", "display must be page, popup, touch or wap")
    draft.prompt = prompts
