"""What a certificate must look like: profiles as data, with the bit sets of contracts/x509/ProfileBits.sol.

The ledger holds the profiles in force; `BUILT_IN_PROFILES` are what a consortium is founded with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntFlag

from pki_chain.errors import InputError


class KeyAlgorithm(IntFlag):
    """Kinds of subject public key."""

    P256 = 1
    RSA = 2


class SignatureAlgorithm(IntFlag):
    """Signature algorithms."""

    ECDSA_SHA256 = 1
    RSA_SHA256 = 2


class SanType(IntFlag):
    """Types of name in subjectAltName."""

    DNS = 1
    URI = 2
    IP = 4


class KeyPurpose(IntFlag):
    """Purposes of extKeyUsage."""

    SERVER_AUTH = 1
    CLIENT_AUTH = 2
    IPSEC_IKE = 4
    ANY = 8
    OTHER = 0x8000


class ExtensionKind(IntFlag):
    """Extensions that the rules know."""

    SUBJECT_KEY_IDENTIFIER = 1
    KEY_USAGE = 2
    SUBJECT_ALT_NAME = 4
    BASIC_CONSTRAINTS = 8
    CRL_DISTRIBUTION_POINTS = 16
    AUTHORITY_KEY_IDENTIFIER = 32
    EXTENDED_KEY_USAGE = 64
    AUTHORITY_INFO_ACCESS = 128


@dataclass(frozen=True, slots=True)
class Profile:
    """Fields of `IConsortium.Profile`, in its order; times in the unit of the name. `profile_id` is its number."""

    profile_id: int
    name: str
    active: bool
    ca_issued: bool
    endless_allowed: bool
    eku_may_be_absent: bool
    key_algorithms: KeyAlgorithm
    signature_algorithms: SignatureAlgorithm
    san_types: SanType
    san_maximum: int
    eku_required: KeyPurpose
    eku_allowed: KeyPurpose
    required_extensions: ExtensionKind
    longest_life_days: int
    skew_seconds: int
    k: int
    k_prime: int
    window_seconds: int
    overlap_seconds: int

    @classmethod
    def from_content(cls, content: Mapping[str, str | int | bool], profile_id: int = 0) -> Profile:
        """Read a profile as the ledger gives it (`ports.ProfileChanged.content`, Solidity names); 0: no number yet.

        Raises InputError when a field is missing, unknown or of the wrong type.
        """
        if set(content) != set(_SOLIDITY_NAMES.values()):
            raise InputError(f"profile {profile_id}: fields differ from IConsortium.Profile; use the current contracts")
        values: dict[str, object] = {}
        for name, solidity_name in _SOLIDITY_NAMES.items():
            value, kind = content[solidity_name], _TYPES[name]
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise InputError(f"profile {profile_id}: {solidity_name} is not a {kind.__name__}")
            values[name] = _FLAGS[name](value) if isinstance(value, int) and name in _FLAGS else value
        return cls(profile_id=profile_id, **values)  # type: ignore[arg-type]

    def content(self) -> dict[str, str | int | bool]:
        """The fields by their Solidity names, without the number; flags as plain integers."""
        return {
            solidity_name: value if isinstance(value := getattr(self, name), (str, bool)) else int(value)
            for name, solidity_name in _SOLIDITY_NAMES.items()
        }


_FLAGS: dict[str, type[IntFlag]] = {
    "key_algorithms": KeyAlgorithm,
    "signature_algorithms": SignatureAlgorithm,
    "san_types": SanType,
    "eku_required": KeyPurpose,
    "eku_allowed": KeyPurpose,
    "required_extensions": ExtensionKind,
}
_TYPES: dict[str, type] = {
    field.name: {"str": str, "bool": bool}.get(str(field.type), int)
    for field in fields(Profile)
    if field.name != "profile_id"
}
_SOLIDITY_NAMES = {name: re.sub("_(.)", lambda match: match[1].upper(), name) for name in _TYPES}


_DAY_S = 86_400

TLS_DEVICE = Profile(
    profile_id=1,
    name="tls-device",
    active=True,
    ca_issued=False,
    endless_allowed=False,
    eku_may_be_absent=False,
    key_algorithms=KeyAlgorithm.P256,
    signature_algorithms=SignatureAlgorithm.ECDSA_SHA256,
    san_types=SanType.DNS | SanType.URI | SanType.IP,
    san_maximum=8,
    eku_required=KeyPurpose(0),
    eku_allowed=KeyPurpose.SERVER_AUTH | KeyPurpose.CLIENT_AUTH,
    required_extensions=ExtensionKind.KEY_USAGE | ExtensionKind.SUBJECT_ALT_NAME | ExtensionKind.EXTENDED_KEY_USAGE,
    longest_life_days=1_095,
    skew_seconds=300,
    k=2,
    k_prime=3,
    window_seconds=_DAY_S,
    overlap_seconds=30 * _DAY_S,
)
"""TLS between network functions and services: at most three years (TS 33.310)."""

SMALL_CELL = Profile(
    profile_id=2,
    name="small-cell",
    active=True,
    ca_issued=False,
    endless_allowed=False,
    eku_may_be_absent=True,
    key_algorithms=KeyAlgorithm.P256,
    signature_algorithms=SignatureAlgorithm.ECDSA_SHA256,
    san_types=SanType.DNS,
    san_maximum=8,
    eku_required=KeyPurpose(0),
    eku_allowed=KeyPurpose.IPSEC_IKE | KeyPurpose.ANY | KeyPurpose.SERVER_AUTH | KeyPurpose.CLIENT_AUTH,
    required_extensions=(
        ExtensionKind.SUBJECT_KEY_IDENTIFIER | ExtensionKind.KEY_USAGE | ExtensionKind.SUBJECT_ALT_NAME
    ),
    longest_life_days=3_653,
    skew_seconds=300,
    k=2,
    k_prime=3,
    window_seconds=_DAY_S,
    overlap_seconds=90 * _DAY_S,
)
"""IKE (and TLS for management) of home base stations: TS 33.320, TS 33.310 and RFC 4945 but for the issuer."""

IOT_DEVICE = Profile(
    profile_id=3,
    name="iot-device",
    active=True,
    ca_issued=False,
    endless_allowed=True,
    eku_may_be_absent=True,
    key_algorithms=KeyAlgorithm.P256,
    signature_algorithms=SignatureAlgorithm.ECDSA_SHA256,
    san_types=SanType.DNS | SanType.URI | SanType.IP,
    san_maximum=8,
    eku_required=KeyPurpose(0),
    eku_allowed=KeyPurpose.SERVER_AUTH | KeyPurpose.CLIENT_AUTH,
    required_extensions=ExtensionKind.KEY_USAGE | ExtensionKind.SUBJECT_ALT_NAME,
    longest_life_days=7_305,
    skew_seconds=300,
    k=2,
    k_prime=3,
    window_seconds=_DAY_S,
    overlap_seconds=90 * _DAY_S,
)
"""Things: twenty years, or without an end for those that have no clock (IEEE 802.1AR)."""

CELL_CA = Profile(
    profile_id=4,
    name="cell-ca",
    active=True,
    ca_issued=True,
    endless_allowed=False,
    eku_may_be_absent=True,
    key_algorithms=KeyAlgorithm.P256,
    signature_algorithms=SignatureAlgorithm.ECDSA_SHA256 | SignatureAlgorithm.RSA_SHA256,
    san_types=SanType.DNS | SanType.IP,
    san_maximum=8,
    eku_required=KeyPurpose(0),
    eku_allowed=KeyPurpose.IPSEC_IKE | KeyPurpose.ANY | KeyPurpose.SERVER_AUTH | KeyPurpose.CLIENT_AUTH,
    required_extensions=(
        ExtensionKind.SUBJECT_KEY_IDENTIFIER
        | ExtensionKind.AUTHORITY_KEY_IDENTIFIER
        | ExtensionKind.KEY_USAGE
        | ExtensionKind.SUBJECT_ALT_NAME
    ),
    longest_life_days=1_095,
    skew_seconds=300,
    k=2,
    k_prime=3,
    window_seconds=_DAY_S,
    overlap_seconds=30 * _DAY_S,
)
"""IKE of network elements and small cells by an operator's or vendor's CA: TS 33.310 NE profile, RFC 4945."""

TLS_CA = Profile(
    profile_id=5,
    name="tls-ca",
    active=True,
    ca_issued=True,
    endless_allowed=False,
    eku_may_be_absent=False,
    key_algorithms=KeyAlgorithm.P256,
    signature_algorithms=SignatureAlgorithm.ECDSA_SHA256 | SignatureAlgorithm.RSA_SHA256,
    san_types=SanType.DNS | SanType.URI | SanType.IP,
    san_maximum=8,
    eku_required=KeyPurpose(0),
    eku_allowed=KeyPurpose.SERVER_AUTH | KeyPurpose.CLIENT_AUTH,
    required_extensions=(
        ExtensionKind.AUTHORITY_KEY_IDENTIFIER
        | ExtensionKind.KEY_USAGE
        | ExtensionKind.SUBJECT_ALT_NAME
        | ExtensionKind.EXTENDED_KEY_USAGE
    ),
    longest_life_days=1_095,
    skew_seconds=300,
    k=2,
    k_prime=3,
    window_seconds=_DAY_S,
    overlap_seconds=30 * _DAY_S,
)
"""TLS between network functions, certificates by a CA: TS 33.310's profile of 5G network functions."""

BUILT_IN_PROFILES = (TLS_DEVICE, SMALL_CELL, IOT_DEVICE, CELL_CA, TLS_CA)
