"""A published certificate as an IKE peer: its identity is a name in the certificate (TS 33.320 §7.2, RFC 4945 §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import SanType
from pki_chain.x509.reasons import Reason

PREFIX: Final = "tally-"
"""What the names of our connections begin with: others of the daemon are left alone."""

_DIGITS: Final = 20
"""Of the certificate's SHA-256 in a name: all names of 10,000 connections must fit one answer of the daemon."""

_IDENTITIES: Final = (SanType.DNS, SanType.IP)


@dataclass(frozen=True, slots=True)
class Peer:
    """`identity` as IKE sends it; times in seconds since 1970."""

    name: str
    identity: str
    der: bytes
    not_before: int
    not_after: int

    def is_current(self, now: float) -> bool:
        """charon takes a pinned certificate also when it has expired: that is for us to see."""
        return self.not_before <= now <= self.not_after


def connection_name(sha256: bytes) -> str:
    """The name of the connection with the holder of a certificate."""
    return PREFIX + sha256.hex()[:_DIGITS]


def parse_peer(der: bytes) -> Peer:
    """The peer of a certificate, by the strict reader, which takes no CA's: charon would take a pinned one for a CA.

    Raises `CertificateRefusedError`, also where no name of it can be an IKE identity.
    """
    certificate = parse_certificate(der)
    names = [name for kind in _IDENTITIES for name in certificate.names if name.kind is kind]
    if not names:
        raise CertificateRefusedError(Reason.BAD_SAN, "no name that IKE has an identity for")
    return Peer(connection_name(certificate.sha256), names[0].text, der, certificate.not_before, certificate.not_after)
