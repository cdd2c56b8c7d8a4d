"""People's identities in the read model: state, history of keys, the feed, and what a block key does."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pki_chain import ports
from pki_chain.index.errors import IndexFaultError
from pki_chain.index.identities import Identities
from pki_chain.index.identity_records import IdentityRecord, ReplacementRecord, spki_hash
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Address, Attestation, CardKey, EventContent, IdentityRefusal, IdentityState
from tests.index.recorded_ledger import OPERATOR, RecordedLedger
from tests.index.test_query_plans import scans

BY = Address("0x" + "0b" * 20)
ID = b"\x11" * 32
OTHER_ID = b"\x22" * 32


def card_key(number: int, *, emulator: bool = False) -> CardKey:
    numbers = ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
    attestation = Attestation.NONE if emulator else Attestation.PERSONALISER
    return CardKey(numbers.x.to_bytes(32), numbers.y.to_bytes(32), attestation, card_enforced=True, emulator=emulator)


@dataclass
class Followed:
    """A ledger that is followed into a read model after every event."""

    ledger: RecordedLedger
    indexer: Indexer
    identities: Identities

    def say(self, *contents: EventContent) -> int:
        """One block with these events; its time."""
        block = self.ledger.mine(list(contents))
        self.indexer.advance()
        return block.time

    def record(self, identity: bytes = ID) -> IdentityRecord:
        found = self.identities.identity(identity)
        assert found is not None
        return found


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    ledger = RecordedLedger()
    path = tmp_path / "index.sqlite"
    with Indexer(path, ledger, 1) as indexer:
        indexer.advance()
        yield Followed(ledger, indexer, Identities(ReadModel(path)))


def registered(identity: bytes = ID, number: int = 1) -> ports.IdentityRegistered:
    return ports.IdentityRegistered(identity, OPERATOR, BY, card_key(number))


def test_the_hash_of_a_key_is_that_of_its_der() -> None:
    public = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = card_key(7)
    assert der.endswith(key.x + key.y)
    assert spki_hash(key.x, key.y) == hashlib.sha256(der).digest()


def test_registered_then_active(followed: Followed) -> None:
    assert followed.identities.identity(ID) is None
    assert followed.identities.keys(ID) == ()
    made = followed.say(registered())
    record = followed.record()
    assert (record.state, record.operator, record.key) == (IdentityState.REGISTERED, OPERATOR, card_key(1))
    assert (record.registered_at, record.key_since, record.activated_at, record.key_count) == (made, made, 0, 1)
    signed = followed.say(ports.IdentityActivated(ID, OPERATOR, BY))
    record = followed.record()
    assert (record.state, record.activated_at, record.changed_at) == (IdentityState.ACTIVE, signed, signed)
    assert followed.identities.identity(OTHER_ID) is None
    assert followed.identities.of_key(card_key(1).x) == ID
    assert followed.identities.of_key(card_key(2).x) is None


def test_hold_and_release_and_revoke(followed: Followed) -> None:
    followed.say(registered(), ports.IdentityActivated(ID, OPERATOR, BY))
    followed.say(ports.IdentityHeld(ID, OPERATOR, BY, 1))
    assert (followed.record().state, followed.record().counter) == (IdentityState.HELD, 1)
    followed.say(ports.IdentityReleased(ID, OPERATOR, BY, 2))
    assert (followed.record().state, followed.record().counter) == (IdentityState.ACTIVE, 2)
    followed.say(ports.IdentityRevoked(ID, OPERATOR, BY, 1))
    assert (followed.record().state, followed.record().reason) == (IdentityState.REVOKED, 1)


def test_a_replacement_waits_and_is_confirmed(followed: Followed) -> None:
    first = followed.say(registered(), ports.IdentityActivated(ID, OPERATOR, BY))
    started = followed.say(ports.ReplacementStarted(ID, OPERATOR, BY, card_key(2), first + 86_400, 1))
    record = followed.record()
    assert record.state is IdentityState.REPLACING
    assert record.key == card_key(1)
    assert record.replacement == ReplacementRecord(card_key(2), BY, first + 86_400)
    replaced = followed.say(ports.IdentityKeyReplaced(ID, OPERATOR, BY, 1, card_key(2), by_old_key=False, counter=2))
    record = followed.record()
    assert started < replaced
    assert (record.state, record.key, record.replacement) == (IdentityState.REGISTERED, card_key(2), None)
    assert (record.key_since, record.activated_at, record.key_count) == (replaced, 0, 2)
    keys = followed.identities.keys(ID)
    assert [(each.index, each.key, each.since, each.until) for each in keys] == [
        (0, card_key(1), first, replaced),
        (1, card_key(2), replaced, 0),
    ]
    assert followed.identities.of_key(card_key(1).x) == ID, "an old key still leads to its identity"


@pytest.mark.parametrize("how", ["cancelled", "held", "revoked"])
def test_what_ends_a_replacement(followed: Followed, how: str) -> None:
    time = followed.say(registered(), ports.IdentityActivated(ID, OPERATOR, BY))
    followed.say(ports.ReplacementStarted(ID, OPERATOR, BY, card_key(2), time + 86_400, 1))
    after = {
        "cancelled": ports.ReplacementCancelled(ID, OPERATOR, BY, by_card=True, counter=2),
        "held": ports.IdentityHeld(ID, OPERATOR, BY, 3),
        "revoked": ports.IdentityRevoked(ID, OPERATOR, BY, 0),
    }[how]
    followed.say(after)
    assert followed.record().replacement is None
    expected = {"cancelled": IdentityState.ACTIVE, "held": IdentityState.HELD, "revoked": IdentityState.REVOKED}
    assert followed.record().state is expected[how]


def test_the_feed_is_in_order_and_the_same_from_every_reader(followed: Followed, tmp_path: Path) -> None:
    followed.say(registered(), registered(OTHER_ID, 3), ports.IdentityActivated(ID, OPERATOR, BY))
    middle = followed.identities.end(followed.ledger.head().number)
    followed.say(ports.IdentityHeld(OTHER_ID, OPERATOR, BY, 1))
    changes = followed.identities.changes(0)
    assert [(change.kind, change.identity) for change in changes] == [
        ("registered", ID),
        ("registered", OTHER_ID),
        ("activated", ID),
        ("held", OTHER_ID),
    ]
    assert [change.position for change in changes] == sorted({change.position for change in changes})
    assert [change.kind for change in followed.identities.changes(middle)] == ["held"]
    assert followed.identities.changes(changes[-1].position) == ()
    assert followed.identities.changes(0, 2) == changes[:2]
    with Indexer(tmp_path / "second.sqlite", followed.ledger, 1) as second:
        second.advance()
    assert Identities(ReadModel(tmp_path / "second.sqlite")).changes(0) == changes


def test_a_blocked_key_is_told_of(followed: Followed) -> None:
    followed.say(registered(), ports.IdentityActivated(ID, OPERATOR, BY), registered(OTHER_ID, 3))
    key = card_key(1)
    followed.say(ports.KeyBlocked(spki_hash(key.x, key.y), 1, by_proof=True))
    assert followed.record().is_key_blocked
    assert followed.record().state is IdentityState.ACTIVE, "the contract says so until somebody has it held"
    assert not followed.record(OTHER_ID).is_key_blocked
    assert [change.kind for change in followed.identities.changes(0)][-1] == "key-blocked"
    followed.say(ports.IdentityKeyReplaced(ID, OPERATOR, BY, 1, card_key(2), by_old_key=True, counter=1))
    assert not followed.record().is_key_blocked


def test_a_refused_entry_changes_nothing(followed: Followed) -> None:
    followed.say(ports.IdentityEntryRefused(ID, OPERATOR, card_key(1).x, IdentityRefusal.BAD_PROOF))
    assert followed.identities.identity(ID) is None
    assert followed.identities.changes(0) == ()


@pytest.mark.parametrize(
    "content",
    [
        ports.IdentityActivated(ID, OPERATOR, BY),
        ports.IdentityHeld(ID, OPERATOR, BY, 1),
        ports.IdentityRevoked(ID, OPERATOR, BY, 1),
        ports.ReplacementStarted(ID, OPERATOR, BY, card_key(2), 1, 1),
        ports.IdentityKeyReplaced(ID, OPERATOR, BY, 1, card_key(2), by_old_key=True, counter=1),
    ],
)
def test_an_event_of_an_identity_that_was_never_given_is_a_fault(followed: Followed, content: EventContent) -> None:
    with pytest.raises(IndexFaultError, match="never given"):
        followed.say(content)


def test_a_key_that_was_kept_back_is_a_fault(followed: Followed) -> None:
    followed.say(registered())
    with pytest.raises(IndexFaultError, match="without the one before it"):
        followed.say(ports.IdentityKeyReplaced(ID, OPERATOR, BY, 2, card_key(3), by_old_key=True, counter=1))


def test_no_question_scans(followed: Followed) -> None:
    followed.say(*(registered(bytes([number]) * 32, number) for number in range(1, 20)))
    model = followed.identities._read_model
    connection: sqlite3.Connection = model._connection()
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    followed.record(b"\x01" * 32)
    followed.identities.keys(ID)
    followed.identities.changes(5)
    followed.identities.of_key(b"\x01" * 32)
    assert len(statements) == 4
    growing = ("identities", "identity_keys", "identity_changes", "i")
    assert scans(connection, statements, growing) == []


class TwoReaders(RuleBasedStateMachine):
    """Whatever the registry says, in whatever order it can: state as a plain model has it, history only grows."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "index.sqlite"
        self.ledger = RecordedLedger()
        self.indexer = Indexer(path, self.ledger, 1)
        self.identities = Identities(ReadModel(path))
        self.next_key = 1
        self.history: list[CardKey] = []
        self.active = self.held = self.revoked = self.waiting = False
        self.counter = 0

    def say(self, content: EventContent) -> None:
        self.ledger.mine([content])

    def new_key(self) -> CardKey:
        self.next_key += 1
        return card_key(self.next_key)

    @rule()
    def register(self) -> None:
        if not self.history:
            key = self.new_key()
            self.say(ports.IdentityRegistered(ID, OPERATOR, BY, key))
            self.history.append(key)

    @rule()
    def activate(self) -> None:
        if self.history and not (self.active or self.held or self.revoked or self.waiting):
            self.say(ports.IdentityActivated(ID, OPERATOR, BY))
            self.active = True

    @rule()
    def hold(self) -> None:
        if self.history and not (self.held or self.revoked):
            self.counter += 1
            self.say(ports.IdentityHeld(ID, OPERATOR, BY, self.counter))
            self.held, self.waiting = True, False

    @rule()
    def release(self) -> None:
        if self.held and not self.revoked:
            self.counter += 1
            self.say(ports.IdentityReleased(ID, OPERATOR, BY, self.counter))
            self.held = False

    @rule(reason=st.sampled_from([0, 1, 3, 4, 5, 9]))
    def revoke(self, reason: int) -> None:
        if self.history and not self.revoked:
            self.say(ports.IdentityRevoked(ID, OPERATOR, BY, reason))
            self.revoked, self.waiting = True, False

    @rule()
    def start(self) -> None:
        if self.history and not (self.held or self.revoked or self.waiting):
            self.counter += 1
            self.say(ports.ReplacementStarted(ID, OPERATOR, BY, self.new_key(), self.ledger.time, self.counter))
            self.waiting = True

    @rule(by_old_key=st.booleans())
    def replace(self, by_old_key: bool) -> None:
        if self.history and not self.revoked:
            self.counter += 1
            key = self.new_key()
            number = len(self.history)
            self.say(ports.IdentityKeyReplaced(ID, OPERATOR, BY, number, key, by_old_key, self.counter))
            self.history.append(key)
            self.active = self.waiting = False

    @invariant()
    def agrees(self) -> None:
        self.indexer.advance()
        record = self.identities.identity(ID)
        assert (record is not None) == bool(self.history)
        if record is None:
            return
        expected = (
            IdentityState.REVOKED
            if self.revoked
            else IdentityState.HELD
            if self.held
            else IdentityState.REPLACING
            if self.waiting
            else IdentityState.ACTIVE
            if self.active
            else IdentityState.REGISTERED
        )
        assert (record.state, record.counter, record.key) == (expected, self.counter, self.history[-1])
        keys = self.identities.keys(ID)
        assert [each.key for each in keys] == self.history
        assert [each.until for each in keys[:-1]] == [each.since for each in keys[1:]]
        assert keys[-1].until == 0

    def teardown(self) -> None:
        self.indexer.close()
        self.identities._read_model.close()
        self.directory.cleanup()


TestTwoReaders = TwoReaders.TestCase
TestTwoReaders.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
