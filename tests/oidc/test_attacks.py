"""Attacks by apps, other persons and agents that passed once: each fails, and the honest way beside it goes on."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from identity_oidc import base64url
from identity_oidc.provider import Provider
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import FORM, Browser, RelyingParty, add_client, ask


@pytest.fixture
def soft(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> SoftAgent:
    return SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock)


def log_in(app: RelyingParty, soft: SoftAgent, browser: Browser, **changes: str) -> str:
    challenge = soft.challenge(app.begin(browser, **changes))
    done = browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"])
    assert done.status == 303, done.text
    return done.parameters["code"]


def another_agent(soft: SoftAgent) -> SoftAgent:
    """Of the same person and card."""
    agent = SoftAgent(soft.issuer, soft.identity, card=soft.card, clock=soft.clock)
    assert agent.enrol().status == 201
    return agent


def test_single_sign_on_gives_no_offline_access_that_was_not_signed_for(app: RelyingParty, soft: SoftAgent) -> None:
    browser = Browser()
    log_in(app, soft, browser)
    silent = browser.get(app.address(prompt="none", scope="openid email offline_access"))
    assert silent.parameters["error"] == "consent_required"
    assert "code" in browser.get(app.address(prompt="none")).parameters
    log_in(app, soft, browser, prompt="consent", scope="openid email offline_access")
    signed = browser.get(app.address(prompt="none", scope="openid email offline_access"))
    assert "refresh_token" in app.redeem(signed.parameters["code"]).json


def test_an_app_that_the_person_blocked_gets_no_single_sign_on(
    provider: Provider, app: RelyingParty, soft: SoftAgent
) -> None:
    other = add_client(provider, "other", single_sign_on_s=600)
    browser = Browser()
    log_in(other, soft, browser)
    log_in(app, soft, browser)
    challenge = soft.challenge(app.begin(Browser()))
    refused = soft.call("POST", f"/challenges/{challenge['challenge_id']}/refusal", {"reason": "block-app"})
    assert refused.status == 204
    assert browser.get(app.address(prompt="none")).parameters["error"] == "consent_required"
    assert "code" in browser.get(other.address(prompt="none")).parameters


def test_an_agent_that_is_ended_on_the_page_completes_nothing(
    provider: Provider, app: RelyingParty, soft: SoftAgent
) -> None:
    lost, mine, finder = soft, Browser(), Browser()
    log_in(app, another_agent(soft), mine)
    challenge = lost.challenge(app.begin(finder))
    address = lost.approve(challenge, lost.approval(challenge)).json["completion_uri"]
    page = mine.get(f"{provider.issuer}/account?lang=en").text
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    agents = [part.partition('"')[0] for part in page.split('name="agent_id" value="')[1:]]
    assert len(agents) == 2
    for agent_id in agents:
        ended = mine.post(f"{provider.issuer}/account/agent", {"csrf_token": token, "agent_id": agent_id})
        assert ended.status == 303
    assert finder.get(address).status == 400
    assert lost.call("GET", "/inbox").status == 401


@pytest.mark.parametrize("value", ["\ud800", "x\udfff"])
def test_half_a_character_in_a_proof_is_refused_and_not_a_defect(soft: SoftAgent, value: str) -> None:
    def bend(claims: dict[str, Any]) -> None:
        claims["jti"] = value

    refused = soft.call("GET", "/inbox", proof=soft.proof("GET", "/inbox", bend))
    assert (refused.status, refused.json["code"]) == (401, "invalid-dpop-proof")
    assert soft.call("GET", "/inbox").status == 200


def test_a_number_without_a_canonical_form_uses_the_challenge_up(app: RelyingParty, soft: SoftAgent) -> None:
    challenge = soft.challenge(app.begin(Browser()))
    body = soft.approval(challenge)
    header, payload, signature = body["approval"].split(".")
    bent = base64url.parse(payload).replace(b'"exp":', b'"exp":9007199254740993')
    refused = soft.approve(challenge, body | {"approval": f"{header}.{base64url.encode(bent)}.{signature}"})
    assert (refused.status, refused.json["code"]) == (400, "malformed-approval")
    assert soft.approve(challenge, body).json["code"] == "unknown-challenge"


def test_what_is_refused_later_is_not_released_by_an_older_login(
    provider: Provider, app: RelyingParty, soft: SoftAgent
) -> None:
    other = add_client(provider, "other")
    elsewhere = other.redeem(log_in(other, soft, Browser())).json["access_token"]
    old = app.redeem(log_in(app, soft, Browser(), scope="openid email offline_access")).json
    log_in(app, soft, Browser())
    assert "email" in app.userinfo(old["access_token"]).json
    browser = Browser()
    challenge = soft.challenge(app.begin(browser))
    approved = soft.approve(challenge, soft.approval(challenge, ("email",)))
    narrowed = app.redeem(browser.get(approved.json["completion_uri"]).parameters["code"]).json
    assert app.userinfo(old["access_token"]).status == 401
    again = app.token(grant_type="refresh_token", refresh_token=old["refresh_token"])
    assert again.json["error"] == "invalid_grant"
    assert "email" not in app.userinfo(narrowed["access_token"]).json
    assert "email" in other.userinfo(elsewhere).json


def test_a_token_of_less_scope_gives_less(app: RelyingParty, soft: SoftAgent) -> None:
    tokens = app.redeem(log_in(app, soft, Browser(), scope="openid email offline_access")).json
    less = app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope="openid").json
    assert less["scope"] == "openid"
    assert set(app.userinfo(less["access_token"]).json) == {"sub"}
    more = app.token(grant_type="refresh_token", refresh_token=less["refresh_token"], scope="openid email phone")
    assert more.json["error"] == "invalid_scope"
    whole = app.token(grant_type="refresh_token", refresh_token=less["refresh_token"]).json
    assert "email" in app.userinfo(whole["access_token"]).json


@pytest.mark.parametrize("value", [b"\xff\xfe:\xff", b"shop:\xff"])
def test_a_secret_that_is_no_text_is_refused_and_not_a_defect(app: RelyingParty, value: bytes) -> None:
    headers = FORM | {"Authorization": f"Basic {base64.b64encode(value).decode()}"}
    refused = ask("POST", f"{app.issuer}/token", headers=headers, body="grant_type=authorization_code&code=x")
    assert (refused.status, refused.json["error"]) == (400, "invalid_request")
    assert app.redeem("x").json["error"] == "invalid_grant"


def test_another_site_s_post_that_comes_without_the_cookie_is_no_silent_end(
    provider: Provider, soft: SoftAgent
) -> None:
    address = "https://shop.example/bye"
    app = add_client(provider, post_logout_redirect_uris=[address])
    browser = Browser()
    log_in(app, soft, browser)
    fields = {"client_id": "shop", "post_logout_redirect_uri": address}
    again = Browser().post(f"{provider.issuer}/logout", fields)
    assert (again.status, again.location.partition("?")[0]) == (303, f"{provider.issuer}/logout")
    assert "csrf_token" in browser.get(again.location).text
    assert Browser().get(again.location).location == address


def test_a_proof_is_good_once_also_for_a_request_that_is_refused(app: RelyingParty, soft: SoftAgent) -> None:
    page = app.begin(Browser())
    body = {"handle": "x" * 32, "local_secret": page.local_secret, "language": "en"}
    proof = soft.proof("POST", "/challenges/fetch")
    refused = soft.call("POST", "/challenges/fetch", body, proof)
    assert (refused.status, refused.json["code"]) == (404, "unknown-challenge")
    again = soft.call("POST", "/challenges/fetch", body | {"handle": page.handle}, proof)
    assert (again.status, again.json["code"]) == (401, "invalid-dpop-proof")
    malformed = soft.proof("POST", "/challenges/fetch")
    assert soft.call("POST", "/challenges/fetch", {"handle": 1}, malformed).status == 400
    assert soft.call("POST", "/challenges/fetch", body | {"handle": page.handle}, malformed).status == 401
    assert soft.fetch(page).status == 200, "with a proof of its own the login goes on"
