"""The change feed as a stream: from a cursor, in order, nothing missed, and never silent about its age."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pki_chain.gateway import stream as module
from pki_chain.gateway.stream import ChangeStream
from tally_service.http_request import GoneError, Headers
from tests.exchange import request_of
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import certificate, certificates


class Client:
    """One client: what it was sent, and a way to go away."""

    def __init__(self, stream: ChangeStream, query: str = "", headers: Headers | None = None) -> None:
        self._stream = stream
        self._gone = asyncio.Event()
        self._changed = asyncio.Event()
        self._request = request_of("GET", "/v1/changes", headers, query_string=query)
        self.status = 0
        self.text = ""

    async def read_body(self, timeout_s: float) -> bytes:
        raise AssertionError(timeout_s)

    def respond(self, status: int, headers: Headers, content: bytes) -> None:  # noqa: ARG002  the server's signature
        self.status, self.text = status, content.decode()

    def begin_stream(self, status: int, headers: Headers) -> Client:
        assert ("content-type", "text/event-stream") in headers
        self.status = status
        self._changed.set()
        return self

    async def send(self, content: bytes) -> None:
        self.text += content.decode()
        self._changed.set()

    async def until_gone(self) -> None:
        await self._gone.wait()

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Kinds and contents of all whole events so far."""
        found = []
        for block in self.text.split("\n\n")[:-1]:
            lines = dict(line.split(": ", 1) for line in block.splitlines())
            found.append((lines["event"], json.loads(lines["data"])))
            assert ("id" in lines) == (lines["event"] == "change")
        return found

    @property
    def cursors(self) -> list[str]:
        return [content["cursor"] for kind, content in self.events if kind == "change"]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        task = asyncio.create_task(self._stream(self._request, self))
        try:
            yield self
        finally:
            self._gone.set()
            await asyncio.wait_for(task, 10)

    async def ask(self) -> dict[str, Any]:
        """The problem document that is answered instead of a stream."""
        await self._stream(self._request, self)
        content: dict[str, Any] = json.loads(self.text)
        return content


class Leaving(Client):
    """Gone when it is written to."""

    async def send(self, content: bytes) -> None:  # noqa: ARG002  the server's signature
        raise GoneError


def stream_of(gateway: Gateway, token: bytes | None = None, head_every_s: float = 60.0) -> ChangeStream:
    parts = gateway.services
    return ChangeStream(parts.read_model, parts.change_log, parts.freshness, token, head_every_s)


def test_changes_come_as_they_happen_and_a_reader_goes_on(publishing: Gateway) -> None:
    async def follow() -> None:
        stream = stream_of(publishing)
        async with Client(stream).connected() as first, Client(stream, "after=0").connected() as second:
            await first.until(lambda: len(first.cursors) == 3)
            publishing.ledger.hold(certificate(0))
            publishing.catch_up()
            await first.until(lambda: len(first.cursors) == 4)
            await second.until(lambda: len(second.cursors) == 4)
            assert first.events[-1][1]["kind"] == "held"
        # Away while things happen; then it goes on after what it saw last.
        publishing.ledger.release(certificate(0))
        publishing.ledger.accept(certificates(2, first=10))
        publishing.catch_up()
        again = Client(stream, "after=0", [("last-event-id", first.cursors[-1])])
        async with again.connected():
            await again.until(lambda: len(again.cursors) == 3)
        everything = publishing.client.get("/v1/changes").get_json()["changes"]
        assert first.cursors + again.cursors == [change["cursor"] for change in everything]
        assert [content for kind, content in again.events if kind == "change"] == everything[4:]

    asyncio.run(follow())


def test_a_reader_far_behind_reads_from_the_tables(publishing: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 2)
    monkeypatch.setattr(module, "_PAGE", 2)

    async def follow() -> None:
        stream = stream_of(publishing)
        async with Client(stream).connected() as steady:
            await steady.until(lambda: len(steady.cursors) == 3)
            publishing.ledger.accept(certificates(5, first=10))
            publishing.catch_up()
            await steady.until(lambda: len(steady.cursors) == 8)
            async with Client(stream).connected() as late:
                await late.until(lambda: len(late.cursors) == 8)
            assert late.cursors == steady.cursors

    asyncio.run(follow())


def test_it_says_as_of_which_block_it_speaks_and_when_it_lags(publishing: Gateway) -> None:
    async def follow() -> None:
        async with Client(stream_of(publishing, head_every_s=0.05)).connected() as client:
            await client.until(lambda: any(kind == "head" for kind, _ in client.events))
            head = next(content for kind, content in client.events if kind == "head")
            assert head["block"]["number"] == publishing.ledger.head().number
            publishing.clock.seconds += 60
            await client.until(lambda: client.events[-1] == ("lagging", {"code": "stale"}))

    asyncio.run(follow())


def test_what_is_refused(publishing: Gateway) -> None:
    end = publishing.services.change_log.end(publishing.ledger.head().number)

    async def refused(query: str, token: bytes | None = None, headers: Headers | None = None) -> str:
        return str((await Client(stream_of(publishing, token), query, headers).ask())["code"])

    async def follow() -> None:
        assert await refused(f"after={end + 1}") == "cursor-from-the-future"
        assert await refused("after=-1") == "bad-cursor"
        assert await refused("after=0&after=1") == "bad-query"
        assert await refused("other=1") == "bad-query"
        assert await refused("", b"t" * 32) == "member-token"
        assert await refused("", b"t" * 32, [("authorization", "Bearer wrong")]) == "member-token"
        publishing.clock.seconds += 60
        assert await refused("") == "stale"

    asyncio.run(follow())


def test_streams_are_bounded(publishing: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STREAMS", 1)

    async def follow() -> None:
        stream = stream_of(publishing)
        async with Client(stream).connected() as client:
            await client.until(lambda: bool(client.cursors))
            assert (await Client(stream).ask())["code"] == "busy"
        async with Client(stream).connected() as client:
            await client.until(lambda: bool(client.cursors))

    asyncio.run(follow())


def test_a_client_that_breaks_off_leaves_nothing(publishing: Gateway) -> None:
    async def follow() -> None:
        stream = stream_of(publishing)
        client = Leaving(stream)
        async with client.connected():
            await client.until(lambda: client.status == 200)
        assert (stream._streams, client.text) == (0, "")

    asyncio.run(follow())
