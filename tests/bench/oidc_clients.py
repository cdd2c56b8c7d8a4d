"""Who logs in: a browser, an app and an agent with an emulated card in a process of their own, at ours or at the peer.

A login is an iterator that yields after each stage, so that many can go through a stage together. Connections are
kept, and an app keeps the keys of its provider, as apps do.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import cast
from unittest.mock import patch
from urllib.parse import urlencode, urljoin, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jose import jwt

from sim_applet_tools.agent.card import sign_with_card
from tests.agent.conftest import PIN, Person, new_person
from tests.agent.ledger import Ledger
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.ledger import coordinates
from tests.oidc.parties import CALLBACK, FORM, Answer, Browser, LoginPage, RelyingParty

TIMEOUT_S = 30.0
_ENROLLED_S = 30 * 86_400  # longer than any run
OURS, PEER = "ours", "peer"
STAGES = {
    OURS: (
        "authorize",
        "login page with consent and QR",
        "challenge fetched",
        "approval",
        "completion",
        "token",
        "UserInfo",
    ),
    PEER: ("authorize", "login and its page", "consent and its page", "token", "UserInfo"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of one login: in all but for the card, of them waiting for the provider, and those of the card."""

    login_s: float
    awaited_s: float
    card_s: float


@dataclass
class Wire:
    """Stands for `ask` of the tests' parties: one connection that is kept, and the time that its answers take."""

    issuer: str
    awaited_s: float = 0.0
    _connection: HTTPConnection | None = None
    _keys: Answer | None = None

    def reconnect(self) -> None:
        """The provider may have closed what was idle."""
        if self._connection is not None:
            self._connection.close()
        parts = urlsplit(self.issuer)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._connection.connect()

    def ask(
        self, method: str, address: str, *, headers: dict[str, str] | None = None, body: bytes | str | None = None
    ) -> Answer:
        parts = urlsplit(address)
        if parts.path == "/jwks" and self._keys is not None:
            return self._keys
        assert self._connection is not None
        begun = time.perf_counter()
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._connection.request(method, path, body=body, headers=headers or {})
        response = self._connection.getresponse()
        content = response.read()
        self.awaited_s += time.perf_counter() - begun
        cookies = response.headers.get_all("Set-Cookie") or []
        answer = Answer(response.status, {name.lower(): it for name, it in response.headers.items()}, content, cookies)
        if parts.path == "/jwks":
            self._keys = answer
        return answer


@dataclass
class CardKey:
    """Signs by the emulated card with its PIN, where the tests' agent expects a key; and keeps the time."""

    person: Person
    spent_s: float = 0.0

    def sign(self, text: bytes, _: object) -> bytes:
        begun = time.perf_counter()
        signature = sign_with_card(self.person.open_card, text, PIN, self.person.key, self.person.seen)
        self.spent_s += time.perf_counter() - begun
        return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def ours(app: RelyingParty, agent: SoftAgent) -> Iterator[None]:
    """Seven requests: one a stage."""
    app, browser = RelyingParty(app.issuer, app.client_id, app.secret, app.redirect_uri), Browser()
    begun = browser.get(app.address())
    assert begun.status == 303, begun.text
    yield
    page = LoginPage(begun.location.partition("?")[0], browser.get(begun.location))
    yield
    challenge = agent.challenge(page)
    yield
    approved = agent.approve(challenge, agent.approval(challenge))
    assert approved.status == 200, approved.text
    yield
    done = browser.get(approved.json["completion_uri"])
    assert done.status == 303, done.text
    yield
    tokens = app.redeem(done.parameters["code"]).json
    claims = app.verify_id_token(tokens["id_token"], tokens["access_token"])
    yield
    info = app.userinfo(tokens["access_token"]).json
    assert info["sub"] == claims["sub"]
    assert info["email"].endswith("@people.example")
    yield


@dataclass
class Jar:
    """A browser for the peer: all cookies to every path, which it does not mind."""

    wire: Wire
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, address: str, fields: dict[str, str] | None = None) -> str:
        """Where the answer leads; empty for a page."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if fields is None:
            answer = self.wire.ask("GET", address, headers=headers)
        else:
            answer = self.wire.ask("POST", address, headers=headers | FORM, body=urlencode(fields))
        assert answer.status in {200, 303}, answer.text
        for cookie in answer.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return urljoin(address, answer.location) if answer.location else ""


def peer(wire: Wire, secret: str) -> Iterator[None]:
    """Nine requests, as many as the peer's own pages take for login and consent."""
    app, jar = RelyingParty(wire.issuer, "shop", secret, CALLBACK), Jar(wire)
    login = jar.ask(f"{wire.issuer}/auth?{urlencode(app.parameters())}")
    yield
    jar.ask(login)
    resume = jar.ask(login, {"prompt": "login", "login": "person", "password": "any"})
    consent = jar.ask(resume)
    yield
    jar.ask(consent)
    back = jar.ask(jar.ask(consent, {"prompt": "consent"}))
    yield
    code = Answer(303, {"location": back}, b"", []).parameters["code"]
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": app.verifier}
    basic = base64.b64encode(f"shop:{secret}".encode()).decode()
    headers = FORM | {"Authorization": f"Basic {basic}"}
    tokens = wire.ask("POST", f"{wire.issuer}/token", headers=headers, body=urlencode(fields)).json
    (key,) = wire.ask("GET", f"{wire.issuer}/jwks").json["keys"]
    claims = jwt.decode(
        tokens["id_token"],
        key,
        algorithms=["ES256"],
        audience="shop",
        issuer=wire.issuer,
        access_token=tokens["access_token"],
        options={f"require_{name}": True for name in ("aud", "iat", "exp", "iss", "sub")},
    )
    assert claims["nonce"] == app.nonce
    yield
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert wire.ask("GET", f"{wire.issuer}/me", headers=headers).json["sub"] == claims["sub"]
    yield


def run(kind: str, pipe: Connection, issuer: str, secret: str, identity: str) -> None:
    """A client's process. After its card's key it answers orders: (`logins`, n) by n samples, (`begin`, n) and then
    (`stage`, 0) until n logins are through, each answered by seconds awaited, (`end`, 0)."""
    wire, card = Wire(issuer), None
    begin: Callable[[], Iterator[None]] = partial(peer, wire, secret)
    with ExitStack() as stack:
        if kind == OURS:
            for module in ("parties", "card_in_software"):
                stack.enter_context(patch(f"tests.oidc.{module}.ask", wire.ask))
            begin, card = _with_card(wire, pipe, secret, identity)
        pipe.send("ready")
        waiting: list[Iterator[None]] = []
        while True:
            order, count = pipe.recv()
            if order == "end":
                return
            wire.reconnect()
            if order == "logins":
                pipe.send([_timed(begin, wire, card) for _ in range(count)])
            elif order == "begin":
                waiting = [begin() for _ in range(count)]
                pipe.send("begun")
            else:
                pipe.send([_step(each, wire) for each in waiting])


def _with_card(
    wire: Wire, pipe: Connection, secret: str, identity: str
) -> tuple[Callable[[], Iterator[None]], CardKey]:
    person = new_person(Ledger(), identity)
    card = CardKey(person)
    pipe.send(coordinates(person.key))
    pipe.recv()  # it is on the ledger
    wire.reconnect()
    agent = SoftAgent(wire.issuer, identity, card=cast(ec.EllipticCurvePrivateKey, card))
    answer = agent.enrol(lambda claims: claims.update(exp=claims["iat"] + _ENROLLED_S))
    assert answer.status == 201, answer.text
    return partial(ours, RelyingParty(wire.issuer, "shop", secret, CALLBACK), agent), card


def _step(login: Iterator[None], wire: Wire) -> float:
    """Seconds that answers were awaited."""
    before = wire.awaited_s
    next(login)
    return wire.awaited_s - before


def _timed(begin: Callable[[], Iterator[None]], wire: Wire, card: CardKey | None) -> Sample:
    card_before, awaited_before, begun = card.spent_s if card else 0.0, wire.awaited_s, time.perf_counter()
    for _ in begin():
        pass
    card_s = (card.spent_s if card else 0.0) - card_before
    return Sample(time.perf_counter() - begun - card_s, wire.awaited_s - awaited_before, card_s)
