"""Object identifiers and fixed AlgorithmIdentifiers, as DER has them.

Identifiers are content octets, without tag and length. Source: RFC 5280 §4.2, appendix A; RFC 5480 §2.1.1; RFC 4055.
"""

from __future__ import annotations

from typing import Final

ORGANISATION: Final = bytes.fromhex("55040a")
SERIAL_NUMBER: Final = bytes.fromhex("550405")
COMMON_NAME: Final = bytes.fromhex("550403")

SUBJECT_KEY_IDENTIFIER: Final = bytes.fromhex("551d0e")
KEY_USAGE: Final = bytes.fromhex("551d0f")
SUBJECT_ALT_NAME: Final = bytes.fromhex("551d11")
BASIC_CONSTRAINTS: Final = bytes.fromhex("551d13")
CRL_DISTRIBUTION_POINTS: Final = bytes.fromhex("551d1f")
NAME_CONSTRAINTS: Final = bytes.fromhex("551d1e")
AUTHORITY_KEY_IDENTIFIER: Final = bytes.fromhex("551d23")
EXTENDED_KEY_USAGE: Final = bytes.fromhex("551d25")
AUTHORITY_INFO_ACCESS: Final = bytes.fromhex("2b06010505070101")

OCSP_NO_CHECK: Final = bytes.fromhex("2b0601050507300105")
"""id-pkix-ocsp-nocheck. Source: RFC 6960 §4.2.2.2.1."""

SERVER_AUTH: Final = bytes.fromhex("2b06010505070301")
CLIENT_AUTH: Final = bytes.fromhex("2b06010505070302")
IPSEC_IKE: Final = bytes.fromhex("2b06010505070311")
OCSP_SIGNING: Final = bytes.fromhex("2b06010505070309")
ANY_PURPOSE: Final = bytes.fromhex("551d2500")

ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier; parameters absent (RFC 5758 §3.2)."""
SHA256_WITH_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")
"""AlgorithmIdentifier; parameters NULL (RFC 4055 §5)."""
EC_PUBLIC_KEY_P256: Final = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
"""AlgorithmIdentifier; parameters are the named curve prime256v1."""
RSA_ENCRYPTION: Final = bytes.fromhex("300d06092a864886f70d0101010500")
"""AlgorithmIdentifier; parameters NULL (RFC 3279 §2.3.1)."""
