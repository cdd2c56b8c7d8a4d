"""What an agent decides of a challenge: fetch it, approve it with a signature of the card, or say no.

`approve` is the order of checks of docs/sim-agent-api.yaml; each step has its number.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from identity_oidc import base64url
from identity_oidc.authentication import challenge as challenges
from identity_oidc.authentication.agents import Agent, ask_ledger, note_agent
from identity_oidc.authentication.approval import (
    Approval,
    HandedIn,
    StoredChallenge,
    parse_approval,
    verify_context,
    verify_identity,
    verify_signature,
)
from identity_oidc.authentication.dpop import Proof
from identity_oidc.authentication.holds import is_blocked, is_held
from identity_oidc.authorization.request import AuthorizationRequest
from identity_oidc.claims import acr_of, satisfies
from identity_oidc.clients import parse_record
from identity_oidc.errors import AgentError
from identity_oidc.ports import IdentityState, LedgerIdentity
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.store.schema import APPROVALS, BLOCKED_APPS, CHALLENGES, DENIALS, REQUESTS, SESSIONS
from identity_oidc.store.statement import Statement, given, insertion
from identity_oidc.subject import subject_for

# Locked, so that guesses of a code are counted one after the other; SQLite's writers are alone anyway.
_FIND: Final = Statement(select(CHALLENGES).where(CHALLENGES.c.jti == given(CHALLENGES.c.jti)).with_for_update())
_FIND_REQUEST: Final = Statement(
    select(REQUESTS.c.parameters).where(REQUESTS.c.request_id == given(REQUESTS.c.request_id))
)
_CONSUME: Final = Statement(
    update(CHALLENGES)
    .where(
        CHALLENGES.c.jti == given(CHALLENGES.c.jti),
        CHALLENGES.c.state == "fetched",
        CHALLENGES.c.expires_at > given(CHALLENGES.c.expires_at, "now"),
    )
    .values(
        {"state": "approved"}
        | {name: given(CHALLENGES.c[name]) for name in ("approved_at", "granted", "completion_hash")}
    )
)
_KEEP: Final = Statement(insertion(APPROVALS))
_CONSUMING: Final = frozenset({"malformed-approval", "context-mismatch", "signature-invalid"})


def fetch_challenge(
    provider: Provider, agent: Agent, proof: Proof, handle: str, local_secret: str | None, *, language: str, now: int
) -> str:
    """The challenge of a handle, encrypted to the agent and bound to it. Raises `AgentError`."""
    identity = ask_ledger(provider, agent.identity)
    person = provider.person_of(agent.identity)
    if identity is None or identity.state is not IdentityState.ACTIVE or person is None:
        raise AgentError(403, "identity-not-active", "the identity is not active here")
    with provider.database.writing() as connection:
        note_agent(connection, agent, proof, now)
        row, mode = challenges.find_by_handle(connection, handle, local_secret, now)
        if is_held(connection, agent.identity):
            raise AgentError(403, "identity-not-active", "the person has this identity held")
        if is_blocked(connection, agent.identity, row["client_id"]):
            raise challenges.unknown_challenge()
        client = provider.find_client(row["client_id"])
        stored = _FIND_REQUEST.first(connection, request_id=row["request_id"])
        if client is None or stored is None:
            raise challenges.unknown_challenge()
        request = AuthorizationRequest.from_content(stored["parameters"])
        if not request.is_open_to(client):
            raise challenges.unknown_challenge()
        acr = acr_of(mode, identity)
        if request.is_acr_essential and not any(satisfies(acr, wanted) for wanted in request.acr_values):
            raise AgentError(403, "acr-not-reached", "the app wants a stronger login than this way and card give")
        content = challenges.fetch(
            connection,
            row,
            mode,
            request,
            client,
            challenges.FetchingAgent(
                agent_id=agent.agent_id,
                public_jwk=agent.public_jwk,
                thumbprint=agent.thumbprint,
                identity=identity,
                person=person,
                sub=subject_for(connection, person, client.sector, now),
            ),
            language,
            now,
            provider.config.login,
        )
    view = challenges.agent_view(row, content, provider.config.issuer)
    return challenges.encrypt_for(agent.public_jwk, agent.thumbprint, view)


def approve(
    provider: Provider, agent: Agent, proof: Proof, jti: str, handed_in: HandedIn, *, code: str, now: int
) -> str | None:
    """Take the approval; in mode local the token of the one-time completion address. Raises `AgentError`.

    A refusal by step 5, 6 or 7 uses the challenge up; a wrong code takes one of its tries.
    """
    word = _word_of_ledger(provider, agent)  # asked before anything is locked; it counts when its turn has come
    token = None
    with provider.database.writing() as connection:
        note_agent(connection, agent, proof, now)
        row = _waiting(connection, agent, jti, now)  # 1, 2, 3
        refusal = _check_code(connection, row, code)  # 4
        if refusal is None:
            try:
                approval, identity = _verify(provider, row, handed_in, word, now)  # 5, 6, 7, 8
                token = _consume(connection, agent, row, approval, identity, now)  # 9
            except AgentError as error:
                refusal = error
                if error.problem in _CONSUMING:
                    _fail(connection, jti, error.problem, now)
    if refusal is not None:  # raised when what it took is on disk
        raise refusal
    return token


def refuse(provider: Provider, agent: Agent, proof: Proof, jti: str, *, reason: str, now: int) -> None:
    """Take the person's no. Raises `AgentError` unknown-challenge."""
    with provider.database.writing() as connection:
        note_agent(connection, agent, proof, now)
        row = _FIND.first(connection, jti=jti)
        if row is None or not challenges.refuse(connection, jti, agent.agent_id, now):
            raise challenges.unknown_challenge()
        record_act(connection, now, "login-refused", challenge=jti, reason=reason)
        if reason == "not-me":
            _deny(connection, row, now)
        if reason == "block-app" and not is_blocked(connection, agent.identity, row["client_id"]):
            blocked = {"identity": agent.identity, "client_id": row["client_id"], "blocked_at": now}
            connection.execute(insert(BLOCKED_APPS).values(blocked))


def _deny(connection: Connection, row: Mapping[str, Any], now: int) -> None:
    """Kept for the person's page: somebody else began a login that asked for this identity."""
    browser = select(SESSIONS.c.browser).where(SESSIONS.c.session_id == row["session_id"])
    denial = {
        "identity": row["identity"],
        "app_name": parse_record(row["fetched"]["app"])["name"],
        "browser": str(connection.execute(browser).scalar() or ""),
        "denied_at": now,
    }
    connection.execute(insert(DENIALS).values(denial))


def _waiting(connection: Connection, agent: Agent, jti: str, now: int) -> Mapping[str, Any]:
    row = _FIND.first(connection, jti=jti)
    if row is None or row["agent"] != agent.agent_id or row["state"] != "fetched":  # 1
        raise challenges.unknown_challenge()
    if row["expires_at"] <= now:  # 2
        raise AgentError(410, "challenge-expired", "this login has run out: begin it again")
    if not challenges.is_session_waiting(connection, row, now):  # 3
        raise AgentError(409, "session-unbound", "the browser that began this login is gone: begin it again")
    if is_held(connection, agent.identity):
        raise AgentError(403, "identity-not-active", "the person has this identity held")
    return row


def _check_code(connection: Connection, row: Mapping[str, Any], code: str) -> AgentError | None:
    """The refusal of a wrong code; it is raised when the try that it took is on disk."""
    if row["mode"] != challenges.REMOTE:
        return AgentError(400, "bad-request", "a code is for mode remote") if code else None
    if hmac.compare_digest(code.encode(), str(row["code"]).encode()):
        return None
    left = row["tries_left"] - 1
    values = {"tries_left": left} | ({"state": "failed"} if left <= 0 else {})
    connection.execute(update(CHALLENGES).where(CHALLENGES.c.jti == row["jti"]).values(values))
    return AgentError(422, "wrong-code", "the code is not the one that the page shows", tries_left=max(left, 0))


def _word_of_ledger(provider: Provider, agent: Agent) -> LedgerIdentity | AgentError | None:
    try:
        return ask_ledger(provider, agent.identity)
    except AgentError as error:
        return error


def _verify(
    provider: Provider,
    row: Mapping[str, Any],
    handed_in: HandedIn,
    word: LedgerIdentity | AgentError | None,
    now: int,
) -> tuple[Approval, LedgerIdentity]:
    """Steps 5 to 8. Raises `AgentError`."""
    stored = StoredChallenge.of(row)
    jws = parse_approval(  # 5
        handed_in, stored, provider.config.issuer, now, provider.config.login.clock_skew_s
    )
    approval = verify_context(jws, handed_in, stored)  # 6
    if isinstance(word, AgentError):
        raise word
    verify_signature(approval, word)  # 7
    if word is None:
        raise AgentError(400, "signature-invalid", "the ledger holds no key of this identity")
    verify_identity(  # 8
        word, provider.config.ledger.max_age_s, accept_emulators=provider.config.ledger.accept_emulators
    )
    if not satisfies(acr_of(row["mode"], word), stored.request["acr"]):  # since it was fetched
        raise AgentError(403, "acr-not-reached", "the ledger says less of the card now: begin the login again")
    return approval, word


def _fail(connection: Connection, jti: str, problem: str, now: int) -> None:
    mine = CHALLENGES.c.jti == jti, CHALLENGES.c.state == "fetched"
    connection.execute(update(CHALLENGES).where(*mine).values(state="failed"))
    record_act(connection, now, "approval-refused", challenge=jti, problem=problem)


def _consume(  # noqa: PLR0917  one caller's locals
    connection: Connection,
    agent: Agent,
    row: Mapping[str, Any],
    approval: Approval,
    identity: LedgerIdentity,
    now: int,
) -> str | None:
    """Step 9, in one transaction with the record of the approval. Raises `AgentError` for who loses a race."""
    token = secrets.token_urlsafe(24) if row["mode"] == challenges.LOCAL else None
    acr = row["fetched"]["request"]["acr"]
    consumed = _CONSUME.changed(
        connection,
        jti=row["jti"],
        now=now,
        approved_at=now,
        granted=list(approval.granted),
        completion_hash=base64url.digest(token) if token else None,
    )
    if consumed != 1:
        raise challenges.unknown_challenge()
    _KEEP.changed(
        connection,
        jti=row["jti"],
        identity=identity.identity,
        client_id=row["client_id"],
        agent=agent.agent_id,
        jws=_text_of(approval),
        context=approval.context.decode("utf-8"),
        ctx_salt=row["ctx_salt"],
        leaf_salt=row["leaf_salt"],
        public_key=identity.public_key,
        block=identity.block,
        acr=acr,
        approved_at=now,
    )
    record_act(connection, now, "approval-taken", challenge=row["jti"], block=identity.block, acr=acr)
    return token


def _text_of(approval: Approval) -> str:
    return f"{approval.jws.signing_input.decode('ascii')}.{base64url.encode(approval.jws.signature)}"
