"""Reads of gateways: the first that answers, refusals as they are, and a stream that wakes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from pki_chain.errors import ConfigurationError, LedgerUnavailableError, RefusedError
from pki_chain.monitor.gateway_reader import GatewayReader, Wake
from tests.gateway.conftest import Gateway
from tests.relying.conftest import served

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOWHERE = "http://127.0.0.1:9"


def answering(status: str, body: bytes = b"", token: str = "") -> object:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if token and environ.get("HTTP_AUTHORIZATION") != f"Bearer {token}":
            start_response("401 Unauthorized", [])
            return [b'{"detail": "Lists are for members."}']
        start_response(status, [("Content-Length", str(len(body)))])
        return [body]

    return application


def test_the_first_that_answers(publishing: Gateway, address: str) -> None:
    assert GatewayReader([NOWHERE, address]).read_object("/v1/changes", {"limit": 1})["more"]
    with pytest.raises(LedgerUnavailableError, match="does not answer"):
        GatewayReader([NOWHERE]).read("/v1/changes", {})
    with pytest.raises(ConfigurationError):
        GatewayReader([])


def test_a_refusal_is_not_taken_elsewhere(publishing: Gateway, address: str) -> None:
    with pytest.raises(RefusedError, match="A cursor is"):
        GatewayReader([address, NOWHERE]).read("/v1/changes", {"after": "x"})
    publishing.clock.seconds += 60
    with pytest.raises(LedgerUnavailableError, match="s old"):
        GatewayReader([address]).read("/v1/changes", {})


def test_the_token_is_sent() -> None:
    with served(answering("200 OK", b"{}", "secret-of-members")) as address:  # type: ignore[arg-type]
        assert GatewayReader([address], "secret-of-members").read_object("/", {}) == {}
        with pytest.raises(RefusedError, match="Lists are for members"):
            GatewayReader([address]).read("/", {})


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000])
def test_what_is_no_object(body: bytes) -> None:
    with served(answering("200 OK", body)) as address, pytest.raises(LedgerUnavailableError):  # type: ignore[arg-type]
        GatewayReader([address]).read_object("/", {})


@pytest.mark.parametrize("status", ["302 Found", "500 Internal Server Error", "429 Too Many Requests"])
def test_another_status_is_no_answer(status: str) -> None:
    with served(answering(status)) as address, pytest.raises(LedgerUnavailableError, match="without a reason"):  # type: ignore[arg-type]
        GatewayReader([address]).read("/", {})


def test_a_change_wakes() -> None:
    go, asked = threading.Event(), threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        assert environ["QUERY_STRING"] == "after=now"
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        asked.set()
        yield b"event: head\ndata: {}\n\n"
        assert go.wait(30)
        yield b"id: 1\nevent: change\ndata: {}\n\n"

    with served(application) as address:
        wake = Wake(address)
        wake.start()
        assert asked.wait(30)
        threading.Timer(0.05, go.set).start()
        wake.wait(30)
        assert go.is_set()
        wake.stop()


def test_without_a_stream_whoever_waits_looks_again() -> None:
    wake = Wake(NOWHERE)
    wake.start()
    wake.wait(30)  # the stream that failed may have hidden a change
    wake.stop()
