"""A whole login: app, browser, page, agent with an emulated card, provider; and what each of them learns."""

from __future__ import annotations

from identity_oidc.provider import Provider
from sim_applet_tools.agent.agent import Agent
from tests.agent.conftest import PIN
from tests.oidc.parties import Answer, Browser, RelyingParty
from tests.oidc.test_approval import remote_handle


def log_in_locally(
    app: RelyingParty, browser: Browser, agent: Agent, refused: tuple[str, ...] = (), **changes: str
) -> Answer:
    page = app.begin(browser, **changes)
    prompt = agent.open(page.handle, page.local_secret, "en")
    outcome = agent.approve(prompt, PIN, refused)
    assert outcome.completion_uri is not None
    return browser.get(outcome.completion_uri)


def test_a_local_login_ends_at_the_app_with_a_token_that_python_jose_verifies(
    app: RelyingParty, browser: Browser, agent: Agent
) -> None:
    done = log_in_locally(app, browser, agent)
    assert done.status == 303
    assert done.location.startswith(app.redirect_uri)
    assert done.parameters["state"] == app.state
    assert done.parameters["iss"] == app.issuer
    answer = app.redeem(done.parameters["code"])
    assert answer.status == 200, answer.text
    tokens = answer.json
    claims = app.verify_id_token(tokens["id_token"], tokens["access_token"])
    assert claims["acr"] == "urn:tally:acr:card"
    assert claims["auth_time"] % 60 == 0
    info = app.userinfo(tokens["access_token"])
    assert info.status == 200
    assert info.json["sub"] == claims["sub"]
    assert info.json["email"].endswith("@people.example")


def test_a_remote_login_by_the_agent_itself(
    provider: Provider, app: RelyingParty, browser: Browser, agent: Agent
) -> None:
    page = app.begin(browser)
    fresh = browser.post(f"{page.address}/handle", {"csrf_token": page.csrf_token}, Origin=app.issuer)
    assert "<svg" in fresh.json["qr"]
    prompt = agent.open(remote_handle(page, provider), None, "zh")
    assert "发送收据" in prompt.text
    agent.approve(prompt, PIN, ("email",), page.code)
    done = browser.post(f"{page.address}/complete", {"csrf_token": page.csrf_token}, Origin=app.issuer)
    tokens = app.redeem(done.parameters["code"]).json
    assert app.verify_id_token(tokens["id_token"], tokens["access_token"])["acr"] == "urn:tally:acr:remote"
    assert "email" not in app.userinfo(tokens["access_token"]).json


def test_a_relay_of_a_local_login_gives_the_attacker_nothing(app: RelyingParty, browser: Browser, agent: Agent) -> None:
    """The attacker begins a login, and has the victim's agent approve what his own page shows."""
    attacker, victim = browser, Browser()
    page = app.begin(attacker)
    outcome = agent.approve(agent.open(page.handle, page.local_secret, "en"), PIN)
    assert outcome.completion_uri is not None
    assert victim.get(outcome.completion_uri).status == 400, "the agent opens it in the victim's browser"
    assert attacker.get(f"{page.address}/status").json == {"status": "waiting"}
    assert attacker.post(f"{page.address}/complete", {"csrf_token": page.csrf_token}).status == 400
