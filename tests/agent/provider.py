"""A provider for tests of the agent: serves docs/sim-agent-api.yaml over HTTP and verifies what the real one verifies.

`begin` starts a login as an app's request would; the hand-over form, link, QR text, code and cookie of its page are in
the `Login` that it returns. What it sends can be bent by `bend_*`, to see the agent refuse.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwe
from joserfc.jwk import ECKey

from sim_applet_tools.errors import WatchUnavailableError
from tests.agent.ledger import Ledger
from tests.agent.provider_checks import (
    RefusedError,
    b64,
    card_claims,
    context_of,
    ctx_of,
    is_signed,
    jcs,
    leaf_of,
    proof_key,
    sha256,
)

PLAIN_BYTES = 16_384
CHALLENGE_S = 120
TRIES = 3
Bend = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


@dataclass
class Login:
    """One login as its page knows it. `cookie` is the browser session's secret; `challenge` what is to be signed."""

    challenge: dict[str, Any]
    cookie: str
    local_handle: str
    local_secret: str
    remote_handle: str
    inbox_handle: str
    code: str
    tries: int = TRIES
    agent: str | None = None
    state: str = "open"
    approval: str = ""
    completion: str = ""
    identity: str | None = None
    refusal: str = ""

    def link(self, *, local: bool) -> str:
        values = {"issuer": self.challenge["issuer"], "handle": self.local_handle if local else self.remote_handle}
        if local:
            values["local_secret"] = self.local_secret
        return f"tally-agent://login?{urlencode(values)}"


@dataclass
class AgentOf:
    identity: str
    key: ECKey
    jkt: str
    token: str
    label: str


@dataclass
class Provider:
    """State and rules; `serve` puts it on a port."""

    ledger: Ledger
    issuer: str = ""
    member: int = 1
    member_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    loopback_port: int = 28_466
    wants_nonce: bool = True
    clock: Callable[[], float] = time.time
    bend_challenge: Bend = _same
    bend_plain: Bend = _same
    bend_jwe: Bend = _same
    bend_answer: Bend = _same
    agents: dict[str, AgentOf] = field(default_factory=dict)
    logins: list[Login] = field(default_factory=list)
    holds: list[tuple[str, str]] = field(default_factory=list)
    blocked: set[tuple[str, str]] = field(default_factory=set)
    known_browsers: set[tuple[str, str]] = field(default_factory=set)
    proofs_seen: set[str] = field(default_factory=set)
    enrolments_seen: set[str] = field(default_factory=set)
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    looks: threading.Condition = field(default_factory=threading.Condition)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def record(self, **changes: Any) -> dict[str, Any]:
        now = int(self.clock())
        return {
            "client_id": "app-1",
            "name": "Corner Shop",
            "verified_domains": ["shop.example", "pay.shop.example"],
            "sector": "shop.example",
            "logo_digest": "",
            "is_native": False,
            "member": self.member,
            "member_name": "Example Telecom",
            "iat": now - 1000,
            "exp": now + 86_400,
            **changes,
        }

    def sign_record(
        self, record: dict[str, Any], *, key: ec.EllipticCurvePrivateKey | None = None, **header: Any
    ) -> str:
        from joserfc import jws  # noqa: PLC0415
        from joserfc.jws import JWSRegistry  # noqa: PLC0415

        signer = ECKey.import_key(key or self.member_key)
        full = {"alg": "ES256", "kid": signer.thumbprint(), "typ": "app-registration+jwt", **header}
        registry = JWSRegistry(algorithms=["ES256"], strict_check_header=False)
        return jws.serialize_compact(full, jcs(record), signer, registry=registry)

    def begin(
        self,
        *,
        app: str | None = None,
        mode: str = "local",
        kind: str = "login",
        sub: str = "sub-of-app-1",
        session_is_known: bool = True,
        lifetime_s: int = CHALLENGE_S,
        **changes: Any,
    ) -> Login:
        """A login that waits for an agent; `changes` replace members of the request."""
        cookie = secrets.token_urlsafe(32)
        request = {
            "client_id": "app-1",
            "redirect_uri": "" if mode == "ciba" else "https://www.shop.example/callback",
            "scope": "openid profile",
            "items": [
                {"name": "email", "purpose": "to send you the receipt", "essential": True},
                {"name": "name", "purpose": "to greet you", "essential": False},
                {"name": "phone_number", "purpose": "", "essential": False},
            ],
            "purpose": "to keep your basket",
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": b64(sha256(b"verifier")),
            "acr": f"urn:tally:acr:{mode}",
            "grant_expires_at": int(self.clock()) + 86_400,
            "sso_seconds": 600,
            "authorization_details": [],
            **changes,
        }
        now = int(self.clock())
        challenge = {
            "challenge_id": secrets.token_urlsafe(16),
            "issuer": self.issuer,
            "iat": now,
            "exp": now + lifetime_s,
            "kind": kind,
            "mode": mode,
            "app": app or self.sign_record(self.record()),
            "request": request,
            "sub": sub,
            "session": {
                "digest": b64(sha256(cookie.encode())),
                "browser": "" if mode == "ciba" else "Firefox on Linux",
                "is_known": session_is_known,
            },
            "language": "en",
            "ctx_salt": b64(secrets.token_bytes(32)),
            "leaf_salt": b64(secrets.token_bytes(32)),
        }
        random = [secrets.token_urlsafe(16) for _ in range(4)]
        login = Login(challenge, cookie, *random, code=f"{secrets.randbelow(10**6):06}")
        with self.lock:
            self.logins.append(login)
        return login

    def configuration(self) -> dict[str, Any]:
        key = ECKey.import_key(self.member_key.public_key())
        jwk = {name: key.as_dict()[name] for name in ("kty", "crv", "x", "y")}
        return {
            "issuer": self.issuer,
            "api_version": 1,
            "member": self.member,
            "members": [{"member": self.member, "name": "Example Telecom", "keys": [jwk]}],
            "challenge_bytes": PLAIN_BYTES,
            "max_enrolment_s": 34_560_000,
            "loopback_port": self.loopback_port,
            "wake": True,
            "languages": ["en", "zh"],
        }

    # --- who calls

    def _proof(self, headers: Any, method: str, path: str, token: str | None) -> tuple[str, ECKey]:
        jkt, claims, key = proof_key(headers.get("DPoP", ""), method, self.issuer + path, self.clock())
        if self.wants_nonce and claims.get("nonce") != self.nonce:
            raise RefusedError(401, "use_dpop_nonce")
        if token is not None and claims.get("ath") != b64(sha256(token.encode())):
            raise RefusedError(401, "invalid_dpop_proof")
        if claims["jti"] in self.proofs_seen:
            raise RefusedError(401, "invalid_dpop_proof")
        self.proofs_seen.add(claims["jti"])
        return jkt, key

    def caller(self, headers: Any, method: str, path: str) -> AgentOf:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        agent = self.agents.get(token)
        if scheme != "DPoP" or agent is None:
            raise RefusedError(401, "invalid_token")
        jkt, _ = self._proof(headers, method, path, token)
        if jkt != agent.jkt:
            raise RefusedError(401, "invalid_dpop_proof")
        return agent

    # --- the calls

    def enrol(self, headers: Any, body: dict[str, Any]) -> dict[str, Any]:
        jkt, key = self._proof(headers, "POST", "/agent/v1/enrolments", None)
        claims = card_claims(body["agent"], "tally-agent+jwt", {"iss", "aud", "jti", "iat", "exp", "cnf"})
        now = self.clock()
        if claims["aud"] != self.issuer or not now - 120 <= claims["iat"] <= now + 60:
            raise RefusedError(400, "malformed-approval")
        if not now < claims["exp"] <= claims["iat"] + 34_560_000 or claims["cnf"] != {"jkt": jkt}:
            raise RefusedError(400, "malformed-approval")
        if claims["jti"] in self.enrolments_seen:
            raise RefusedError(400, "malformed-approval")
        self._verify_identity(claims["iss"], body["agent"])
        self.enrolments_seen.add(claims["jti"])
        token = secrets.token_urlsafe(32)
        self.agents[token] = AgentOf(claims["iss"], key, jkt, token, body["label"])
        return {
            "agent_id": secrets.token_urlsafe(16),
            "access_token": token,
            "token_type": "DPoP",
            "expires_at": claims["exp"],
        }

    def _verify_identity(self, identity: str, jws: str) -> None:
        try:
            sight = self.ledger.look(identity)
        except WatchUnavailableError:
            raise RefusedError(503, "ledger-stale") from None
        if not sight.keys:
            raise RefusedError(403, "identity-not-active")
        point = b"\x04" + sight.keys[-1].x + sight.keys[-1].y
        if not is_signed(jws, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)):
            raise RefusedError(400, "signature-invalid")
        if sight.state != "active":
            raise RefusedError(403, "identity-not-active")

    def fetch(self, agent: AgentOf, body: dict[str, Any]) -> dict[str, Any]:
        login = next((each for each in self.logins if body["handle"] in _handles(each)), None)
        if login is None or self.clock() >= login.challenge["exp"]:
            raise RefusedError(404, "unknown-challenge")
        is_local = body["handle"] == login.local_handle
        if is_local != ("local_secret" in body) or (is_local and body["local_secret"] != login.local_secret):
            raise RefusedError(404, "unknown-challenge")
        if (agent.identity, login.challenge["request"]["client_id"]) in self.blocked:
            raise RefusedError(404, "unknown-challenge")
        if login.agent not in {None, agent.token}:
            raise RefusedError(409, "challenge-taken")
        login.agent = agent.token
        login.challenge["language"] = body["language"]
        plain = json.dumps(self.bend_challenge(json.loads(json.dumps(login.challenge)))).encode().ljust(PLAIN_BYTES)
        header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": agent.jkt}
        sealed = jwe.encrypt_compact(header, self.bend_plain(plain), agent.key, algorithms=["ECDH-ES", "A256GCM"])
        return {"challenge": self.bend_jwe(sealed)}

    def approve(self, agent: AgentOf, challenge_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """The order of checks of the agent API."""
        login = self._login_of(agent, challenge_id)
        challenge, now = login.challenge, self.clock()
        if now >= challenge["exp"]:
            raise RefusedError(410, "challenge-expired")
        if not login.cookie:
            raise RefusedError(409, "session-unbound")
        code = body.get("code", "")
        if challenge["mode"] == "remote" and not secrets.compare_digest(code, login.code):
            login.tries -= 1
            if login.tries == 0:
                login.state = "refused"
            raise RefusedError(422, "wrong-code", tries_left=login.tries)
        try:
            self.verify_approval(agent, login, body, code, now)
        except RefusedError as error:
            if error.code in {"malformed-approval", "context-mismatch", "signature-invalid"}:
                login.state = "refused"
            raise
        login.state, login.approval, login.identity = "approved", body["approval"], agent.identity
        login.completion = secrets.token_urlsafe(16)
        self.known_browsers.add((agent.identity, login.cookie))
        answer = {"status": "approved"}
        if challenge["mode"] == "local":
            answer["completion_uri"] = f"{self.issuer}/complete?{urlencode({'c': login.completion})}"
        return answer

    def verify_approval(self, agent: AgentOf, login: Login, body: dict[str, Any], code: str, now: float) -> None:
        challenge = login.challenge
        names = {"iss", "aud", "jti", "iat", "exp", "ctx", "leaf"}
        claims = card_claims(body["approval"], "tally-approval+jwt", names)
        fits = claims["aud"] == self.issuer and claims["iss"] == agent.identity
        if not fits or claims["jti"] != challenge["challenge_id"]:
            raise RefusedError(400, "malformed-approval")
        in_time = claims["iat"] - 60 <= now < claims["exp"] <= min(claims["iat"] + 120, challenge["exp"])
        if not in_time:
            raise RefusedError(400, "malformed-approval")
        context = context_of(challenge, body["granted"], body["refused"], code)
        if claims["ctx"] != ctx_of(challenge, context) or claims["leaf"] != leaf_of(challenge):
            raise RefusedError(400, "context-mismatch")
        self._verify_identity(claims["iss"], body["approval"])

    def refuse(self, agent: AgentOf, challenge_id: str, body: dict[str, Any]) -> None:
        login = self._login_of(agent, challenge_id)
        login.state, login.refusal = "refused", body["reason"]
        if body["reason"] == "block-app":
            self.blocked.add((agent.identity, login.challenge["request"]["client_id"]))

    def complete(self, completion: str, cookie: str) -> bool:
        """One time, and only with the cookie of the browser that began."""
        login = next((each for each in self.logins if each.completion and each.completion == completion), None)
        if login is None or login.state != "approved" or not secrets.compare_digest(cookie, login.cookie):
            return False
        login.state = "complete"
        return True

    def wake(self) -> None:
        with self.looks:
            self.looks.notify_all()

    def _login_of(self, agent: AgentOf, challenge_id: str) -> Login:
        for login in self.logins:
            if login.challenge["challenge_id"] == challenge_id and login.agent == agent.token and login.state == "open":
                return login
        raise RefusedError(404, "unknown-challenge")

    def inbox(self, agent: AgentOf) -> dict[str, Any]:
        waiting = [each for each in self.logins if each.agent is None and each.identity == agent.identity]
        return {"handles": [each.inbox_handle for each in waiting][:8]}

    def leave(self, agent: AgentOf) -> None:
        del self.agents[agent.token]

    def hold(self, agent: AgentOf, body: dict[str, Any]) -> None:
        self.holds.append((agent.identity, body["reason"]))
        self.ledger.entries[agent.identity].state = "held"

    def answer(self, method: str, path: str, headers: Any, raw: bytes) -> tuple[int, dict[str, Any] | None]:
        """Status and document of one call of the agent API."""
        body = json.loads(raw) if raw else {}
        if (method, path) == ("GET", "/agent/v1/configuration"):
            return 200, self.configuration()
        if (method, path) == ("POST", "/agent/v1/enrolments"):
            return 201, self.enrol(headers, body)
        agent = self.caller(headers, method, path)
        routes: dict[str, tuple[int, Callable[[], dict[str, Any] | None]]] = {
            "DELETE /agent/v1/enrolments/current": (204, lambda: self.leave(agent)),
            "GET /agent/v1/inbox": (200, lambda: self.inbox(agent)),
            "POST /agent/v1/challenges/fetch": (200, lambda: self.fetch(agent, body)),
            "POST /agent/v1/challenges/*/approval": (200, lambda: self.approve(agent, path.split("/")[4], body)),
            "POST /agent/v1/challenges/*/refusal": (204, lambda: self.refuse(agent, path.split("/")[4], body)),
            "POST /agent/v1/hold": (202, lambda: self.hold(agent, body)),
        }
        route = re.sub(r"(challenges)/[^/]+/", r"\1/*/", f"{method} {path}")
        if route not in routes:
            raise RefusedError(404, "unknown-challenge")
        status, run = routes[route]
        return status, run()


def _handles(login: Login) -> set[str]:
    ways = {"local": {login.local_handle}, "remote": {login.remote_handle, login.inbox_handle}}
    return ways.get(login.challenge["mode"], {login.inbox_handle})
