"""What a card signed is checked here, and nowhere else. Source: docs/approval.md; docs/sim-agent-api.yaml, "Order".

The provider recomputes everything from the request that it stored itself. From the agent it takes which items were
granted, which refused, and the typed code.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import rfc8785

from identity_oidc import base64url
from identity_oidc.authentication.jws import CompactJws, MalformedJwsError, parse_json, require
from identity_oidc.errors import AgentError
from identity_oidc.ports import IdentityState, LedgerIdentity

HEADER: Final = b'{"alg":"ES256","typ":"tally-approval+jwt"}'
MAX_LIFETIME_S: Final = 120
_CLAIMS: Final = frozenset({"iss", "aud", "jti", "iat", "exp", "ctx", "leaf"})
_IDENTITY: Final = re.compile(r"0x[0-9a-f]{64}")
_LEAF_LABEL: Final = b"tally-leaf-1"


@dataclass(frozen=True, slots=True)
class StoredChallenge:
    """The provider's own record of what was asked; `fetched` as `challenge.fetch` stored it."""

    jti: str
    identity: bytes
    session_hash: bytes
    code: str
    ctx_salt: bytes
    leaf_salt: bytes
    fetched: Mapping[str, Any]

    @property
    def request(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.fetched["request"]
        return found

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StoredChallenge:
        return cls(
            jti=row["jti"],
            identity=row["identity"],
            session_hash=row["session_hash"],
            code=row["code"] if row["mode"] == "remote" else "",
            ctx_salt=row["ctx_salt"],
            leaf_salt=row["leaf_salt"],
            fetched=row["fetched"],
        )


@dataclass(frozen=True, slots=True)
class HandedIn:
    """What the agent sent."""

    approval: str
    granted: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval whose form and content are right; its signature is not verified by this value alone."""

    jws: CompactJws
    context: bytes
    granted: tuple[str, ...]
    refused: tuple[str, ...]


def parse_approval(
    handed_in: HandedIn, challenge: StoredChallenge, issuer: str, now: int, clock_skew_s: int
) -> CompactJws:
    """Step 5: form, `alg`, `typ` whole, exactly the claims, each as it must be.

    Raises `AgentError` malformed-approval.
    """
    try:
        jws = CompactJws.parse(handed_in.approval)
        require(jws.header == HEADER, "its header is not exactly that of an approval")
        claims = parse_json(jws.payload)
        require(
            not (set(claims) != _CLAIMS or rfc8785.dumps(claims) != jws.payload),
            "its payload has other members, or is not in JCS form",
        )
        require(
            not (claims["iss"] != "0x" + challenge.identity.hex() or not _IDENTITY.fullmatch(str(claims["iss"]))),
            "iss is another identity than the agent's",
        )
        require(not (claims["aud"] != issuer or claims["jti"] != challenge.jti), "aud or jti are of another challenge")
        _check_times(claims["iat"], claims["exp"], challenge.fetched["exp"], now, clock_skew_s)
        require(bool(all(isinstance(claims[name], str) for name in ("ctx", "leaf"))), "ctx and leaf must be texts")
    except rfc8785.CanonicalizationError as error:  # a number that JCS cannot write
        raise AgentError(400, "malformed-approval", "the approval is refused: it has no JCS form") from error
    except MalformedJwsError as error:
        raise AgentError(400, "malformed-approval", f"the approval is refused: {error}") from error
    return jws


def verify_context(jws: CompactJws, handed_in: HandedIn, challenge: StoredChallenge) -> Approval:
    """Step 6: `ctx` and `leaf`, from our own stored request. Raises `AgentError` context-mismatch."""
    claims = parse_json(jws.payload)
    names = sorted(item["name"] for item in challenge.request["items"])
    granted, refused = handed_in.granted, handed_in.refused
    is_split = sorted((*granted, *refused)) == names and list(granted) == sorted(granted)
    context = build_context(challenge, granted, refused)
    ctx = base64url.encode(sha256(challenge.ctx_salt + context).digest())
    leaf = base64url.encode(leaf_of(challenge))
    is_same = hmac.compare_digest(claims["ctx"].encode(), ctx.encode())
    is_same &= hmac.compare_digest(claims["leaf"].encode(), leaf.encode())
    if not is_split or list(refused) != sorted(refused) or not is_same:
        raise AgentError(400, "context-mismatch", "the approval is for something else than what was asked")
    return Approval(jws, context, granted, refused)


def verify_signature(approval: Approval, identity: LedgerIdentity | None) -> None:
    """Step 7: under the key that the ledger holds for `iss`. Raises `AgentError` signature-invalid."""
    if identity is None or not approval.jws.is_signed_by(identity.public_key):
        raise AgentError(400, "signature-invalid", "the approval is not signed by the key that the ledger holds")


def verify_identity(identity: LedgerIdentity, max_age_s: float, *, accept_emulators: bool) -> None:
    """Step 8: that key active, at a block no older than the bound.

    Raises `AgentError` ledger-stale (503), identity-not-active.
    """
    if identity.age_s > max_age_s:
        raise ledger_stale()
    if identity.state is not IdentityState.ACTIVE:
        raise AgentError(403, "identity-not-active", "the identity is not active on the ledger")
    if identity.is_emulator and not accept_emulators:
        raise AgentError(403, "identity-not-active", "this provider takes no keys of emulated cards")


def build_context(challenge: StoredChallenge, granted: Sequence[str], refused: Sequence[str]) -> bytes:
    """The context in JCS form. Source: docs/approval.md, "Context"."""
    request, fetched = challenge.request, challenge.fetched
    record_input = fetched["app"].rpartition(".")[0]
    context = {
        "acr": request["acr"],
        "app_record": base64url.encode(sha256(record_input.encode("ascii")).digest()),
        "authorization_details": request["authorization_details"],
        "claims_granted": list(granted),
        "claims_refused": list(refused),
        "claims_requested": [
            {"essential": item["essential"], "name": item["name"], "purpose": item["purpose"]}
            for item in sorted(request["items"], key=lambda item: str(item["name"]))
        ],
        "client_id": request["client_id"],
        "code": challenge.code,
        "code_challenge": request["code_challenge"],
        "grant_expires_at": request["grant_expires_at"],
        "kind": fetched["kind"],
        "language": fetched["language"],
        "mode": fetched["mode"],
        "nonce": request["nonce"],
        "purpose": request["purpose"],
        "redirect_uri": request["redirect_uri"],
        "scope": request["scope"],
        "session": base64url.encode(challenge.session_hash),
        "sso_seconds": request["sso_seconds"],
        "sub": fetched["sub"],
        "text_digest": fetched["text_digest"],
    }
    return rfc8785.dumps(context)


def leaf_of(challenge: StoredChallenge) -> bytes:
    """The digest by which the app can later show that this login was for it. Source: docs/approval.md."""
    request = challenge.request
    parts = (request["client_id"], challenge.fetched["sub"], request["nonce"])
    digests = b"".join(sha256(part.encode("utf-8")).digest() for part in parts)
    return sha256(_LEAF_LABEL + challenge.leaf_salt + digests).digest()


def ledger_stale() -> AgentError:
    return AgentError(503, "ledger-stale", "what is known of the ledger is too old: nothing was used up, try again")


def _check_times(iat: object, exp: object, challenge_exp: int, now: int, clock_skew_s: int) -> None:
    if not (isinstance(iat, int) and isinstance(exp, int)) or isinstance(iat, bool) or isinstance(exp, bool):
        raise MalformedJwsError("iat and exp must be whole numbers")
    require(0 < exp - iat <= MAX_LIFETIME_S and exp <= challenge_exp, "exp is too late")
    require(iat <= now + clock_skew_s and exp > now - clock_skew_s, "iat or exp do not fit the time here")
