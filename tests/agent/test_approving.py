"""Approvals that are not made, not passed on, or not taken: one test a check."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.approval import compact
from sim_applet_tools.errors import (
    ChallengeRefusedError,
    InputError,
    NotEnrolledError,
    ProviderAnswerError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SignatureRefusedError,
)
from sim_applet_tools.status_words import PinBlockedError, WrongPinError
from tests.agent.conftest import IDENTITY, PIN, Person, clock, enrolled, new_person
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider
from tests.agent.refusal import opened
from tests.sim.card_targets import fresh_emulator
from tests.sim.scripted_card import BentCard

# --- approving


def test_the_code_is_typed_and_wrong_ones_run_out(agent: Agent, provider: Provider) -> None:
    login = provider.begin(mode="remote")
    prompt = agent.open(login.remote_handle, None, "en")
    for code in ("", "12345", "1234567", "12345a", "\u0661\u0662\u0663\u0664\u0665\u0666"):
        with pytest.raises(InputError, match="6 digits"):
            agent.approve(prompt, PIN, code=code)
    wrong = f"{(int(login.code) + 1) % 10**6:06}"
    for tries in (2, 1, 0):
        with pytest.raises(ProviderRefusedError, match=f"{tries} tries left"):
            agent.approve(prompt, PIN, code=wrong)
    with pytest.raises(ProviderRefusedError, match="not known"):
        agent.approve(prompt, PIN, code=login.code)
    assert login.state == "refused"


def test_a_code_or_item_out_of_place(agent: Agent, provider: Provider) -> None:
    prompt = opened(agent, provider.begin())
    with pytest.raises(InputError, match="remote login"):
        agent.approve(prompt, PIN, code="123456")
    with pytest.raises(InputError, match="not asked for"):
        agent.approve(prompt, PIN, refused={"address"})


def test_what_was_not_looked_at_is_not_approved(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    fetched = agent.fetch(login.local_handle, login.local_secret, "en")
    with pytest.raises(InputError, match="card and ledger"):
        agent.approve(fetched, PIN)
    agent.approve(agent.complete(fetched), PIN)
    assert login.state == "approved"


def test_wrong_pins_until_the_card_is_blocked(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    prompt = opened(agent, login)
    for tries in (2, 1, 0):
        with pytest.raises(WrongPinError) as caught:
            agent.approve(prompt, "000000")
        assert caught.value.tries_left == tries
    with pytest.raises(PinBlockedError, match="PUK"):
        agent.approve(prompt, PIN)
    assert login.state == "open"


def test_a_prompt_that_ran_out_is_not_signed(agent: Agent, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = opened(agent, provider.begin())
    monkeypatch.setattr(agent, "_clock", lambda: prompt.challenge.exp)
    with pytest.raises(ChallengeRefusedError, match="run out"):
        agent.approve(prompt, PIN)


@pytest.mark.parametrize(
    "change",
    [
        {"items": [{"name": "email", "purpose": "", "essential": False}]},
        {"redirect_uri": "https://www.shop.example/other"},
        {"nonce": "another"},
        {"code_challenge": ""},
        {"sso_seconds": 86_400},
        {"scope": "openid profile email"},
        {"grant_expires_at": 0},
    ],
)
def test_a_provider_that_shows_less_than_it_asks_gets_no_approval(
    agent: Agent, provider: Provider, change: dict[str, Any]
) -> None:
    """Widened claims: what was shown is what was signed, and the stored request is another."""
    login = provider.begin()
    provider.bend_challenge = lambda each: {**each, "request": {**each["request"], **change}}
    with pytest.raises(ProviderRefusedError) as caught:
        agent.approve(opened(agent, login), PIN)
    assert caught.value.reason == "context-mismatch"
    assert login.state == "refused"


@pytest.mark.parametrize("member", ["sub", "session"])
def test_another_session_or_subject_than_the_one_shown(agent: Agent, provider: Provider, member: str) -> None:
    login = provider.begin()
    prompt = opened(agent, login)
    login.challenge[member] = provider.begin(sub="another").challenge[member]
    with pytest.raises(ProviderRefusedError) as caught:
        agent.approve(prompt, PIN)
    assert caught.value.reason == "context-mismatch"


def test_the_same_approval_counts_once(agent: Agent, provider: Provider, person: Person) -> None:
    login = provider.begin()
    prompt = opened(agent, login)
    agent.approve(prompt, PIN)
    with pytest.raises(ProviderRefusedError, match="not known"):
        agent.approve(prompt, PIN)


def test_a_session_that_is_gone(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    prompt = opened(agent, login)
    login.cookie = ""
    with pytest.raises(ProviderRefusedError, match="browser that began"):
        agent.approve(prompt, PIN)


@pytest.mark.parametrize("state", ["registered", "held", "revoked"])
def test_an_identity_that_is_not_active(agent: Agent, provider: Provider, ledger: Ledger, state: Any) -> None:
    prompt = opened(agent, provider.begin())
    ledger.entries[IDENTITY].state = state
    with pytest.raises(ProviderRefusedError, match="not active"):
        agent.approve(prompt, PIN)


def test_another_key_on_the_ledger(agent: Agent, provider: Provider, ledger: Ledger) -> None:
    prompt = opened(agent, provider.begin())
    ledger.entries[IDENTITY].keys.append(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(ProviderRefusedError, match="another key"):
        agent.approve(prompt, PIN)


def test_a_stale_ledger_consumes_nothing(agent: Agent, provider: Provider, ledger: Ledger) -> None:
    login = provider.begin()
    prompt = opened(agent, login)
    ledger.age_s = 600
    with pytest.raises(ProviderUnavailableError, match="try again"):
        agent.approve(prompt, PIN)
    assert login.state == "open"
    ledger.age_s = 0
    agent.approve(prompt, PIN)


# --- the card


@contextmanager
def _agent_with_bent_card(
    ledger: Ledger, provider: Provider, directory: Path, bend: Callable[[bytes, bytes], bytes]
) -> Iterator[Agent]:
    """`bend` sees each command and answer once the agent is enrolled."""
    is_bent = False
    card = BentCard(fresh_emulator(is_t1=True), lambda command, answer: bend(command, answer) if is_bent else answer)
    person = new_person(ledger, IDENTITY, card)
    with enrolled(provider, person, directory) as agent:
        is_bent = True
        yield agent


def test_a_signature_that_does_not_verify_is_not_passed_on(provider: Provider, ledger: Ledger, tmp_path: Path) -> None:
    def bend(command: bytes, answer: bytes) -> bytes:
        is_signature = command[1] == 0x2B and command[2] == 0x80
        return answer[:-3] + bytes((answer[-3] ^ 1,)) + answer[-2:] if is_signature else answer

    with _agent_with_bent_card(ledger, provider, tmp_path, bend) as agent:
        login = provider.begin()
        with pytest.raises(SignatureRefusedError, match="does not verify"):
            agent.approve(opened(agent, login), PIN)
    assert login.state == "open"


def test_a_card_that_repeats_r_is_refused(provider: Provider, ledger: Ledger, tmp_path: Path) -> None:
    kept: list[bytes] = []

    def bend(command: bytes, answer: bytes) -> bytes:
        if command[1] == 0x2B and command[2] == 0x80:
            kept.append(answer)
            return kept[0]
        return answer

    with _agent_with_bent_card(ledger, provider, tmp_path, bend) as agent:
        prompt = opened(agent, provider.begin())
        agent._clock = lambda: prompt.challenge.iat  # one text, so that the signature of before verifies
        agent.approve(prompt, PIN)
        with pytest.raises(SignatureRefusedError, match="nonce twice"):
            agent.approve(prompt, PIN)


def test_another_card_in_the_reader(agent: Agent, provider: Provider, ledger: Ledger) -> None:
    stranger = new_person(ledger, "0x" + "77" * 32)
    agent._open_card = stranger.open_card
    login = provider.begin()
    with pytest.raises(SignatureRefusedError, match="does not verify"):
        agent.approve(opened(agent, login), PIN)
    assert login.state == "open"


# --- texts of one kind in place of another


def test_no_text_stands_in_for_another(agent: Agent, provider: Provider, person: Person) -> None:
    """An enrolment and a possession proof, signed by the right card, handed in as approvals."""
    from sim_applet_tools.agent.approval import agent_text  # noqa: PLC0415
    from sim_applet_tools.agent.card import sign_with_card  # noqa: PLC0415
    from sim_applet_tools.agent.jws import signing_input  # noqa: PLC0415

    possession = signing_input('{"alg":"ES256","typ":"tally-possession+jws"}', bytes(32))
    enrolment = agent_text(IDENTITY, provider.issuer, "x" * 22, "y" * 43, iat=clock(), exp=clock() + 100)
    for text in (possession, enrolment):
        signature = sign_with_card(person.open_card, text, PIN, person.key, person.seen)
        prompt = opened(agent, provider.begin())
        names = [item.name for item in prompt.challenge.items]
        with pytest.raises(ProviderRefusedError) as caught:
            agent._client.approve(prompt.challenge.challenge_id, compact(text, signature), names, [], "")
        assert caught.value.reason == "malformed-approval"


# --- the provider's answers


@pytest.mark.parametrize(
    "bend",
    [
        lambda answer: {**answer, "completion_uri": "https://evil.example/complete"},
        lambda answer: {**answer, "status": "done"},
        lambda answer: {**answer, "more": 1},
        lambda _: {"status": "approved"},
    ],
)
def test_an_answer_of_another_form(agent: Agent, provider: Provider, bend: Callable[[Any], Any]) -> None:
    prompt = opened(agent, provider.begin())
    provider.bend_answer = bend
    with pytest.raises((ProviderAnswerError, ChallengeRefusedError)):
        agent.approve(prompt, PIN)


def test_an_agent_that_was_ended_is_told_to_enrol(agent: Agent, provider: Provider) -> None:
    provider.agents.clear()
    with pytest.raises(NotEnrolledError, match="enrol"):
        agent.inbox()


def test_a_provider_that_is_gone(agent: Agent, provider: Provider) -> None:
    issuer, provider.issuer = provider.issuer, "http://127.0.0.1:1"
    with pytest.raises((ProviderRefusedError, ProviderUnavailableError)):
        agent.inbox()
    provider.issuer = issuer
    assert agent.inbox().handles == ()


def test_json_is_read_strictly(agent: Agent, provider: Provider) -> None:
    for document in ({"handles": "x"}, {"handles": ["short"]}, {"handles": [], "more": json.loads("1")}, []):
        provider.bend_answer = lambda _, document=document: document
        with pytest.raises(ProviderAnswerError):
            agent.inbox()
