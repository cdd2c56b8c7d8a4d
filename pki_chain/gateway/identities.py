"""`/v1/identities`: a person's identity by its random id, the keys it ever had, and the feed of changes.

Who asks must know the id; the feed of all of them is for members. Nothing here tells who a person is: the ledger has no
name, number, or hash of one (R-ID-2).
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from flask import Blueprint, Response, request

from pki_chain.errors import NotFoundError
from pki_chain.gateway.answers import require_member, state_answer
from pki_chain.gateway.change_answers import read_cursor
from pki_chain.gateway.freshness import Moment
from pki_chain.gateway.problems import EnvelopeError, problem_of
from pki_chain.gateway.services import services
from pki_chain.index.identities import MAX_CHANGES, Identities
from pki_chain.index.identity_records import IdentityChange, IdentityKeyRecord, IdentityRecord
from pki_chain.ports import CardKey

identities = Blueprint("identities", __name__)

_ID: Final = re.compile(r"0x[0-9a-f]{64}")
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}")


@identities.get("/v1/identities/<identity>")
def identity(identity: str) -> Response:
    """What holds now of an identity: the OpenID provider's question at every login."""
    wanted = parse_identity(identity)
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        record = Identities(parts.read_model).identity(wanted)
        member = None if record is None else parts.read_model.member(record.operator)
    if record is None:
        return _absence(identity, moment)
    operator_state = "unknown" if member is None else member.state.name.lower()
    return state_answer({**identity_content(record), "operator_state": operator_state}, moment)


@identities.get("/v1/identities/<identity>/keys")
def keys(identity: str) -> Response:
    """Every key that an identity ever had, the first first: what a person's agent compares with its own card."""
    wanted = parse_identity(identity)
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = Identities(parts.read_model).keys(wanted)
    if not found:
        raise _unknown(identity)
    return state_answer({"identity": identity, "keys": [_history_content(each) for each in found]}, moment)


@identities.get("/v1/identities/changes")
def changes() -> Response:
    """Changes after a cursor, in the ledger's order; the same from every gateway, so that a cursor is good at all."""
    require_member()
    limit = read_limit()
    parts = services()
    feed = Identities(parts.read_model)
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        after = read_cursor(request.args.get("after", "0"), feed, moment.block.number)
        found = feed.changes(after, limit)
    content = {
        "changes": [_change_content(each) for each in found],
        "cursor": str(found[-1].position if found else after),
        "more": len(found) == limit,
    }
    response = state_answer(content, moment)
    response.headers["Cache-Control"] = "no-store"
    return response


def parse_identity(text: str) -> bytes:
    """An identity's id. Raises `EnvelopeError`."""
    if not _ID.fullmatch(text):
        raise EnvelopeError(400, "bad-identity", "An identity's id is 0x and 64 lower-case hexadecimal digits.")
    return bytes.fromhex(text[2:])


def read_limit() -> int:
    """The number of changes asked for. Raises `EnvelopeError`, also for a query that is not known."""
    arguments = request.args
    if set(arguments) - {"after", "limit"} or any(len(arguments.getlist(name)) > 1 for name in arguments):
        raise EnvelopeError(400, "bad-query", "Give after (a cursor) and limit, each at most once, and nothing else.")
    limit = arguments.get("limit", str(MAX_CHANGES))
    if not _LIMIT.fullmatch(limit) or int(limit) > MAX_CHANGES:
        raise EnvelopeError(400, "bad-query", f"limit must be a number from 1 to {MAX_CHANGES}.")
    return int(limit)


def identity_content(record: IdentityRecord) -> dict[str, Any]:
    """An identity as REST answers it."""
    waiting = record.replacement
    return {
        "identity": "0x" + record.id.hex(),
        "state": record.state.name.lower(),
        "operator": record.operator,
        **_key_content(record.key),
        "key_blocked": record.is_key_blocked,
        "reason": record.reason if record.is_revoked else None,
        "counter": record.counter,
        "key_count": record.key_count,
        "registered_at": record.registered_at,
        "key_since": record.key_since,
        "activated_at": record.activated_at or None,
        "since": record.changed_at,
        "replacement": None
        if waiting is None
        else {
            **_key_content(waiting.key),
            "started_by": waiting.started_by,
            "executable_at": waiting.executable_at,
        },
    }


def _key_content(key: CardKey) -> dict[str, Any]:
    return {
        "key": {"kty": "EC", "crv": "P-256", "x": _base64url(key.x), "y": _base64url(key.y)},
        "attestation": key.attestation.name.lower().replace("_", "-"),
        "card_enforced": key.card_enforced,
        "emulator": key.emulator,
    }


def _history_content(record: IdentityKeyRecord) -> dict[str, Any]:
    return {
        "index": record.index,
        **_key_content(record.key),
        "since": record.since,
        "until": record.until or None,
        "by_old_key": record.by_old_key,
    }


def _change_content(change: IdentityChange) -> dict[str, Any]:
    return {
        "cursor": str(change.position),
        "kind": change.kind,
        "identity": "0x" + change.identity.hex(),
        "time": change.time,
    }


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _absence(identity: str, moment: Moment) -> Response:
    """Not to be there is an answer about state too: whoever asks must see how old it is."""
    response = problem_of(_unknown(identity))
    response.set_data(json.dumps({**response.get_json(), **moment.content()}))
    return response


def _unknown(identity: str) -> NotFoundError:
    return NotFoundError(f"The ledger has no identity {identity}. Register it, or correct the id.")
