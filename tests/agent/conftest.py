"""A person's card (emulated), its identity on a ledger, a provider over HTTP, and an agent enrolled there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.agent_key import load_key
from sim_applet_tools.agent.card import OpenCard
from sim_applet_tools.agent.enrolment import enrol
from sim_applet_tools.agent.home import AgentHome
from sim_applet_tools.agent.http_connection import HttpConnection
from sim_applet_tools.agent.provider_client import ProviderClient, fetch_configuration
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, ApprovalCard
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.transport.loopback import LoopbackTransport, RawCard
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider
from tests.agent.provider_http import serve
from tests.sim.card_targets import Applets, Readers, fresh_emulator

PIN = "65432100"
IDENTITY = "0x" + "5a" * 32


def clock() -> int:
    return int(time.time())


def make_active(applet: IotSafeApplet) -> ec.EllipticCurvePublicKey:
    """A key made on the card, which is then personalised, and activated with `PIN`."""
    key = applet.generate_key_pair(APPROVAL_KEY)
    card = ApprovalCard(applet)
    card.personalise("123456", "11223344")
    card.change_pin("123456", PIN)
    return key


def opener(card: RawCard) -> OpenCard:
    """Reaches a card in this process as the command reaches one in a reader."""

    @contextmanager
    def open_card() -> Iterator[IotSafeApplet]:
        transport = LoopbackTransport(card)
        try:
            yield find_applet(transport, [load_profile("tally")])
        finally:
            transport.close()

    return open_card


@dataclass
class Person:
    """Everything one person has."""

    identity: str
    card: RawCard
    open_card: OpenCard
    key: ec.EllipticCurvePublicKey
    seen: SeenInMemory


def new_person(ledger: Ledger, identity: str = IDENTITY, card: RawCard | None = None) -> Person:
    raw = card or fresh_emulator()
    open_card = opener(raw)
    with open_card() as applet:
        key = make_active(applet)
    ledger.register(identity, key)
    return Person(identity, raw, open_card, key, SeenInMemory())


@contextmanager
def enrolled(
    provider: Provider,
    person: Person,
    directory: Path,
    *,
    ledger: Ledger | None = None,
    passphrase: bytes | None = None,
) -> Iterator[Agent]:
    """The person's agent, as the command puts it together."""
    with HttpConnection(provider.issuer) as connection:
        enrol(
            fetch_configuration(provider.issuer, connection),
            person.identity,
            "PC at home",
            home=AgentHome(directory),
            connection=connection,
            open_card=person.open_card,
            pin=PIN,
            passphrase=passphrase,
            clock=clock,
            seen=person.seen,
            watch=ledger,
        )
    with assembled(provider.issuer, person, directory, ledger=ledger, passphrase=passphrase) as agent:
        yield agent


@contextmanager
def assembled(
    issuer: str, person: Person, directory: Path, *, ledger: Ledger | None = None, passphrase: bytes | None = None
) -> Iterator[Agent]:
    """An agent that was enrolled before."""
    place = AgentHome(directory).provider(issuer)
    enrolment = place.load_enrolment()
    key = load_key(place.key_path, passphrase)
    with HttpConnection(issuer) as connection:
        client = ProviderClient(issuer, connection, key, enrolment.access_token, clock)
        yield Agent(enrolment, key, client, place, person.open_card, clock=clock, seen=person.seen, watch=ledger)


@pytest.fixture(scope="session", autouse=True)
def _stop_readers_and_applets() -> Iterator[None]:
    """What tests of this folder start of them too, as those of cards do."""
    yield
    Readers.stop()
    Applets.stop()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def provider(ledger: Ledger) -> Iterator[Provider]:
    with serve(Provider(ledger)) as running:
        yield running


@pytest.fixture
def person(ledger: Ledger) -> Person:
    return new_person(ledger)


@pytest.fixture
def agent(provider: Provider, person: Person, ledger: Ledger, tmp_path: Path) -> Iterator[Agent]:
    with enrolled(provider, person, tmp_path / "agent", ledger=ledger) as agent:
        yield agent
