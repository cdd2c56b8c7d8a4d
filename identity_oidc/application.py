"""Flask without what no route here uses, and with a short way from a request to a whole answer.

No cookie of Flask's own, no coroutines, no host but the issuer's: a redirect that routing makes leads to our own
address, whatever the Host header says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter
from werkzeug.urls import iri_to_uri

from tally_service.http_request import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_WITHOUT_CONTENT: Final = frozenset({204, 304})
_OF_CONTENT: Final = {204: frozenset({"content-length"}), 304: frozenset({"content-length", "content-type"})}


class _NoSessions(SessionInterface):
    """Sessions of browsers are ours (`authentication.session`)."""

    def __init__(self) -> None:
        self._nothing = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002  Flask's signature
        return self._nothing


class Application(Flask):
    """`defaults` are headers of every answer that has none of that name."""

    session_interface = _NoSessions()

    def __init__(self, name: str, issuer: str, defaults: Sequence[tuple[str, str]]) -> None:
        super().__init__(name)
        parts = urlsplit(issuer)
        self._host, self._scheme = parts.netloc, parts.scheme
        self._defaults = tuple((name.lower(), (name, value)) for name, value in defaults)
        self._count: Callable[[str | None, int], None] = _count_nothing

    def count_by(self, count: Callable[[str | None, int], None]) -> None:
        """Tell it endpoint and status of each answer; None where no route was found."""
        self._count = count

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """The whole answer to a request: status, headers, content."""
        context = self.request_context(environ)
        error: BaseException | None = None
        try:
            context.push()
            response = self.full_dispatch_request()
            self._count(context.request.endpoint, response.status_code)
            return response.status_code, *self._whole(response, is_head=environ["REQUEST_METHOD"] == "HEAD")
        except BaseException as failure:
            error = failure
            raise
        finally:
            context.pop(error)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The same for servers that know WSGI. Source: PEP 3333."""
        status, headers, content = self.answer(environ)
        start_response(f"{status} {HTTPStatus(status).phrase.upper()}", headers)
        return [content]

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes of the issuer's address."""
        if request is None:
            return None
        path = request.environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        query, method = request.environ.get("QUERY_STRING", ""), request.method
        return MapAdapter(self.url_map, self._host, "/", "", self._scheme, path, method, query)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is: no view is a coroutine."""
        return func

    def _whole(self, response: Response, *, is_head: bool) -> tuple[list[tuple[str, str]], bytes]:
        """Headers and content. A file is read: it is one of ours, and small."""
        response.direct_passthrough = False
        with closing(response):
            content = response.get_data()
        left_out = _OF_CONTENT.get(response.status_code, _OF_CONTENT[204])
        headers, names = [], set()
        for name, value in response.headers.to_wsgi_list():
            lower = name.lower()
            if lower not in left_out:
                names.add(lower)
                headers.append((name, value if lower != "location" or value.isascii() else iri_to_uri(value)))
        headers += [pair for lower, pair in self._defaults if lower not in names]
        if response.status_code in _WITHOUT_CONTENT:
            return headers, b""
        headers.append(("Content-Length", str(len(content))))
        return headers, b"" if is_head else content


def _count_nothing(_: str | None, __: int) -> None:
    pass
