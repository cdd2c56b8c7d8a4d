"""The two texts that an agent has a card sign. Source: docs/approval.md."""

from __future__ import annotations

from typing import Any

import rfc8785

from sim_applet_tools.agent.base64url import encode_base64url
from sim_applet_tools.agent.challenge import Challenge
from sim_applet_tools.agent.context import context_digest, leaf_digest
from sim_applet_tools.agent.jws import signing_input

AGENT_HEADER = '{"alg":"ES256","typ":"tally-agent+jwt"}'
APPROVAL_HEADER = '{"alg":"ES256","typ":"tally-approval+jwt"}'
MAX_LIFETIME_S = 120


def approval_text(identity: str, challenge: Challenge, context: dict[str, Any], now: int) -> bytes:
    """The signing input of an approval, about 450 bytes; valid no longer than 120 s nor than its challenge."""
    claims: dict[str, Any] = {
        "iss": identity,
        "aud": challenge.issuer,
        "jti": challenge.challenge_id,
        "iat": now,
        "exp": min(now + MAX_LIFETIME_S, challenge.exp),
        "ctx": encode_base64url(context_digest(challenge.ctx_salt, context)),
        "leaf": encode_base64url(leaf_digest(challenge.leaf_salt, challenge.client_id, challenge.sub, challenge.nonce)),
    }
    return signing_input(APPROVAL_HEADER, rfc8785.dumps(claims))


def agent_text(identity: str, issuer: str, jti: str, jkt: str, *, iat: int, exp: int) -> bytes:
    """The signing input of an enrolment: the card vouches for the agent's own key, for one provider, until `exp`."""
    claims: dict[str, Any] = {"iss": identity, "aud": issuer, "jti": jti, "iat": iat, "exp": exp, "cnf": {"jkt": jkt}}
    return signing_input(AGENT_HEADER, rfc8785.dumps(claims))


def compact(text: bytes, signature: bytes) -> str:
    """The JWS of a signing input and r and s, 64 bytes."""
    return f"{text.decode('ascii')}.{encode_base64url(signature)}"
