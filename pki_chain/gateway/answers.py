"""Answers as HTTP responses: JSON with the right caching, and who may have them."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Response, request

from pki_chain.gateway.freshness import Moment, cache_control
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.services import services
from pki_chain.gateway.strict_json import JsonObject, parse_object

JSON: Final = "application/json"


def json_answer(content: Mapping[str, Any], status: int = 200) -> Response:
    """JSON that may not be cached."""
    response = Response(json.dumps(content, separators=(",", ":")), status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def state_answer(content: Mapping[str, Any], moment: Moment) -> Response:
    """JSON about the ledger, with the block that it holds for, cached no longer than the cut-off bound allows."""
    response = json_answer({**content, **moment.content()})
    response.headers["Cache-Control"] = cache_control(moment.cache_s)
    return response


def posted_object() -> JsonObject:
    """The JSON object in this request's body, whose size was bounded before. Raises `EnvelopeError`."""
    if request.mimetype != JSON:
        raise EnvelopeError(415, "unsupported-media-type", "The body must be application/json. Set Content-Type.")
    return parse_object(request.get_data(cache=False))


def client() -> str:
    """Address of the client, or of a proxy before it that the settings do not name."""
    return request.remote_addr or "unknown"


def limit_writes() -> None:
    """Count a write of this client. Raises `RejectedError` (429)."""
    services().rate_limit.take(client())


def require_member() -> None:
    """Lists are for members, where the gateway has a token for them. Raises `RejectedError` (401)."""
    token = services().member_token
    if token is None:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token):
        raise RejectedError(
            401, "member-token", "Lists are for members. Send Authorization: Bearer and a member's token."
        )
