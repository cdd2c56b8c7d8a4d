"""What an operator's desk makes of each outcome: gateways that refuse, fail or never heard of it; entries refused."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pki_chain import ports
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.errors import ConfigurationError, LedgerUnavailableError, RefusedError
from pki_chain.identity.card_files import ActivationLine, RegistrationLine
from pki_chain.identity.enrolment import REFUSALS, Enrolment
from pki_chain.identity.orders import IdentityOrders
from pki_chain.identity.possession import parse_possession
from pki_chain.identity.register import IdentityRegister, PreparedState
from pki_chain.ports import Address, Attestation, CardKey, EventContent, IdentityRefusal, PossessionPurpose
from pki_chain.station.gateway_client import GatewayClient
from tests.gateway.conftest import CONSORTIUM
from tests.identity.cards import TestCard
from tests.index.recorded_ledger import OPERATOR, RecordedLedger
from tests.station.scripted_gateway import Answer, ScriptedGateway, serve

BY = Address("0x" + "0b" * 20)
NOW = 1_900_000_000
TEXTS = TypedTexts(CONSORTIUM)
TAKEN = "a1" * 16


@dataclass
class Desk:
    """An operator's record, and a gateway that answers as the test says; `answers` by path, or how to post."""

    register: IdentityRegister
    gateway: ScriptedGateway
    ledger: RecordedLedger = field(default_factory=RecordedLedger)
    now: float = NOW
    cards: dict[bytes, TestCard] = field(default_factory=dict)
    signer: Signer = field(default_factory=Signer.ephemeral)

    def work(self) -> Enrolment:
        """As a new process makes it."""
        client = GatewayClient([self.gateway.address])
        orders = IdentityOrders(TEXTS, self.signer, client, clock=lambda: self.now)
        return Enrolment(
            self.register,
            OPERATOR,
            texts=TEXTS,
            orders=orders,
            gateways=client,
            ledger=self.ledger,
            clock=lambda: self.now,
        )

    def prepare(self, purpose: PossessionPurpose = PossessionPurpose.REGISTER) -> RegistrationLine:
        """An id on record, and what its card's registration says."""
        identity, card = secrets.token_bytes(32), TestCard()
        self.cards[identity] = card
        self.register.prepare([identity], "batch.json", purpose, register_by=NOW + 100, activate_by=NOW + 200)
        key = CardKey(card.x, card.y, Attestation.NONE, card_enforced=True, emulator=False)
        return RegistrationLine(identity, key, self.proof(identity, purpose, NOW + 100))

    def proof(self, identity: bytes, purpose: PossessionPurpose, deadline: int) -> Any:
        card = self.cards[identity]
        digest = TEXTS.possession(OPERATOR, identity, card.x, card.y, purpose, deadline).digest()
        return parse_possession(card.sign(digest))

    def activation(self, identity: bytes) -> ActivationLine:
        return ActivationLine(identity, self.proof(identity, PossessionPurpose.ACTIVATE, NOW + 200))

    def state(self, identity: bytes) -> tuple[PreparedState, str]:
        found = self.register.find(identity)
        assert found is not None
        return found.state, found.explanation

    def carry_out(self, *events: EventContent) -> None:
        """From now on the gateway says that the order is done, in a block with these events."""
        block = self.ledger.mine(list(events))
        transaction = hashlib.sha256(block.hash + b"\x00").hexdigest()
        done = {"id": TAKEN, "state": "done", "transaction": "0x" + transaction}
        self.gateway.post = lambda _: (202, done)
        self.gateway.get = lambda _: (200, done)


def taken(_: dict[str, Any]) -> Answer:
    return 202, {"id": TAKEN, "state": "stored"}


def unknown(_: str) -> Answer:
    return 404, {"detail": "unknown", "code": "not-found"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with serve(ScriptedGateway(taken, unknown)) as gateway, IdentityRegister(tmp_path / "identity") as register:
        yield Desk(register, gateway)


def test_registered_then_active(desk: Desk) -> None:
    line = desk.prepare()
    work = desk.work()
    assert work.take_registration(line) == ""
    assert work.take_registration(line) == "", "the same line again changes nothing"
    assert work.step(), "a gateway has it, the ledger has not"
    assert desk.state(line.identity)[0] is PreparedState.REGISTERING
    desk.carry_out(ports.IdentityRegistered(line.identity, OPERATOR, BY, line.key))
    assert not work.step()
    assert desk.state(line.identity) == (PreparedState.REGISTERED, "")
    assert len(desk.gateway.posted) == 1

    assert work.take_activation(desk.activation(line.identity)) == ""
    desk.gateway.post = taken
    desk.gateway.get = lambda _: (200, {"id": TAKEN, "state": "stored"})
    assert work.step()
    desk.carry_out(ports.IdentityActivated(line.identity, OPERATOR, BY))
    assert not work.step()
    assert desk.state(line.identity) == (PreparedState.ACTIVE, "")
    assert work.take_activation(desk.activation(line.identity)) == ""
    assert not work.step()


def test_lines_that_are_not_taken(desk: Desk) -> None:
    line, other = desk.prepare(), desk.prepare()
    work = desk.work()
    stranger = RegistrationLine(secrets.token_bytes(32), line.key, line.possession)
    assert "none that this operator prepared" in work.take_registration(stranger)
    mixed = RegistrationLine(line.identity, other.key, line.possession)
    assert "something else" in work.take_registration(mixed)
    replacing = desk.prepare(PossessionPurpose.REPLACE)
    assert "prepared for registration" in work.take_registration(replacing)
    assert work.take_registration(line) == ""
    assert "with another key" in work.take_registration(mixed)
    assert "still on its way" in work.take_activation(desk.activation(line.identity))
    assert "none that this operator registered" in work.take_activation(desk.activation(other.identity))
    desk.now = NOW + 100
    assert "past its deadline" in work.take_registration(other)
    assert desk.gateway.posted == []


@pytest.mark.parametrize("refusal", list(IdentityRefusal))
def test_a_refused_entry_has_its_reason(desk: Desk, refusal: IdentityRefusal) -> None:
    good, bad = desk.prepare(), desk.prepare()
    work = desk.work()
    assert [work.take_registration(each) for each in (good, bad)] == ["", ""]
    desk.carry_out(
        ports.IdentityRegistered(good.identity, OPERATOR, BY, good.key),
        ports.IdentityEntryRefused(bad.identity, OPERATOR, bad.key.x, refusal),
    )
    assert not work.step()
    assert desk.state(good.identity) == (PreparedState.REGISTERED, "")
    state, explanation = desk.state(bad.identity)
    assert state is PreparedState.REFUSED
    assert REFUSALS[refusal] in explanation
    assert work.take_registration(bad) == "", "it may come again, once what was wrong is put right"


def test_a_refused_activation_may_come_again(desk: Desk) -> None:
    line = desk.prepare()
    work = desk.work()
    work.take_registration(line)
    desk.carry_out(ports.IdentityRegistered(line.identity, OPERATOR, BY, line.key))
    work.step()
    assert work.take_activation(desk.activation(line.identity)) == ""
    desk.carry_out(ports.IdentityEntryRefused(line.identity, OPERATOR, bytes(32), IdentityRefusal.WRONG_STATE))
    assert not work.step()
    state, explanation = desk.state(line.identity)
    assert state is PreparedState.REGISTERED
    assert "tally identity show" in explanation
    assert work.take_activation(desk.activation(line.identity)) == ""


def test_an_entry_that_left_no_event_had_its_effect_before(desk: Desk) -> None:
    line, lost = desk.prepare(), desk.prepare()
    work = desk.work()
    assert [work.take_registration(each) for each in (line, lost)] == ["", ""]
    desk.carry_out()
    done = desk.gateway.get
    known = f"/v1/identities/0x{line.identity.hex()}"

    def get(path: str) -> Answer:
        if path == known:
            return 200, {"activated_at": None}
        return unknown(path) if path.startswith("/v1/identities") else done(path)

    desk.gateway.get = get
    assert not work.step()
    assert desk.state(line.identity) == (PreparedState.REGISTERED, "")
    assert desk.state(lost.identity)[0] is PreparedState.REFUSED


def test_an_order_that_is_refused_whole_waits_for_better_times(desk: Desk) -> None:
    line = desk.prepare()
    work = desk.work()
    work.take_registration(line)
    problem = {"code": "refused", "detail": "The ledger refuses this order: IdentityNotAuthorised(0x11)"}
    desk.gateway.post = lambda _: (409, problem)
    with pytest.raises(RefusedError, match="IdentityNotAuthorised"):
        work.step()
    state, explanation = desk.state(line.identity)
    assert state is PreparedState.TO_REGISTER
    assert "IdentityNotAuthorised" in explanation
    desk.gateway.post = lambda _: (202, {"id": TAKEN, "state": "failed", "reason": "out of gas"})
    with pytest.raises(RefusedError, match="out of gas"):
        work.step()
    desk.carry_out(ports.IdentityRegistered(line.identity, OPERATOR, BY, line.key))
    assert not work.step()
    assert desk.state(line.identity) == (PreparedState.REGISTERED, "")


def test_the_next_process_sends_the_same_bytes(desk: Desk) -> None:
    line = desk.prepare()
    work = desk.work()
    work.take_registration(line)
    desk.gateway.post = lambda _: (503, {"detail": "busy"})
    with pytest.raises(LedgerUnavailableError):
        work.step()
    desk.gateway.post = taken
    assert desk.work().step()
    first, second = desk.gateway.posted
    assert first == second


def test_a_gateway_that_never_heard_of_it_is_given_the_same_bytes(desk: Desk) -> None:
    line = desk.prepare()
    work = desk.work()
    work.take_registration(line)
    assert work.step()
    assert work.step(), "asked by its id, unknown there, posted again"
    first, second = desk.gateway.posted
    assert first == second


def test_a_hundred_at_a_time(desk: Desk) -> None:
    lines = [desk.prepare() for _ in range(101)]
    work = desk.work()
    assert {work.take_registration(line) for line in lines} == {""}
    assert work.step()
    assert sorted(len(each["entries"]) for each in desk.gateway.posted) == [1, 100]
    assert desk.register.on_their_way() == {line.identity for line in lines}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with IdentityRegister(tmp_path / "identity"), pytest.raises(ConfigurationError, match="another process"):
        IdentityRegister(tmp_path / "identity")
    IdentityRegister(tmp_path / "identity").close()
