"""The agent's calls to a provider. Source: docs/sim-agent-api.yaml."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.app_record import MemberKeys
from sim_applet_tools.agent.challenge import MAX_JWE_CHARS, PLAIN_BYTES, Language
from sim_applet_tools.agent.dpop import dpop_proof
from sim_applet_tools.agent.fields import RANDOM_ID, Fields, parse_object
from sim_applet_tools.agent.http_connection import MAX_ANSWER_BYTES, HttpAnswer, HttpConnection
from sim_applet_tools.agent.issuer import origin_of
from sim_applet_tools.agent.jws import parse_jwk
from sim_applet_tools.errors import (
    InputError,
    NotEnrolledError,
    ProviderAnswerError,
    ProviderRefusedError,
    ProviderUnavailableError,
)

BASE = "/agent/v1"
MAX_NONCE_CHARS = 256
RefusalReason = Literal["declined", "not-me", "block-app"]
HoldReason = Literal["lost", "stolen", "unknown-key", "unknown-login"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a provider says of itself before enrolment."""

    issuer: str
    member: int
    members: tuple[MemberKeys, ...]
    max_enrolment_s: int
    loopback_port: int
    has_wake: bool


@dataclass(frozen=True, slots=True)
class Inbox:
    """Handles that wait, and in how many seconds to ask again."""

    handles: tuple[str, ...]
    ask_again_s: int


class ProviderClient:
    """One provider, called by the holder of `key`; `token` is there once the agent is enrolled.

    Every call raises `ProviderUnavailableError`, `ProviderRefusedError` (its `reason` is the problem's code),
    `NotEnrolledError` or `ProviderAnswerError`.
    """

    def __init__(
        self,
        issuer: str,
        connection: HttpConnection,
        key: ec.EllipticCurvePrivateKey,
        token: str | None,
        clock: Callable[[], int],
    ) -> None:
        self._issuer = issuer
        self._connection = connection
        self._key = key
        self._token = token
        self._clock = clock
        self._nonce: str | None = None

    def enrol(self, agent_jws: str, label: str) -> tuple[str, str, int]:
        """Agent id, access token, and when it ends."""
        fields = self._object("POST", "/enrolments", {"agent": agent_jws, "label": label})
        agent_id = fields.text("agent_id", 64, pattern=RANDOM_ID)
        token = fields.text("access_token", 512, least=22)
        fields.choice("token_type", ("DPoP",))
        expires_at = fields.time("expires_at")
        fields.end()
        if not token.isascii() or any(character <= " " for character in token):
            fields.fail("access_token holds what no header may")
        return agent_id, token, expires_at

    def leave(self) -> None:
        self._call("DELETE", "/enrolments/current", None)

    def inbox(self) -> Inbox:
        answer = self._call("GET", "/inbox", None)
        fields = Fields(parse_object(answer.body, "inbox", MAX_ANSWER_BYTES), "inbox")
        handles = fields.array("handles", 8)
        fields.end()
        if not all(isinstance(handle, str) and RANDOM_ID.fullmatch(handle) for handle in handles):
            fields.fail("handles holds what is none")
        again = answer.headers.get("retry-after", "5")
        return Inbox(tuple(handles), min(max(int(again), 1), 60) if again.isascii() and again.isdigit() else 5)

    def wakes(self) -> Iterator[None]:
        """One element whenever the provider says that there is something to look at, until the stream ends."""
        for _ in range(2):
            with self._connection.stream(f"{BASE}/wake", self._headers("GET", "/wake")) as (answer, lines):
                self._keep_nonce(answer)
                if _asks_for_nonce(answer):
                    continue
                verified(answer, self._issuer)
                yield from (None for line in lines if line == b"data: look\n")
                return

    def fetch(self, handle: str, local_secret: str | None, language: Language) -> str:
        """The encrypted challenge; from now on bound to this agent."""
        body = {"handle": handle, "language": language}
        if local_secret is not None:
            body["local_secret"] = local_secret
        fields = self._object("POST", "/challenges/fetch", body)
        jwe = fields.text("challenge", MAX_JWE_CHARS)
        fields.end()
        return jwe

    def approve(
        self, challenge_id: str, approval: str, granted: Collection[str], refused: Collection[str], code: str
    ) -> str | None:
        """Hand in the card's signature; the one-time completion address in mode local."""
        body: dict[str, Any] = {"approval": approval, "granted": list(granted), "refused": list(refused)}
        if code:
            body["code"] = code
        fields = self._object("POST", f"/challenges/{challenge_id}/approval", body)
        fields.choice("status", ("approved",))
        completion = fields.text("completion_uri", 1024) if fields.has("completion_uri") else None
        fields.end()
        if completion is not None and (origin_of(completion) != origin_of(self._issuer) or not completion.isascii()):
            fields.fail("the completion address is not the provider's own")
        return completion

    def refuse(self, challenge_id: str, reason: RefusalReason) -> None:
        self._call("POST", f"/challenges/{challenge_id}/refusal", {"reason": reason})

    def hold(self, reason: HoldReason) -> None:
        self._call("POST", "/hold", {"reason": reason})

    def _object(self, method: str, path: str, body: dict[str, Any]) -> Fields:
        answer = self._call(method, path, body)
        return Fields(parse_object(answer.body, f"answer to {path}", MAX_ANSWER_BYTES), f"answer to {path}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> HttpAnswer:
        """One call, repeated once where the provider asks for its nonce. Source: RFC 9449 §8, §9."""
        answer = self._send(method, path, body)
        if _asks_for_nonce(answer):
            answer = self._send(method, path, body)
        return verified(answer, self._issuer)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> HttpAnswer:
        headers = self._headers(method, path)
        content = None
        if body is not None:
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        answer = self._connection.ask(method, BASE + path, headers, content)
        self._keep_nonce(answer)
        return answer

    def _headers(self, method: str, path: str) -> dict[str, str]:
        url = self._issuer + BASE + path
        proof = dpop_proof(self._key, method, url, now=self._clock(), token=self._token, nonce=self._nonce)
        token = {} if self._token is None else {"Authorization": f"DPoP {self._token}"}
        return {"Accept": "application/json, text/event-stream", "DPoP": proof, **token}

    def _keep_nonce(self, answer: HttpAnswer) -> None:
        nonce = answer.headers.get("dpop-nonce", "")
        if nonce and len(nonce) <= MAX_NONCE_CHARS and nonce.isascii():
            self._nonce = nonce


def _asks_for_nonce(answer: HttpAnswer) -> bool:
    return answer.status == 401 and 'error="use_dpop_nonce"' in answer.headers.get("www-authenticate", "")


def fetch_configuration(issuer: str, connection: HttpConnection) -> Configuration:
    """What the provider says of itself; it must name itself as it was asked."""
    answer = verified(connection.ask("GET", f"{BASE}/configuration", {"Accept": "application/json"}, None), issuer)
    fields = Fields(parse_object(answer.body, "configuration", MAX_ANSWER_BYTES), "configuration")
    if fields.text("issuer", 256) != issuer:
        fields.fail(f"its issuer is not {issuer}, which was asked")
    fields.integer("api_version", 1, 1)
    fields.integer("challenge_bytes", PLAIN_BYTES, PLAIN_BYTES)
    fields.array("languages", 8, least=1)
    configuration = Configuration(
        issuer=issuer,
        member=fields.integer("member", 1, 65_535),
        members=parse_members(fields.array("members", 64), "configuration, members"),
        max_enrolment_s=fields.integer("max_enrolment_s", 3600, 34_560_000),
        loopback_port=fields.integer("loopback_port", 1024, 65_535),
        has_wake=fields.boolean("wake"),
    )
    fields.end()
    return configuration


def parse_members(values: list[Any], what: str) -> tuple[MemberKeys, ...]:
    """`MemberKeys` of the agent API."""
    members = []
    for value in values:
        fields = Fields(value, what)
        keys = [_parse_key(key, what) for key in fields.array("keys", 8, least=1)]
        members.append(MemberKeys(fields.integer("member", 1, 65_535), fields.text("name", 64), tuple(keys)))
        fields.end()
    return tuple(members)


def _parse_key(value: Any, what: str) -> ec.EllipticCurvePublicKey:
    fields = Fields(value, f"{what}, key")
    fields.choice("kty", ("EC",))
    fields.choice("crv", ("P-256",))
    x, y = fields.digest("x"), fields.digest("y")
    fields.end()
    try:
        return parse_jwk(x, y)
    except InputError as error:
        raise ProviderAnswerError(f"{what}: {error.message}") from error


def verified(answer: HttpAnswer, issuer: str) -> HttpAnswer:
    """`answer` where it is a success; the error that its problem document names else."""
    if 200 <= answer.status < 300:
        return answer
    code, detail, tries = _problem(answer)
    if answer.status == 401:
        challenge = answer.headers.get("www-authenticate", "")
        if "invalid_dpop_proof" in challenge or "use_dpop_nonce" in challenge:
            raise ProviderRefusedError(
                f"the provider {issuer} does not take this agent's proof: check this machine's clock", reason=code
            )
        raise NotEnrolledError(f"{issuer} does not know this agent any more: `tally sim agent enrol {issuer}`")
    if answer.status in {429, 503}:
        again = answer.headers.get("retry-after", "")[:8]
        again = again if again.isascii() and again.isdigit() else "some"
        raise ProviderUnavailableError(f"the provider {issuer} cannot answer now ({code}): try again in {again} s")
    text = _EXPLAINED.get(code, "the provider refused")
    left = "" if tries is None else f"; {tries} tries left"
    raise ProviderRefusedError(f"{text} ({code}){left}", reason=code, detail=detail, tries_left=tries)


def _problem(answer: HttpAnswer) -> tuple[str, str, int | None]:
    try:
        document = parse_object(answer.body, "problem", 16_384)
    except ProviderAnswerError:
        document = {}
    code, detail, tries = document.get("code"), document.get("detail", ""), document.get("tries_left")
    is_code = isinstance(code, str) and code.isascii() and code.replace("-", "").isalnum() and len(code) <= 64
    return (
        code if is_code and isinstance(code, str) else f"http-{answer.status}",
        detail[:500] if isinstance(detail, str) else "",
        tries if isinstance(tries, int) and 0 <= tries < 100 else None,
    )


_EXPLAINED = {
    "unknown-challenge": "this login is not known, or over: begin it again",
    "challenge-taken": "another agent has fetched this login: if that was not you, somebody else saw your code or "
    "link; begin again, and look at the list of agents on your page",
    "acr-not-reached": "the app wants a stronger login than this way and this card give",
    "challenge-expired": "this login has run out: begin it again",
    "session-unbound": "the browser that began this login is gone: begin it again",
    "wrong-code": "the code is not the one that the page shows",
    "malformed-approval": "the provider does not accept this agent's approval: update the agent",
    "context-mismatch": "the provider asked for something else than what you were shown: do not try again, and tell "
    "your operator",
    "signature-invalid": "the ledger holds another key for you than your card's: see `tally sim agent status`",
    "identity-not-active": "your identity is not active on the ledger (held, revoked, or not activated yet)",
}
