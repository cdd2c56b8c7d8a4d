"""The HTTP server's side of one request, for applications that are asked without one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tally_service.http_request import GoneError, Headers, Request

CLIENT = "192.0.2.1"


def request_of(method: str, path: str, headers: Headers | None = None, **others: Any) -> Request:
    """As the server hands it over: names of headers in lower case."""
    others = {"query_string": "", "client": CLIENT, "server": ("198.51.100.1", 8080), **others}
    return Request(method, path, others.pop("query_string"), headers or [], **others)


@dataclass
class OtherEnd:
    """Who sends `body`, and takes one answer; what is not all there is waited for, or the client has left."""

    body: bytes | None = b""
    length: int | None = None
    is_left: bool = False
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    bodies_asked: int = 0

    async def read_body(self, timeout_s: float) -> bytes:
        self.bodies_asked += 1
        if self.is_left:
            raise GoneError
        if self.body is None or len(self.body) < (self.length or 0):
            async with asyncio.timeout(timeout_s):
                await asyncio.Event().wait()
        assert self.body is not None
        return self.body

    def respond(self, status: int, headers: Headers, content: bytes) -> None:
        self.answers.append((status, {name.lower(): value for name, value in headers}, content))

    def begin_stream(self, status: int, headers: Headers) -> OtherEnd:  # noqa: ARG002  the server's signature
        raise AssertionError("nothing here is streamed")

    async def send(self, content: bytes) -> None:  # noqa: ARG002  the server's signature
        raise AssertionError("nothing here is streamed")

    async def until_gone(self) -> None:
        raise AssertionError("nothing here is streamed")
