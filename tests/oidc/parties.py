"""The parties of a login: a member that admits apps, a browser, and an app that verifies with python-jose."""

from __future__ import annotations

import base64
import html
import http.client
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from jose import jwt
from sqlalchemy import insert

from identity_oidc import base64url
from identity_oidc.authentication.jws import thumbprint
from identity_oidc.authentication.session import COOKIE
from identity_oidc.provider import Provider
from identity_oidc.store.schema import CLIENTS

MEMBER_KEY = ec.generate_private_key(ec.SECP256R1())
CALLBACK = "https://shop.example/callback"
ITEMS = {
    "email": {"en": "to send the receipt", "zh": "发送收据"},
    "email_verified": {},
    "name": {"en": "to address you", "zh": "称呼您"},
    "phone_number": {"en": "for the courier", "zh": "供快递员使用"},
}


def public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    x, y = (base64url.encode(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def sign_compact(key: ec.EllipticCurvePrivateKey, header: bytes, payload: bytes) -> str:
    text = f"{base64url.encode(header)}.{base64url.encode(payload)}"
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
    return f"{text}.{base64url.encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def members() -> list[dict[str, Any]]:
    return [{"member": 1, "name": "Example Telecom", "keys": [public_jwk(MEMBER_KEY)]}]


def make_record(client_id: str = "shop", **changes: Any) -> str:
    now = int(time.time())
    record = {
        "client_id": client_id,
        "name": "Corner Shop",
        "verified_domains": ["shop.example"],
        "sector": "shop.example",
        "logo_digest": "",
        "is_native": False,
        "member": 1,
        "member_name": "Example Telecom",
        "iat": now - 60,
        "exp": now + 86_400,
    } | changes
    header = {"alg": "ES256", "kid": thumbprint(public_jwk(MEMBER_KEY)), "typ": "app-registration+jwt"}
    return sign_compact(MEMBER_KEY, rfc8785.dumps(header), rfc8785.dumps(record))


def add_client(
    provider: Provider, client_id: str = "shop", *, record: dict[str, Any] | None = None, **registration: Any
) -> RelyingParty:
    """Register an app as the command does; the app, with its secret."""
    secret = secrets.token_urlsafe(32)
    content = {"redirect_uris": [CALLBACK], "items": ITEMS} | registration
    now = int(provider.clock())
    with provider.database.writing() as connection:
        row = {
            "client_id": client_id,
            "registration": content,
            "record": make_record(client_id, **(record or {})),
            "secret_hash": base64url.digest(secret),
            "is_active": True,
            "created_at": now,
            "updated_at": now,
        }
        connection.execute(insert(CLIENTS).values(row))
    return RelyingParty(provider.config.issuer, client_id, secret, content["redirect_uris"][0])


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    cookies: list[str]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @property
    def parameters(self) -> dict[str, str]:
        """Of the address that the answer leads to."""
        return dict(parse_qsl(urlsplit(self.location).query, keep_blank_values=True))


def ask(method: str, address: str, *, headers: dict[str, str] | None = None, body: bytes | str | None = None) -> Answer:
    """One request over a connection of its own; no redirect is followed."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        cookies = response.headers.get_all("Set-Cookie") or []
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, found, response.read(), cookies)
    finally:
        connection.close()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Browser:
    """Keeps the session cookie as a browser does over https, and sends it to this provider only."""

    cookie: str | None = None
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

    def get(self, address: str) -> Answer:
        return self._kept(ask("GET", address, headers=self._headers()))

    def post(self, address: str, fields: dict[str, str], **headers: str) -> Answer:
        return self._kept(ask("POST", address, headers=self._headers() | FORM | headers, body=urlencode(fields)))

    def _headers(self) -> dict[str, str]:
        return {"User-Agent": self.user_agent} | ({"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {})

    def _kept(self, answer: Answer) -> Answer:
        for cookie in answer.cookies:
            if match := re.match(rf"{COOKIE}=([^;]*)", cookie):
                assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
                assert "Domain" not in cookie
                self.cookie = match[1]
        return answer


@dataclass
class LoginPage:
    """What the login page gives to agents and to its own forms."""

    address: str
    answer: Answer

    def _field(self, name: str) -> str:
        match = re.search(rf'name="{name}" value="([^"]*)"', self.answer.text)
        assert match, name
        return html.unescape(match[1])

    @property
    def request_id(self) -> str:
        return urlsplit(self.address).path.rpartition("/")[2]

    @property
    def handle(self) -> str:
        return self._field("handle")

    @property
    def local_secret(self) -> str:
        return self._field("local_secret")

    @property
    def csrf_token(self) -> str:
        return self._field("csrf_token")

    @property
    def code(self) -> str:
        match = re.search(r'class="code">([0-9]{6})<', self.answer.text)
        assert match
        return match[1]


@dataclass
class RelyingParty:
    """An app with a server: code flow with PKCE and nonce; ID Tokens checked by python-jose."""

    issuer: str
    client_id: str
    secret: str
    redirect_uri: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    def parameters(self, **changes: str | None) -> dict[str, str]:
        wanted: dict[str, str | None] = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": "openid email",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64url.encode(sha256(self.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (wanted | changes).items() if value is not None}

    def address(self, **changes: str | None) -> str:
        return f"{self.issuer}/authorize?{urlencode(self.parameters(**changes))}"

    def begin(self, browser: Browser, **changes: str | None) -> LoginPage:
        answer = browser.get(self.address(**changes))
        assert answer.status == 303, answer.text
        assert answer.location.startswith(f"{self.issuer}/login/"), answer.location
        return LoginPage(answer.location.partition("?")[0], browser.get(answer.location))

    def basic(self) -> dict[str, str]:
        value = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        return FORM | {"Authorization": f"Basic {value}"}

    def token(self, **fields: str | None) -> Answer:
        content = {name: value for name, value in fields.items() if value is not None}
        return ask("POST", f"{self.issuer}/token", headers=self.basic(), body=urlencode(content))

    def redeem(self, code: str, **changes: str | None) -> Answer:
        wanted: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return self.token(**(wanted | changes))

    def verify_id_token(self, token: str, access_token: str, algorithm: str = "ES256") -> dict[str, Any]:
        """As the relying-party kit does: a fixed algorithm, JWK keys, everything required."""
        keys = ask("GET", f"{self.issuer}/jwks").json
        kid = jwt.get_unverified_header(token)["kid"]
        key = next(each for each in keys["keys"] if each["kid"] == kid)
        options = {f"require_{name}": True for name in ("aud", "iat", "exp", "iss", "sub", "at_hash")}
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self.client_id,
            issuer=self.issuer,
            access_token=access_token,
            options=options,
        )
        assert claims["nonce"] == self.nonce
        return claims

    def userinfo(self, access_token: str) -> Answer:
        return ask("GET", f"{self.issuer}/userinfo", headers={"Authorization": f"Bearer {access_token}"})

    def ask(self, endpoint: str, **fields: str) -> Answer:
        return ask("POST", f"{self.issuer}/{endpoint}", headers=self.basic(), body=urlencode(fields))
