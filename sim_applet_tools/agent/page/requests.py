"""Requests to the local page, and who may make them.

1. `Host` is exactly this address and port, so that no name that was pointed here (DNS rebinding) is served; 2. a POST
carries the `Origin` that it must come from; 3. a page is reached by its unguessable path only, and its form carries a
second token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

MAX_BODY_BYTES = 8192
MAX_FIELDS = 64


class RefusedRequestError(Exception):
    """The request is not served; `status` is all that the caller learns."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What the page looks at of one request; `fields` are the pairs of a form, in order."""

    method: str
    path: str
    origin: str | None
    fields: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str:
        """The only value of `name`, empty where it is not there; a repeated one is refused."""
        values = [value for key, value in self.fields if key == name]
        if len(values) > 1:
            raise RefusedRequestError("400 Bad Request")
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


def read_request(environ: dict[str, Any], host: str) -> PageRequest:
    """The request where it is addressed to `host` (address and port) and of a form that is served."""
    if environ.get("HTTP_HOST") != host:
        raise RefusedRequestError("421 Misdirected Request")
    method = environ.get("REQUEST_METHOD", "")
    if method not in {"GET", "POST"}:
        raise RefusedRequestError("405 Method Not Allowed")
    fields: tuple[tuple[str, str], ...] = ()
    if method == "POST":
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        length = environ.get("CONTENT_LENGTH") or ""
        if kind != "application/x-www-form-urlencoded" or not (length.isascii() and length.isdigit()):
            raise RefusedRequestError("415 Unsupported Media Type")
        if int(length) > MAX_BODY_BYTES:
            raise RefusedRequestError("413 Content Too Large")
        fields = _form(environ["wsgi.input"].read(int(length)))
    elif environ.get("HTTP_SEC_FETCH_DEST", "document") not in {"document", "style"}:
        raise RefusedRequestError("403 Forbidden")
    return PageRequest(method, environ.get("PATH_INFO", ""), environ.get("HTTP_ORIGIN"), fields)


def _form(body: bytes) -> tuple[tuple[str, str], ...]:
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise RefusedRequestError("400 Bad Request") from error
    return tuple(pairs)
