"""Claims, scopes and levels of login. Source: OpenID Connect Core 1.0 §5."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from identity_oidc.ports import Attestation, LedgerIdentity

PROFILE_CLAIMS: Final = (
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
)
SCOPE_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "profile": PROFILE_CLAIMS,
        "email": ("email", "email_verified"),
        "phone": ("phone_number", "phone_number_verified"),
        "address": ("address",),
    }
)
CLAIMS: Final = tuple(sorted(name for names in SCOPE_CLAIMS.values() for name in names))
"""Data items that an app may be registered for."""

SCOPES: Final = ("openid", *SCOPE_CLAIMS, "offline_access")

ACR_CARD: Final = "urn:tally:acr:card"
"""Page and agent on one machine, and a key that an attested card guards."""

ACR_LOCAL: Final = "urn:tally:acr:local"
"""Page and agent on one machine; nobody answers for the card."""

ACR_REMOTE: Final = "urn:tally:acr:remote"
"""Read from a screen by another device: a live relay is not resisted."""

ACR_VALUES: Final = (ACR_CARD, ACR_LOCAL, ACR_REMOTE)
"""Strongest first."""


def acr_of(mode: str, identity: LedgerIdentity) -> str:
    """The level of a login in this mode with this identity's card. Source: docs/approval.md."""
    if mode != "local":
        return ACR_REMOTE
    is_guarded = identity.is_card_enforced and not identity.is_emulator
    return ACR_CARD if is_guarded and identity.attestation is not Attestation.NONE else ACR_LOCAL


def satisfies(acr: str, wanted: str) -> bool:
    """Whether a login of level `acr` is at least `wanted`; unknown levels are met by none."""
    return wanted in ACR_VALUES and ACR_VALUES.index(acr) <= ACR_VALUES.index(wanted)
