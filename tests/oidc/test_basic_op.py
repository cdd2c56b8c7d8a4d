"""The modules of the OpenID Foundation's plan for a Basic OP, and of its plan for the configuration: ours, written from
the specifications, each named after its module. The app is one of policy basic, as a stranger's is.

Source: OpenID Connect Core 1.0, OpenID Connect Discovery 1.0, RFC 6749.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from jose import jwt

from identity_oidc import base64url
from identity_oidc.claims import CLAIMS, SCOPE_CLAIMS
from identity_oidc.provider import Provider
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, OTHER_IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import FORM, Answer, Browser, LoginPage, RelyingParty, add_client, ask
from tests.oidc.test_tokens import log_in

NO_PKCE: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}


@dataclass
class Op:
    """The provider under test, an app, a person with a browser."""

    app: RelyingParty
    soft: SoftAgent
    browser: Browser
    clock: TestClock

    def code(self, **changes: str | None) -> str:
        """A login with the person taking part, from request to code; without PKCE unless a test asks for it."""
        return log_in(self.app, self.soft, self.browser, **(NO_PKCE | changes))

    def tokens(self, **changes: str | None) -> dict[str, Any]:
        return self.redeemed(self.code(**changes))

    def redeemed(self, code: str) -> dict[str, Any]:
        answer = self.app.redeem(code, code_verifier=None)
        assert answer.status == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        found: dict[str, Any] = answer.json
        assert found["token_type"] == "Bearer"
        return found

    def claims(self, tokens: dict[str, Any]) -> dict[str, Any]:
        return self.app.verify_id_token(tokens["id_token"], tokens["access_token"], "RS256")

    def info(self, tokens: dict[str, Any]) -> dict[str, Any]:
        answer = self.app.userinfo(tokens["access_token"])
        assert answer.status == 200
        found: dict[str, Any] = answer.json
        assert found["sub"] == self.claims(tokens)["sub"]
        return found

    def request(self, **changes: str | None) -> Answer:
        """The answer to a request, nobody taking part."""
        return self.browser.get(self.app.address(**(NO_PKCE | changes)))


@pytest.fixture
def op(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> Op:
    app = add_client(
        provider,
        policy="basic",
        id_token_signed_response_alg="RS256",
        items={name: {} for name in CLAIMS},
        may_refresh=True,
        single_sign_on_s=20_000,
        grant_days=30,
    )
    return Op(app, SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock), Browser(), clock)


def test_oidcc_server(op: Op) -> None:
    done = op.browser.get(_approved(op))
    assert done.parameters["state"] == op.app.state
    claims = op.claims(op.redeemed(done.parameters["code"]))
    assert {"iss", "sub", "aud", "exp", "iat", "nonce"} <= set(claims)
    assert claims["exp"] > claims["iat"]


def _approved(op: Op) -> str:
    page = op.app.begin(op.browser, **NO_PKCE)
    challenge = op.soft.challenge(page)
    uri: str = op.soft.approve(challenge, op.soft.approval(challenge)).json["completion_uri"]
    return uri


def test_oidcc_response_type_missing(op: Op) -> None:
    answer = op.request(response_type=None)
    assert answer.parameters["error"] in {"invalid_request", "unsupported_response_type"}
    assert answer.parameters["state"] == op.app.state
    assert op.request(response_type="token").parameters["error"] == "unsupported_response_type"


def test_oidcc_idtoken_signature(op: Op) -> None:
    tokens = op.tokens()
    header = jwt.get_unverified_header(tokens["id_token"])
    keys = ask("GET", f"{op.app.issuer}/jwks").json["keys"]
    assert header["alg"] == "RS256"
    assert [key["kty"] for key in keys if key["kid"] == header["kid"]] == ["RSA"]
    assert all("d" not in key for key in keys)
    op.claims(tokens)
    start, _, signature = tokens["id_token"].rpartition(".")
    bent = base64url.encode(bytes([base64url.parse(signature)[0] ^ 1]) + base64url.parse(signature)[1:])
    with pytest.raises(jwt.JWTError):
        op.claims(tokens | {"id_token": f"{start}.{bent}"})


def test_oidcc_idtoken_unsigned(op: Op) -> None:
    """`none` is not offered, and is not given."""
    metadata = ask("GET", f"{op.app.issuer}/.well-known/openid-configuration").json
    assert "none" not in metadata["id_token_signing_alg_values_supported"]


def test_oidcc_userinfo_get(op: Op) -> None:
    assert op.info(op.tokens())["email"]


def test_oidcc_userinfo_post_header(op: Op) -> None:
    tokens = op.tokens()
    answer = ask("POST", f"{op.app.issuer}/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.json == op.info(tokens)


def test_oidcc_userinfo_post_body(op: Op) -> None:
    tokens = op.tokens()
    body = urlencode({"access_token": tokens["access_token"]})
    assert ask("POST", f"{op.app.issuer}/userinfo", headers=FORM, body=body).json == op.info(tokens)
    assert ask("GET", f"{op.app.issuer}/userinfo?{body}").status == 400, "never in an address"


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(op: Op) -> None:
    tokens = op.tokens(nonce=None)
    assert "nonce" not in jwt.get_unverified_claims(tokens["id_token"])


@pytest.mark.parametrize("scope", ["profile", "email", "address", "phone"])
def test_oidcc_scope(op: Op, scope: str) -> None:
    """oidcc-scope-profile, oidcc-scope-email, oidcc-scope-address, oidcc-scope-phone."""
    found = set(op.info(op.tokens(scope=f"openid {scope}"))) - {"sub"}
    assert found
    assert found <= set(SCOPE_CLAIMS[scope])


def test_oidcc_scope_all(op: Op) -> None:
    found = op.info(op.tokens(scope="openid profile email address phone"))
    assert {"name", "email", "email_verified", "address", "phone_number", "phone_number_verified"} <= set(found)
    assert isinstance(found["email_verified"], bool)
    assert isinstance(found["address"], dict)


def test_oidcc_ensure_other_scope_order_succeeds(op: Op) -> None:
    assert op.info(op.tokens(scope="email openid"))["email"]
    assert op.request(scope="email").parameters["error"] == "invalid_scope"


@pytest.mark.parametrize("display", ["page", "popup"])
def test_oidcc_display(op: Op, display: str) -> None:
    """oidcc-display-page, oidcc-display-popup."""
    op.claims(op.tokens(display=display))
    assert op.request(display="hologram").parameters["error"] == "invalid_request"


def test_oidcc_prompt_login(op: Op) -> None:
    first = op.claims(op.tokens())
    op.clock.ahead_s += 61
    assert op.request().parameters["code"], "single sign-on would do"
    assert "/login/" in op.request(prompt="login").location
    second = op.claims(op.tokens(prompt="login"))
    assert second["auth_time"] > first["auth_time"]
    assert second["sub"] == first["sub"]


def test_oidcc_prompt_none_not_logged_in(op: Op) -> None:
    answer = op.request(prompt="none")
    assert answer.parameters["error"] in {"login_required", "interaction_required"}
    assert answer.parameters["state"] == op.app.state


def test_oidcc_prompt_none_logged_in(op: Op) -> None:
    first = op.claims(op.tokens())
    second = op.claims(op.redeemed(op.request(prompt="none").parameters["code"]))
    assert (first["sub"], first["auth_time"], first["sid"]) == (second["sub"], second["auth_time"], second["sid"])


def test_oidcc_max_age_1(op: Op) -> None:
    """Rounded to the minute, `auth_time` tells two logins apart after one (docs/oidc.md)."""
    first = op.claims(op.tokens())
    op.clock.ahead_s += 61
    assert "/login/" in op.request(max_age="1").location
    assert op.request(max_age="1", prompt="none").parameters["error"] == "consent_required"
    assert op.claims(op.tokens(max_age="1"))["auth_time"] > first["auth_time"]


def test_oidcc_max_age_10000(op: Op) -> None:
    first = op.claims(op.tokens())
    second = op.claims(op.redeemed(op.request(max_age="10000").parameters["code"]))
    assert second["auth_time"] == first["auth_time"]
    op.clock.ahead_s += 10_061
    assert "/login/" in op.request(max_age="10000").location


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(op: Op) -> None:
    op.claims(op.tokens(extra="foobar"))


def test_oidcc_id_token_hint(op: Op, provider: Provider, ledger: LedgerInMemory) -> None:
    tokens = op.tokens()
    answer = op.request(prompt="none", id_token_hint=tokens["id_token"])
    assert op.claims(op.redeemed(answer.parameters["code"]))["sub"] == op.claims(tokens)["sub"]
    somebody_else = Op(
        op.app, SoftAgent.enrolled(provider.issuer, ledger, OTHER_IDENTITY, op.clock), Browser(), op.clock
    )
    somebody_else.tokens()
    refused = somebody_else.request(prompt="none", id_token_hint=tokens["id_token"])
    assert refused.parameters["error"] in {"login_required", "consent_required"}


def test_oidcc_login_hint(op: Op) -> None:
    op.claims(op.tokens(login_hint="somebody@shop.example"))


def test_oidcc_ui_locales(op: Op) -> None:
    page = op.app.begin(op.browser, **NO_PKCE, ui_locales="zh-CN en")
    assert 'lang="zh' in page.answer.text
    op.claims(op.tokens(ui_locales="tlh se"))


def test_oidcc_claims_locales(op: Op) -> None:
    op.claims(op.tokens(claims_locales="se"))


def test_oidcc_ensure_request_with_acr_values_succeeds(op: Op) -> None:
    assert op.claims(op.tokens(acr_values="1 2"))["acr"]
    assert op.claims(op.tokens(acr_values="urn:tally:acr:card", prompt="login"))["acr"] == "urn:tally:acr:card"


def test_oidcc_codereuse(op: Op) -> None:
    code = op.code()
    op.redeemed(code)
    again = op.app.redeem(code, code_verifier=None)
    assert (again.status, again.json["error"]) == (400, "invalid_grant")


def test_oidcc_codereuse_30seconds(op: Op) -> None:
    code = op.code()
    tokens = op.redeemed(code)
    op.clock.ahead_s += 30
    assert op.app.redeem(code, code_verifier=None).json["error"] == "invalid_grant"
    assert op.app.userinfo(tokens["access_token"]).status == 401, "what the code gave is revoked"


def test_oidcc_ensure_registered_redirect_uri(op: Op) -> None:
    for address in ("https://evil.example/callback", f"{op.app.redirect_uri}/more", f"{op.app.redirect_uri}?more=1"):
        answer = op.request(redirect_uri=address)
        assert (answer.status, answer.location) == (400, "")


def test_oidcc_ensure_post_request_succeeds(op: Op) -> None:
    posted = op.browser.post(f"{op.app.issuer}/authorize", op.app.parameters(**NO_PKCE))
    assert posted.status == 303
    begun = op.browser.get(posted.location)
    page = LoginPage(begun.location.partition("?")[0], op.browser.get(begun.location))
    challenge = op.soft.challenge(page)
    approved = op.soft.approve(challenge, op.soft.approval(challenge))
    op.claims(op.redeemed(op.browser.get(approved.json["completion_uri"]).parameters["code"]))


def test_oidcc_server_client_secret_post(op: Op, provider: Provider) -> None:
    app = add_client(provider, "post", policy="basic", token_endpoint_auth_method="client_secret_post")
    code = log_in(app, op.soft, **NO_PKCE)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": app.redirect_uri, "client_id": "post"}
    wrong = ask("POST", f"{app.issuer}/token", headers=FORM, body=urlencode(form | {"client_secret": "x"}))
    assert (wrong.status, wrong.json["error"]) == (401, "invalid_client")
    right = ask("POST", f"{app.issuer}/token", headers=FORM, body=urlencode(form | {"client_secret": app.secret}))
    assert right.status == 200, right.text


def _unsigned(claims: dict[str, Any]) -> str:
    return ".".join((*(base64url.encode(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)), ""))


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(op: Op) -> None:
    answer = op.request(request=_unsigned({"scope": "openid", "nonce": "another"}))
    assert answer.parameters["error"] == "request_not_supported"
    assert answer.parameters["state"] == op.app.state


def test_oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(op: Op) -> None:
    """Nothing is fetched from the address either: it is nobody's."""
    answer = op.request(request_uri="https://shop.example/request.jwt")
    assert answer.parameters["error"] == "request_uri_not_supported"
    assert answer.parameters["state"] == op.app.state


def test_oidcc_ensure_request_object_with_redirect_uri(op: Op) -> None:
    """A request object never changes where the answer goes."""
    answer = op.request(request=_unsigned({"redirect_uri": "https://evil.example/callback"}))
    assert answer.location.startswith(f"{op.app.redirect_uri}?")
    assert answer.parameters["error"] == "request_not_supported"


def test_oidcc_claims_essential(op: Op) -> None:
    wanted = '{"userinfo": {"name": {"essential": true}}, "id_token": {"email": null}}'
    tokens = op.tokens(scope="openid", claims=wanted)
    assert op.info(tokens)["name"]
    assert "email" not in op.info(tokens)
    assert op.claims(tokens)["email"].endswith("@people.example")
    assert op.request(claims="[]").parameters["error"] == "invalid_request"


def test_oidcc_refresh_token(op: Op, provider: Provider) -> None:
    tokens = op.tokens(scope="openid email offline_access")
    answer = op.app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert answer.status == 200, answer.text
    first, fresh = op.claims(tokens), op.claims(answer.json)
    assert {fresh[name] == first[name] for name in ("iss", "sub", "aud", "auth_time")} == {True}
    assert op.info(answer.json)["email"]
    other = add_client(provider, "other", policy="basic", may_refresh=True)
    stolen = other.token(grant_type="refresh_token", refresh_token=answer.json["refresh_token"])
    assert stolen.json["error"] == "invalid_grant"


def test_oidcc_ensure_request_with_valid_pkce_succeeds(op: Op) -> None:
    code = log_in(op.app, op.soft, op.browser)
    op.claims(op.app.redeem(code).json)
    other = log_in(op.app, op.soft, op.browser, prompt="login")
    assert op.app.redeem(other, code_verifier="x" * 43).json["error"] == "invalid_grant"


def test_oidcc_discovery_endpoint_verification(op: Op) -> None:
    """The configuration plan. Source: OpenID Connect Discovery 1.0 §3, §4.3."""
    issuer = op.app.issuer
    answer = ask("GET", f"{issuer}/.well-known/openid-configuration")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    metadata = answer.json
    assert metadata["issuer"] == issuer
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"):
        assert metadata[name].startswith(f"{issuer}/")
    assert "code" in metadata["response_types_supported"]
    assert "RS256" in metadata["id_token_signing_alg_values_supported"]
    assert set(metadata["subject_types_supported"]) <= {"pairwise", "public"}
    assert "openid" in metadata["scopes_supported"]
    assert metadata["claims_supported"]
    assert metadata["request_uri_parameter_supported"] is False, "the default would be true"
    keys = ask("GET", metadata["jwks_uri"]).json["keys"]
    assert len({key["kid"] for key in keys}) == len(keys)
    assert {"EC", "RSA"} == {key["kty"] for key in keys}
