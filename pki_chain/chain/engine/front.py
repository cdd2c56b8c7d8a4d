"""The engine's JSON-RPC service: only methods that read, and eth_sendRawTransaction.

The child's own port knows methods that change time, state and blocks, and asks nobody who he is; this front is the
only way in that the engine offers, and it passes on what is on its list. A browser that was lured here is refused by
content type, Origin and Host.
"""

from __future__ import annotations

import http.server
import ipaddress
import json
import logging
import socket
import socketserver
import threading
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Protocol

from pki_chain.chain.engine.transaction import SignedTransaction, parse_transaction
from pki_chain.errors import ConfigurationError, InputError, TallyError

READING = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getProof",
        "eth_getStorageAt",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_syncing",
        "net_listening",
        "net_peerCount",
        "net_version",
        "web3_clientVersion",
        "web3_sha3",
    }
)
SENDING = "eth_sendRawTransaction"
MAX_BATCH = 1000
MAX_BODY_BYTES = 16 << 20
MAX_CONNECTIONS = 256
_MAX_ID_CHARACTERS = 128
_IDLE_S = 60.0

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, SERVER_ERROR = -32700, -32600, -32601, -32602, -32000

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What the front needs of the engine."""

    @property
    def chain_id(self) -> int: ...

    def forward(self, body: bytes) -> bytes: ...

    def take(self, transactions: Sequence[SignedTransaction]) -> list[dict[str, Any]]: ...

    def disconnect(self) -> None: ...


class Front:
    """The service on `host`:`port`; port 0 chooses a free one."""

    def __init__(self, host: str, port: int, engine: Engine) -> None:
        try:
            self._server = _Server(host, port, engine)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {host}:{port}: {error.strerror}. Set chain.host and chain.port to what is free."
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="front", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, end those that are open, and wait for their threads."""
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, engine: Engine) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.engine = engine
        self._mutex = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        with self._mutex:
            if len(self._open) >= MAX_CONNECTIONS:
                log.warning("refusing a connection: %d are open", len(self._open))
                return False
            self._open.add(request)
            return True

    def shutdown_request(self, request: Any) -> None:
        with self._mutex:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._mutex:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RD)
                except OSError:
                    log.debug("a connection was gone already")

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.debug("a connection ended in an error", exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tally"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = _IDLE_S
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 9 or int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif not self._is_from_program():
            self._refuse(HTTPStatus.FORBIDDEN)
        else:
            body = self.rfile.read(int(length))
            if len(body) != int(length):
                self.close_connection = True
                return
            self._answer(body)

    def finish(self) -> None:
        self.server.engine.disconnect()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        log.debug(format, *args)

    def _is_from_program(self) -> bool:
        """No browser: those cannot send this content type across sites without asking, and name their origin. The
        Host check stops names that were made to point here."""
        kind = self.headers.get_content_type()
        host = self.headers.get("Host", "").rpartition(":")[0].strip("[]") or self.headers.get("Host", "")
        return kind == "application/json" and "Origin" not in self.headers and _is_address(host)

    def _answer(self, body: bytes) -> None:
        try:
            content = answer(self.server.engine, body)
        except TallyError as error:
            log.warning("answering 503: %s", error)
            self._reply(HTTPStatus.SERVICE_UNAVAILABLE, json.dumps({"error": str(error)}).encode())
            return
        self._reply(HTTPStatus.OK, content)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self._reply(status, b"{}")

    def _reply(self, status: HTTPStatus, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def _is_address(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def answer(engine: Engine, body: bytes) -> bytes:
    """The answer to a JSON-RPC request or batch. Raises `LedgerUnavailableError`, `StorageError`."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return json.dumps(_error(None, PARSE_ERROR, "The body is not JSON.")).encode()
    requests = content if isinstance(content, list) else [content]
    if not 1 <= len(requests) <= MAX_BATCH:
        return json.dumps(_error(None, INVALID_REQUEST, f"A batch holds 1 to {MAX_BATCH} requests.")).encode()
    refusals = [_check(request) for request in requests]
    if any(refusals) or any(request["method"] == SENDING for request in requests):
        answers = _answer_apart(engine, requests, refusals)
        return json.dumps(answers if isinstance(content, list) else answers[0]).encode()
    # Nothing but reading: the child's answer is passed on as it is.
    return engine.forward(json.dumps(content).encode())


def _check(request: object) -> dict[str, Any] | None:
    """The error for a request that goes no further, else None."""
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0" or not _is_id(request.get("id")):
        return _error(None, INVALID_REQUEST, "Not a JSON-RPC 2.0 request with an id.")
    method, params = request.get("method"), request.get("params", [])
    if not isinstance(params, list):
        return _error(request["id"], INVALID_PARAMS, "The parameters must be a list.")
    if not isinstance(method, str) or (method not in READING and method != SENDING):
        return _error(request["id"], METHOD_NOT_FOUND, "This ledger has no such method.")
    return None


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_ID_CHARACTERS
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def _answer_apart(engine: Engine, requests: list[Any], refusals: list[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Answers in the order of the requests: transactions are taken in together, then the rest is read."""
    answers: dict[int, dict[str, Any]] = {at: each for at, each in enumerate(refusals) if each is not None}
    transactions: dict[int, SignedTransaction] = {}
    for at, request in enumerate(requests):
        if at not in answers and request["method"] == SENDING:
            try:
                transactions[at] = parse_transaction(_parse_raw(request.get("params")), engine.chain_id)
            except InputError as error:
                answers[at] = _error(request["id"], INVALID_PARAMS, str(error))
    if transactions:
        for at, taken in zip(transactions, engine.take(list(transactions.values())), strict=True):
            answers[at] = taken | {"id": requests[at]["id"]}
    reading = [at for at in range(len(requests)) if at not in answers]
    if reading:
        body = [requests[at] | {"id": at} for at in reading]
        by_id = {each["id"]: each for each in json.loads(engine.forward(json.dumps(body).encode()))}
        for at in reading:
            answers[at] = by_id[at] | {"id": requests[at]["id"]}
    return [answers[at] for at in range(len(requests))]


def _parse_raw(params: object) -> bytes:
    if isinstance(params, list) and len(params) == 1 and isinstance(params[0], str) and params[0].startswith("0x"):
        try:
            return bytes.fromhex(params[0][2:])
        except ValueError:
            pass
    raise InputError("The parameter must be one signed transaction: 0x and hexadecimal digits.")


def _error(request_id: object, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
