"""Failover: who does not answer is passed over; who answers wrongly is not believed."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from pki_chain.chain.connection import Connection, WrongChainError
from pki_chain.chain.errors import AnswerTooLargeError, RpcError
from pki_chain.chain.ledger import LedgerClient
from pki_chain.config import ConsortiumFile
from pki_chain.errors import ConfigurationError, LedgerUnavailableError, RefusedError
from pki_chain.ports import Address

Answer = Callable[[dict[str, Any]], object]


class Endpoint(http.server.ThreadingHTTPServer):
    """A JSON-RPC endpoint that answers as a test wants it to."""

    daemon_threads = False

    def __init__(self, answer: Answer, *, chain: int = 7) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.chain = chain
        self.asked: list[str] = []
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.released.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        requests = body if isinstance(body, list) else [body]
        answers = []
        for request in requests:
            self.server.asked.append(request["method"])
            if request["method"] == "eth_chainId":
                answers.append({"jsonrpc": "2.0", "id": request["id"], "result": hex(self.server.chain)})
                continue
            answer = self.server.answer(request)
            if isinstance(answer, bytes):
                self._send(200, answer)
                return
            if isinstance(answer, int):
                self._send(answer, b"{}")
                return
            answers.append({"jsonrpc": "2.0", "id": request["id"]} | dict(answer))  # type: ignore[call-overload]
        self._send(200, json.dumps(answers if isinstance(body, list) else answers[0]).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        try:
            self.wfile.write(content)
        except BrokenPipeError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Nothing: a test's output is its result."""


@pytest.fixture
def start() -> Iterator[Callable[..., Endpoint]]:
    running: list[Endpoint] = []

    def begin(answer: Answer = lambda _: {"result": "0x2a"}, **options: Any) -> Endpoint:
        running.append(Endpoint(answer, **options))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def dead() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_dead_endpoint_is_passed_over_and_then_left_aside(start: Callable[..., Endpoint], dead: str) -> None:
    good = start()
    connection = Connection([dead, good.url], timeout_s=5, chain_id=7)
    assert connection.request("eth_blockNumber", []) == "0x2a"
    assert connection.request("eth_blockNumber", []) == "0x2a"
    assert good.asked == ["eth_chainId", "eth_blockNumber", "eth_blockNumber"], "chain id once"
    good.stop()
    with pytest.raises(LedgerUnavailableError, match="No endpoint of the ledger answers"):
        connection.request("eth_blockNumber", [])


def test_a_slow_endpoint_is_passed_over(start: Callable[..., Endpoint]) -> None:
    slow = start(lambda _: (slow.released.wait(30) and {"result": "0x1"}) or {"result": "0x1"})
    good = start()
    connection = Connection([slow.url, good.url], timeout_s=0.5, chain_id=7)
    assert connection.request("eth_blockNumber", []) == "0x2a"
    slow.released.set()


def test_an_endpoint_that_drips_is_passed_over(start: Callable[..., Endpoint]) -> None:
    """Each read is in time, the whole is not."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not stop.is_set():
                try:
                    peer.sendall(b"1\r\n \r\n")
                except OSError:
                    return
                stop.wait(0.1)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        begin = time.monotonic()
        assert Connection([url, start().url], timeout_s=0.5, chain_id=7).request("eth_blockNumber", []) == "0x2a"
        assert time.monotonic() - begin < 20
    finally:
        stop.set()
        thread.join()
        listener.close()


def test_another_chain_is_refused(start: Callable[..., Endpoint], dead: str) -> None:
    wrong, good = start(chain=8), start()
    with pytest.raises(WrongChainError, match=r"serves chain 8, not chain 7\. Correct ledger\.endpoints"):
        Connection([wrong.url], chain_id=7).request("eth_blockNumber", [])
    assert Connection([wrong.url, good.url], chain_id=7).request("eth_blockNumber", []) == "0x2a"
    assert "eth_blockNumber" not in wrong.asked
    with pytest.raises(LedgerUnavailableError, match="serves chain 8"):
        Connection([wrong.url, dead], chain_id=7).request("eth_blockNumber", [])
    first = Connection([good.url, wrong.url])
    assert first.chain_id() == 7
    good.stop()
    with pytest.raises(LedgerUnavailableError, match="serves chain 8"):
        first.chain_id()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b"[]",
        b"3",
        b'{"jsonrpc":"2.0","id":"other","result":1}',
        500,
        502,
        302,
        {},
        {"error": 3},
    ],
    ids=str,
)
def test_what_is_no_answer_is_passed_over(start: Callable[..., Endpoint], answer: Any) -> None:
    bad, good = start(lambda _: answer), start()
    assert Connection([bad.url, good.url], timeout_s=5, chain_id=7).request("eth_blockNumber", []) == "0x2a"
    with pytest.raises(LedgerUnavailableError):
        Connection([bad.url], timeout_s=5, chain_id=7).request("eth_blockNumber", [])


def test_an_error_is_an_answer(start: Callable[..., Endpoint]) -> None:
    first = start(lambda _: {"error": {"code": -32003, "message": "nonce too low"}})
    second = start()
    connection = Connection([first.url, second.url], chain_id=7)
    with pytest.raises(RpcError, match="nonce too low") as refused:
        connection.request("eth_sendRawTransaction", ["0x"])
    assert refused.value.rpc_code == -32003
    assert second.asked == []


def test_an_oversized_answer_is_not_read_on(start: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pki_chain.chain.connection.MAX_ANSWER_BYTES", 1000)
    big = start(lambda _: {"result": "0x" + "00" * 100_000})
    with pytest.raises(AnswerTooLargeError, match="more than 1000 bytes"):
        Connection([big.url], chain_id=7).request("eth_getLogs", [])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (("RegistryLotClosed", ["uint40"], [3]), "RegistryLotClosed(lot=3)"),
        (("RegistryBadLot", ["string"], ["no stations"]), "RegistryBadLot(reason=no stations)"),
        (("Error", ["string"], ["plain"]), "plain"),
        (("Panic", ["uint256"], [0x11]), "Panic(code=0x11)"),
        (("Unheard", ["uint256"], [1]), "unknown here: 0x"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_reverts_are_named(start: Callable[..., Endpoint], error: tuple[str, list[str], list[Any]], text: str) -> None:

    name, types, values = error
    data = "0x" + (keccak(f"{name}({','.join(types)})".encode())[:4] + encode(types, values)).hex()
    for reported in (
        {"code": 3, "message": "execution reverted", "data": data},
        {"code": -32000, "message": "Execution reverted", "data": data},
    ):
        endpoint = start(lambda _, reported=reported: {"error": reported})
        with pytest.raises(RefusedError) as refused:
            Connection([endpoint.url], chain_id=7).call(Address("0x" + "11" * 20), b"")
        assert text in str(refused.value)


@pytest.mark.parametrize("data", [None, "0x", "0x01", "0x08c379a0ff", "0x4e487b71"])
def test_reverts_without_a_readable_reason_still_refuse(start: Callable[..., Endpoint], data: str | None) -> None:
    endpoint = start(lambda _: {"error": {"code": 3, "message": "execution reverted", "data": data}})
    with pytest.raises(RefusedError, match="refused"):
        Connection([endpoint.url], chain_id=7).call(Address("0x" + "11" * 20), b"")


def test_batches_keep_order_and_errors(start: Callable[..., Endpoint]) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        number = request["params"][0]
        return {"error": {"code": -1, "message": "odd"}} if number % 2 else {"result": number}

    endpoint = start(answer)
    connection = Connection([endpoint.url], chain_id=7)
    answers = connection.batch([("eth_x", [number]) for number in range(1201)])
    assert [each for each in answers if not isinstance(each, RpcError)] == list(range(0, 1201, 2))
    with pytest.raises(RpcError, match="odd"):
        connection.results([("eth_x", [0]), ("eth_x", [1])])
    assert connection.batch([]) == []


def test_secrets_in_an_endpoints_path_stay_out_of_messages(dead: str) -> None:
    with pytest.raises(LedgerUnavailableError) as failed:
        Connection([f"{dead}/v3/very-secret-token"], chain_id=7).request("eth_blockNumber", [])
    assert "secret" not in str(failed.value)
    assert dead in str(failed.value)


def test_no_endpoint_at_all() -> None:
    with pytest.raises(ConfigurationError, match=r"ledger\.endpoints"):
        Connection([])


def consortium_file(*endpoints: str) -> ConsortiumFile:
    return ConsortiumFile(
        chain_id=7,
        salt=bytes(32),
        consortium=Address("0x" + "0c" * 20),
        directory=Address("0x" + "0d" * 20),
        certificate_registry=Address("0x" + "0e" * 20),
        identity_registry=Address("0x" + "1d" * 20),
        trust_list=Address("0x" + "7e" * 20),
        code_hashes=MappingProxyType({}),
        endpoints=endpoints,
        founding_block=1,
        founding_hash=bytes(32),
    )


def header(number: int, salt: int = 0) -> dict[str, str]:
    return {
        "number": hex(number),
        "hash": f"0x{number + 1 + salt:064x}",
        "parentHash": f"0x{number + salt:064x}",
        "timestamp": hex(1_000 + number),
    }


def node(head: int, *, salt: int = 0, logs: Any = ()) -> Answer:
    """A node that has the blocks up to `head`, and says nothing about others: as many do."""

    def answer(request: dict[str, Any]) -> object:
        if request["method"] == "eth_getLogs":
            asked = request["params"][0]
            return {
                "result": logs
                if not isinstance(logs, tuple)
                else [log for log in logs if int(asked["fromBlock"], 16) <= int(log["blockNumber"], 16) <= head]
            }
        block = request["params"][0]
        number = head if block == "latest" else int(block, 16)
        return {"result": header(number, salt) if number <= head else None}

    return answer


LOT_CLOSED = {
    "topics": ["0x" + keccak(b"LotClosed(uint40,address)").hex(), f"0x{1:064x}", f"0x{2:064x}"],
    "data": "0x",
    "blockNumber": "0x5",
    "transactionHash": "0x" + "01" * 32,
    "logIndex": "0x0",
}


def test_events_are_not_taken_from_an_endpoint_that_lags(start: Callable[..., Endpoint]) -> None:
    """It has no event of a block that it does not have, and would say so by an empty list."""
    lagging, good = start(node(4)), start(node(5, logs=(LOT_CLOSED,)))
    ledger = LedgerClient(consortium_file(lagging.url, good.url))
    (event,) = ledger.events(5, 5, bytes.fromhex(header(5)["hash"][2:]))
    assert event.block_number == 5
    assert "eth_getLogs" in lagging.asked
    (event,) = ledger.events(4, 5)
    assert event.block_number == 5
    alone = LedgerClient(consortium_file(lagging.url))
    assert list(alone.events(3, 4)) == []
    with pytest.raises(LedgerUnavailableError, match="does not have a block"):
        alone.events(3, 5)


def test_events_are_not_taken_from_another_fork(start: Callable[..., Endpoint]) -> None:
    other, good = start(node(5, salt=100)), start(node(5, logs=(LOT_CLOSED,)))
    ledger = LedgerClient(consortium_file(other.url, good.url))
    assert len(ledger.events(5, 5, bytes.fromhex(header(5)["hash"][2:]))) == 1
    with pytest.raises(LedgerUnavailableError, match="another block"):
        LedgerClient(consortium_file(other.url)).events(5, 5, bytes.fromhex(header(5)["hash"][2:]))


def test_headers_come_from_an_endpoint_that_has_them(start: Callable[..., Endpoint]) -> None:
    ledger = LedgerClient(consortium_file(start(node(4)).url, start(node(5)).url))
    assert [block.number for block in ledger.blocks(3, 5)] == [3, 4, 5]


@pytest.mark.parametrize(
    "logs",
    [
        None,
        {},
        [None],
        ["0x"],
        [{}],
        [{**LOT_CLOSED, "topics": None}],
        [{**LOT_CLOSED, "topics": []}],
        [{**LOT_CLOSED, "topics": [1]}],
        [{**LOT_CLOSED, "topics": LOT_CLOSED["topics"][:2]}],
        [{**LOT_CLOSED, "data": None}],
        [{**LOT_CLOSED, "blockNumber": None}],
        [{**LOT_CLOSED, "blockNumber": "0x6"}],
        [{**LOT_CLOSED, "logIndex": -1}],
        [{**LOT_CLOSED, "transactionHash": "0x"}],
        [{**LOT_CLOSED, "removed": True}],
        [LOT_CLOSED, LOT_CLOSED],
    ],
)
def test_logs_that_are_none_are_not_taken(start: Callable[..., Endpoint], logs: Any) -> None:
    bad, good = start(node(5, logs=logs)), start(node(5, logs=(LOT_CLOSED,)))
    assert len(LedgerClient(consortium_file(bad.url, good.url)).events(5, 5)) == 1
    with pytest.raises(LedgerUnavailableError):
        LedgerClient(consortium_file(bad.url)).events(5, 5)
