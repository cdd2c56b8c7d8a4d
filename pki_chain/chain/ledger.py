"""Reading the consortium's ledger: blocks, events, and what the contracts answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from pki_chain.chain.abi import load_interface
from pki_chain.chain.calls import Call
from pki_chain.chain.connection import Connection, Json, parse_bytes, parse_quantity
from pki_chain.chain.errors import AnswerTooLargeError, RpcError
from pki_chain.chain.events import parse_event
from pki_chain.chain.founding import PROFILE_FIELDS, Parameters
from pki_chain.config import ConsortiumFile
from pki_chain.errors import LedgerUnavailableError
from pki_chain.ports import Address, Block, LoggedEvent, MemberKind, MemberState, NameKind, NameSpace, Role, Status


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """What `statusOf` answers; fields as in contracts/interfaces/ICertificateRegistry.sol, times in seconds."""

    state: Status
    reason: int
    since: int
    not_after: int
    profile: int
    batch: int
    entry: int
    lot: int
    hold_counter: int
    flags: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's header and maps. `digest` is zero for a batch that does not exist."""

    digest: bytes
    station_member: int
    lot_owner: int
    electorate: int
    k: int
    n: int
    count: int
    submitted_at: int
    window_end: int
    settled_at: int
    lot: int
    present: int
    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot as it stands. `owner` is 0 for a lot that does not exist."""

    owner: int
    profile: int
    maximum: int
    used: int
    closes_at: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A member as it stands."""

    kind: MemberKind
    state: MemberState
    changed_at: int
    name: str


@dataclass(frozen=True, slots=True)
class Account:
    """Whose an account is and what it may do."""

    member: int
    role: Role
    active: bool


@dataclass(frozen=True, slots=True)
class Electorate:
    """Members whose endorsers decide, in their order, and the least number of acceptances."""

    members: tuple[int, ...]
    quorum: int


@dataclass(frozen=True, slots=True)
class KeyBlock:
    """A key's block for everybody; `by_proof`: by that key's own signature, not by vote."""

    reason: int
    since: int
    by_proof: bool


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A member's verdict on a batch: bit maps of entries."""

    accepts: int
    abstains: int
    endorsed_at: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal; fields as in contracts/interfaces/IConsortium.sol."""

    kind: int
    member: int
    subject: int
    made_at: int
    expires_at: int
    adopted_at: int
    delay_s: int
    executed: bool
    content_hash: bytes


class LedgerClient:
    """Implements `pki_chain.ports.LedgerReader`. Safe for threads."""

    def __init__(
        self, consortium_file: ConsortiumFile, timeout_s: float = 10.0, *, connection: Connection | None = None
    ) -> None:
        self._file = consortium_file
        self._connection = connection or Connection(
            consortium_file.endpoints, timeout_s, chain_id=consortium_file.chain_id
        )

    @property
    def connection(self) -> Connection:
        return self._connection

    def head(self) -> Block:
        return self._connection.read([_header("latest")], lambda answers: parse_block(answers[0]))

    def block(self, number: int) -> Block:
        return self.blocks(number, number)[0]

    def blocks(self, first: int, last: int) -> Sequence[Block]:
        """Headers of these blocks, both included, asked for in one request."""

        def parse(answers: list[Json]) -> list[Block]:
            blocks = [parse_block(answer) for answer in answers]
            if [block.number for block in blocks] != list(range(first, last + 1)):
                raise LedgerUnavailableError("An endpoint answered other blocks than those asked for.")
            return blocks

        return self._connection.read([_header(hex(number)) for number in range(first, last + 1)], parse)

    def events(self, first_block: int, last_block: int, last_hash: bytes | None = None) -> Sequence[LoggedEvent]:
        """Events in these blocks, in the order of the ledger. What is too much for one answer is asked for in parts.

        The last block's header is asked for together with them: an endpoint that does not have it, or another one than
        `last_hash`, is passed over.
        """
        criteria = {
            "fromBlock": hex(first_block),
            "toBlock": hex(last_block),
            "address": [
                self._file.consortium,
                self._file.certificate_registry,
                self._file.identity_registry,
                self._file.trust_list,
                self._file.directory,
            ],
        }

        def parse(answers: list[Json]) -> list[LoggedEvent]:
            last = parse_block(answers[0])
            if last.number != last_block or last_hash not in {None, last.hash}:
                raise LedgerUnavailableError("An endpoint has another block than the one asked for. Ask another.")
            return _parse_events(answers[1], first_block, last)

        try:
            return self._connection.read([_header(hex(last_block)), ("eth_getLogs", [criteria])], parse)
        except (AnswerTooLargeError, RpcError):
            if first_block >= last_block:
                raise
            middle = (first_block + last_block) // 2
            return [*self.events(first_block, middle), *self.events(middle + 1, last_block, last_hash)]

    def status_of(self, spki_hash: bytes, tbs_hash: bytes) -> CertificateStatus:
        """A certificate's status at block time, by SHA-256 of its SPKI and of its TBS."""
        value = self._registry("statusOf", [spki_hash, tbs_hash])
        return CertificateStatus(Status(value[0]), *value[1:])

    def slot_of(self, certificate: bytes) -> int:
        """A certificate's slot as it is stored, by its id; 0 for none. Layout: docs/ledger.md."""
        return int(self._registry("slotOf", [certificate]))

    def key_block(self, spki_hash: bytes) -> KeyBlock | None:
        """The block of a key (SHA-256 of its SPKI) for everybody, None when there is none."""
        reason, since, by_proof = self._registry_values("keyBlock", [spki_hash])
        return KeyBlock(reason, since, by_proof) if since else None

    def endorsement(self, batch: int, member: int) -> Endorsement | None:
        """What a member said about a batch, None when it has not endorsed."""
        accepts, abstains, endorsed_at = self._registry_values("endorsement", [batch, member])
        return Endorsement(accepts, abstains, endorsed_at) if endorsed_at else None

    def batch(self, number: int) -> Batch:
        return Batch(*self._registry("batch", [number]))

    def batch_of(self, digest: bytes) -> int:
        """The batch with this digest, 0 for none."""
        return int(self._registry("batchOf", [digest]))

    def lot(self, number: int) -> Lot:
        return Lot(*self._registry("lot", [number]))

    def lot_count(self) -> int:
        return int(self._registry("lotCount", []))

    def is_nonce_used(self, account: Address, nonce: int) -> bool:
        return bool(self._registry("isNonceUsed", [account, nonce]))

    def member(self, number: int) -> Member | None:
        """A member, None when there is none of this number."""
        if not 1 <= number <= self.member_count():
            return None
        kind, state, changed_at, name = self._consortium("member", [number])
        return Member(MemberKind(kind), MemberState(state), changed_at, name)

    def member_count(self) -> int:
        return int(self._consortium("memberCount", []))

    def account(self, address: Address) -> Account | None:
        """An account, None when it is nobody's."""
        member, role, active = self._consortium("account", [address])
        return Account(member, Role(role), active) if member else None

    def acting_member(self, address: Address, role: Role) -> int:
        """The member for whom an account may act in this role now, 0 for none."""
        return int(self._consortium("actingMember", [address, int(role)]))

    def name_spaces(self, member: int) -> tuple[NameSpace, ...]:
        values = self._consortium("nameSpaces", [member])
        return tuple(NameSpace(NameKind(kind), bits, value) for kind, bits, value in values)

    def proposal(self, number: int) -> Proposal | None:
        """A proposal, None when there is none of this number."""
        values = self._consortium("proposal", [number])
        return Proposal(*values) if values[0] else None

    def profile(self, number: int) -> dict[str, str | int | bool]:
        """A profile by the Solidity names of its fields; an empty name means that there is none."""
        return dict(zip(PROFILE_FIELDS, self._consortium("profile", [number]), strict=True))

    def electorate(self, number: int) -> Electorate:
        members, quorum = self._consortium("electorate", [number])
        return Electorate(tuple(members), quorum)

    def current_electorate(self) -> int:
        return int(self._consortium("currentElectorate", []))

    def parameters(self) -> Parameters:
        return Parameters(*self._consortium("parameters", []))

    def code_hash(self, address: Address) -> bytes:
        """keccak256 of the runtime code at an address."""
        return keccak(parse_bytes(self._connection.request("eth_getCode", [address, "latest"])))

    def simulate(self, call: Call, sender: Address) -> bytes:
        """What a call would return now, without a transaction. Raises `RefusedError` with the contract's reason."""
        return self._connection.call(call.to, call.data, sender=sender, gas=call.gas)

    def _registry(self, function: str, arguments: list[Any]) -> Any:
        return self._registry_values(function, arguments)[0]

    def _registry_values(self, function: str, arguments: list[Any]) -> tuple[Any, ...]:
        return self._read("CertificateRegistry", self._file.certificate_registry, function, arguments)

    def _consortium(self, function: str, arguments: list[Any]) -> Any:
        return self._read("Consortium", self._file.consortium, function, arguments)[0]

    def _read(self, contract: str, address: Address, function: str, arguments: list[Any]) -> tuple[Any, ...]:
        interface = load_interface(contract)
        return interface.decode(function, self._connection.call(address, interface.encode(function, arguments)))


def _header(block: str) -> tuple[str, list[Json]]:
    return "eth_getBlockByNumber", [block, False]


def _parse_events(logs: Json, first_block: int, last: Block) -> list[LoggedEvent]:
    """Events from the answer to eth_getLogs. Raises `LedgerUnavailableError` for what cannot be one."""
    if not isinstance(logs, list) or any(not isinstance(log, dict) or log.get("removed") for log in logs):
        raise LedgerUnavailableError("An endpoint answered eth_getLogs with something else than standing logs.")
    events = [event for log in logs if (event := parse_event(log)) is not None]
    places = [(event.block_number, event.log_index) for event in events]
    if places != sorted(set(places)) or any(not first_block <= number <= last.number for number, _ in places):
        raise LedgerUnavailableError("An endpoint answered events out of order or of other blocks.")
    return events


def parse_block(answer: Json) -> Block:
    """A header from eth_getBlockByNumber. Raises `LedgerUnavailableError` when the endpoint has no such block."""
    if not isinstance(answer, dict):
        raise LedgerUnavailableError("An endpoint does not have a block that was asked for. It may lag: try again.")
    return Block(
        number=parse_quantity(answer.get("number")),
        hash=parse_bytes(answer.get("hash"), 32),
        parent_hash=parse_bytes(answer.get("parentHash"), 32),
        time=parse_quantity(answer.get("timestamp")),
    )
