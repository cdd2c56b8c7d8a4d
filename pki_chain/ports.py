"""What crosses the border between rules and adapters: values read from the ledger, and the ports to reach it.

Times are seconds since 1970 (UTC). Hashes, ids and keys are bytes; hexadecimal exists only at edges. Numbers are the
contracts' own (`contracts/interfaces/`). Maps are integers whose bit i stands for entry i of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NewType, Protocol

CertificateId = NewType("CertificateId", bytes)
"""keccak256(abi.encode(sha256(SPKI TLV), sha256(TBS TLV))), 32 bytes."""

Address = NewType("Address", str)
"""Account or contract, EIP-55 text."""


class Status(IntEnum):
    """State of a certificate as `statusOf` answers it. Unknown is an answer too, never "good"."""

    UNKNOWN = 0
    SUBMITTED = 1
    VALID = 2
    HELD = 3
    SUPERSEDED = 4
    REVOKED = 5
    EXPIRED = 6
    REJECTED = 7
    LAPSED = 8


class HoldKind(IntEnum):
    """Who placed a hold; each kind is lifted by its own."""

    OWNER = 1
    CONSORTIUM = 2
    EMERGENCY = 3


class HoldFlag(IntFlag):
    """Flags in a certificate's slot."""

    OWNER = 1
    CONSORTIUM = 2
    EMERGENCY = 4
    RENEWAL = 8
    CA_ISSUED = 16
    """Its issuer's withdrawal ends it too, which the slot does not say."""


class MemberKind(IntEnum):
    """What a member is."""

    OPERATOR = 1
    VENDOR = 2
    OEM = 3
    CERTIFICATE_AUTHORITY = 4
    SERVICE = 5
    REGULATOR = 6


class MemberState(IntEnum):
    """A member's standing."""

    ACTIVE = 1
    SUSPENDED = 2
    REMOVED = 3


class Role(IntEnum):
    """What an account may do for its member."""

    ADMINISTRATOR = 1
    DUTY = 2
    ENDORSER = 3
    STATION = 4
    REGISTRAR = 5
    """Registers and activates people's identities, holds them, and begins the replacement of a key."""


class NameKind(IntEnum):
    """Kinds of name space."""

    DNS = 1
    URN = 2
    OUI = 3
    IP = 4


class RangeKind(IntEnum):
    """Kinds of range that the names of a lot lie in."""

    DNS = 1
    URN = 2
    EUI = 3
    IP = 4


class IdentityState(IntEnum):
    """State of a person's identity as `IIdentityRegistry.stateOf` answers it."""

    NONE = 0
    REGISTERED = 1
    ACTIVE = 2
    HELD = 3
    REPLACING = 4
    REVOKED = 5


class Attestation(IntEnum):
    """Who answers for the card that made a key; an emulator has none."""

    NONE = 0
    PERSONALISER = 1
    VENDOR_CERTIFICATE = 2


class PossessionPurpose(IntEnum):
    """What a card proves possession for."""

    REGISTER = 1
    ACTIVATE = 2
    REPLACE = 3
    CANCEL = 4


class IdentityRefusal(IntEnum):
    """Why an entry of a batch of identities, or the key of a replacement, was refused."""

    BAD_IDENTITY = 1
    IDENTITY_TAKEN = 2
    BAD_KEY = 3
    KEY_TAKEN = 4
    KEY_BLOCKED = 5
    BAD_ATTESTATION = 6
    DEADLINE_PASSED = 7
    BAD_PROOF = 8
    UNKNOWN_IDENTITY = 9
    WRONG_STATE = 10


class TrustScope(IntFlag):
    """What an authority of the trust list may issue for."""

    IKE = 1
    TLS = 2
    SLICE = 4


class DelegationKind(IntEnum):
    """What a certificate authority lets another key sign."""

    OCSP_SIGNING = 1
    CRL_SIGNING = 2


@dataclass(frozen=True, slots=True)
class NameSpace:
    """A name space of a member; `value` and `bits` as in contracts/interfaces/IConsortium.sol."""

    kind: NameKind
    bits: int
    value: bytes


@dataclass(frozen=True, slots=True)
class NameRange:
    """A range of a lot; fields as in contracts/interfaces/ICertificateRegistry.sol."""

    kind: RangeKind
    bits: int
    first: int
    last: int
    value: bytes


@dataclass(frozen=True, slots=True)
class LotTerms:
    """Terms of a lot, as opened."""

    owner: int
    profile: int
    maximum: int
    closes_at: int
    stations: tuple[Address, ...]
    ranges: tuple[NameRange, ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """What a station signs, less the batch digest, which everybody computes from the certificates."""

    station: Address
    profile: int
    lot: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class CardKey:
    """A P-256 key of a card: coordinates of 32 bytes each, and what is known of the card."""

    x: bytes
    y: bytes
    attestation: Attestation
    card_enforced: bool
    emulator: bool


@dataclass(frozen=True, slots=True)
class CardProof:
    """A card's signature over its JWS (see `IIdentityRegistry`): good up to `deadline`; r and s of 32 bytes each."""

    deadline: int
    r: bytes
    s: bytes


@dataclass(frozen=True, slots=True)
class Registration:
    """A key for an identity (32 random bytes), with the key's own proof; also of a replacement."""

    identity: bytes
    key: CardKey
    proof: CardProof


@dataclass(frozen=True, slots=True)
class Activation:
    """A proof by an identity's current key."""

    identity: bytes
    proof: CardProof


@dataclass(frozen=True, slots=True)
class Block:
    """Header fields that readers need."""

    number: int
    hash: bytes
    parent_hash: bytes
    time: int


# Events. `LoggedEvent.content` is one of the dataclasses below it.


@dataclass(frozen=True, slots=True)
class MemberChanged:
    member: int
    kind: MemberKind
    state: MemberState
    name: str


@dataclass(frozen=True, slots=True)
class AccountChanged:
    account: Address
    member: int
    role: Role
    active: bool


@dataclass(frozen=True, slots=True)
class NameSpaceChanged:
    member: int
    space: NameSpace
    added: bool


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """`content` has the fields of `IConsortium.Profile`, by their Solidity names."""

    profile: int
    content: dict[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class ElectorateChanged:
    electorate: int
    members: tuple[int, ...]
    quorum: int


@dataclass(frozen=True, slots=True)
class ParametersChanged:
    age_bound_s: int
    cut_off_s: int
    emergency_hold_h: int
    delay_s: int
    governance_window_s: int


@dataclass(frozen=True, slots=True)
class ProposalMade:
    proposal: int
    member: int
    kind: int
    content_hash: bytes
    content: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class VoteCast:
    proposal: int
    member: int
    support: bool


@dataclass(frozen=True, slots=True)
class ProposalAdopted:
    proposal: int
    executable_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class ProposalExecuted:
    proposal: int


@dataclass(frozen=True, slots=True)
class LotOpened:
    lot: int
    owner: int
    by: Address
    terms: LotTerms


@dataclass(frozen=True, slots=True)
class LotClosed:
    lot: int
    by: Address


@dataclass(frozen=True, slots=True)
class BatchSubmitted:
    batch: int
    digest: bytes
    submission: Submission
    station_member: int
    lot_owner: int
    electorate: int
    k: int
    n: int
    count: int
    window_end: int
    present: int


@dataclass(frozen=True, slots=True)
class CertificateSubmitted:
    certificate: CertificateId
    batch: int
    entry: int
    der: bytes


@dataclass(frozen=True, slots=True)
class EntryRefused:
    batch: int
    entry: int
    entry_hash: bytes
    reason: int


@dataclass(frozen=True, slots=True)
class BatchEndorsed:
    """`reasons` maps an entry to the number of the reason for not accepting it."""

    batch: int
    member: int
    endorser: Address
    accepts: int
    abstains: int
    reasons: tuple[tuple[int, int], ...]
    accepted_now: int
    rejected_now: int
    settled: bool


@dataclass(frozen=True, slots=True)
class CertificateHeld:
    certificate: CertificateId
    member: int
    by: Address
    kind: HoldKind
    reason: int
    counter: int
    until: int


@dataclass(frozen=True, slots=True)
class CertificateReleased:
    certificate: CertificateId
    member: int
    by: Address
    kind: HoldKind
    counter: int


@dataclass(frozen=True, slots=True)
class CertificateRevoked:
    certificate: CertificateId
    member: int
    by: Address
    reason: int


@dataclass(frozen=True, slots=True)
class KeyBlocked:
    spki_hash: bytes
    reason: int
    by_proof: bool


@dataclass(frozen=True, slots=True)
class IdentityRegistered:
    identity: bytes
    operator: int
    by: Address
    key: CardKey


@dataclass(frozen=True, slots=True)
class IdentityEntryRefused:
    """An entry of a batch that had no effect; `x` is zeros for an activation."""

    identity: bytes
    operator: int
    x: bytes
    refusal: IdentityRefusal


@dataclass(frozen=True, slots=True)
class IdentityActivated:
    identity: bytes
    operator: int
    by: Address


@dataclass(frozen=True, slots=True)
class IdentityHeld:
    """`member` is 0 when the identity was held because its key is blocked.

    A member's hold ends a waiting replacement, and `ReplacementCancelled` comes before it.
    """

    identity: bytes
    member: int
    by: Address
    counter: int


@dataclass(frozen=True, slots=True)
class IdentityReleased:
    identity: bytes
    member: int
    by: Address
    counter: int


@dataclass(frozen=True, slots=True)
class IdentityRevoked:
    identity: bytes
    member: int
    by: Address
    reason: int


@dataclass(frozen=True, slots=True)
class ReplacementStarted:
    identity: bytes
    operator: int
    by: Address
    key: CardKey
    executable_at: int
    counter: int


@dataclass(frozen=True, slots=True)
class ReplacementCancelled:
    """A hold or a revocation leaves this event too, before its own."""

    identity: bytes
    operator: int
    by: Address
    by_card: bool
    counter: int


@dataclass(frozen=True, slots=True)
class IdentityKeyReplaced:
    """The identity is registered again, not active, until the new key signs; a hold stays. `index` is the new key's."""

    identity: bytes
    operator: int
    by: Address
    index: int
    key: CardKey
    by_old_key: bool
    counter: int


@dataclass(frozen=True, slots=True)
class AuthorityPublished:
    """A CA on the trust list, and from now on the issuer for its name and key identifier, in place of any before.

    `parent` is 32 zeros for a root. `subject_hash` is keccak256 of the DER of the subject Name, `key_identifier_hash`
    that of the octets of subjectKeyIdentifier. `trusted_until` is the last second.
    """

    authority: CertificateId
    member: int
    parent: CertificateId
    scope: TrustScope
    path_length: int
    trusted_from: int
    trusted_until: int
    subject_hash: bytes
    key_identifier_hash: bytes
    by: Address
    der: bytes


@dataclass(frozen=True, slots=True)
class DelegationPublished:
    """A certificate by which an authority lets its status be signed; `valid_until` is the last second."""

    delegation: CertificateId
    authority: CertificateId
    kind: DelegationKind
    valid_from: int
    valid_until: int
    der: bytes


@dataclass(frozen=True, slots=True)
class AuthorityWithdrawn:
    """It and all below it end for good. `member` is 0 when it was by vote."""

    authority: CertificateId
    member: int
    by: Address
    reason: int


@dataclass(frozen=True, slots=True)
class DelegationWithdrawn:
    """`member` is 0 when it was by vote."""

    delegation: CertificateId
    member: int
    by: Address
    reason: int


EventContent = (
    MemberChanged
    | AccountChanged
    | NameSpaceChanged
    | ProfileChanged
    | ElectorateChanged
    | ParametersChanged
    | ProposalMade
    | VoteCast
    | ProposalAdopted
    | ProposalExecuted
    | LotOpened
    | LotClosed
    | BatchSubmitted
    | CertificateSubmitted
    | EntryRefused
    | BatchEndorsed
    | CertificateHeld
    | CertificateReleased
    | CertificateRevoked
    | KeyBlocked
    | IdentityRegistered
    | IdentityEntryRefused
    | IdentityActivated
    | IdentityHeld
    | IdentityReleased
    | IdentityRevoked
    | ReplacementStarted
    | ReplacementCancelled
    | IdentityKeyReplaced
    | AuthorityPublished
    | DelegationPublished
    | AuthorityWithdrawn
    | DelegationWithdrawn
)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event of the consortium's contracts, in the order of the ledger."""

    block_number: int
    transaction_hash: bytes
    log_index: int
    content: EventContent


@dataclass(frozen=True, slots=True)
class Receipt:
    """Outcome of a transaction that is in a block. `revert` is the error's text when it failed, else empty."""

    transaction_hash: bytes
    block_number: int
    succeeded: bool
    revert: str


class LedgerReader(Protocol):
    """Reading the ledger. Every method raises `LedgerUnavailableError` when no endpoint answers."""

    def head(self) -> Block: ...

    def block(self, number: int) -> Block: ...

    def blocks(self, first: int, last: int) -> Sequence[Block]:
        """Headers of these blocks, both included, in order; at most 500 at a time."""
        ...

    def events(self, first_block: int, last_block: int, last_hash: bytes | None = None) -> Sequence[LoggedEvent]:
        """Events of the consortium's contracts in these blocks, both included, in order.

        An endpoint is asked that has the last block, with `last_hash` where that is given: one that lags behind would
        leave out events without a word.
        """
        ...


class TransactionWriter(Protocol):
    """One account's durable single writer: what `enqueue` returned from is on disk and will be sent until final."""

    @property
    def address(self) -> Address: ...

    def enqueue(self, to: Address, data: bytes, *, gas: int, reference: bytes = b"") -> bytes:
        """Give a transaction a nonce, sign it, store it (fsync), and return its hash (32 bytes).

        With a `reference` that was given before nothing is made: the answer is the hash of the transaction that it was
        given with. So a caller that was stopped before it noted the hash asks again and doubles nothing.
        """
        ...

    def pump(self) -> None:
        """Send what is unsent, re-send what is unseen, and collect receipts. Idempotent; called in a loop."""
        ...

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The outcome, or None while it is pending."""
        ...
