"""What one certificate is checked against: a profile, the lot's names, the time, and the CAs that count."""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.ports import CertificateId, NameRange, TrustScope
from pki_chain.x509.profile import Profile
from pki_chain.x509.public_key import P256PublicKey, RsaPublicKey


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA as the check of a certificate needs it. Its own chain is whole: `pki_chain.x509.trust_chain` saw to that.

    `subject` and `spki` are TLVs. It issues from `live_from` to `live_until` (the last second), as do all its
    parents, and nothing that it issues lives longer than `trusted_until`.
    """

    authority: CertificateId
    subject: bytes
    key_identifier: bytes
    spki: bytes
    public_key: P256PublicKey | RsaPublicKey
    scope: TrustScope
    live_from: int
    live_until: int
    trusted_until: int


@dataclass(frozen=True, slots=True)
class CertificateRules:
    """What one certificate is checked against.

    `organisation` is the registered name of the lot's owner, `block_time` the time at which validity is judged, in
    seconds since 1970. `issuers` are the CAs on the trust list, live or not; only profiles of issued certificates ask
    for them. Mirrors contracts/x509/CertificateRules.sol.
    """

    profile: Profile
    organisation: str
    ranges: tuple[NameRange, ...]
    block_time: int
    issuers: tuple[Issuer, ...] = ()
