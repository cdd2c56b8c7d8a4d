"""An agent whose card is a key in memory, so that it can sign what no card and no honest agent would.

It speaks docs/sim-agent-api.yaml, and shares no code with the provider but base64url.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwe
from joserfc.jwk import ECKey

from identity_oidc import base64url
from sim_applet_tools.agent.app_record import AppRecord
from sim_applet_tools.agent.challenge import parse_challenge
from sim_applet_tools.agent.consent_text import consent_text
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Answer, LoginPage, ask, public_jwk, sign_compact

APPROVAL_HEADER = b'{"alg":"ES256","typ":"tally-approval+jwt"}'
AGENT_HEADER = b'{"alg":"ES256","typ":"tally-agent+jwt"}'
Bend = Callable[[dict[str, Any]], None]


def unbent(_: dict[str, Any]) -> None:
    """Leaves it as it is."""


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def text_shown(challenge: dict[str, Any]) -> str:
    """As the SIM agent makes it."""
    signing_input = challenge["app"].rpartition(".")[0]
    content = json.loads(base64url.parse(signing_input.partition(".")[2]))
    content["verified_domains"] = tuple(content["verified_domains"])
    record = AppRecord(**content, digest=sha256(signing_input.encode()).digest())
    plain = json.dumps(challenge).encode().ljust(16_384)
    return consent_text(parse_challenge(plain, issuer=challenge["issuer"], now=challenge["iat"]), record)


def thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    jwk = public_jwk(key)
    text = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64url.encode(sha256(text.encode()).digest())


@dataclass
class SoftAgent:
    """One agent of one identity. Every field may be bent by a test."""

    issuer: str
    identity: str
    card: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    token: str | None = None
    nonce: str | None = None
    clock: Callable[[], float] = time.time

    @classmethod
    def enrolled(
        cls, issuer: str, ledger: LedgerInMemory, identity: str, clock: Callable[[], float] = time.time
    ) -> SoftAgent:
        agent = cls(issuer, identity, clock=clock)
        ledger.register(identity, agent.card.public_key())
        answer = agent.enrol()
        assert answer.status == 201, answer.text
        return agent

    def enrol(self, bend: Bend = unbent, header: bytes = AGENT_HEADER, label: str = "a test") -> Answer:
        now = int(self.clock())
        claims = {
            "iss": self.identity,
            "aud": self.issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 3_600,
            "cnf": {"jkt": thumbprint(self.key)},
        }
        bend(claims)
        body = {"agent": sign_compact(self.card, header, rfc8785.dumps(claims)), "label": label}
        self.token = None
        answer = self.call("POST", "/enrolments", body)
        if answer.status == 201:
            self.token = answer.json["access_token"]
        return answer

    def proof(self, method: str, path: str, bend: Bend = unbent, bend_header: Bend = unbent) -> str:
        header: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(self.key)}
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": f"{self.issuer}/agent/v1{path}",
            "iat": int(self.clock()),
        }
        if self.nonce:
            claims["nonce"] = self.nonce
        if self.token:
            claims["ath"] = base64url.encode(sha256(self.token.encode()).digest())
        bend(claims)
        bend_header(header)
        return sign_compact(self.key, json.dumps(header).encode(), json.dumps(claims).encode())

    def call(self, method: str, path: str, body: object = None, proof: str | None = None) -> Answer:
        """One call, repeated once where the provider asks for its nonce (unless the proof is given)."""
        answer = self._send(method, path, body, proof or self.proof(method, path))
        if proof is None and 'error="use_dpop_nonce"' in answer.headers.get("www-authenticate", ""):
            answer = self._send(method, path, body, self.proof(method, path))
        return answer

    def fetch(self, page: LoginPage, mode: str = "local", handle: str = "", language: str = "en") -> Answer:
        body = {"handle": handle or page.handle, "language": language}
        if mode == "local":
            body["local_secret"] = page.local_secret
        return self.call("POST", "/challenges/fetch", body)

    def challenge(self, page: LoginPage, mode: str = "local", handle: str = "") -> dict[str, Any]:
        answer = self.fetch(page, mode, handle)
        assert answer.status == 200, answer.text
        return self.decrypt(answer.json["challenge"])

    def decrypt(self, text: str) -> dict[str, Any]:
        key = ECKey.import_key(self.key)
        plain = jwe.decrypt_compact(text, key, algorithms=["ECDH-ES", "A256GCM"]).plaintext
        assert plain is not None
        assert len(plain) == 16_384
        content: dict[str, Any] = json.loads(plain)
        return content

    def approval(
        self,
        challenge: dict[str, Any],
        refused: tuple[str, ...] = (),
        code: str = "",
        *,
        bend_context: Bend = unbent,
        bend_claims: Bend = unbent,
        header: bytes = APPROVAL_HEADER,
        card: ec.EllipticCurvePrivateKey | None = None,
    ) -> dict[str, Any]:
        """The body of an approval."""
        request = challenge["request"]
        names = [item["name"] for item in request["items"]]
        granted = [name for name in names if name not in refused]
        record_input = challenge["app"].rpartition(".")[0].encode()
        context = {
            "acr": request["acr"],
            "app_record": base64url.encode(sha256(record_input).digest()),
            "authorization_details": request["authorization_details"],
            "claims_granted": granted,
            "claims_refused": sorted(refused),
            "claims_requested": request["items"],
            "client_id": request["client_id"],
            "code": code,
            "code_challenge": request["code_challenge"],
            "grant_expires_at": request["grant_expires_at"],
            "kind": challenge["kind"],
            "language": challenge["language"],
            "mode": challenge["mode"],
            "nonce": request["nonce"],
            "purpose": request["purpose"],
            "redirect_uri": request["redirect_uri"],
            "scope": request["scope"],
            "session": challenge["session"]["digest"],
            "sso_seconds": request["sso_seconds"],
            "sub": challenge["sub"],
            "text_digest": base64url.encode(sha256(text_shown(challenge).encode()).digest()),
        }
        bend_context(context)
        leaf = b"".join(
            sha256(part.encode()).digest() for part in (context["client_id"], context["sub"], context["nonce"])
        )
        now = int(self.clock())
        claims = {
            "iss": self.identity,
            "aud": challenge["issuer"],
            "jti": challenge["challenge_id"],
            "iat": now,
            "exp": min(now + 60, challenge["exp"]),
            "ctx": base64url.encode(sha256(base64url.parse(challenge["ctx_salt"]) + rfc8785.dumps(context)).digest()),
            "leaf": base64url.encode(sha256(b"tally-leaf-1" + base64url.parse(challenge["leaf_salt"]) + leaf).digest()),
        }
        bend_claims(claims)
        body = {
            "approval": sign_compact(card or self.card, header, rfc8785.dumps(claims)),
            "granted": granted,
            "refused": sorted(refused),
        }
        return body | ({"code": code} if code else {})

    def approve(self, challenge: dict[str, Any], body: dict[str, Any]) -> Answer:
        return self.call("POST", f"/challenges/{challenge['challenge_id']}/approval", body)

    def _send(self, method: str, path: str, body: object, proof: str) -> Answer:
        headers = {"DPoP": proof, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"DPoP {self.token}"
        content = None if body is None else json.dumps(body)
        answer = ask(method, f"{self.issuer}/agent/v1{path}", headers=headers, body=content)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer
