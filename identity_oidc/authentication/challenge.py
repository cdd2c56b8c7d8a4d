"""Challenges: one for each login that waits for a card; how it is begun, offered by handles, and fetched by an agent.

States: waiting -> fetched -> approved -> completed; or refused, failed (used up by a bad approval), ended.
Source: docs/approval.md, docs/sim-agent-api.yaml.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from joserfc import jwe
from joserfc.jwk import ECKey
from sqlalchemy import Connection, or_, select, update

from identity_oidc import base64url
from identity_oidc.authentication.session import BrowserSession
from identity_oidc.authorization.request import AuthorizationRequest
from identity_oidc.claims import acr_of
from identity_oidc.clients import Client
from identity_oidc.config import LoginSettings
from identity_oidc.consent.text import ConsentItem, consent_text, text_digest
from identity_oidc.errors import AgentError
from identity_oidc.ports import LedgerIdentity
from identity_oidc.store.schema import CHALLENGES, HANDLES, SESSIONS
from identity_oidc.store.statement import Row, Statement, given, insertion

LOCAL: Final = "local"
REMOTE: Final = "remote"
PLAIN_BYTES: Final = 16_384
_CODE_BOUND: Final = 1_000_000
_HANDLE_BYTES: Final = 24
_KEYS_KEPT: Final = 1_024
_WHEN_FETCHED: Final = ("mode", "identity", "person", "agent", "fetched", "issued_at", "expires_at")
_WHEN_APPROVED: Final = ("granted", "completion_hash", "approved_at")
_BEGIN: Final = Statement(insertion(CHALLENGES, *(set(_WHEN_FETCHED) - {"expires_at"}), *_WHEN_APPROVED))
_ADD_HANDLE: Final = Statement(insertion(HANDLES))
_FIND_BY_HANDLE: Final = Statement(
    select(
        CHALLENGES,
        HANDLES.c.mode.label("handle_mode"),
        HANDLES.c.secret_hash,
        SESSIONS.c.browser,
        SESSIONS.c.person.label("session_person"),
    )
    .join(HANDLES, HANDLES.c.jti == CHALLENGES.c.jti)
    .join(SESSIONS, SESSIONS.c.session_id == CHALLENGES.c.session_id)
    .where(
        HANDLES.c.handle_hash == given(HANDLES.c.handle_hash), HANDLES.c.expires_at > given(HANDLES.c.expires_at, "now")
    )
)
_FETCH: Final = Statement(
    update(CHALLENGES)
    .where(CHALLENGES.c.jti == given(CHALLENGES.c.jti), CHALLENGES.c.state == "waiting")
    .values({"state": "fetched"} | {name: given(CHALLENGES.c[name]) for name in _WHEN_FETCHED})
)
_END_OTHER_HANDLES: Final = Statement(
    update(HANDLES)
    .where(HANDLES.c.jti == given(HANDLES.c.jti), HANDLES.c.mode != given(HANDLES.c.mode))
    .values(expires_at=0)
)
_FIND_SESSION: Final = Statement(
    select(SESSIONS.c.session_id).where(
        SESSIONS.c.session_id == given(SESSIONS.c.session_id),
        SESSIONS.c.secret_hash == given(SESSIONS.c.secret_hash),
        SESSIONS.c.expires_at > given(SESSIONS.c.expires_at, "now"),
        SESSIONS.c.ended_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class FreshHandle:
    """A handle for a page to show; `secret` in mode local only."""

    handle: str
    secret: str


@dataclass(frozen=True, slots=True)
class FetchingAgent:
    """Who fetches: an enrolled agent, its identity as the ledger has it, and the person's subject at the app."""

    agent_id: str
    public_jwk: Mapping[str, Any]
    thumbprint: str
    identity: LedgerIdentity
    person: str
    sub: str


def begin_challenge(
    connection: Connection,
    request_id: str,
    client_id: str,
    session: BrowserSession,
    *,
    now: int,
    login: LoginSettings,
    may_be_remote: bool = True,
) -> str:
    """Store a challenge that waits for an agent, and the handles that its page shows first; its `jti`."""
    jti = secrets.token_urlsafe(24)
    _BEGIN.changed(
        connection,
        jti=jti,
        request_id=request_id,
        session_id=session.session_id,
        client_id=client_id,
        session_hash=session.secret_hash,
        code=f"{secrets.randbelow(_CODE_BOUND):06}",
        ctx_salt=secrets.token_bytes(32),
        leaf_salt=secrets.token_bytes(32),
        state="waiting",
        tries_left=login.max_failures,
        created_at=now,
        expires_at=now + login.request_s,
    )
    _store_handle(connection, jti, LOCAL, first_handle(session, request_id, LOCAL), now + login.request_s)
    if may_be_remote:
        fresh = first_handle(session, request_id, REMOTE)
        _store_handle(connection, jti, REMOTE, fresh, now + min(login.remote_link_s, login.request_s))
    return jti


def first_handle(session: BrowserSession, request_id: str, mode: str) -> FreshHandle:
    """The handle that was stored when the login began, made again from the cookie of who began: so its page need not
    write. Nobody else can make it, nor is it kept here but as its digest."""

    def made(what: str) -> str:
        text = f"tally-{what}-1:{mode}:{request_id}".encode()
        return base64url.encode(hmac.digest(session.secret.encode("ascii"), text, "sha256")[:_HANDLE_BYTES])

    return FreshHandle(made("handle"), made("local-secret") if mode == LOCAL else "")


def add_handle(connection: Connection, jti: str, mode: str, expires_at: int) -> FreshHandle:
    """One more handle that leads an agent to this challenge, in this mode, until then."""
    secret = secrets.token_urlsafe(_HANDLE_BYTES) if mode == LOCAL else ""
    fresh = FreshHandle(secrets.token_urlsafe(_HANDLE_BYTES), secret)
    _store_handle(connection, jti, mode, fresh, expires_at)
    return fresh


def _store_handle(connection: Connection, jti: str, mode: str, fresh: FreshHandle, expires_at: int) -> None:
    _ADD_HANDLE.changed(
        connection,
        handle_hash=base64url.digest(fresh.handle),
        jti=jti,
        mode=mode,
        secret_hash=base64url.digest(fresh.secret) if fresh.secret else None,
        expires_at=expires_at,
    )


def find_by_handle(connection: Connection, handle: str, local_secret: str | None, now: int) -> tuple[Row, str]:
    """The challenge's row and the mode that the handle decides. Raises `AgentError` 404: all refusals look alike."""
    row = _FIND_BY_HANDLE.first(connection, handle_hash=base64url.digest(handle), now=now)
    if row is None or row["expires_at"] <= now or row["state"] not in {"waiting", "fetched"}:
        raise unknown_challenge()
    if row["secret_hash"] != (base64url.digest(local_secret) if local_secret is not None else None):
        raise unknown_challenge()
    return row, str(row["handle_mode"])


def fetch(  # noqa: PLR0917  what a challenge is made of
    connection: Connection,
    row: Mapping[str, Any],
    mode: str,
    request: AuthorizationRequest,
    client: Client,
    agent: FetchingAgent,
    language: str,
    now: int,
    login: LoginSettings,
) -> dict[str, Any]:
    """Bind the challenge to this agent, and fix everything that its approval will commit to; what the agent gets.

    Raises `AgentError`: challenge-taken for another agent, unknown-challenge where it is gone.
    """
    if row["state"] == "fetched":
        if row["agent"] != agent.agent_id:
            raise _taken()
        return dict(row["fetched"])
    content = _content(row, mode, request, client, agent, language, now, login)
    bound = _FETCH.changed(
        connection,
        jti=row["jti"],
        mode=mode,
        identity=agent.identity.identity,
        person=agent.person,
        agent=agent.agent_id,
        fetched=content,
        issued_at=now,
        expires_at=now + login.challenge_s,
    )
    if bound != 1:
        raise _taken()
    # The handle that was used stays, so that the same agent may fetch again; what else was shown is dead.
    _END_OTHER_HANDLES.changed(connection, jti=row["jti"], mode=mode)
    return content


def _content(  # noqa: PLR0917  as above
    row: Mapping[str, Any],
    mode: str,
    request: AuthorizationRequest,
    client: Client,
    agent: FetchingAgent,
    language: str,
    now: int,
    login: LoginSettings,
) -> dict[str, Any]:
    items = [
        ConsentItem(name, client.text_of(client.items[name], language), is_essential)
        for name, is_essential in sorted(request.items.items())
    ]
    purpose = client.text_of(client.purpose, language)
    days = min(client.grant_days, login.grant_days)
    grant_expires_at = (now + days * 86_400) // 60 * 60 if days else 0
    sso_s = min(client.single_sign_on_s, login.single_sign_on_s)
    text = consent_text(client, request.redirect_uri, items, purpose, grant_expires_at, sso_s, language)
    return {
        "kind": "login",
        "mode": mode,
        "language": language,
        "iat": now,
        "exp": now + login.challenge_s,
        "sub": agent.sub,
        "text_digest": base64url.encode(text_digest(text)),
        "app": client.record,
        "is_known": row["session_person"] == agent.person,
        "request": {
            "client_id": client.client_id,
            "redirect_uri": request.redirect_uri,
            "scope": " ".join(request.scope),
            "items": [item.content() for item in items],
            "purpose": purpose,
            "nonce": request.nonce,
            "code_challenge": request.code_challenge,
            "acr": acr_of(mode, agent.identity),
            "grant_expires_at": grant_expires_at,
            "sso_seconds": sso_s,
            "authorization_details": [],
        },
    }


def agent_view(row: Mapping[str, Any], content: Mapping[str, Any], issuer: str) -> dict[str, Any]:
    """The `Challenge` of the agent API."""
    return {
        "challenge_id": row["jti"],
        "issuer": issuer,
        "iat": content["iat"],
        "exp": content["exp"],
        "kind": content["kind"],
        "mode": content["mode"],
        "app": content["app"],
        "request": content["request"],
        "sub": content["sub"],
        "session": {
            "digest": base64url.encode(row["session_hash"]),
            "browser": row["browser"],
            "is_known": content["is_known"],
        },
        "language": content["language"],
        "ctx_salt": base64url.encode(row["ctx_salt"]),
        "leaf_salt": base64url.encode(row["leaf_salt"]),
    }


def encrypt_for(agent_jwk: Mapping[str, Any], kid: str, challenge: Mapping[str, Any]) -> str:
    """Compact JWE to the agent's key, every one of the same size. Raises `AgentError` where it does not fit."""
    plain = json.dumps(challenge, ensure_ascii=False, separators=(",", ":")).encode()
    if len(plain) > PLAIN_BYTES:
        raise AgentError(400, "bad-request", "the request does not fit a challenge: the app asks for too much")
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": kid}
    key = _agent_key(agent_jwk["x"], agent_jwk["y"])
    return jwe.encrypt_compact(header, plain.ljust(PLAIN_BYTES), key, algorithms=["ECDH-ES", "A256GCM"])


@lru_cache(maxsize=_KEYS_KEPT)
def _agent_key(x: str, y: str) -> ECKey:
    """A public key; it was checked when the agent enrolled with it."""
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})


def is_session_waiting(connection: Connection, row: Mapping[str, Any], now: int) -> bool:
    """Whether the browser that began the challenge still has the session it began it with."""
    found = _FIND_SESSION.first(connection, session_id=row["session_id"], secret_hash=row["session_hash"], now=now)
    return found is not None


def refuse(connection: Connection, jti: str, agent_id: str, now: int) -> bool:
    """Whether the agent's no was taken."""
    changed = connection.execute(
        update(CHALLENGES)
        .where(
            CHALLENGES.c.jti == jti,
            CHALLENGES.c.agent == agent_id,
            CHALLENGES.c.state == "fetched",
            CHALLENGES.c.expires_at > now,
        )
        .values(state="refused")
    )
    return bool(changed.rowcount == 1)


def end_challenges(connection: Connection, identity: bytes) -> int:
    """End what waits or was approved for an identity that may log in no more; how many."""
    live = or_(*(CHALLENGES.c.state == state for state in ("fetched", "approved")))
    ended = connection.execute(
        update(CHALLENGES).where(CHALLENGES.c.identity == identity, live).values(state="ended", completion_hash=None)
    )
    return int(ended.rowcount)


def unknown_challenge() -> AgentError:
    return AgentError(404, "unknown-challenge", "no such login waits for you: begin it again in the browser")


def _taken() -> AgentError:
    return AgentError(409, "challenge-taken", "another agent has fetched this login: begin it again")
