"""The API for agents. Source: docs/sim-agent-api.yaml."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from flask import Blueprint, Response, g, request

from identity_oidc.authentication.agents import Agent, end_agent, enrol, find_agent, note_agent
from identity_oidc.authentication.approval import HandedIn
from identity_oidc.authentication.decision import approve, fetch_challenge, refuse
from identity_oidc.authentication.dpop import Proof, remember_proof
from identity_oidc.authentication.holds import place_hold
from identity_oidc.clients import LANGUAGES
from identity_oidc.errors import AgentError, LedgerStaleError, StorageError
from identity_oidc.logout.ending import end_identity
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.views.web import document, parse_body, provider

agent = Blueprint("agent", __name__, url_prefix="/agent/v1")

_RANDOM_ID: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")
_ITEM: Final = re.compile(r"[A-Za-z0-9_.:/#-]{1,128}")
_CODE: Final = re.compile(r"[0-9]{6}")
_REASONS: Final = ("declined", "not-me", "block-app")
_HOLD_REASONS: Final = ("lost", "stolen", "unknown-key", "unknown-login")
_ASK_AGAIN_S: Final = 5
_PROOF: Final = "tally_dpop_proof"

log = logging.getLogger(__name__)


@agent.get("/configuration")
def configuration() -> Response:
    parts = provider()
    return document(
        {
            "issuer": parts.config.issuer,
            "api_version": 1,
            "member": parts.config.provider.member,
            "members": list(parts.members),
            "challenge_bytes": 16_384,
            "max_enrolment_s": parts.config.login.agent_days * 86_400,
            "loopback_port": parts.config.login.agent_loopback_port,
            "wake": False,
            "languages": list(LANGUAGES),
        }
    )


@agent.post("/enrolments")
def enrolments() -> Response:
    parts, now = provider(), provider().now()
    proof = _proof(parts, None, now)
    body = parse_body({"agent", "label"}, {"agent", "label"})
    made = enrol(parts, proof, _text(body, "agent", 4_096), _text(body, "label", 64), now)
    content = {
        "agent_id": made.agent_id,
        "access_token": made.access_token,
        "token_type": "DPoP",
        "expires_at": made.expires_at,
    }
    return document(content, 201)


@agent.delete("/enrolments/current")
def leave() -> Response:
    parts, now = provider(), provider().now()
    own, proof = _agent(parts, now)
    with parts.database.writing() as connection:
        note_agent(connection, own, proof, now)
        end_agent(connection, own.agent_id, own.identity, now)
        record_act(connection, now, "agent-left", agent=own.agent_id)
    return Response(status=204)


@agent.get("/inbox")
def inbox() -> Response:
    """Nothing comes by the inbox yet: no mode but those of a page."""
    parts, now = provider(), provider().now()
    own, proof = _agent(parts, now)
    with parts.database.writing() as connection:
        note_agent(connection, own, proof, now)
    response = document({"handles": []})
    response.headers["Retry-After"] = str(_ASK_AGAIN_S)
    return response


@agent.post("/challenges/fetch")
def fetch() -> Response:
    parts, now = provider(), provider().now()
    own, proof = _agent(parts, now)
    body = parse_body({"handle", "local_secret", "language"}, {"handle", "language"})
    handle = _matching(body, "handle", _RANDOM_ID)
    secret = _matching(body, "local_secret", _RANDOM_ID) if "local_secret" in body else None
    if body["language"] not in LANGUAGES:
        raise _bad("language")
    return document(
        {"challenge": fetch_challenge(parts, own, proof, handle, secret, language=body["language"], now=now)}
    )


@agent.post("/challenges/<challenge_id>/approval")
def approval(challenge_id: str) -> Response:
    parts, now = provider(), provider().now()
    own, proof = _agent(parts, now)
    body = parse_body({"approval", "granted", "refused", "code"}, {"approval", "granted", "refused"})
    handed_in = HandedIn(_text(body, "approval", 4_096), _names(body, "granted"), _names(body, "refused"))
    code = _matching(body, "code", _CODE) if "code" in body else ""
    token = approve(parts, own, proof, challenge_id, handed_in, code=code, now=now)
    if token is None:
        return document({"status": "approved"})
    return document({"status": "approved", "completion_uri": f"{parts.config.issuer}/completion/{token}"})


@agent.post("/challenges/<challenge_id>/refusal")
def refusal(challenge_id: str) -> Response:
    parts, now = provider(), provider().now()
    own, proof = _agent(parts, now)
    body = parse_body({"reason"}, {"reason"})
    if body["reason"] not in _REASONS:
        raise _bad("reason")
    refuse(parts, own, proof, challenge_id, reason=body["reason"], now=now)
    return Response(status=204)


@agent.post("/hold")
def hold() -> Response:
    """Held here at once; on the ledger as soon as the operator's duty account places it."""
    parts, now = provider(), provider().now()
    own, proof = _agent(parts, now)
    body = parse_body({"reason"}, {"reason"})
    if body["reason"] not in _HOLD_REASONS:
        raise _bad("reason")
    with parts.database.writing() as connection:
        note_agent(connection, own, proof, now)
        place_hold(connection, own.identity, now, body["reason"])
        end_identity(connection, own.identity, now, with_agents=False)
    return document({}, 202)


@agent.after_request
def remember_refused(response: Response) -> Response:
    """A proof is good once, whatever it was for: with an act that is refused, what it wrote is undone."""
    proof: Proof | None = g.pop(_PROOF, None)
    if proof is not None and response.status_code >= 400:
        parts = provider()
        try:
            with parts.database.writing() as connection:
                remember_proof(connection, proof, parts.now())
        except AgentError:  # it was remembered with what the refusal took
            return response
        except StorageError as error:  # nothing was done, and nothing is while the database is away
            log.warning("a refused proof is not remembered: %s", error.detail)
    return response


@agent.after_request
def offer_nonce(response: Response) -> Response:
    parts = provider()
    response.headers["DPoP-Nonce"] = parts.dpop.nonce(parts.now())
    response.headers["Cache-Control"] = "no-store"
    return response


def _agent(parts: Provider, now: int) -> tuple[Agent, Proof]:
    """Who calls; the proof's `jti` is taken in the transaction of the act."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "dpop" or not 22 <= len(token) <= 512 or not token.isascii():
        raise AgentError(
            401, "invalid-token", "this call needs a DPoP token", authenticate='DPoP error="invalid_token"'
        )
    proof = _proof(parts, token, now)
    try:
        with parts.database.reading() as connection:
            return find_agent(connection, token, proof, now), proof
    except LedgerStaleError as error:
        raise AgentError(503, "ledger-stale", error.message) from error


def _proof(parts: Provider, token: str | None, now: int) -> Proof:
    proofs = request.headers.getlist("DPoP")
    if len(proofs) != 1 or request.args:
        raise AgentError(
            401, "invalid-dpop-proof", "one DPoP proof is needed", authenticate='DPoP error="invalid_dpop_proof"'
        )
    proof = parts.dpop.verify(proofs[0], request.method, request.path, token, now)
    setattr(g, _PROOF, proof)
    return proof


def _text(body: dict[str, Any], name: str, most: int) -> str:
    value = body[name]
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise _bad(name)
    return value


def _matching(body: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = body[name]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _bad(name)
    return value


def _names(body: dict[str, Any], name: str) -> tuple[str, ...]:
    value = body[name]
    if not isinstance(value, list) or len(value) > 32:
        raise _bad(name)
    if not all(isinstance(each, str) and _ITEM.fullmatch(each) for each in value):
        raise _bad(name)
    return tuple(value)


def _bad(name: str) -> AgentError:
    return AgentError(400, "bad-request", f"{name} is not of the form in the agent API")
