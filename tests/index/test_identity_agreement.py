"""The read model and the registry say the same of every identity, after each act, on a running ledger."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pki_chain.chain.calls import Call
from pki_chain.identity.possession import parse_possession
from pki_chain.index.identities import Identities
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Activation, Attestation, CardKey, IdentityState, PossessionPurpose, Registration
from pki_chain.station.key_compromise import declare_compromise
from tests.chain.test_identities import People, people
from tests.identity.cards import TestCard
from tests.ledger import OPERATOR, consortium, ledger_engine

__all__ = ["consortium", "ledger_engine", "people"]

pytestmark = pytest.mark.chain


@dataclass
class Compared:
    """A ledger with a read model beside it."""

    people: People
    indexer: Indexer
    identities: Identities

    def act(self, call: Call, identity: bytes) -> IdentityState:
        """Carry out an act, and compare everything that is known of the identity then."""
        self.people.send(call)
        return self.compare(identity)

    def compare(self, identity: bytes) -> IdentityState:
        self.indexer.advance()
        ours, theirs = self.identities.identity(identity), self.people.ledger.identity(identity)
        assert ours is not None
        assert theirs is not None
        assert (ours.state, ours.operator, ours.key) == (theirs.state, theirs.operator, theirs.key)
        assert (ours.is_held, ours.replacement is not None) == (theirs.held, theirs.replacing)
        assert (ours.reason, ours.counter, ours.key_count) == (theirs.reason, theirs.counter, theirs.key_count)
        assert (ours.registered_at, ours.key_since) == (theirs.registered_at, theirs.key_since)
        assert (ours.activated_at, ours.changed_at) == (theirs.activated_at, theirs.changed_at)
        waiting = self.people.ledger.replacement(identity)
        if ours.replacement is None:
            assert waiting is None
        else:
            assert waiting is not None
            assert (ours.replacement.key, ours.replacement.started_by, ours.replacement.executable_at) == (
                waiting.key,
                waiting.started_by,
                waiting.executable_at,
            )
        keys = self.people.ledger.keys(identity)
        assert [(each.key, each.since, each.until) for each in self.identities.keys(identity)] == [
            (each.key, each.since, each.until) for each in keys
        ]
        assert self.identities.of_key(theirs.key.x) == identity == self.people.ledger.identity_of_key(theirs.key.x)
        return ours.state


@pytest.fixture
def compared(people: People, tmp_path: Path) -> Iterator[Compared]:
    first = people.consortium.file.founding_block
    with Indexer(tmp_path / "index.sqlite", people.consortium.ledger, first) as indexer:
        yield Compared(people, indexer, Identities(ReadModel(tmp_path / "index.sqlite")))


def test_a_life_with_every_act(compared: Compared) -> None:
    people = compared.people
    texts, calls, deadline = people.texts, people.calls, people.consortium.deadline()
    card = people.new_card()
    entry = people.entry(card)
    identity = entry.identity
    assert compared.act(people.register([entry]), identity) is IdentityState.REGISTERED
    card.own()
    proof = card.proof(identity, PossessionPurpose.ACTIVATE, deadline)
    assert compared.act(people.activate([Activation(identity, proof)]), identity) is IdentityState.ACTIVE
    assert compared.act(people.hold(identity, 0, people.duty), identity) is IdentityState.HELD
    assert compared.act(people.release(identity, 1, people.administrator), identity) is IdentityState.ACTIVE

    new = people.new_card()
    second = people.entry(new, PossessionPurpose.REPLACE, identity)

    def start(counter: int) -> Call:
        typed = texts.start_replacement(second, counter, deadline)
        return calls.start_replacement(second, counter, **people.signed(people.registrar, typed))

    assert compared.act(start(2), identity) is IdentityState.REPLACING
    typed = texts.cancel_replacement(identity, 3, deadline)
    cancel = calls.cancel_replacement(identity, 3, **people.signed(people.duty, typed))
    assert compared.act(cancel, identity) is IdentityState.ACTIVE
    assert compared.act(start(4), identity) is IdentityState.REPLACING
    assert compared.act(people.hold(identity, 5, people.duty), identity) is IdentityState.HELD
    counter = people.stands(identity).counter
    assert compared.act(people.release(identity, counter, people.administrator), identity) is IdentityState.ACTIVE

    soon = people.consortium.now() + 3_600
    agreement = Activation(
        identity, card.word(people.stands(identity), identity, PossessionPurpose.REPLACE, soon, new.key)
    )
    typed = texts.replace_key(second, counter + 1, deadline)
    replace = calls.replace_key(second, agreement, counter + 1, **people.signed(people.registrar, typed))
    assert compared.act(replace, identity) is IdentityState.REGISTERED
    typed = texts.revoke_identity(identity, 4, deadline)
    revoke = calls.revoke_identity(identity, 4, **people.signed(people.administrator, typed))
    assert compared.act(revoke, identity) is IdentityState.REVOKED
    assert compared.act(revoke, identity) is IdentityState.REVOKED
    kinds = [change.kind for change in compared.identities.changes(0) if change.identity == identity]
    assert kinds[:4] == ["registered", "activated", "held", "released"]
    assert kinds[-2:] == ["key-replaced", "revoked"]


def test_the_card_s_own_veto(compared: Compared) -> None:
    people = compared.people
    identity, card = people.active()
    stranger = people.new_card()
    entry = people.entry(stranger, PossessionPurpose.REPLACE, identity)
    typed = people.texts.start_replacement(entry, 0, people.consortium.deadline())
    start = people.calls.start_replacement(entry, 0, **people.signed(people.registrar, typed))
    assert compared.act(start, identity) is IdentityState.REPLACING
    soon = people.consortium.now() + 3_600
    stands = people.stands(identity)
    veto = Activation(identity, card.word(stands, identity, PossessionPurpose.CANCEL, soon, stranger.key))
    assert compared.act(people.calls.cancel_replacement_by_card(veto), identity) is IdentityState.ACTIVE


def test_a_blocked_key_and_the_hold_for_it(compared: Compared) -> None:
    """The key's own declaration in the certificate registry; then anyone has its identity held."""
    people = compared.people
    card, identity, deadline = TestCard(), secrets.token_bytes(32), people.consortium.deadline()
    key = CardKey(card.x, card.y, Attestation.PERSONALISER, card_enforced=False, emulator=False)
    typed = people.texts.possession(OPERATOR, identity, key.x, key.y, PossessionPurpose.REGISTER, deadline)
    proof = parse_possession(card.sign(typed.digest())).proof(deadline)
    people.send(people.register([Registration(identity, key, proof)]))
    assert compared.compare(identity) is IdentityState.REGISTERED
    people.refused(people.calls.hold_blocked_identity(identity), "IdentityKeyNotBlocked")
    order = declare_compromise(people.texts, card.key)
    spki, r, s = (bytes.fromhex(order[name][2:]) for name in ("subject_public_key_info", "r", "s"))
    block = people.calls.block_key_by_proof(spki, int.from_bytes(r), int.from_bytes(s))
    assert compared.act(block, identity) is IdentityState.REGISTERED
    record = compared.identities.identity(identity)
    assert record is not None
    assert record.is_key_blocked
    assert compared.act(people.calls.hold_blocked_identity(identity), identity) is IdentityState.HELD
    kinds = [change.kind for change in compared.identities.changes(0) if change.identity == identity]
    assert kinds == ["registered", "key-blocked", "held"]
