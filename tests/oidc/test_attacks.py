"""Attacks by apps, other persons and agents that passed once: each fails, and the honest way beside it goes on."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from identity_oidc import base64url
from identity_oidc.ports import Attestation
from identity_oidc.provider import Provider
from identity_oidc.registration import register
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, OTHER_IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import (
    CALLBACK,
    FORM,
    ITEMS,
    Browser,
    RelyingParty,
    add_client,
    ask,
    make_record,
    public_jwk,
    sign_compact,
)


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


@pytest.mark.parametrize(
    ("changes", "record"),
    [
        ({"items": {"name": {}}}, {}),
        ({"redirect_uris": ["https://shop.example/new"]}, {}),
        ({"redirect_uris": ["https://other.example/new"]}, {"verified_domains": ["other.example"]}),
    ],
)
def test_a_login_ends_where_its_app_lost_what_it_asked_for(
    provider: Provider, soft: SoftAgent, changes: dict[str, Any], record: dict[str, Any]
) -> None:
    """Such as the address that answers go to, because it fell into other hands: also for those who began before."""
    app = add_client(provider)
    browsers = [Browser() for _ in range(3)]
    page, _, third = [app.begin(browser) for browser in browsers]
    challenge = soft.challenge(third)
    address = soft.approve(challenge, soft.approval(challenge)).json["completion_uri"]
    code = log_in(app, soft, Browser())
    register(provider, {"redirect_uris": [CALLBACK], "items": ITEMS} | changes, make_record(**record))
    assert browsers[0].get(page.address).status == 400
    assert soft.fetch(page).json["code"] == "unknown-challenge"
    assert (browsers[2].get(address).status, browsers[2].get(address).location) == (400, "")
    redeemed = app.redeem(code)
    if "redirect_uris" in changes:
        assert redeemed.json["error"] == "invalid_grant"
    else:
        assert set(app.userinfo(redeemed.json["access_token"]).json) == {"sub"}, "no data that it may not ask for"
    register(provider, {"redirect_uris": [CALLBACK], "items": ITEMS}, make_record())
    assert browsers[0].get(page.address).status == 200, "as it was before"
    assert "code" in browsers[2].get(address).parameters


def test_a_card_that_is_less_guarded_than_when_it_was_asked_does_not_give_the_level(
    app: RelyingParty, soft: SoftAgent, ledger: LedgerInMemory
) -> None:
    browser, raw = Browser(), bytes.fromhex(IDENTITY[2:])
    challenge = soft.challenge(app.begin(browser))
    assert challenge["request"]["acr"] == "urn:tally:acr:card"
    ledger.change(raw, "changed", attestation=Attestation.NONE)
    refused = soft.approve(challenge, soft.approval(challenge))
    assert (refused.status, refused.json["code"]) == (403, "acr-not-reached")
    lower = soft.challenge(app.begin(browser))
    assert lower["request"]["acr"] == "urn:tally:acr:local"
    ledger.change(raw, "changed", attestation=Attestation.PERSONALISER)
    assert soft.approve(lower, soft.approval(lower)).status == 200, "the level that was signed, not a higher one"


def test_an_assertion_that_cannot_be_read_is_refused_and_not_a_defect(
    provider: Provider, app: RelyingParty, soft: SoftAgent
) -> None:
    add_client(
        provider,
        "keyed",
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [public_jwk(soft.key)]},
    )

    def authenticate(payload: bytes, header: bytes = b'{"alg":"ES256"}') -> str:
        form = {
            "grant_type": "authorization_code",
            "code": "x",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": sign_compact(soft.key, header, payload),
        }
        answer = ask("POST", f"{app.issuer}/token", headers=FORM, body=urlencode(form))
        assert answer.status in {400, 401}, answer.text
        return str(answer.json["error"])

    def claims(**changes: str) -> bytes:
        now = int(provider.clock())
        content = {"iss": "keyed", "sub": "keyed", "aud": app.issuer, "iat": now, "exp": now + 60, "jti": "1"} | changes
        return json.dumps(content).encode()

    half = "\ud800"
    for payload in (
        b"[" * 5_000,
        b"[]",
        b"\xff",
        b"",
        claims(sub=half, iss=half),
        claims(sub="a\x00b", iss="a\x00b"),
        claims(jti=""),
    ):
        assert authenticate(payload) == "invalid_client"
    for header in (b"[" * 2_000, b'{"alg":{}}', b'{"alg":"ES256","kid":{}}', b"[]"):
        assert authenticate(claims(), header) == "invalid_client"
    assert authenticate(claims(jti=half)) == "invalid_grant", "it is who it is; only the code is none"
    assert authenticate(claims(jti=half)) == "invalid_client", "and an assertion is good once"


def test_an_app_that_names_a_person_gets_nobody_else(
    app: RelyingParty, soft: SoftAgent, ledger: LedgerInMemory
) -> None:
    """By the `sub` of `claims`, or by `id_token_hint`. Source: OIDC Core §3.1.2.2."""
    browser = Browser()
    tokens = app.redeem(log_in(app, soft, browser)).json
    sub = app.verify_id_token(tokens["id_token"], tokens["access_token"])["sub"]
    other = SoftAgent.enrolled(app.issuer, ledger, OTHER_IDENTITY, soft.clock)
    named = {"claims": json.dumps({"id_token": {"sub": {"value": sub}}})}
    for changes in (named, {"id_token_hint": tokens["id_token"]}):
        assert "code" in browser.get(app.address(prompt="none", **changes)).parameters
        log_in(app, soft, Browser(), **changes)
        wrong = Browser()
        challenge = other.challenge(app.begin(wrong, **changes))
        done = wrong.get(other.approve(challenge, other.approval(challenge)).json["completion_uri"])
        assert (done.parameters["error"], "code" in done.parameters) == ("login_required", False)
        log_in(app, other, wrong)
        assert wrong.get(app.address(prompt="none", **changes)).parameters["error"] == "consent_required"


@pytest.mark.parametrize("path", ["/authorize", "/logout"])
def test_a_hint_that_cannot_be_read_is_none(app: RelyingParty, soft: SoftAgent, path: str) -> None:
    for header, payload in ((b"[" * 1_400, b"{}"), (b'{"alg":"ES256"}', b"[" * 1_400), (b'{"alg":{}}', b"\xff")):
        hint = sign_compact(soft.key, header, payload)
        answer = ask("GET", f"{app.issuer}{path}?{urlencode(app.parameters(id_token_hint=hint))}")
        assert answer.status in {303, 400}
        assert answer.parameters.get("error", "invalid_request") == "invalid_request"
