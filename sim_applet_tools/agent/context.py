"""The context that an approval commits to, its canonical form, and the two digests. Source: docs/approval.md."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import Any

import rfc8785

from sim_applet_tools.agent.app_record import AppRecord
from sim_applet_tools.agent.base64url import encode_base64url
from sim_applet_tools.agent.challenge import Challenge
from sim_applet_tools.agent.consent_text import consent_text
from sim_applet_tools.errors import InputError

LEAF_LABEL = b"tally-leaf-1"


def build_context(challenge: Challenge, record: AppRecord, refused: Collection[str], code: str) -> dict[str, Any]:
    """The context as a JSON object. `refused` names items of the challenge, `code` is empty but in mode remote.

    Raises `InputError` for another item or a code out of place.
    """
    names = [item.name for item in challenge.items]
    if unknown := set(refused) - set(names):
        raise InputError(f"{', '.join(sorted(unknown))} was not asked for, so it cannot be refused")
    if (challenge.mode == "remote") != bool(code):
        raise InputError("a code of six digits is typed for a remote login, and for no other")
    return {
        "acr": challenge.acr,
        "app_record": encode_base64url(record.digest),
        "authorization_details": list(challenge.authorization_details),
        "claims_granted": [name for name in names if name not in refused],
        "claims_refused": [name for name in names if name in refused],
        "claims_requested": [
            {"essential": item.is_essential, "name": item.name, "purpose": item.purpose} for item in challenge.items
        ],
        "client_id": challenge.client_id,
        "code": code,
        "code_challenge": challenge.code_challenge,
        "grant_expires_at": challenge.grant_expires_at,
        "kind": challenge.kind,
        "language": challenge.language,
        "mode": challenge.mode,
        "nonce": challenge.nonce,
        "purpose": challenge.purpose,
        "redirect_uri": challenge.redirect_uri,
        "scope": challenge.scope,
        "session": encode_base64url(challenge.session),
        "sso_seconds": challenge.sso_seconds,
        "sub": challenge.sub,
        "text_digest": encode_base64url(sha256(consent_text(challenge, record).encode()).digest()),
    }


def canonical(context: dict[str, Any]) -> bytes:
    """JCS form. Source: RFC 8785."""
    return rfc8785.dumps(context)


def context_digest(ctx_salt: bytes, context: dict[str, Any]) -> bytes:
    """`ctx`, 32 bytes."""
    return sha256(ctx_salt + canonical(context)).digest()


def leaf_digest(leaf_salt: bytes, client_id: str, sub: str, nonce: str) -> bytes:
    """`leaf`, 32 bytes: what an app can later recompute from its own login, without the context."""
    parts = b"".join(sha256(text.encode()).digest() for text in (client_id, sub, nonce))
    return sha256(LEAF_LABEL + leaf_salt + parts).digest()
