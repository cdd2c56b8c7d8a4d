"""The sample app against the real provider, a person approving with the emulated card; and what the app refuses."""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from jose import jwt as jose_jwt
from joserfc import jwt
from joserfc.jwk import ECKey
from sqlalchemy import select
from werkzeug.serving import make_server

from examples.relying_party.app import COOKIE, Settings, create_app
from examples.relying_party.provider import Attempt, OpenIdProvider
from examples.relying_party.verification import LOGOUT_EVENT, NotTrustedError, ProviderKeys, Verifier
from identity_oidc import base64url
from identity_oidc.authentication.session import find_session
from identity_oidc.config import EgressSettings
from identity_oidc.egress import Egress
from identity_oidc.logout.delivery import Delivery
from identity_oidc.provider import Provider
from identity_oidc.store.schema import CLIENT_SESSIONS
from identity_oidc.tokens.id_token import sign
from sim_applet_tools.agent.agent import Agent
from tests.agent.conftest import PIN
from tests.oidc.conftest import listening
from tests.oidc.parties import Answer, Browser, LoginPage, add_client
from tests.oidc.tls import Loopback, TlsBrowser, make_loopback_certificate


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Loopback:
    return make_loopback_certificate(tmp_path_factory.mktemp("tls"))


@dataclass
class Shop:
    """The sample app on a port of its own, and the person's browser there and at the provider."""

    address: str
    client_id: str
    visitor: TlsBrowser
    browser: Browser
    provider: Provider
    agent: Agent

    def begin(self) -> str:
        """The address at the provider where a login begins."""
        answer = self.visitor.post(f"{self.address}/login", {})
        assert answer.status == 303
        return answer.location

    def approve(self, address: str, refused: tuple[str, ...] = ()) -> Answer:
        """The provider's answer that leads back to the app."""
        shown = self.browser.get(address)
        page = LoginPage(shown.location.partition("?")[0], self.browser.get(shown.location))
        prompt = self.agent.open(page.handle, page.local_secret, "en")
        outcome = self.agent.approve(prompt, PIN, refused)
        assert outcome.completion_uri is not None
        return self.browser.get(outcome.completion_uri)

    def log_in(self, refused: tuple[str, ...] = ()) -> Answer:
        done = self.approve(self.begin(), refused)
        return self.visitor.get(done.location)

    def orders(self) -> Answer:
        return self.visitor.get(f"{self.address}/orders")


@contextmanager
def serving_tls(app: Flask, listener: Any, loopback: Loopback) -> Iterator[None]:
    server = make_server(
        "127.0.0.1",
        0,
        app,
        threaded=True,
        fd=listener.fileno(),
        ssl_context=(str(loopback.certificate), str(loopback.key)),
    )
    server.daemon_threads = True  # type: ignore[attr-defined]  # of the threaded one
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shop(provider: Provider, agent: Agent, loopback: Loopback, tmp_path: Path) -> Iterator[Shop]:
    with listening() as (listener, port):
        address = f"https://shop.localhost:{port}"
        party = add_client(
            provider,
            "shop",
            record={"verified_domains": ["shop.localhost"]},
            redirect_uris=[f"{address}/callback"],
            post_logout_redirect_uris=[f"{address}/"],
            backchannel_logout_uri=f"{address}/backchannel-logout",
        )
        (tmp_path / "secret").write_text(party.secret)
        app = create_app(Settings(provider.issuer, "shop", str(tmp_path / "secret"), address))
        with serving_tls(app, listener, loopback):
            visitor = TlsBrowser(loopback.certificate)
            yield Shop(address, "shop", visitor, Browser(), provider, agent)
            visitor.close()


def test_a_person_logs_in_sees_the_protected_page_and_logs_out(shop: Shop) -> None:
    assert "Log in with your SIM" in shop.visitor.get(f"{shop.address}/").text
    assert shop.orders().status == 401
    answer = shop.log_in()
    assert (answer.status, answer.location) == (303, "/orders")
    assert "@people.example" in shop.orders().text
    out = shop.visitor.post(f"{shop.address}/logout", {})
    assert out.location.startswith(f"{shop.provider.issuer}/logout?")
    assert shop.orders().status == 401
    asked = shop.browser.get(out.location)
    assert asked.status == 200, asked.text


def test_a_person_who_refuses_the_mail_address_is_logged_in_all_the_same(shop: Shop) -> None:
    assert shop.log_in(refused=("email", "email_verified")).status == 303
    assert "not given" in shop.orders().text


def test_a_logout_at_the_provider_ends_the_session_at_the_app(shop: Shop, loopback: Loopback) -> None:
    shop.log_in()
    assert shop.orders().status == 200
    session = LoginPage("", shop.browser.get(f"{shop.provider.issuer}/logout"))
    done = shop.browser.post(f"{shop.provider.issuer}/logout/confirm", {"csrf_token": session.csrf_token})
    assert done.status == 200
    assert shop.orders().status == 200, "the app was not told yet"
    settings = EgressSettings(private_networks=("127.0.0.0/8",), ca_file=loopback.certificate)
    egress = Egress(settings, lambda *_: ["127.0.0.1"])
    assert Delivery(shop.provider, egress).run() == 1
    assert shop.orders().status == 401


def test_a_notice_ends_the_login_that_it_names_alone_and_once(shop: Shop, loopback: Loopback) -> None:
    other = replace(shop, visitor=TlsBrowser(loopback.certificate), browser=Browser())
    try:
        for each in (shop, other):
            assert each.log_in().location == "/orders"
        with shop.provider.database.reading() as connection:
            session = find_session(connection, shop.browser.cookie, shop.provider.now())
            assert session is not None
            mine = CLIENT_SESSIONS.c.session_id == session.session_id
            row = connection.execute(select(CLIENT_SESSIONS).where(mine)).mappings().one()
        now = shop.provider.now()
        claims = {"iss": shop.provider.issuer, "aud": "shop", "iat": now, "exp": now + 120, "jti": "1", **NOTICE_EVENTS}
        token = sign(shop.provider.keys, "ES256", "logout+jwt", claims | {"sub": row["sub"], "sid": row["sid"]})

        def tell(text: str) -> int:
            return shop.visitor.post(f"{shop.address}/backchannel-logout", {"logout_token": text}).status

        assert tell(f"{token}x") == 400
        assert shop.orders().status == 200
        assert tell(token) == 200
        assert (shop.orders().status, other.orders().status) == (401, 200)
        assert shop.log_in().location == "/orders"  # in the same session of the provider's: of the same sid
        assert tell(token) == 400, "the notice is known"
        assert shop.orders().status == 200
    finally:
        other.visitor.close()


@pytest.mark.parametrize(
    "bend",
    [
        lambda answer: answer | {"state": "x" * 32},
        lambda answer: answer | {"iss": "https://evil.example"},
        lambda answer: {name: value for name, value in answer.items() if name != "iss"},
        lambda answer: answer | {"code": "x" * 43},
        lambda answer: {"error": "access_denied", "state": answer["state"], "iss": answer["iss"]},
        # The mistake of R-ID-7: an app that takes who it is from what the browser or phone relays.
        lambda answer: {"sub": "somebody", "user_id": "somebody", "state": answer["state"], "iss": answer["iss"]},
    ],
)
def test_the_callback_believes_nothing_but_its_own_code(
    shop: Shop, bend: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    done = shop.approve(shop.begin())
    parameters = bend(done.parameters)
    answer = shop.visitor.get(f"{shop.address}/callback?{urlencode(parameters)}")
    assert answer.status == 403
    assert shop.orders().status == 401
    again = shop.visitor.get(done.location)
    assert again.status == 400, "an attempt is good once"


class SwappedToken(OpenIdProvider):
    """An app whose access token somebody exchanged for that of another login."""

    other = ""

    def _user_information(self, access_token: str) -> dict[str, Any]:
        return super()._user_information(self.other or access_token)


def test_data_about_somebody_else_is_not_believed(provider: Provider, shop: Shop) -> None:
    """Source: OpenID Connect Core §5.3.2, "token substitution"."""
    elsewhere = add_client(provider, "elsewhere", record={"sector": "elsewhere.example"})
    code = shop.approve(elsewhere.address()).parameters["code"]
    party = add_client(provider, "party")
    kit = SwappedToken(provider.issuer, "party", party.secret, party.redirect_uri)
    try:
        for kit.other in ("", elsewhere.redeem(code).json["access_token"]):
            attempt = Attempt()
            answer = shop.approve(kit.login_address(attempt, "openid email")).parameters
            if kit.other:
                with pytest.raises(NotTrustedError, match="another person"):
                    kit.redeem(attempt, answer)
            else:
                assert kit.redeem(attempt, answer).data["email"]
    finally:
        kit.close()


def test_metadata_of_another_issuer_is_not_believed(provider: Provider) -> None:
    OpenIdProvider(provider.issuer, "shop", None, "https://shop.example/callback").close()
    same_place = provider.issuer.replace("127.0.0.1", "localhost")
    with pytest.raises(NotTrustedError, match="another provider"):
        OpenIdProvider(same_place, "shop", None, "https://shop.example/callback")


def test_another_browser_cannot_end_a_login_nor_be_made_to(shop: Shop, loopback: Loopback) -> None:
    done = shop.approve(shop.begin())
    stranger = TlsBrowser(loopback.certificate)
    try:
        assert stranger.get(done.location).status == 400
        stranger.post(f"{shop.address}/login", {})
        assert stranger.get(done.location).status == 403, "a code of somebody else's login is not taken (login CSRF)"
        assert stranger.get(f"{shop.address}/orders").status == 401
    finally:
        stranger.close()


def test_a_session_id_that_was_planted_is_worth_nothing(shop: Shop) -> None:
    address = shop.begin()
    before = shop.visitor.session.cookies.get(COOKIE)
    shop.visitor.get(shop.approve(address).location)
    assert shop.visitor.session.cookies.get(COOKIE) != before
    assert shop.orders().status == 200


ISSUER = "https://id.example"
KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
ACCESS_TOKEN = "an access token"
# Times are in seconds from when the token is made: a whole run of the suite is longer than a token lives.
GOOD = {
    "iss": ISSUER,
    "aud": "shop",
    "sub": "a person",
    "iat": 0,
    "exp": 300,
    "nonce": "ours",
    "sid": "a login",
}
NOTICE = {"iss": ISSUER, "aud": "shop", "sub": "a person", "iat": 0, "exp": 120, "jti": "1"}
NOTICE_EVENTS = {"events": {LOGOUT_EVENT: {}}}


class KeysInMemory(ProviderKeys):
    """The provider's one key."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def find(self, kid: object) -> dict[str, Any]:
        self.asked.append(kid)
        if kid != "one":
            raise NotTrustedError("unknown key")
        return dict(KEY.as_dict(private=False))


def dated(claims: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return claims | {name: now + claims[name] for name in ("iat", "exp") if name in claims}


def signed(claims: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    full = {"alg": "ES256", "kid": "one", "typ": "JWT"} | header
    return jwt.encode(full, dated(claims), key, algorithms=[full["alg"]])


def id_token(**changes: Any) -> str:
    digest = jose_at_hash()
    claims = GOOD | {"at_hash": digest} | changes
    return signed({name: value for name, value in claims.items() if value is not None})


def jose_at_hash() -> str:
    private = KEY.as_dict(private=True)
    text = jose_jwt.encode({}, private, algorithm="ES256", access_token=ACCESS_TOKEN)
    return str(jose_jwt.get_unverified_claims(text)["at_hash"])


def by_public_key(claims: dict[str, Any], encoding: Encoding) -> str:
    """Signed by HMAC whose secret is what everybody knows: the provider's public key."""
    public = KEY.public_key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    header = base64url.encode(json.dumps({"alg": "HS256", "kid": "one", "typ": "JWT"}).encode())
    text = f"{header}.{base64url.encode(json.dumps(dated(claims)).encode())}"
    return f"{text}.{base64url.encode(hmac.digest(public, text.encode(), 'sha256'))}"


def verify(text: str) -> dict[str, Any]:
    return Verifier(ISSUER, "shop", KeysInMemory()).id_token(text, nonce="ours", access_token=ACCESS_TOKEN)


def test_a_good_id_token_is_taken() -> None:
    assert verify(id_token())["sub"] == "a person"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["shop", "another"]},
        {"exp": -120},
        {"iat": 3_600},
        {"nonce": "another"},
        {"at_hash": "x" * 22},
        *({name: None} for name in ("iss", "aud", "exp", "iat", "sub", "nonce", "at_hash")),
    ],
)
def test_an_id_token_with_a_claim_that_is_wrong_or_missing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NotTrustedError):
        verify(id_token(**changes))


def test_an_id_token_by_another_algorithm_key_or_kind_is_refused() -> None:
    claims = GOOD | {"at_hash": jose_at_hash()}
    other = ECKey.generate_key("P-256")
    none = ".".join((signed(claims).split(".")[0], signed(claims).split(".")[1], ""))
    for text in (
        by_public_key(claims, Encoding.DER),
        by_public_key(claims, Encoding.PEM),
        signed(claims, other),
        signed(claims, other, jku="https://evil.example/keys", jwk=other.as_dict(private=False)),
        signed(claims, kid="two"),
        signed(claims, typ="logout+jwt"),
        none,
        "a.b.c",
        "x" * 20_000,
    ):
        with pytest.raises(NotTrustedError):
            verify(text)


def notice(text: str) -> dict[str, Any]:
    return Verifier(ISSUER, "shop", KeysInMemory()).logout_token(text)


def test_a_logout_token_is_taken_and_nothing_that_only_looks_like_one() -> None:
    good = NOTICE | NOTICE_EVENTS
    assert notice(signed(good, typ="logout+jwt"))["sub"] == "a person"
    bad: list[dict[str, Any]] = [
        NOTICE,
        good | {"events": {}},
        good | {"events": {LOGOUT_EVENT: None}},
        good | {"nonce": "ours"},
        good | {"aud": "another"},
        good | {"exp": -120},
        {name: value for name, value in good.items() if name != "sub"},
        {name: value for name, value in good.items() if name != "jti"},
    ]
    for claims in bad:
        with pytest.raises(NotTrustedError):
            notice(signed(claims, typ="logout+jwt"))
    with pytest.raises(NotTrustedError):
        notice(signed(good))
