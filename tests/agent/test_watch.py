"""What the agent notices: about its identity on the ledger, the card's counter, the app and the browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.agent import Agent, Prompt
from sim_applet_tools.agent.card import sign_with_card
from sim_applet_tools.iot_safe.pin import APPROVAL_PREFIX
from tests.agent.conftest import IDENTITY, PIN, Person, assembled, enrolled
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider
from tests.sim.card_targets import fresh_emulator


def notices(agent: Agent) -> dict[str, str]:
    return {notice.code: notice.level for notice in agent.look().notices}


def shown(agent: Agent, provider: Provider, **begin: object) -> Prompt:
    login = provider.begin(**begin)  # type: ignore[arg-type]
    return agent.open(login.local_handle, login.local_secret, "en")


def codes(prompt: Prompt) -> set[str]:
    return {notice.code for notice in prompt.notices}


def strange_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def test_an_identity_as_it_was_left_raises_no_alarm(agent: Agent) -> None:
    assert notices(agent) == {"emulator": "warning"}


def test_a_key_that_the_agent_did_not_make(agent: Agent, ledger: Ledger) -> None:
    ledger.entries[IDENTITY].keys.append(strange_key())
    assert {"strange-key": "alarm", "key-not-mine": "alarm"}.items() <= notices(agent).items()
    assert "strange-key" in notices(agent), "it does not become known by being seen"


def test_a_key_that_was_put_in_and_taken_back(agent: Agent, ledger: Ledger, person: Person) -> None:
    """The history is append-only: the strange key stays visible though the last one is the card's again."""
    ledger.entries[IDENTITY].keys += [strange_key(), person.key]
    found = notices(agent)
    assert found["strange-key"] == "alarm"
    assert "key-not-mine" not in found


def test_a_history_that_lost_a_key(agent: Agent, ledger: Ledger, person: Person, provider: Provider) -> None:
    ledger.entries[IDENTITY].keys = []
    assert notices(agent)["history-lost"] == "alarm"


def test_a_replacement_on_its_way(agent: Agent, ledger: Ledger, provider: Provider) -> None:
    ledger.entries[IDENTITY].replacement_due_at = 1_800_000_000
    prompt = shown(agent, provider)
    found = next(notice for notice in prompt.notices if notice.code == "replacement")
    assert (found.level, found.values["due"]) == ("alarm", "2027-01-15 08:00 UTC")


@pytest.mark.parametrize(("state", "level"), [("held", "warning"), ("registered", "warning"), ("revoked", "alarm")])
def test_the_state_of_the_identity(agent: Agent, ledger: Ledger, state: str, level: str) -> None:
    ledger.entries[IDENTITY].state = state  # type: ignore[assignment]
    assert notices(agent)[f"identity-{state}"] == level


def test_an_identity_that_is_gone(agent: Agent, ledger: Ledger) -> None:
    ledger.entries.clear()
    assert notices(agent)["identity-unknown"] == "alarm"


def test_a_ledger_that_cannot_be_asked_is_said_and_does_not_stop_a_login(
    agent: Agent, ledger: Ledger, provider: Provider
) -> None:
    ledger.is_gone = True
    prompt = shown(agent, provider)
    assert "watch-unavailable" in codes(prompt)
    ledger.is_gone = False
    assert "watch-unavailable" not in codes(shown(agent, provider))


def test_earlier_keys_are_known_from_enrolment_on(
    provider: Provider, person: Person, ledger: Ledger, tmp_path: Path
) -> None:
    """A person who changed the SIM before enrolling has a history, and that is no alarm."""
    ledger.entries[IDENTITY].keys.insert(0, strange_key())
    with enrolled(provider, person, tmp_path, ledger=ledger) as agent:
        assert "strange-key" not in notices(agent)
        ledger.entries[IDENTITY].keys.insert(0, strange_key())
        assert notices(agent)["strange-key"] == "alarm"


def test_the_first_look_without_a_watch_at_enrolment(
    provider: Provider, person: Person, ledger: Ledger, tmp_path: Path
) -> None:
    with enrolled(provider, person, tmp_path) as agent:
        assert notices(agent)["no-watch"] == "info"
    with assembled(provider.issuer, person, tmp_path, ledger=ledger) as agent:
        assert "strange-key" not in notices(agent)
        ledger.entries[IDENTITY].keys.append(strange_key())
        assert notices(agent)["strange-key"] == "alarm"


def test_signatures_since_the_last_look(agent: Agent, provider: Provider, person: Person) -> None:
    login = provider.begin()
    agent.approve(agent.open(login.local_handle, login.local_secret, "en"), PIN)
    look = next(notice for notice in agent.look().notices if notice.code == "signed")
    assert look.values == {"count": "1", "own": "1"}
    for number in range(3):
        sign_with_card(person.open_card, APPROVAL_PREFIX + b"%d" % number, PIN, person.key, person.seen)
    look = next(notice for notice in shown(agent, provider).notices if notice.code == "signed-elsewhere")
    assert (look.level, look.values) == ("warning", {"count": "3", "own": "0"})
    assert "signed-elsewhere" not in notices(agent), "looked at once"


def test_a_counter_that_went_back(agent: Agent, provider: Provider, person: Person, ledger: Ledger) -> None:
    """Another card, or a copy that was restored."""
    from tests.agent.conftest import new_person  # noqa: PLC0415

    agent._open_card = new_person(ledger, "0x" + "77" * 32, fresh_emulator()).open_card
    assert notices(agent)["counter-back"] == "alarm"


def test_first_time_other_subject_and_a_name_alike(agent: Agent, provider: Provider) -> None:
    prompt = shown(agent, provider)
    assert "first-time" in codes(prompt)
    agent.approve(prompt, PIN)
    assert not {"first-time", "sub-changed"} & codes(shown(agent, provider))
    assert "sub-changed" in codes(shown(agent, provider, sub="somebody else"))
    twin = provider.sign_record(provider.record(client_id="app-2", name="C0rner Sh0p"))
    assert "name-alike" in codes(shown(agent, provider, app=twin, client_id="app-2"))
    other = provider.sign_record(provider.record(client_id="app-3", name="Book Shop"))
    assert "name-alike" not in codes(shown(agent, provider, app=other, client_id="app-3"))


def test_new_browser_remote_and_long_single_sign_on(agent: Agent, provider: Provider) -> None:
    assert "new-browser" not in codes(shown(agent, provider))
    assert "new-browser" in codes(shown(agent, provider, session_is_known=False))
    assert "long-sso" in codes(shown(agent, provider, sso_seconds=86_400))
    login = provider.begin(mode="remote")
    assert "remote" in codes(agent.open(login.remote_handle, None, "en"))
