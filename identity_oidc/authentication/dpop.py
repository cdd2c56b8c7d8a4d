"""Proofs that an agent holds its key (DPoP), and the nonces that bind them in time. Source: RFC 9449 §4.3, §8."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from identity_oidc import base64url
from identity_oidc.authentication.jws import CompactJws, MalformedJwsError, parse_json, parse_public_jwk, thumbprint
from identity_oidc.errors import AgentError
from identity_oidc.store.database import Database, insert_once
from identity_oidc.store.schema import CURSORS

MAX_PROOF_CHARS: Final = 2_048
MAX_AGE_S: Final = 60
NONCE_PERIOD_S: Final = 300
_NONCES_KEPT: Final = 4
_SECRET_NAME: Final = "dpop-nonce-secret"  # noqa: S105  the name of a row


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that passed: whose key, and the digest of its `jti`, to be remembered."""

    thumbprint: str
    public_jwk: dict[str, Any]
    jti_hash: bytes


def load_nonce_secret(database: Database) -> bytes:
    """The secret that all processes and instances share; made by the first."""
    wanted = select(CURSORS.c.value).where(CURSORS.c.name == _SECRET_NAME)
    with database.writing() as connection:
        found = connection.execute(wanted).scalar()
        if found is None:
            try:
                with connection.begin_nested():
                    row = {"name": _SECRET_NAME, "value": secrets.token_urlsafe(32), "updated_at": 0}
                    connection.execute(insert(CURSORS).values(row))
            except IntegrityError:  # another instance was first
                pass
            found = connection.execute(wanted).scalar_one()
    return str(found).encode("ascii")


class DpopVerifier:
    """Checks proofs for the agent API of one issuer."""

    def __init__(self, issuer: str, nonce_secret: bytes) -> None:
        self._issuer = issuer
        self._nonce_of = lru_cache(maxsize=_NONCES_KEPT)(partial(_nonce_of, nonce_secret))

    def nonce(self, now: int) -> str:
        """For the next call: good for this period and the one after it."""
        return self._nonce_of(now // NONCE_PERIOD_S)

    def verify(self, proof: str, method: str, path: str, token: str | None, now: int) -> Proof:
        """Raises `AgentError` 401: invalid_dpop_proof, or use_dpop_nonce where only that is missing or old."""
        if len(proof) > MAX_PROOF_CHARS:
            raise _refused("the proof is too long")
        try:
            jws = CompactJws.parse(proof)
            header, claims = parse_json(jws.header), parse_json(jws.payload)
            if (header.get("typ"), header.get("alg")) != ("dpop+jwt", "ES256") or set(header) != {"typ", "alg", "jwk"}:
                raise _refused("its header is not typ dpop+jwt, alg ES256 and jwk")
            public_key = parse_public_jwk(header["jwk"])
        except MalformedJwsError as error:
            raise _refused(str(error)) from error
        if not jws.is_signed_by(public_key):
            raise _refused("its signature does not verify")
        if claims.get("htm") != method or not self._is_target(claims.get("htu"), path):
            raise _refused("htm or htu are of another request")
        jti, iat = claims.get("jti"), claims.get("iat")
        if type(iat) is not int or abs(now - iat) > MAX_AGE_S:
            raise _refused("iat is too far from now")
        if not isinstance(jti, str) or not 1 <= len(jti) <= 128:
            raise _refused("jti is no text of at most 128 characters")
        if token is not None and claims.get("ath") != base64url.encode(sha256(token.encode("ascii")).digest()):
            raise _refused("ath is not of this token")
        self._check_nonce(claims.get("nonce"), now)
        print_ = thumbprint(header["jwk"])
        return Proof(print_, header["jwk"], sha256(f"{print_}:{jti}".encode()).digest())

    def _check_nonce(self, nonce: object, now: int) -> None:
        period = now // NONCE_PERIOD_S
        wanted = [self._nonce_of(period), self._nonce_of(period - 1)]
        if not isinstance(nonce, str) or not any(hmac.compare_digest(nonce.encode(), each.encode()) for each in wanted):
            raise AgentError(
                401,
                "use-dpop-nonce",
                "the proof lacks this provider's nonce: repeat it with the one in DPoP-Nonce",
                authenticate='DPoP error="use_dpop_nonce"',
            )

    def _is_target(self, htu: object, path: str) -> bool:
        return isinstance(htu, str) and len(htu) <= 1_024 and _normal(htu) == _normal(self._issuer + path)


def _nonce_of(secret: bytes, period: int) -> str:
    return base64url.encode(hmac.digest(secret, f"dpop-{period}".encode(), "sha256")[:16])


def remember_proof(connection: Connection, proof: Proof, now: int) -> None:
    """Take the proof's `jti`. Raises `AgentError` where it was taken before."""
    if not insert_once(connection, "dpop", proof.jti_hash, now + 2 * MAX_AGE_S + 1):
        raise _refused("it was used before")


def _refused(why: str) -> AgentError:
    return AgentError(
        401, "invalid-dpop-proof", f"the DPoP proof is refused: {why}", authenticate='DPoP error="invalid_dpop_proof"'
    )


def _normal(address: str) -> tuple[str, str, int, str] | None:
    """Scheme, host, port and path, without query and fragment. Source: RFC 3986 §6.2.2, §6.2.3."""
    try:
        parts = urlsplit(address)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port, parts.path or "/"
