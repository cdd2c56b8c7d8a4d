"""The SQL views that an operator provides over tables of its own, and how each column becomes a claim.

docs/subscribers.md is the same for people; `tests/subscribers` holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Boolean, Date, Integer, String, column, table
from sqlalchemy.sql.expression import TableClause

from identity_oidc.subscribers.base import ClaimValue

IDENTITY: Final = table("tally_identity", column("identity_id", String), column("person_id", String))
PERSON: Final = table(
    "tally_person",
    column("person_id", String),
    column("name", String),
    column("given_name", String),
    column("family_name", String),
    column("middle_name", String),
    column("nickname", String),
    column("preferred_username", String),
    column("gender", String),
    column("birthdate", Date),
    column("zoneinfo", String),
    column("locale", String),
    column("updated_at", Integer),
)
EMAIL: Final = table(
    "tally_email", column("person_id", String), column("email", String), column("email_verified", Boolean)
)
PHONE: Final = table(
    "tally_phone", column("person_id", String), column("phone_number", String), column("phone_number_verified", Boolean)
)
ADDRESS: Final = table(
    "tally_address",
    column("person_id", String),
    column("formatted", String),
    column("street_address", String),
    column("locality", String),
    column("region", String),
    column("postal_code", String),
    column("country", String),
)
VIEWS: Final = (IDENTITY, PERSON, EMAIL, PHONE, ADDRESS)

ADDRESS_MEMBERS: Final = ("formatted", "street_address", "locality", "region", "postal_code", "country")
"""Members of the claim `address`. Source: OpenID Connect Core 1.0 §5.1.1."""

_IDENTITY_ID: Final = re.compile(r"[0-9a-f]{64}")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_EMAIL: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{1,255}")
_LOCALE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_MAX_TEXT: Final = 255
_MAX_TIME: Final = 253_402_300_799


def is_e164(text: str) -> bool:
    """Whether it is a phone number in E.164 form: `+` and 7 to 15 digits."""
    return bool(_E164.fullmatch(text))


def read_identity_id(value: object) -> bytes | None:
    """32 bytes from 64 lower-case hexadecimal digits; None for anything else."""
    return bytes.fromhex(value) if isinstance(value, str) and _IDENTITY_ID.fullmatch(value) else None


def read_person_id(value: object) -> str | None:
    """1 to 64 printable characters; None for anything else."""
    return value if isinstance(value, str) and 1 <= len(value) <= 64 and value.isprintable() else None


def read_text(value: object, longest: int = _MAX_TEXT) -> str | None:
    """Printable text (of whatever script); None for anything else."""
    return value if isinstance(value, str) and 1 <= len(value) <= longest and value.isprintable() else None


def read_lines(value: object) -> str | None:
    """Text that may have line feeds, as addresses do (OpenID Connect Core 1.0 §5.1.1)."""
    if isinstance(value, str) and 1 <= len(value) <= 1_024 and all(line.isprintable() for line in value.split("\n")):
        return value
    return None


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str | None]:
    def read(value: object) -> str | None:
        return value if isinstance(value, str) and len(value) <= 320 and pattern.fullmatch(value) else None

    return read


def _birthdate(value: object) -> str | None:
    return value.isoformat() if type(value) is date else None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _time(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MAX_TIME else None


_TEXTS: Final = (
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "gender",
)

SOURCES: Final[Mapping[str, tuple[TableClause, Callable[[Any], ClaimValue | None]]]] = MappingProxyType(
    {
        **dict.fromkeys(_TEXTS, (PERSON, read_text)),
        "birthdate": (PERSON, _birthdate),
        "zoneinfo": (PERSON, _matching(_ZONE)),
        "locale": (PERSON, _matching(_LOCALE)),
        "updated_at": (PERSON, _time),
        "email": (EMAIL, _matching(_EMAIL)),
        "email_verified": (EMAIL, _truth),
        "phone_number": (PHONE, _matching(_E164)),
        "phone_number_verified": (PHONE, _truth),
    }
)
"""View and reader of each claim that is one column; a reader answers None for a value of a wrong form."""
