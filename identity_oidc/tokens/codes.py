"""Authorization codes, and the family of tokens that each begins. Source: RFC 6749 §4.1, RFC 9700 §4.2.4."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from sqlalchemy import Connection, select, update

from identity_oidc import base64url
from identity_oidc.authorization.request import AuthorizationRequest
from identity_oidc.consent.grants import Grant
from identity_oidc.store.schema import CODES, FAMILIES
from identity_oidc.store.statement import Statement, given, insertion

_STORE_FAMILY: Final = Statement(insertion(FAMILIES, "revoked_at"))
_STORE_CODE: Final = Statement(insertion(CODES, "used_at"))
_FIND: Final = Statement(
    select(FAMILIES, *(each.label(f"code_{each.key}") for each in CODES.c))
    .join(CODES, CODES.c.family_id == FAMILIES.c.family_id)
    .where(CODES.c.code_hash == given(CODES.c.code_hash))
)
_USE: Final = Statement(
    update(CODES)
    .where(CODES.c.code_hash == given(CODES.c.code_hash), CODES.c.used_at.is_(None))
    .values(used_at=given(CODES.c.used_at, "now"))
)


@dataclass(frozen=True, slots=True)
class ClientSession:
    """An app's part of a browser's session: what its ID Tokens say of the login."""

    sid: str
    session_id: str
    client_id: str
    sub: str
    acr: str
    auth_time: int
    approval: str


@dataclass(frozen=True, slots=True)
class Family:
    """All tokens that came of one code."""

    family_id: str
    client_id: str
    grant_id: str
    session_id: str
    sid: str
    identity: bytes
    person: str
    sub: str
    scope: str
    id_token_claims: tuple[str, ...]
    userinfo_claims: tuple[str, ...]
    nonce: str
    acr: str
    auth_time: int
    approval: str
    is_offline: bool
    revoked_at: int | None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        names = [name for name in cls.__slots__ if name in row]
        values: dict[str, Any] = {}
        for name in names:
            values[name] = tuple(row[name]) if isinstance(row[name], list) else row[name]
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Code:
    """A code as it is stored."""

    code_hash: bytes
    client_id: str
    redirect_uri: str
    code_challenge: str | None
    expires_at: int
    used_at: int | None
    family: Family


def issue_code(  # noqa: PLR0917  what a code is for
    connection: Connection,
    request: AuthorizationRequest,
    grant: Grant,
    identity: bytes,
    login: ClientSession,
    now: int,
    lifetime_s: int,
) -> str:
    """A code and its family."""
    code, family_id = secrets.token_urlsafe(32), secrets.token_urlsafe(18)
    family = {
        "family_id": family_id,
        "client_id": request.client_id,
        "grant_id": grant.grant_id,
        "session_id": login.session_id,
        "sid": login.sid,
        "identity": identity,
        "person": grant.person,
        "sub": grant.sub,
        "scope": " ".join(request.scope),
        "id_token_claims": list(request.id_token_claims),
        "userinfo_claims": list(request.userinfo_claims),
        "nonce": request.nonce,
        "acr": login.acr,
        "auth_time": login.auth_time,
        "approval": login.approval,
        "is_offline": "offline_access" in request.scope,
        "created_at": now,
    }
    row = {
        "code_hash": base64url.digest(code),
        "family_id": family_id,
        "client_id": request.client_id,
        "redirect_uri": request.redirect_uri,
        "code_challenge": request.code_challenge or None,
        "expires_at": now + lifetime_s,
    }
    _STORE_FAMILY.changed(connection, **family)
    _STORE_CODE.changed(connection, **row)
    return code


def find_code(connection: Connection, code: str) -> Code | None:
    """A code that was issued, used or not."""
    row = _FIND.first(connection, code_hash=base64url.digest(code))
    if row is None:
        return None
    return Code(
        code_hash=row["code_code_hash"],
        client_id=row["code_client_id"],
        redirect_uri=row["code_redirect_uri"],
        code_challenge=row["code_code_challenge"],
        expires_at=row["code_expires_at"],
        used_at=row["code_used_at"],
        family=Family.of(row),
    )


def use_code(connection: Connection, code: Code, now: int) -> bool:
    """Whether this was the first use."""
    return _USE.changed(connection, code_hash=code.code_hash, now=now) == 1
