"""Attacks on an approval, over HTTP: each must fail, and the honest login beside it must pass."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from identity_oidc import base64url
from identity_oidc.ports import IdentityState
from identity_oidc.provider import Provider
from identity_oidc.store.schema import APPROVALS, CHALLENGES
from tests.oidc.card_in_software import Bend, SoftAgent, new_key
from tests.oidc.conftest import IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Answer, Browser, LoginPage, RelyingParty, add_client

RAW = bytes.fromhex(IDENTITY[2:])
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def soft(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> SoftAgent:
    return SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock)


@pytest.fixture
def page(app: RelyingParty, browser: Browser) -> LoginPage:
    return app.begin(browser)


def finish(soft: SoftAgent, browser: Browser, page: LoginPage) -> Answer:
    """The honest end of a login that an attack left alone."""
    challenge = soft.challenge(page)
    approved = soft.approve(challenge, soft.approval(challenge))
    assert approved.status == 200, approved.text
    return browser.get(approved.json["completion_uri"])


def state_of(provider: Provider, challenge: dict[str, Any]) -> str:
    with provider.database.reading() as connection:
        wanted = select(CHALLENGES.c.state).where(CHALLENGES.c.jti == challenge["challenge_id"])
        return str(connection.execute(wanted).scalar_one())


def test_an_approval_is_taken_once_and_kept_with_what_proves_it(
    provider: Provider, soft: SoftAgent, browser: Browser, page: LoginPage
) -> None:
    challenge = soft.challenge(page)
    body = soft.approval(challenge, ("email",))
    assert soft.approve(challenge, body).status == 200
    again = soft.approve(challenge, body)
    assert (again.status, again.json["code"]) == (404, "unknown-challenge")
    with provider.database.reading() as connection:
        row = connection.execute(select(APPROVALS)).mappings().one()
    assert (row["jti"], row["jws"], row["identity"]) == (challenge["challenge_id"], body["approval"], RAW)
    assert '"claims_refused":["email"]' in row["context"]
    assert (row["ctx_salt"], row["leaf_salt"]) == tuple(
        base64url.parse(challenge[name]) for name in ("ctx_salt", "leaf_salt")
    )


def test_the_twin_of_a_signature_is_no_second_approval(soft: SoftAgent, page: LoginPage) -> None:
    challenge = soft.challenge(page)
    body = soft.approval(challenge)
    text, _, signature = body["approval"].rpartition(".")
    raw = base64url.parse(signature)
    twin = raw[:32] + (ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert soft.approve(challenge, body | {"approval": f"{text}.{base64url.encode(twin)}"}).status == 200
    assert soft.approve(challenge, body).json["code"] == "unknown-challenge"


def _set(name: str, value: object) -> Bend:
    def bend(content: dict[str, Any]) -> None:
        content[name] = value

    return bend


def _drop(name: str) -> Bend:
    def bend(content: dict[str, Any]) -> None:
        del content[name]

    return bend


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "another-app"),
        ("sub", "another-subject"),
        ("claims_granted", ["email", "email_verified", "name"]),
        ("claims_requested", []),
        ("session", base64url.encode(bytes(32))),
        ("redirect_uri", "https://shop.example/other"),
        ("nonce", "another-nonce"),
        ("code_challenge", "A" * 43),
        ("acr", "urn:tally:acr:remote"),
        ("mode", "remote"),
        ("kind", "grant"),
        ("code", "000000"),
        ("grant_expires_at", 0),
        ("sso_seconds", 86_400),
        ("text_digest", base64url.encode(bytes(32))),
        ("language", "zh"),
        ("purpose", "another purpose"),
        ("scope", "openid"),
        ("app_record", base64url.encode(bytes(32))),
        ("authorization_details", [{"type": "x"}]),
    ],
)
def test_an_approval_of_something_else_uses_the_challenge_up(
    provider: Provider, soft: SoftAgent, page: LoginPage, name: str, value: object
) -> None:
    challenge = soft.challenge(page)
    refused = soft.approve(challenge, soft.approval(challenge, bend_context=_set(name, value)))
    assert (refused.status, refused.json["code"]) == (400, "context-mismatch")
    assert state_of(provider, challenge) == "failed"
    assert soft.approve(challenge, soft.approval(challenge)).json["code"] == "unknown-challenge"


@pytest.mark.parametrize(
    "bend",
    [
        _set("aud", "https://other.example"),
        _set("jti", "A" * 32),
        _set("iss", "0x" + "11" * 32),
        _set("extra", 1),
        _drop("leaf"),
        _set("iat", 1),
        _set("exp", 253_402_300_799),
        _set("exp", "soon"),
    ],
)
def test_claims_are_exactly_those_of_this_challenge(soft: SoftAgent, page: LoginPage, bend: Bend) -> None:
    challenge = soft.challenge(page)
    refused = soft.approve(challenge, soft.approval(challenge, bend_claims=bend))
    assert (refused.status, refused.json["code"]) == (400, "malformed-approval")


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"ES256","typ":"tally-agent+jwt"}',
        b'{"alg":"ES256","typ":"tally-possession+jws"}',
        b'{"typ":"tally-approval+jwt","alg":"ES256"}',
        b'{"alg":"ES256","typ":"tally-approval+jwt" }',
        b'{"alg":"ES256","typ":"tally-approval+jwt","jku":"https://evil.example/jwks"}',
        b'{"alg":"none","typ":"tally-approval+jwt"}',
        b'{"alg":"HS256","typ":"tally-approval+jwt"}',
    ],
)
def test_the_header_is_compared_whole(soft: SoftAgent, page: LoginPage, header: bytes) -> None:
    challenge = soft.challenge(page)
    refused = soft.approve(challenge, soft.approval(challenge, header=header))
    assert refused.json["code"] == "malformed-approval"


def test_a_signature_of_another_key_is_refused(soft: SoftAgent, page: LoginPage) -> None:
    challenge = soft.challenge(page)
    refused = soft.approve(challenge, soft.approval(challenge, card=new_key()))
    assert (refused.status, refused.json["code"]) == (400, "signature-invalid")


def test_the_key_is_the_ledger_s_at_the_moment_of_the_approval(
    soft: SoftAgent, page: LoginPage, ledger: LedgerInMemory
) -> None:
    challenge = soft.challenge(page)
    ledger.register(IDENTITY, new_key().public_key())
    assert soft.approve(challenge, soft.approval(challenge)).json["code"] == "signature-invalid"


@pytest.mark.parametrize("state", [state for state in IdentityState if state is not IdentityState.ACTIVE])
def test_an_identity_that_is_not_active_logs_nobody_in(
    soft: SoftAgent, browser: Browser, page: LoginPage, ledger: LedgerInMemory, state: IdentityState
) -> None:
    challenge = soft.challenge(page)
    ledger.change(RAW, "changed", state=state)
    refused = soft.approve(challenge, soft.approval(challenge))
    assert (refused.status, refused.json["code"]) == (403, "identity-not-active")
    ledger.change(RAW, "changed", state=IdentityState.ACTIVE)
    assert soft.approve(challenge, soft.approval(challenge)).status == 200, "nothing was used up"


def test_a_stale_ledger_is_not_guessed_at_and_uses_nothing_up(
    app: RelyingParty, soft: SoftAgent, page: LoginPage, ledger: LedgerInMemory
) -> None:
    challenge = soft.challenge(page)
    another = app.begin(Browser())
    for change in ({"age_s": 61.0, "is_away": False}, {"age_s": 0.0, "is_away": True}):
        vars(ledger).update(change)
        refused = soft.approve(challenge, soft.approval(challenge))
        assert (refused.status, refused.json["code"]) == (503, "ledger-stale")
        assert refused.headers["retry-after"]
        assert soft.fetch(another).json["code"] == "ledger-stale"
    ledger.is_away = False
    assert soft.fetch(another).status == 200
    assert soft.approve(challenge, soft.approval(challenge)).status == 200


def test_a_production_policy_takes_no_emulated_card(
    provider: Provider, soft: SoftAgent, page: LoginPage, ledger: LedgerInMemory
) -> None:
    challenge = soft.challenge(page)
    ledger.change(RAW, "changed", is_emulator=True)
    object.__setattr__(provider.config.ledger, "accept_emulators", False)
    refused = soft.approve(challenge, soft.approval(challenge))
    assert (refused.status, refused.json["code"]) == (403, "identity-not-active")


def test_an_expired_challenge_is_over(
    soft: SoftAgent, page: LoginPage, clock: TestClock, app: RelyingParty, browser: Browser
) -> None:
    challenge = soft.challenge(page)
    clock.ahead_s = 121
    late = soft.approve(challenge, soft.approval(challenge))
    assert (late.status, late.json["code"]) == (410, "challenge-expired")
    assert finish(soft, browser, app.begin(browser)).status == 303


@pytest.mark.parametrize(("ahead_s", "status"), [(20, 200), (45, 400), (-100, 400)])
def test_clocks_may_differ_by_the_skew_and_no_more(
    soft: SoftAgent, page: LoginPage, clock: TestClock, ahead_s: int, status: int
) -> None:
    challenge, now = soft.challenge(page), int(clock())

    def bend(claims: dict[str, Any]) -> None:
        claims |= {"iat": now + ahead_s, "exp": min(now + ahead_s + 60, challenge["exp"])}

    answer = soft.approve(challenge, soft.approval(challenge, bend_claims=bend))
    assert answer.status == status, answer.text
    if status != 200:
        assert answer.json["code"] == "malformed-approval"


def test_a_challenge_belongs_to_the_first_agent_that_fetched_it(
    provider: Provider, soft: SoftAgent, page: LoginPage, ledger: LedgerInMemory
) -> None:
    challenge = soft.challenge(page)
    thief = SoftAgent.enrolled(provider.issuer, ledger, "0x" + "66" * 32)
    taken = thief.fetch(page)
    assert taken.status in {403, 409}
    friend = SoftAgent(provider.issuer, IDENTITY, card=soft.card)
    assert friend.enrol().status == 201
    assert (friend.fetch(page).status, friend.fetch(page).json["code"]) == (409, "challenge-taken")
    assert friend.approve(challenge, friend.approval(challenge)).json["code"] == "unknown-challenge"
    assert soft.challenge(page) == challenge, "the same agent may fetch again"
    assert soft.approve(challenge, soft.approval(challenge)).status == 200


def test_a_handle_needs_its_secret_and_no_page_shows_its_own_id(soft: SoftAgent, page: LoginPage) -> None:
    bare = soft.call("POST", "/challenges/fetch", {"handle": page.handle, "language": "en"})
    assert (bare.status, bare.json["code"]) == (404, "unknown-challenge")
    wrong = {"handle": page.handle, "language": "en", "local_secret": "A" * 32}
    assert soft.call("POST", "/challenges/fetch", wrong).status == 404
    assert page.request_id not in {page.handle, page.local_secret}
    assert soft.fetch(page).status == 200


def test_another_session_of_the_browser_unbinds_the_challenge(
    soft: SoftAgent, app: RelyingParty, browser: Browser, page: LoginPage
) -> None:
    challenge = soft.challenge(page)
    assert finish(soft, browser, app.begin(browser)).status == 303  # the session's secret changed with this login
    refused = soft.approve(challenge, soft.approval(challenge))
    assert (refused.status, refused.json["code"]) == (409, "session-unbound")


def test_completion_needs_the_cookie_that_began_and_works_once(
    soft: SoftAgent, browser: Browser, page: LoginPage
) -> None:
    challenge = soft.challenge(page)
    address = soft.approve(challenge, soft.approval(challenge)).json["completion_uri"]
    for stranger in (Browser(), Browser(cookie="A" * 43)):
        refused = stranger.get(address)
        assert refused.status == 400
        assert "code=" not in refused.location
    before = browser.cookie
    done = browser.get(address)
    assert (done.status, "code" in done.parameters) == (303, True)
    assert browser.cookie != before, "the session's secret changes at the login"
    assert browser.get(address).status == 400
    assert Browser(cookie=before).get(address).status == 400


def test_a_completion_address_dies_after_a_minute(
    soft: SoftAgent, browser: Browser, page: LoginPage, clock: TestClock
) -> None:
    challenge = soft.challenge(page)
    address = soft.approve(challenge, soft.approval(challenge)).json["completion_uri"]
    clock.ahead_s = 61
    assert browser.get(address).status == 400


def test_in_mode_local_the_waiting_page_never_advances(soft: SoftAgent, browser: Browser, page: LoginPage) -> None:
    challenge = soft.challenge(page)
    assert soft.approve(challenge, soft.approval(challenge)).status == 200
    assert browser.get(f"{page.address}/status").json == {"status": "waiting"}
    refused = browser.post(f"{page.address}/complete", {"csrf_token": page.csrf_token})
    assert (refused.status, refused.location) == (400, "")


def remote_handle(page: LoginPage, provider: Provider) -> str:
    """What the QR code holds: made as the page makes it, as a picture is not read here."""
    from identity_oidc.authentication.challenge import add_handle  # noqa: PLC0415

    with provider.database.writing() as connection:
        wanted = select(CHALLENGES.c.jti).where(CHALLENGES.c.request_id == page.request_id)
        jti = str(connection.execute(wanted).scalar_one())
        return add_handle(connection, jti, "remote", provider.now() + 60).handle


def test_a_remote_login_takes_the_typed_code_and_gives_the_lowest_level(
    provider: Provider, soft: SoftAgent, app: RelyingParty, browser: Browser, page: LoginPage
) -> None:
    challenge = soft.challenge(page, "remote", remote_handle(page, provider))
    assert challenge["request"]["acr"] == "urn:tally:acr:remote"
    approved = soft.approve(challenge, soft.approval(challenge, code=page.code))
    assert (approved.status, approved.json) == (200, {"status": "approved"})
    assert Browser().get(f"{page.address}/status").status == 400
    assert browser.get(f"{page.address}/status").json == {"status": "done"}
    no_csrf = browser.post(f"{page.address}/complete", {"csrf_token": "x"})
    assert no_csrf.status == 400
    done = browser.post(f"{page.address}/complete", {"csrf_token": page.csrf_token})
    assert done.status == 303
    tokens = app.redeem(done.parameters["code"]).json
    assert app.verify_id_token(tokens["id_token"], tokens["access_token"])["acr"] == "urn:tally:acr:remote"


def test_a_wrong_code_costs_a_try_and_the_third_ends_the_login(
    provider: Provider, soft: SoftAgent, page: LoginPage
) -> None:
    challenge = soft.challenge(page, "remote", remote_handle(page, provider))
    wrong = f"{(int(page.code) + 1) % 1_000_000:06}"
    left = []
    for _ in range(3):
        refused = soft.approve(challenge, soft.approval(challenge, code=wrong))
        assert (refused.status, refused.json["code"]) == (422, "wrong-code")
        left.append(refused.json["tries_left"])
    assert left == [2, 1, 0]
    over = soft.approve(challenge, soft.approval(challenge, code=page.code))
    assert over.json["code"] == "unknown-challenge"


def test_the_local_handle_dies_when_the_login_is_taken_remotely(
    provider: Provider, soft: SoftAgent, page: LoginPage
) -> None:
    soft.challenge(page, "remote", remote_handle(page, provider))
    assert soft.fetch(page).status == 404


def test_a_remote_handle_dies_after_a_minute(
    provider: Provider, soft: SoftAgent, page: LoginPage, clock: TestClock
) -> None:
    handle = remote_handle(page, provider)
    clock.ahead_s = 61
    assert soft.fetch(page, "remote", handle).status == 404


def test_an_app_that_needs_more_gets_no_remote_login(
    provider: Provider, soft: SoftAgent, app: RelyingParty, browser: Browser
) -> None:
    claims = '{"id_token":{"acr":{"essential":true,"value":"urn:tally:acr:card"}}}'
    page = app.begin(browser, claims=claims)
    refused = soft.fetch(page, "remote", remote_handle(page, provider))
    assert (refused.status, refused.json["code"]) == (403, "acr-not-reached")
    assert soft.fetch(page).status == 200


def test_a_no_goes_to_the_app_as_access_denied(soft: SoftAgent, app: RelyingParty, browser: Browser) -> None:
    page = app.begin(browser)
    challenge = soft.challenge(page)
    path = f"/challenges/{challenge['challenge_id']}/refusal"
    assert soft.call("POST", path, {"reason": "no"}).status == 400
    assert soft.call("POST", path, {"reason": "block-app"}).status == 204
    assert browser.get(f"{page.address}/status").json == {"status": "over"}
    denied = browser.post(f"{page.address}/complete", {"csrf_token": page.csrf_token})
    assert denied.parameters["error"] == "access_denied"
    assert soft.fetch(app.begin(browser)).status == 404, "the app is blocked for this identity"


def test_an_approval_for_one_app_is_none_for_another(
    provider: Provider, soft: SoftAgent, app: RelyingParty, browser: Browser
) -> None:
    other = add_client(provider, "other", record={"name": "Other", "sector": "other"})
    first, second = soft.challenge(app.begin(browser)), soft.challenge(other.begin(Browser()))
    assert first["sub"] != second["sub"]
    body = soft.approval(first)
    assert soft.approve(second, body).json["code"] == "malformed-approval"
    assert soft.approve(first, body).status == 200


def test_leaving_ends_the_agent_and_what_it_holds(soft: SoftAgent, page: LoginPage) -> None:
    challenge = soft.challenge(page)
    assert soft.call("DELETE", "/enrolments/current").status == 204
    gone = soft.approve(challenge, soft.approval(challenge))
    assert gone.status == 401
    assert 'error="invalid_token"' in gone.headers["www-authenticate"]


def test_a_hold_by_the_agent_stops_logins_at_once(soft: SoftAgent, app: RelyingParty, browser: Browser) -> None:
    done = finish(soft, browser, app.begin(browser))
    tokens = app.redeem(done.parameters["code"]).json
    page = app.begin(browser, prompt="login")
    challenge = soft.challenge(page)
    assert soft.call("POST", "/hold", {"reason": "lost"}).status == 202
    assert app.userinfo(tokens["access_token"]).status == 401
    assert soft.approve(challenge, soft.approval(challenge)).status in {403, 404, 409}
