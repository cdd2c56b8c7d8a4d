"""What stands between the HTTP server and Flask: bodies within bounds of size, time and number, and the short way for
`GET /v1/certificates/{sha256}/status` and for OCSP.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

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
from tally_service.wsgi import (
    BodyError,
    Headers,
    Receive,
    Scope,
    Send,
    ThreadedApplication,
    environ_of,
    receive_body,
    send_answer,
)

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
        self._application = ThreadedApplication(application, THREADS)
        self._answers = answers
        self._counters = counters
        self._ocsp = ocsp
        self._body_timeout_s = body_timeout_s
        self._trusted_proxies = trusted_proxies
        self._arriving: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `NotImplementedError` for what is not HTTP."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        if scope["method"] == "GET" and (match := _STATUS_PATH.fullmatch(scope["path"])):
            content = self._status(match[1])
            if content is not None:
                await send_answer(send, 200, [*content[0], _length(content[1])], content[1])
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
            await send_answer(send, error.status, [*headers, _length(refusal.get_data())], refusal.get_data())
            return
        status, headers, page = await self._application.answer(environ_of(scope, body))
        if scope["method"] != "HEAD" and status != 304:  # to those the application tells the length that GET has
            headers = [each for each in headers if each[0] != b"content-length"]
            headers.append(_length(page))
        await send_answer(send, status, headers, page)

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
        await send_answer(send, 200, [*headers, _length(answer.content)], answer.content)

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
            return await receive_body(receive, most_bytes, self._body_timeout_s)
        except BodyError as error:
            raise self._not_taken(error.status, most_bytes) from None
        finally:
            self._arriving[client] -= 1
            if not self._arriving[client]:
                del self._arriving[client]

    def _not_taken(self, status: int, most_bytes: int) -> _NotTakenError:
        if status == 413:
            return _NotTakenError(413, "body-too-large", f"The body is longer than {most_bytes} bytes. Split it.")
        if status == 408:
            return _NotTakenError(
                408, "too-slow", f"The body did not arrive within {self._body_timeout_s:g} s. Send it again."
            )
        return _NotTakenError(400, "cut-off", "The body broke off. Send it again.")


def _length(content: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(content)).encode()
