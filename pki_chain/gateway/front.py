"""What stands between the HTTP server and Flask: bodies within bounds of size, time and number, and the short way for
`GET /v1/certificates/{sha256}/status` and for OCSP.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pki_chain.config import Network
from pki_chain.errors import TallyError
from pki_chain.gateway import proxies
from pki_chain.gateway.freshness import LONGEST_CACHE_S, cache_control
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.ocsp_answers import MAX_REQUEST_BYTES, REQUEST_TYPE, read_path
from pki_chain.gateway.ocsp_answers import MEDIA_TYPE as OCSP_MEDIA_TYPE
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.gateway.problems import MEDIA_TYPE, problem
from pki_chain.gateway.rate_limit import subscriber
from pki_chain.gateway.status_answers import StatusCache
from pki_chain.status.ocsp_request import OcspRequestError
from tally_service.http_request import BodyError, Exchange, Headers, Request, environ_of, receive_body
from tally_service.wsgi import ThreadedApplication

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MAX_BODY_BYTES: Final = 256 * 1024
BODY_TIMEOUT_S: Final = 10.0
MAX_BODIES_A_CLIENT: Final = 16
MAX_OCSP_BODIES_A_CLIENT: Final = 256
"""These are small, and come at once from a gateway's many peers."""

THREADS: Final = 8

_STATUS_PATH: Final = re.compile(r"/v1/certificates/([0-9a-f]{64})/status")
_OCSP_PATH: Final = "/ocsp/"
_NO_SNIFFING: Final = ("x-content-type-options", "nosniff")


def _headers(media_type: str) -> tuple[Headers, ...]:
    """Headers of an answer that may be cached for 0, 1, ... seconds."""
    return tuple(
        [("content-type", media_type), _NO_SNIFFING, ("cache-control", cache_control(cache_s))]
        for cache_s in range(LONGEST_CACHE_S + 1)
    )


_STATUS_HEADERS: Final = _headers("application/json")
_OCSP_HEADERS: Final = _headers(OCSP_MEDIA_TYPE)
_PROBLEM_HEADERS: Final = _headers(MEDIA_TYPE)[0]


class _NotTakenError(Exception):
    """A request that goes no further: HTTP status, code and text of the problem."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(status, code, text)
        self.status = status
        self.code = code
        self.text = text


class Front:
    """An application round the WSGI one. One a process."""

    def __init__(
        self,
        application: WSGIApplication,
        status: StatusCache,
        counters: Counters,
        ocsp: OcspCache,
        *,
        body_timeout_s: float = BODY_TIMEOUT_S,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._application = ThreadedApplication(application, THREADS)
        self._status = status
        self._counters = counters
        self._ocsp = ocsp
        self._body_timeout_s = body_timeout_s
        self._trusted_proxies = trusted_proxies
        self._arriving: dict[str, int] = {}

    async def __call__(self, request: Request, exchange: Exchange) -> None:
        """Answer one request."""
        method, path = request.method, request.path
        try:
            if method == "POST" and path == "/ocsp" and request.header("content-type") == REQUEST_TYPE:
                asked = await self._body(request, exchange, MAX_REQUEST_BYTES, MAX_OCSP_BODIES_A_CLIENT)
                self._answer_ocsp(exchange, asked)
            elif method == "GET" and path.startswith(_OCSP_PATH):
                self._answer_ocsp(exchange, _asked_in(path))
            elif method != "GET" or not self._answer_status(exchange, path):
                await self._pass_on(request, exchange, method, path)
        except _NotTakenError as error:
            self._counters.count("other", error.status)
            refusal = problem(error.status, error.code, error.text)
            exchange.respond(error.status, _PROBLEM_HEADERS, refusal.get_data())

    def _answer_status(self, exchange: Exchange, path: str) -> bool:
        """Whether there was a good answer; what else there is to say the route of the same path says."""
        match = _STATUS_PATH.fullmatch(path)
        if match is None:
            return False
        try:
            content, cache_s = self._status.answer(match[1])
        except TallyError:
            return False
        self._counters.count("status", 200)
        exchange.respond(200, _STATUS_HEADERS[cache_s], content)
        return True

    def _answer_ocsp(self, exchange: Exchange, asked: bytes) -> None:
        answer = self._ocsp.answer(asked)
        self._counters.count("ocsp", 200)
        exchange.respond(200, _OCSP_HEADERS[answer.cache_s], answer.content)

    async def _pass_on(self, request: Request, exchange: Exchange, method: str, path: str) -> None:
        """To Flask, when the body is whole."""
        if "//" in path:  # Flask would take it for another path or send the client to one
            raise _NotTakenError(404, "no-such-route", "There is nothing at this path. See /openapi.json.")
        body = b""
        if method not in {"GET", "HEAD"}:
            body = await self._body(request, exchange, MAX_BODY_BYTES, MAX_BODIES_A_CLIENT)
        status, headers, page = await self._application.answer(environ_of(request, body, self._client(request)))
        exchange.respond(status, headers, page)

    def _client(self, request: Request) -> str:
        peer = request.client
        if not self._trusted_proxies:
            return peer
        return proxies.client_address(peer, request.all_headers(proxies.HEADER), self._trusted_proxies)

    async def _body(self, request: Request, exchange: Exchange, most_bytes: int, most_bodies: int) -> bytes:
        client = subscriber(self._client(request))
        arriving = self._arriving
        others = arriving.get(client, 0)
        if others >= most_bodies:
            raise _NotTakenError(
                503, "busy", "Too many bodies arrive from this address at once. Send it again in a moment."
            )
        arriving[client] = others + 1
        try:
            return await receive_body(request, exchange, most_bytes, self._body_timeout_s)
        except BodyError as error:
            raise self._not_taken(error.status, most_bytes) from None
        finally:
            left = arriving.pop(client) - 1
            if left:
                arriving[client] = left

    def _not_taken(self, status: int, most_bytes: int) -> _NotTakenError:
        if status == 413:
            return _NotTakenError(413, "body-too-large", f"The body is longer than {most_bytes} bytes. Split it.")
        if status == 411:
            return _NotTakenError(411, "length-required", "The body comes in chunks. Send it with a Content-Length.")
        if status == 408:
            return _NotTakenError(
                408, "too-slow", f"The body did not arrive within {self._body_timeout_s:g} s. Send it again."
            )
        return _NotTakenError(400, "cut-off", "The body broke off. Send it again.")


def _asked_in(path: str) -> bytes:
    """The request in a path; an empty one, which is malformed, where there is none."""
    try:
        return read_path(path[len(_OCSP_PATH) :])
    except OcspRequestError:
        return b""
