"""A person logs in: local, remote, ciba; single items refused; what the provider then holds."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from sim_applet_tools.agent.agent import Agent
from tests.agent.conftest import IDENTITY, PIN
from tests.agent.provider import Login, Provider


def complete(uri: str, cookie: str) -> bool:
    """What the browser does with the completion address."""
    parts = urlsplit(uri)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}", headers={"Cookie": f"__Host-session={cookie}"})
    done = json.loads(connection.getresponse().read())["complete"]
    connection.close()
    return bool(done)


def open_local(agent: Agent, login: Login) -> object:
    return agent.open(login.local_handle, login.local_secret, "en")


def test_a_local_login_is_approved_and_completed_by_its_browser_only(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    prompt = agent.open(login.local_handle, login.local_secret, "en")
    assert (prompt.record.name, prompt.domain, prompt.record.member_name) == (
        "Corner Shop",
        "shop.example",
        "Example Telecom",
    )
    outcome = agent.approve(prompt, PIN, refused={"phone_number"})
    assert login.state == "approved"
    assert outcome.completion_uri is not None
    assert outcome.refused == ("phone_number",)
    other = provider.begin()
    assert not complete(outcome.completion_uri, other.cookie)
    assert complete(outcome.completion_uri, login.cookie)
    assert not complete(outcome.completion_uri, login.cookie)
    assert login.identity == IDENTITY


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("refused", [(), ("email", "name", "phone_number")])
def test_remote_logins_carry_the_code_that_was_typed(
    agent: Agent, provider: Provider, language: str, refused: tuple[str, ...]
) -> None:
    login = provider.begin(mode="remote")
    prompt = agent.open(login.remote_handle, None, "zh" if language == "zh" else "en")
    outcome = agent.approve(prompt, PIN, refused, login.code)
    assert (login.state, outcome.completion_uri) == ("approved", None)


def test_ciba_comes_through_the_inbox(agent: Agent, provider: Provider) -> None:
    assert agent.inbox().handles == ()
    login = provider.begin(mode="ciba", kind="grant", items=[], purpose="", sso_seconds=0, grant_expires_at=0)
    login.identity = IDENTITY
    assert agent.inbox().handles == (login.inbox_handle,)
    prompt = agent.open(login.inbox_handle, None, "en")
    assert prompt.text.splitlines() == [
        "Corner Shop (shop.example) asks for your permission.",
        "Admitted by Example Telecom.",
        "It asks for no data.",
        "This permission is for this login only.",
    ]
    agent.approve(prompt, PIN)
    assert login.state == "approved"
