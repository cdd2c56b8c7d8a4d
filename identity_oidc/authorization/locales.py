"""`ui_locales`: the first language that we have. Source: OIDC Core §3.1.2.1, RFC 5646."""

from __future__ import annotations

from typing import Final

from identity_oidc.authorization.request import Draft
from identity_oidc.clients import LANGUAGES

_MOST: Final = 16


def check(draft: Draft) -> None:
    """A wish that cannot be met is no error. `claims_locales` is passed over: data has the language that it is in."""
    for locale in (draft.get("ui_locales") or "").split()[:_MOST]:
        language = locale.lower().partition("-")[0]
        if language in LANGUAGES:
            draft.language = language
            return
