"""Requests as the HTTP server hands them to a gateway's front, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pki_chain.gateway.front import Front
from tally_service.http_request import Headers
from tests.exchange import CLIENT, OtherEnd, request_of

JSON = "application/json"


@dataclass(frozen=True)
class Asked:
    """One request; a body is `body` as it comes, and its length is `length`."""

    method: str
    path: str
    content_type: str = JSON
    body: bytes = b""
    length: int | None = None
    more_headers: Headers = field(default_factory=list)
    query_string: str = ""
    client: str = CLIENT


async def ask(
    front: Front, asked: Asked, *, is_left: bool = False, seen: Callable[[OtherEnd], None] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the one answer. `is_left`: the client breaks off."""
    length = len(asked.body) if asked.length is None else asked.length
    framing = [("content-length", str(length))] if length else []
    headers = [("content-type", asked.content_type), *framing, *asked.more_headers]
    other = OtherEnd(asked.body, length, is_left)
    query, client = asked.query_string, asked.client
    await front(request_of(asked.method, asked.path, headers, query_string=query, client=client), other)
    if seen is not None:
        seen(other)
    ((status, answered, body),) = other.answers
    assert answered["x-content-type-options"] == "nosniff"
    return status, answered, body
