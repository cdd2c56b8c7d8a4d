"""Token endpoint, UserInfo, introspection, revocation; and what a thief makes of what he stole."""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jose import JWTError, jwt
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, OctKey
from sqlalchemy import select

from identity_oidc.errors import InputError
from identity_oidc.provider import Provider
from identity_oidc.registration import register
from identity_oidc.store.schema import RELEASES
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, OTHER_IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import CALLBACK, FORM, Answer, Browser, RelyingParty, add_client, ask, make_record, public_jwk

RAW = bytes.fromhex(IDENTITY[2:])


@pytest.fixture
def soft(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> SoftAgent:
    return SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock)


def log_in(
    app: RelyingParty, soft: SoftAgent, browser: Browser | None = None, refused: tuple[str, ...] = (), **changes: str
) -> str:
    """The code of a whole login."""
    chosen = browser or Browser()
    page = app.begin(chosen, **changes)
    challenge = soft.challenge(page)
    approved = soft.approve(challenge, soft.approval(challenge, refused))
    assert approved.status == 200, approved.text
    done = chosen.get(approved.json["completion_uri"])
    assert done.status == 303, done.text
    return done.parameters["code"]


def error_of(answer: Answer) -> str:
    assert answer.status in {400, 401}, answer.text
    return str(answer.json["error"])


def test_a_code_is_good_once_and_its_second_use_ends_the_tokens(app: RelyingParty, soft: SoftAgent) -> None:
    code = log_in(app, soft)
    tokens = app.redeem(code).json
    assert tokens["expires_in"] <= 300
    assert app.userinfo(tokens["access_token"]).status == 200
    assert error_of(app.redeem(code)) == "invalid_grant"
    assert app.userinfo(tokens["access_token"]).status == 401


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "A" * 43}, "invalid_grant"),
        ({"redirect_uri": "https://shop.example/other"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"grant_type": "password", "username": "u", "password": "p"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ],
)
def test_each_check_of_the_token_endpoint(
    app: RelyingParty, soft: SoftAgent, changes: dict[str, str | None], error: str
) -> None:
    code = log_in(app, soft)
    assert error_of(app.redeem(**({"code": code} | changes))) == error  # type: ignore[arg-type]
    assert app.redeem(code).status == 200


def test_a_code_of_another_app_is_no_code(provider: Provider, app: RelyingParty, soft: SoftAgent) -> None:
    other = add_client(provider, "other", record={"sector": "other"})
    code = log_in(app, soft)
    assert error_of(other.redeem(code, code_verifier=app.verifier)) == "invalid_grant"
    assert app.redeem(code).status == 200, "the attempt took nothing from the app"


def test_a_code_dies_after_its_minute(app: RelyingParty, soft: SoftAgent, clock: TestClock) -> None:
    code = log_in(app, soft)
    clock.ahead_s = 61
    assert error_of(app.redeem(code)) == "invalid_grant"


def test_a_verifier_without_a_challenge_is_refused(provider: Provider, soft: SoftAgent) -> None:
    stranger = add_client(provider, "stranger", policy="basic", id_token_signed_response_alg="RS256")
    changes: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}
    code = log_in(stranger, soft, **changes)
    assert error_of(stranger.redeem(code)) == "invalid_request"
    answer = stranger.redeem(code, code_verifier=None)
    claims = stranger.verify_id_token(answer.json["id_token"], answer.json["access_token"], "RS256")
    assert claims["aud"] == "stranger"


def test_clients_authenticate_in_their_own_way_only(provider: Provider, app: RelyingParty, soft: SoftAgent) -> None:
    code = log_in(app, soft)
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": app.redirect_uri,
        "code_verifier": app.verifier,
    }
    wrong = base64.b64encode(f"{app.client_id}:wrong".encode()).decode()
    for headers, more in (
        ({}, {"client_id": app.client_id}),
        ({}, {"client_id": app.client_id, "client_secret": app.secret}),
        ({"Authorization": f"Basic {wrong}"}, {}),
        ({"Authorization": "Basic !!!"}, {}),
        ({}, {}),
    ):
        refused = ask("POST", f"{app.issuer}/token", headers=FORM | headers, body=urlencode(fields | more))
        assert error_of(refused) == "invalid_client"
    both = ask("POST", f"{app.issuer}/token", headers=app.basic(), body=urlencode(fields | {"client_secret": "x"}))
    assert error_of(both) == "invalid_request"
    assert app.token(**fields).status == 200


def test_a_secret_that_leaked_is_replaced(provider: Provider, app: RelyingParty) -> None:
    registration, record = {"redirect_uris": [CALLBACK]}, make_record()
    assert register(provider, registration, record).secret is None
    assert app.redeem("x").json["error"] == "invalid_grant", "a new version keeps the secret"
    fresh = register(provider, registration, record, new_secret=True).secret
    assert error_of(app.redeem("x")) == "invalid_client"
    assert fresh is not None
    app.secret = fresh
    assert app.redeem("x").json["error"] == "invalid_grant"
    keyed = registration | {
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [public_jwk(ASSERTION_KEY)]},
    }
    with pytest.raises(InputError, match="no secret"):
        register(provider, keyed, record, new_secret=True)


def test_client_secret_post(provider: Provider, soft: SoftAgent) -> None:
    app = add_client(provider, "post", token_endpoint_auth_method="client_secret_post")
    code = log_in(app, soft)
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": app.redirect_uri,
        "code_verifier": app.verifier,
        "client_id": "post",
    }
    wrong = ask("POST", f"{app.issuer}/token", headers=FORM, body=urlencode(fields | {"client_secret": "wrong"}))
    assert error_of(wrong) == "invalid_client"
    right = ask("POST", f"{app.issuer}/token", headers=FORM, body=urlencode(fields | {"client_secret": app.secret}))
    assert right.status == 200


ASSERTION_KEY = ec.generate_private_key(ec.SECP256R1())


def assertion(app: RelyingParty, key: Any = None, algorithm: str = "ES256", header: Any = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": app.client_id,
        "sub": app.client_id,
        "aud": app.issuer,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(16),
    } | changes
    chosen = key or ECKey.import_key(ASSERTION_KEY)
    content = {"alg": algorithm} | (header or {})
    return joserfc_jwt.encode(
        content, {name: value for name, value in claims.items() if value is not None}, chosen, algorithms=[algorithm]
    )


def test_private_key_jwt_and_its_abuses(provider: Provider, soft: SoftAgent) -> None:
    app = add_client(
        provider,
        "keyed",
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [public_jwk(ASSERTION_KEY) | {"kid": "one"}]},
    )
    code = log_in(app, soft)

    def redeem(text: str, **more: str) -> Answer:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": app.redirect_uri,
            "code_verifier": app.verifier,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": text,
        } | more
        return ask("POST", f"{app.issuer}/token", headers=FORM, body=urlencode(fields))

    stranger = ECKey.generate_key("P-256")
    public_pem = ECKey.import_key(ASSERTION_KEY).as_pem(private=False)
    now = int(time.time())
    for bad in (
        assertion(app, stranger),
        assertion(app, OctKey.import_key(base64.b64encode(public_pem)), "HS256"),
        assertion(app, stranger, header={"jku": "https://evil.example/jwks"}),
        assertion(app, stranger, header={"jwk": stranger.as_dict(private=False)}),
        assertion(app, stranger, header={"kid": "../../etc/passwd"}),
        assertion(app, aud="https://evil.example"),
        assertion(app, aud=[app.issuer, "https://evil.example"]),
        assertion(app, aud=[app.issuer]),
        assertion(app, iss="other"),
        assertion(app, exp=now - 600),
        assertion(app, exp=now + 3_600),
        assertion(app, jti=None),
        assertion(app, sub="unknown", iss="unknown"),
        "e30.e30.",
        "x",
    ):
        assert error_of(redeem(bad)) == "invalid_client"
    good = assertion(app)
    assert redeem(good, code="unknown").json["error"] == "invalid_grant"
    assert error_of(redeem(good)) == "invalid_client", "an assertion is good once"
    assert redeem(assertion(app)).status == 200


def test_parameters_are_given_once_and_in_the_body(app: RelyingParty, soft: SoftAgent) -> None:
    code = log_in(app, soft)
    body = urlencode({"grant_type": "authorization_code", "code": code}) + "&code=other"
    assert error_of(ask("POST", f"{app.issuer}/token", headers=app.basic(), body=body)) == "invalid_request"
    query = ask("POST", f"{app.issuer}/token?code={code}", headers=app.basic(), body="grant_type=authorization_code")
    assert error_of(query) == "invalid_request"
    assert ask("GET", f"{app.issuer}/token?code={code}").status == 405


def test_refresh_tokens_rotate_and_reuse_ends_the_family(app: RelyingParty, soft: SoftAgent, clock: TestClock) -> None:
    tokens = app.redeem(log_in(app, soft, scope="openid email offline_access")).json
    first = tokens["refresh_token"]
    renewed = app.token(grant_type="refresh_token", refresh_token=first)
    assert renewed.status == 200, renewed.text
    second = renewed.json["refresh_token"]
    assert second != first
    app.verify_id_token(renewed.json["id_token"], renewed.json["access_token"])
    assert app.userinfo(renewed.json["access_token"]).status == 200
    wider = app.token(grant_type="refresh_token", refresh_token=second, scope="openid phone")
    assert error_of(wider) == "invalid_scope"
    assert error_of(app.token(grant_type="refresh_token", refresh_token=first)) == "invalid_grant"
    assert error_of(app.token(grant_type="refresh_token", refresh_token=second)) == "invalid_grant"
    assert app.userinfo(renewed.json["access_token"]).status == 401


def test_a_refresh_token_is_the_app_s_own_and_only_for_offline_access(
    provider: Provider, app: RelyingParty, soft: SoftAgent
) -> None:
    other = add_client(provider, "other", record={"sector": "other"}, may_refresh=True)
    assert "refresh_token" not in app.redeem(log_in(app, soft)).json
    tokens = app.redeem(log_in(app, soft, scope="openid offline_access")).json
    stolen = other.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert error_of(stolen) == "invalid_grant"
    assert app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).status == 200


def test_refused_items_are_left_out_and_each_release_is_on_record(provider: Provider, soft: SoftAgent) -> None:
    scope = "openid email phone"
    claims = '{"id_token":{"name":{"essential":true}},"userinfo":{"phone_number":null}}'
    items: dict[str, dict[str, str]] = {
        name: {} for name in ("email", "email_verified", "name", "phone_number", "phone_number_verified")
    }
    few = add_client(provider, "few", items=items)
    code = log_in(few, soft, refused=("phone_number", "phone_number_verified"), scope=scope, claims=claims)
    tokens = few.redeem(code).json
    own = few.verify_id_token(tokens["id_token"], tokens["access_token"])
    assert own["name"]
    assert "email" not in own
    info = few.userinfo(tokens["access_token"]).json
    assert set(info) == {"sub", "email", "email_verified"}
    with provider.database.reading() as connection:
        rows = connection.execute(select(RELEASES.c.channel, RELEASES.c["items"])).all()
    assert [tuple(row) for row in rows] == [("id_token", ["name"]), ("userinfo", ["email", "email_verified"])]


def test_sub_is_pairwise_random_and_stable(provider: Provider, app: RelyingParty, soft: SoftAgent) -> None:
    same = add_client(provider, "sister")
    other = add_client(provider, "other", record={"sector": "other"})
    subs = {}
    for party in (app, same, other):
        tokens = party.redeem(log_in(party, soft)).json
        claims = party.verify_id_token(tokens["id_token"], tokens["access_token"])
        subs[party.client_id] = claims["sub"]
        assert IDENTITY[2:] not in json.dumps(claims)
    assert subs["shop"] == subs["sister"] != subs["other"]
    again = app.redeem(log_in(app, soft)).json
    assert app.verify_id_token(again["id_token"], again["access_token"])["sub"] == subs["shop"]


def test_sub_stays_when_the_sim_is_replaced(app: RelyingParty, soft: SoftAgent, ledger: LedgerInMemory) -> None:
    def sub_of(agent: SoftAgent) -> str:
        tokens = app.redeem(log_in(app, agent)).json
        return str(app.verify_id_token(tokens["id_token"], tokens["access_token"])["sub"])

    before = sub_of(soft)
    replaced = SoftAgent.enrolled(app.issuer, ledger, IDENTITY, soft.clock)  # another key of the same identity
    assert sub_of(replaced) == before
    assert sub_of(SoftAgent.enrolled(app.issuer, ledger, OTHER_IDENTITY, soft.clock)) != before
    late = Browser()
    challenge = soft.challenge(app.begin(late))
    assert soft.approve(challenge, soft.approval(challenge)).json["code"] == "signature-invalid", "the old card's"


def test_an_id_token_is_refused_when_anything_in_it_is_bent(app: RelyingParty, soft: SoftAgent) -> None:
    tokens = app.redeem(log_in(app, soft)).json
    header, payload, signature = tokens["id_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    for name, value in {"sub": "x", "aud": "y", "iss": "https://evil.example", "nonce": "z"}.items():
        bent = base64.urlsafe_b64encode(json.dumps(claims | {name: value}).encode()).rstrip(b"=").decode()
        with pytest.raises(JWTError):
            app.verify_id_token(f"{header}.{bent}.{signature}", tokens["access_token"])
    with pytest.raises(JWTError):
        app.verify_id_token(tokens["id_token"], "another-access-token")
    assert jwt.get_unverified_header(tokens["id_token"])["alg"] == "ES256"


def test_signed_userinfo(provider: Provider, soft: SoftAgent) -> None:
    app = add_client(provider, "signed", userinfo_signed_response_alg="ES256")
    tokens = app.redeem(log_in(app, soft)).json
    answer = app.userinfo(tokens["access_token"])
    assert answer.headers["content-type"] == "application/jwt"
    keys = ask("GET", f"{app.issuer}/jwks").json
    claims = jwt.decode(answer.text, keys, algorithms=["ES256"], audience="signed", issuer=app.issuer)
    assert claims["email"].endswith("@people.example")


def test_userinfo_takes_one_good_token(app: RelyingParty, soft: SoftAgent, clock: TestClock) -> None:
    token = app.redeem(log_in(app, soft)).json["access_token"]
    address = f"{app.issuer}/userinfo"
    assert ask("POST", address, headers=FORM, body=urlencode({"access_token": token})).status == 200
    twice = ask(
        "POST", address, headers=FORM | {"Authorization": f"Bearer {token}"}, body=urlencode({"access_token": token})
    )
    assert twice.status == 400
    assert ask("GET", f"{address}?access_token={token}").status == 400
    assert ask("GET", address).status == 401
    for wrong in ("x", token + "x", "x" * 600):
        refused = app.userinfo(wrong)
        assert refused.status == 401
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    clock.ahead_s = 301
    assert app.userinfo(token).status == 401


def test_introspection_and_revocation_are_for_the_owner(provider: Provider, app: RelyingParty, soft: SoftAgent) -> None:
    other = add_client(provider, "other", record={"sector": "other"})
    tokens = app.redeem(log_in(app, soft, scope="openid offline_access")).json
    seen = app.ask("introspect", token=tokens["access_token"]).json
    assert (seen["active"], seen["client_id"], seen["iss"]) == (True, "shop", app.issuer)
    assert other.ask("introspect", token=tokens["access_token"]).json == {"active": False}
    assert app.ask("introspect", token="nothing").json == {"active": False}
    assert ask("POST", f"{app.issuer}/introspect", headers=FORM, body="token=x").status in {400, 401}
    assert other.ask("revoke", token=tokens["refresh_token"]).status == 200, "no oracle"
    assert app.userinfo(tokens["access_token"]).status == 200
    assert app.ask("revoke", token=tokens["refresh_token"]).status == 200
    assert app.userinfo(tokens["access_token"]).status == 401
    assert app.ask("introspect", token=tokens["refresh_token"]).json == {"active": False}


def test_a_card_that_turned_out_to_be_emulated_gets_no_more_tokens(
    provider: Provider, app: RelyingParty, soft: SoftAgent, ledger: LedgerInMemory
) -> None:
    """What is not taken at the login is not taken afterwards either."""
    browser = Browser()
    tokens = app.redeem(log_in(app, soft, browser, scope="openid offline_access")).json
    code = log_in(app, soft)
    ledger.change(bytes.fromhex(IDENTITY[2:]), "changed", is_emulator=True)
    renewed = app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert renewed.status == 200, "the tests' provider takes emulated cards"
    object.__setattr__(provider.config.ledger, "accept_emulators", False)
    assert error_of(app.redeem(code)) == "invalid_grant"
    again = app.token(grant_type="refresh_token", refresh_token=renewed.json["refresh_token"])
    assert error_of(again) == "invalid_grant"
    assert browser.get(app.address(prompt="none")).parameters["error"] == "consent_required"


def test_the_ledger_is_asked_again_at_redemption_and_refresh(
    app: RelyingParty, soft: SoftAgent, ledger: LedgerInMemory
) -> None:
    code = log_in(app, soft)
    ledger.is_away = True
    away = app.redeem(code)
    assert (away.status, away.json["error"]) == (503, "temporarily_unavailable")
    ledger.is_away = False
    assert app.redeem(code).status == 200, "nothing was used up"
    tokens = app.redeem(log_in(app, soft, scope="openid offline_access")).json
    code = log_in(app, soft)
    ledger.hold(RAW)
    assert error_of(app.redeem(code)) == "invalid_grant"
    assert error_of(app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])) == "invalid_grant"


def test_single_sign_on_lasts_as_long_as_was_signed(
    provider: Provider, app: RelyingParty, soft: SoftAgent, clock: TestClock, ledger: LedgerInMemory
) -> None:
    browser = Browser()
    log_in(app, soft, browser)
    silent = browser.get(app.address(prompt="none"))
    assert app.redeem(silent.parameters["code"]).status == 200
    for changes in ({"claims": '{"userinfo":{"phone_number":null}}'}, {"acr_values": "urn:tally:acr:unheard-of"}):
        assert browser.get(app.address(prompt="none", **changes)).parameters["error"] == "consent_required"
    assert "/login/" in browser.get(app.address(prompt="login")).location
    assert browser.get(app.address(prompt="none", max_age="0")).parameters["error"] == "consent_required"
    assert Browser().get(app.address(prompt="none")).parameters["error"] == "login_required"
    elsewhere = add_client(provider, "elsewhere", single_sign_on_s=600)
    assert browser.get(elsewhere.address(prompt="none")).parameters["error"] == "consent_required"
    ledger.is_away = True
    assert browser.get(app.address(prompt="none")).parameters["error"] == "temporarily_unavailable"
    ledger.is_away = False
    clock.ahead_s = 130
    assert browser.get(app.address(prompt="none", max_age="60")).parameters["error"] == "consent_required"
    clock.ahead_s = 601
    assert browser.get(app.address(prompt="none")).parameters["error"] == "consent_required"


def test_an_id_token_hint_binds_the_person(provider: Provider, app: RelyingParty, soft: SoftAgent) -> None:
    other = add_client(provider, "other", record={"sector": "other"})
    tokens = app.redeem(log_in(app, soft)).json
    log_in(app, soft, id_token_hint=tokens["id_token"])
    foreign = Browser().get(other.address(id_token_hint=tokens["id_token"]))
    assert foreign.parameters["error"] == "invalid_request"
