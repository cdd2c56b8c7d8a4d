"""Requests as the HTTP server hands them to a front, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]

from pki_chain.gateway.front import Front
from tally_service.rsgi import Headers

CLIENT = "192.0.2.1"
JSON = "application/json"


class RequestHeaders:
    """Names in lower case, as the server gives them."""

    def __init__(self, items: Headers) -> None:
        self._items = items

    def get(self, key: str, default: str | None = None) -> str | None:
        return next(iter(self.get_all(key)), default)

    def get_all(self, key: str) -> list[str]:
        return [value for name, value in self._items if name == key]

    def items(self) -> Headers:
        return self._items


@dataclass
class Request:
    """One request; a body is `body` as it comes, and its length is `length`."""

    method: str
    path: str
    content_type: str = JSON
    body: bytes = b""
    length: int | None = None
    more_headers: Headers = field(default_factory=list)
    query_string: str = ""
    client: str = f"{CLIENT}:1234"
    proto: str = "http"
    http_version: str = "1.1"
    server: str = "198.51.100.1:8080"
    scheme: str = "http"

    @property
    def headers(self) -> RequestHeaders:
        length = len(self.body) if self.length is None else self.length
        framing = [("content-length", str(length))] if length else []
        return RequestHeaders([("content-type", self.content_type), *framing, *self.more_headers])


class _Body:
    """The server's side of a body: what is not all there is waited for, or the client has left."""

    def __init__(self, request: Request, *, is_left: bool) -> None:
        self._request = request
        self._is_left = is_left

    def __await__(self) -> Generator[object, None, bytes]:
        if self._is_left:
            raise ProtocolClosed
        if len(self._request.body) < int(self._request.headers.get("content-length") or 0):
            yield from asyncio.Event().wait().__await__()
        return self._request.body


@dataclass
class Exchange:
    """What the server gives to an application for one request."""

    request: Request
    is_left: bool = False
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    bodies_asked: int = 0

    def __call__(self) -> _Body:
        self.bodies_asked += 1
        return _Body(self.request, is_left=self.is_left)

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self.answers.append((status, dict(headers), body))


async def ask(
    front: Front, request: Request, *, is_left: bool = False, seen: Callable[[Exchange], None] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the one answer. `is_left`: the client breaks off."""
    exchange = Exchange(request, is_left)
    await front.__rsgi__(request, exchange)
    if seen is not None:
        seen(exchange)
    ((status, headers, body),) = exchange.answers
    assert headers["x-content-type-options"] == "nosniff"
    return status, headers, body
