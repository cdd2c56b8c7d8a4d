"""`max_age`: a whole number of seconds. Source: OIDC Core §3.1.2.1."""

from __future__ import annotations

from typing import Final

from identity_oidc.authorization.request import Draft, refuse

_MOST_DIGITS: Final = 9


def check(draft: Draft) -> None:
    """0 means: log in anew."""
    text = draft.get("max_age")
    if text is None:
        return
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise refuse("invalid_request", "max_age must be a whole number of seconds")
    draft.max_age_s = int(text)
