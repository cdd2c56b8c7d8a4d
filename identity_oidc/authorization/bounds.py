"""Parameters within bounds of number and length. Source: RFC 9700 §4 (denial of service), RFC 6749 appendix A."""

from __future__ import annotations

from typing import Final

from identity_oidc.authorization.request import Draft
from identity_oidc.errors import PageError

MAX_PARAMETERS: Final = 64
MAX_NAME_CHARS: Final = 64
MAX_CHARS: Final = 4_096


def check(draft: Draft) -> None:
    """Whoever sends more is no app of ours, so nobody is sent anywhere."""
    if sum(len(values) for values in draft.parameters.values()) > MAX_PARAMETERS:
        raise PageError("The app sent too many parameters. Go back to it and tell its operator.")
    for name, values in draft.parameters.items():
        if len(name) > MAX_NAME_CHARS or any(len(value) > MAX_CHARS for value in values):
            raise PageError("The app sent a parameter that is too long. Go back to it and tell its operator.")
        if any("\x00" in value for value in values):
            raise PageError("The app sent a parameter with characters that none has. Go back to it.")
