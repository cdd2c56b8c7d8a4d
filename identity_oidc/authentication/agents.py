"""Agents: enrolled by a signature of the card, known by a token bound to their key. Source: docs/approval.md."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import rfc8785
from sqlalchemy import Connection, insert, select, update

from identity_oidc import base64url
from identity_oidc.authentication.approval import ledger_stale, verify_identity
from identity_oidc.authentication.dpop import Proof, remember_proof
from identity_oidc.authentication.holds import is_held
from identity_oidc.authentication.jws import CompactJws, MalformedJwsError, parse_json, require
from identity_oidc.errors import AgentError, LedgerStaleError
from identity_oidc.ports import IdentityId, LedgerIdentity
from identity_oidc.provider import Provider
from identity_oidc.store.database import insert_once, record_act
from identity_oidc.store.schema import AGENTS, CHALLENGES
from identity_oidc.store.statement import Statement, given

HEADER: Final = b'{"alg":"ES256","typ":"tally-agent+jwt"}'
MAX_AGE_S: Final = 120
_CLAIMS: Final = frozenset({"iss", "aud", "jti", "iat", "exp", "cnf"})
_SEEN_EVERY_S: Final = 3_600
_FIND: Final = Statement(select(AGENTS).where(AGENTS.c.token_hash == given(AGENTS.c.token_hash)))
_NOTE: Final = Statement(
    update(AGENTS)
    .where(
        AGENTS.c.agent_id == given(AGENTS.c.agent_id), AGENTS.c.last_seen_at < given(AGENTS.c.last_seen_at, "before")
    )
    .values(last_seen_at=given(AGENTS.c.last_seen_at, "now"))
)


@dataclass(frozen=True, slots=True)
class Agent:
    """An enrolled agent that proved its key with this request."""

    agent_id: str
    identity: IdentityId
    thumbprint: str
    public_jwk: Mapping[str, Any]
    last_seen_at: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a new agent gets; the token is kept as its digest only."""

    agent_id: str
    access_token: str
    expires_at: int


def enrol(provider: Provider, proof: Proof, agent_jws: str, label: str, now: int) -> Enrolled:
    """Bind the proof's key to an identity. Raises `AgentError`; the checks are in the order of the agent API."""
    jws, claims = _parse(provider, proof, agent_jws, now)
    if not 1 <= len(label) <= 64 or any(unicodedata.category(each)[0] == "C" for each in label):
        raise _refused("the label is no text of 1 to 64 printable characters")
    identity = ask_ledger(provider, bytes.fromhex(claims["iss"][2:]))
    if identity is None or not jws.is_signed_by(identity.public_key):
        raise AgentError(403, "signature-invalid", "the agent is not vouched for by the key that the ledger holds")
    verify_identity(
        identity, provider.config.ledger.max_age_s, accept_emulators=provider.config.ledger.accept_emulators
    )
    made = Enrolled(secrets.token_urlsafe(18), secrets.token_urlsafe(32), claims["exp"])
    with provider.database.writing() as connection:
        remember_proof(connection, proof, now)
        if is_held(connection, identity.identity):
            raise AgentError(403, "identity-not-active", "the person has this identity held")
        if not insert_once(connection, "agent", base64url.digest(claims["jti"]), now + 2 * MAX_AGE_S):
            raise _refused("jti was used before")
        row = {
            "agent_id": made.agent_id,
            "token_hash": base64url.digest(made.access_token),
            "thumbprint": proof.thumbprint,
            "identity": identity.identity,
            "public_jwk": proof.public_jwk,
            "label": label,
            "enrolment": agent_jws,
            "created_at": now,
            "expires_at": made.expires_at,
            "last_seen_at": now,
        }
        connection.execute(insert(AGENTS).values(row))
        record_act(connection, now, "agent-enrolled", agent=made.agent_id)
    return made


def find_agent(connection: Connection, token: str, proof: Proof, now: int) -> Agent:
    """The agent of a token that the proof's key is bound to. Raises `AgentError` 401."""
    row = _FIND.first(connection, token_hash=base64url.digest(token))
    if row is None or row["revoked_at"] is not None or row["expires_at"] <= now:
        raise _unknown()
    if row["thumbprint"] != proof.thumbprint:
        raise _unknown()
    return Agent(
        row["agent_id"], IdentityId(row["identity"]), row["thumbprint"], row["public_jwk"], row["last_seen_at"]
    )


def note_agent(connection: Connection, agent: Agent, proof: Proof, now: int) -> None:
    """Take the proof, and remember when the agent was last seen. Raises `AgentError` for a proof used before."""
    remember_proof(connection, proof, now)
    if agent.last_seen_at < now - _SEEN_EVERY_S:
        _NOTE.changed(connection, agent_id=agent.agent_id, before=now - _SEEN_EVERY_S, now=now)


def end_agent(connection: Connection, agent_id: str, identity: bytes, now: int) -> bool:
    """Whether an agent of this identity was ended, and with it what it holds: none of its logins is completed."""
    ended = connection.execute(
        update(AGENTS)
        .where(AGENTS.c.agent_id == agent_id, AGENTS.c.identity == identity, AGENTS.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if ended.rowcount != 1:
        return False
    live = CHALLENGES.c.agent == agent_id, CHALLENGES.c.state.in_(("fetched", "approved"))
    connection.execute(update(CHALLENGES).where(*live).values(state="ended", completion_hash=None))
    return True


def ask_ledger(provider: Provider, identity: bytes) -> LedgerIdentity | None:
    """What the ledger says, no older than the bound. Raises `AgentError` ledger-stale."""
    try:
        found = provider.ledger.identity(IdentityId(identity))
    except LedgerStaleError as error:
        raise ledger_stale() from error
    if found is not None and found.age_s > provider.config.ledger.max_age_s:
        raise ledger_stale()
    return found


def _parse(provider: Provider, proof: Proof, agent_jws: str, now: int) -> tuple[CompactJws, dict[str, Any]]:
    skew = provider.config.login.clock_skew_s
    try:
        jws = CompactJws.parse(agent_jws)
        require(jws.header == HEADER, "its header is not exactly that of an agent's enrolment")
        claims = parse_json(jws.payload)
        require(
            not (set(claims) != _CLAIMS or rfc8785.dumps(claims) != jws.payload),
            "its payload has other members, or is not in JCS form",
        )
        require(claims["aud"] == provider.config.issuer, "aud is another provider")
        iat, exp = claims["iat"], claims["exp"]
        require(
            not (type(iat) is not int or type(exp) is not int or not now - MAX_AGE_S <= iat <= now + skew),
            "iat does not fit the time here",
        )
        require(bool(now < exp <= iat + provider.config.login.agent_days * 86400), "exp is over, or too late")
        require(claims["cnf"] == {"jkt": proof.thumbprint}, "cnf.jkt is not the thumbprint of the proof's key")
        require(
            not (not isinstance(claims["jti"], str) or not 22 <= len(claims["jti"]) <= 64),
            "jti is no text of 22 to 64 characters",
        )
        is_id = isinstance(claims["iss"], str) and len(claims["iss"]) == 66 and claims["iss"].startswith("0x")
        require(not (not is_id or bytes.fromhex(claims["iss"][2:]).hex() != claims["iss"][2:]), "iss is no identity id")
    except (MalformedJwsError, ValueError) as error:
        raise _refused(str(error) if isinstance(error, MalformedJwsError) else "iss is no identity id") from error
    return jws, claims


def _refused(why: str) -> AgentError:
    return AgentError(400, "malformed-enrolment", f"the enrolment is refused: {why}")


def _unknown() -> AgentError:
    return AgentError(
        401, "invalid-token", "this agent is not enrolled (any more)", authenticate='DPoP error="invalid_token"'
    )
