"""What a read model answers: frozen values of the ledger's state. Bytes are bytes, times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pki_chain.ports import Address, CertificateId, LotTerms, MemberKind, MemberState, NameSpace, Role, Submission
from pki_chain.status.certificate_status import CertificateFacts


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A member with its name spaces."""

    id: int
    kind: MemberKind
    state: MemberState
    name: str
    changed_at: int
    spaces: tuple[NameSpace, ...]


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account; it may act only while it and its member are active."""

    address: Address
    member: int
    role: Role
    active: bool


@dataclass(frozen=True, slots=True)
class LotRecord:
    """A lot as it stands; `closed` also when its owner lost its rights since it was opened."""

    id: int
    terms: LotTerms
    used: int
    closed: bool
    opened_at: int
    opened_by: Address

    def is_open(self, block_time: int) -> bool:
        """Whether it takes certificates in a block of this time."""
        return not self.closed and block_time < self.terms.closes_at


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as it stands; maps have bit i for entry i, `settled_at` is 0 while an entry is undecided."""

    id: int
    digest: bytes
    submission: Submission
    station_member: int
    lot_owner: int
    electorate: int
    k: int
    n: int
    count: int
    present: int
    accepted: int
    rejected: int
    submitted_at: int
    window_end: int
    settled_at: int
    transaction_hash: bytes


@dataclass(frozen=True, slots=True)
class EndorsementRecord:
    """One member's verdict on a batch; `reasons` maps an entry that it did not accept to the reason's number."""

    member: int
    endorser: Address
    accepts: int
    abstains: int
    reasons: Mapping[int, int]
    endorsed_at: int


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry of a batch: refused by the contract (reason and keccak256 of its bytes), or a certificate.

    `certificate` is None when it was refused; `sha256` is that of the bytes that the ledger holds for the certificate.
    """

    entry: int
    refused: int | None
    entry_hash: bytes | None
    certificate: CertificateId | None
    sha256: bytes | None


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A certificate with everything that its status follows from.

    `serial` is lower-case hexadecimal, `authority` the CA that issued it, None for a self-signed one.
    """

    id: CertificateId
    sha256: bytes
    der: bytes
    spki_sha256: bytes | None
    issuer: bytes | None
    serial: str | None
    not_before: int
    owner: int
    names: tuple[tuple[str, str], ...]
    authority: CertificateId | None
    facts: CertificateFacts


@dataclass(frozen=True, slots=True)
class ProposalRecord:
    """A proposal; `votes` maps a member to its support; times are 0 until it happened."""

    id: int
    member: int
    kind: int
    content_hash: bytes
    content: bytes
    made_at: int
    expires_at: int
    executable_at: int
    executed_at: int
    votes: Mapping[int, bool]
