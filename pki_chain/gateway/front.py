"""What stands between the HTTP server and Flask: bodies within bounds of size, time and number, and the short way for
`GET /v1/certificates/{sha256}/status` and for OCSP.

Under plain WSGI the server hands a request on before its body has arrived, so that eight senders who stop half-way
would hold every thread of a worker for good. Here bodies are awaited without a thread, and a request gets one when it
is whole. Source: ASGI 3.0 (HTTP), PEP 3333.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from pki_chain.config import Network
from pki_chain.errors import TallyError
from pki_chain.gateway.freshness import cache_control
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.ocsp_answers import MAX_REQUEST_BYTES, REQUEST_TYPE, OcspAnswer, OcspCache, read_path
from pki_chain.gateway.ocsp_answers import MEDIA_TYPE as OCSP_MEDIA_TYPE
from pki_chain.gateway.problems import MEDIA_TYPE, problem
from pki_chain.gateway.proxies import client_address
from pki_chain.gateway.rate_limit import subscriber
from pki_chain.gateway.status_answers import StatusAnswers
from pki_chain.status.ocsp_request import OcspRequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_BODY_BYTES: Final = 256 * 1024
BODY_TIMEOUT_S: Final = 10.0
MAX_BODIES_A_CLIENT: Final = 16
MAX_OCSP_BODIES_A_CLIENT: Final = 256
"""These are small, and come at once from a gateway's many peers."""

THREADS: Final = 8

_STATUS_PATH: Final = re.compile(r"/v1/certificates/([0-9a-f]{64})/status")
_OCSP_PATH: Final = "/ocsp/"
_OCSP_TYPE: Final = REQUEST_TYPE.encode()
_JSON: Final = (b"content-type", b"application/json")
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")


class _NotTakenError(Exception):
    """A request that goes no further: HTTP status, code and text of the problem."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(status, code, text)
        self.status = status
        self.code = code
        self.text = text


class Front:
    """An ASGI application round the WSGI one. One a process."""

    def __init__(
        self,
        application: WSGIApplication,
        answers: StatusAnswers,
        counters: Counters,
        ocsp: OcspCache,
        *,
        body_timeout_s: float = BODY_TIMEOUT_S,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._application = application
        self._answers = answers
        self._counters = counters
        self._ocsp = ocsp
        self._body_timeout_s = body_timeout_s
        self._trusted_proxies = trusted_proxies
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._arriving: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `NotImplementedError` for what is not HTTP."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        if scope["method"] == "GET" and (match := _STATUS_PATH.fullmatch(scope["path"])):
            content = self._status(match[1])
            if content is not None:
                await _send(send, 200, [*content[0], _length(content[1])], content[1])
                return
        if self._trusted_proxies:
            scope = {**scope, "client": (client_address(scope, self._trusted_proxies), 0)}
        try:
            if (asked := await self._ocsp_request(scope, receive)) is not None:
                await self._send_ocsp(send, self._ocsp.answer(asked))
                return
            body = await self._body(scope, receive)
        except _NotTakenError as error:
            self._counters.count("other", error.status)
            refusal = problem(error.status, error.code, error.text)
            headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store"), _NO_SNIFFING]
            await _send(send, error.status, [*headers, _length(refusal.get_data())], refusal.get_data())
            return
        loop = asyncio.get_running_loop()
        status, headers, page = await loop.run_in_executor(self._threads, self._run, wsgi_environ(scope, body))
        if scope["method"] != "HEAD" and status != 304:  # to those the application tells the length that GET has
            headers = [each for each in headers if each[0] != b"content-length"]
            headers.append(_length(page))
        await _send(send, status, headers, page)

    def _status(self, sha256: str) -> tuple[Headers, bytes] | None:
        """A good answer; None where there is something else to say, which the route of the same path then says."""
        try:
            content, cache_s = self._answers.answer(sha256)
        except TallyError:
            return None
        self._counters.count("status", 200)
        return [_JSON, _NO_SNIFFING, (b"cache-control", cache_control(cache_s).encode())], content

    async def _ocsp_request(self, scope: Scope, receive: Receive) -> bytes | None:
        """The request of a GET or POST that OCSP describes; None for everything else, which the route then judges."""
        method, path = scope["method"], scope["path"]
        if method == "GET" and path.startswith(_OCSP_PATH):
            try:
                return read_path(path[len(_OCSP_PATH) :])
            except OcspRequestError:
                return b""
        if method == "POST" and path == _OCSP_PATH[:-1] and (b"content-type", _OCSP_TYPE) in scope["headers"]:
            return await self._body(scope, receive, MAX_REQUEST_BYTES, MAX_OCSP_BODIES_A_CLIENT)
        return None

    async def _send_ocsp(self, send: Send, answer: OcspAnswer) -> None:
        self._counters.count("ocsp", 200)
        caching = (b"cache-control", cache_control(answer.cache_s).encode())
        headers = [(b"content-type", OCSP_MEDIA_TYPE.encode()), _NO_SNIFFING, caching]
        await _send(send, 200, [*headers, _length(answer.content)], answer.content)

    async def _body(
        self, scope: Scope, receive: Receive, most_bytes: int = MAX_BODY_BYTES, most_bodies: int = MAX_BODIES_A_CLIENT
    ) -> bytes:
        if "//" in scope["path"]:  # Flask would take it for another path or send the client to one
            raise _NotTakenError(404, "no-such-route", "There is nothing at this path. See /openapi.json.")
        if scope["method"] in {"GET", "HEAD"}:
            return b""
        client = subscriber((scope.get("client") or ("unknown",))[0])
        if self._arriving[client] >= most_bodies:
            raise _NotTakenError(
                503, "busy", "Too many bodies arrive from this address at once. Send it again in a moment."
            )
        self._arriving[client] += 1
        try:
            async with asyncio.timeout(self._body_timeout_s):
                return await _receive_body(receive, most_bytes)
        except TimeoutError:
            raise _NotTakenError(
                408, "too-slow", f"The body did not arrive within {self._body_timeout_s:g} s. Send it again."
            ) from None
        finally:
            self._arriving[client] -= 1
            if not self._arriving[client]:
                del self._arriving[client]

    def _run(self, environ: WSGIEnvironment) -> tuple[int, Headers, bytes]:
        """The WSGI application's whole answer."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            started[:] = [(status, headers)]
            return _no_write

        parts: Iterable[bytes] = self._application(environ, start_response)
        try:
            content = b"".join(parts)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        ((status, headers),) = started
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return int(status[:3]), encoded, content


def wsgi_environ(scope: Scope, body: bytes) -> WSGIEnvironment:
    """A request as PEP 3333 has it."""
    server = scope.get("server") or ("localhost", 80)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("unknown",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name in {"CONTENT_LENGTH", "TRANSFER_ENCODING"} or b"_" in raw_name:
            continue
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


async def _receive_body(receive: Receive, most_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _NotTakenError(400, "cut-off", "The body broke off. Send it again.")
        body += message.get("body", b"")
        if len(body) > most_bytes:
            raise _NotTakenError(413, "body-too-large", f"The body is longer than {most_bytes} bytes. Split it.")
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, status: int, headers: Headers, content: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _length(content: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(content)).encode()


def _no_write(_: bytes) -> object:
    raise NotImplementedError("write() of PEP 3333 is not offered: return the content")
