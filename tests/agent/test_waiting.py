"""Waiting in a terminal: hand-overs of the page, the inbox, and wake-ups that say only that there is something."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.issuer import HandOver
from sim_applet_tools.agent.terminal import Style, TerminalFace
from sim_applet_tools.agent.waiting import PATROL_S, Patrol, Waiting
from sim_applet_tools.errors import NotEnrolledError
from tests.agent.conftest import IDENTITY, PIN, Person, assembled, enrolled
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider


class Typed:
    """A person who types these answers; `seen` is all that was shown."""

    def __init__(self, answers: Iterable[str]) -> None:
        self._answers = iter(answers)
        self.seen: list[tuple[str, Style]] = []

    def show(self, text: str, style: Style = "plain") -> None:
        self.seen.append((text, style))

    def ask(self, question: str) -> str:  # noqa: ARG002
        return next(self._answers)

    def ask_secret(self, question: str) -> str:  # noqa: ARG002
        return next(self._answers)


def waiting(agent: Agent, *answers: str, wake: Agent | None = None) -> tuple[Waiting, Typed]:
    console = Typed(answers)
    return Waiting(agent, TerminalFace(agent, console, "en"), console, wake), console


def test_a_login_handed_over_by_the_page(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    waits, _ = waiting(agent, "", PIN)
    waits.take(HandOver(provider.issuer, login.local_handle, login.local_secret))
    decision = waits.next_decision()
    assert decision is not None
    assert decision.kind == "approved"
    assert login.state == "approved"


def test_a_login_in_the_inbox_is_shown_once(agent: Agent, provider: Provider) -> None:
    login = provider.begin(mode="ciba")
    login.identity = IDENTITY
    waits, console = waiting(agent, "x")
    decision = waits.next_decision()
    assert decision is not None
    assert (decision.kind, login.refusal) == ("not-me", "not-me")
    login.agent = None  # still in the inbox
    assert waits.next_decision() is None
    assert sum("asks you to log in" in text for text, _ in console.seen) == 1


def test_what_must_not_be_shown_is_an_alarm_and_waiting_goes_on(agent: Agent, provider: Provider) -> None:
    bad = provider.begin(app=provider.sign_record(provider.record(name="Sh\u202eop")))
    waits, console = waiting(agent, "", PIN)
    waits.take(HandOver(provider.issuer, bad.local_handle, bad.local_secret))
    assert waits.next_decision() is None
    assert console.seen[-1][1] == "alarm"
    good = provider.begin()
    waits.take(HandOver(provider.issuer, good.local_handle, good.local_secret))
    assert waits.next_decision() is not None


def test_a_wake_up_ends_the_wait(agent: Agent, provider: Provider, person: Person, tmp_path: Path) -> None:
    with assembled(provider.issuer, person, tmp_path / "agent") as other:
        wakes = other.wakes()
        looked = []

        def listen() -> None:
            looked.append(next(wakes))

        import threading  # noqa: PLC0415

        thread = threading.Thread(target=listen)
        thread.start()
        while thread.is_alive():
            provider.wake()
            thread.join(0.02)
        assert looked == [None]


def test_no_wake_ups_for_strangers(agent: Agent, provider: Provider) -> None:
    provider.agents.clear()
    with pytest.raises(NotEnrolledError):
        next(agent.wakes())


def test_a_provider_that_is_away_is_said_and_asked_again(agent: Agent, provider: Provider) -> None:
    tokens = dict(provider.agents)
    provider.agents.clear()
    waits, console = waiting(agent, "", PIN)
    login = provider.begin()
    waits.take(HandOver(provider.issuer, login.local_handle, login.local_secret))
    waits.next_decision()
    assert {style for _, style in console.seen} == {"warning"}
    provider.agents.update(tokens)
    waits.take(HandOver(provider.issuer, login.local_handle, login.local_secret))
    assert waits.next_decision() is not None


def test_many_wrong_answers_end_in_a_refusal(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    waits, _ = waiting(agent, *["99"] * 10)
    waits.take(HandOver(provider.issuer, login.local_handle, login.local_secret))
    decision = waits.next_decision()
    assert decision is not None
    assert (decision.kind, login.refusal) == ("declined", "declined")


def test_an_empty_pin_is_a_no(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    waits, _ = waiting(agent, "1 2,3", "")
    waits.take(HandOver(provider.issuer, login.local_handle, login.local_secret))
    decision = waits.next_decision()
    assert decision is not None
    assert login.refusal == "declined"


def test_an_alarm_is_said_while_nobody_logs_in_and_once(
    provider: Provider, person: Person, ledger: Ledger, tmp_path: Path
) -> None:
    now = 0.0
    console = Typed([])
    with enrolled(provider, person, tmp_path, ledger=ledger) as agent:
        patrol = Patrol(agent, console, "en", lambda: now)
        patrol.go()
        assert console.seen == []
        ledger.entries[IDENTITY].keys.append(ec.generate_private_key(ec.SECP256R1()).public_key())
        patrol.go()
        assert console.seen == [], "not time yet"
        now += PATROL_S
        patrol.go()
        assert [style for _, style in console.seen] == ["alarm", "alarm"]
        now += PATROL_S
        patrol.go()
        assert len(console.seen) == 2
        ledger.is_gone = True
        now += PATROL_S
        patrol.go()
        assert console.seen[-1][1] == "warning"
