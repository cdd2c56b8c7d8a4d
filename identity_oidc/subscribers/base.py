"""The port to an operator's subscriber base: persons, their identities on the ledger, their data claim by claim.

Claim names and forms are those of OpenID Connect Core 1.0 §5.1. A claim that is not on file is left out, never null.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NewType, Protocol

PersonId = NewType("PersonId", str)
"""The operator's own key of a person, 1 to 64 characters. It leaves the provider never and names nobody to an app."""

IdentityId = NewType("IdentityId", bytes)
"""An identity on the ledger: 32 random bytes."""

ClaimValue = str | int | bool | Mapping[str, str]
"""A claim's value: text, number (updated_at), truth value (..._verified), or the members of `address`."""

CLAIMS: Final = (
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
    "email",
    "email_verified",
    "phone_number",
    "phone_number_verified",
    "address",
)
"""Claims that a subscriber base can answer. Source: OpenID Connect Core 1.0 §5.1."""


class SubscriberBase(Protocol):
    """Every method raises `SubscriberBaseUnavailableError`, and `SubscriberDataError` for a row of a wrong form."""

    def person_of(self, identity: IdentityId) -> PersonId | None:
        """The person to whom the operator gave this identity; None for nobody, or nobody any more."""
        ...

    def identities_of(self, person: PersonId) -> tuple[IdentityId, ...]:
        """All identities of a person, sorted: one for each SIM."""
        ...

    def person_with_phone_number(self, phone_number: str) -> PersonId | None:
        """The one person with this number (E.164, `+` and digits) on file as verified; None if nobody or several."""
        ...

    def claims(self, person: PersonId, names: Collection[str]) -> Mapping[str, ClaimValue]:
        """Those of the named claims that are on file. Nothing is read from the database beside what is named.

        Raises `ValueError` for a name that is not among `CLAIMS`.
        """
        ...
