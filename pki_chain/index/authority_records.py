"""What a read model answers about the trust list: frozen values. Bytes are bytes, times are seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.ports import CertificateId, DelegationKind, TrustScope


@dataclass(frozen=True, slots=True)
class AuthorityRecord:
    """A root or an issuing CA, with everything that its life follows from.

    `parent` is None for a root. `trusted_until` is the last second, of which nothing below it lives longer; so it ends
    earlier only where it or one above it is withdrawn: `withdrawn_at` is 0 while none is, `reason` is the CRLReason to
    tell (keyCompromise as cACompromise). `barred_at` is when its member, or that of one above it, lost its rights, 0
    while all have them. `subject` is the DER of its Name; `key_sha1` and `key_sha256` are of the key's bits alone, as
    OCSP names an issuer's key (RFC 6960 §4.1.1).
    """

    id: CertificateId
    member: int
    parent: CertificateId | None
    scope: TrustScope
    trusted_from: int
    trusted_until: int
    path_length: int
    der: bytes
    sha256: bytes
    subject: bytes
    key_identifier: bytes
    spki_sha256: bytes
    key_sha1: bytes
    key_sha256: bytes
    published_at: int
    withdrawn_at: int
    reason: int
    barred_at: int

    def is_live(self, block_time: int) -> bool:
        """Whether it counts in a block of this time, as far as time and withdrawals go.

        One of a member without rights issues nothing new, but its status is told on: that is not asked here.
        """
        return self.trusted_from <= block_time <= self.trusted_until and not 0 < self.withdrawn_at <= block_time

    @property
    def ended_at(self) -> int:
        """From when on it issues nothing any more, its time apart; 0 while it may."""
        return min((time for time in (self.withdrawn_at, self.barred_at) if time), default=0)


@dataclass(frozen=True, slots=True)
class DelegationRecord:
    """A certificate by which a CA lets somebody sign OCSP answers or CRLs for it.

    `withdrawn_at` is 0 while it was not withdrawn itself; whether its CA lives is for `AuthorityRecord` to say.
    """

    id: CertificateId
    authority: CertificateId
    kind: DelegationKind
    der: bytes
    sha256: bytes
    spki_sha256: bytes
    not_before: int
    not_after: int
    published_at: int
    withdrawn_at: int
    reason: int

    def is_live(self, block_time: int) -> bool:
        """Whether it may sign at this time, as far as it goes itself."""
        return not self.withdrawn_at and self.not_before <= block_time <= self.not_after
