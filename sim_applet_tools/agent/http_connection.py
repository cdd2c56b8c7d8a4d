"""HTTP to one provider: TLS, no redirects, no proxies by surprise, bounded in time and size."""

from __future__ import annotations

import http.client
import select
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from sim_applet_tools.agent.issuer import verify_issuer
from sim_applet_tools.errors import ProviderAnswerError, ProviderUnavailableError

MAX_ANSWER_BYTES = 128 * 1024
MAX_LINE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers in lower case, and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnection:
    """Keeps one connection to the issuer's host, opened anew where it broke. `ca_file` replaces the system's roots."""

    def __init__(self, issuer: str, *, timeout_s: float = 10.0, ca_file: str | None = None) -> None:
        verify_issuer(issuer)
        parts = urlsplit(issuer)
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._issuer = issuer
        self._timeout_s = timeout_s
        self._context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._open: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> HttpAnswer:
        """The answer to one call; `ProviderUnavailableError` where there is none, `ProviderAnswerError` if too long."""
        self._drop_if_closed()
        try:
            return self._ask_once(method, path, headers, body)
        except (OSError, http.client.HTTPException) as error:  # never sent again: it may have been taken in
            self.close()
            raise self._unavailable(error) from error

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[tuple[HttpAnswer, Iterator[bytes]]]:
        """A connection of its own: the answer (200: without its body), and its lines as they come."""
        connection = self._connection()
        try:
            connection.request("GET", self._path + path, headers=dict(headers))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            body = b"" if response.status == 200 else response.read(MAX_ANSWER_BYTES)
            yield HttpAnswer(response.status, names, body), iter(lambda: response.readline(MAX_LINE_BYTES), b"")
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _ask_once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> HttpAnswer:
        if self._open is None:
            self._open = self._connection()
        self._open.request(method, self._path + path, body=body, headers=dict(headers))
        response = self._open.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            self.close()
            raise ProviderAnswerError(
                f"the provider {self._issuer} answers more than {MAX_ANSWER_BYTES} bytes: tell it"
            )
        if response.will_close:
            self.close()
        return HttpAnswer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def _drop_if_closed(self) -> None:
        """A person takes longer than servers keep a connection; its end is there to be read before anything is sent."""
        kept = None if self._open is None else self._open.sock
        if kept is not None and select.select([kept], [], [], 0)[0]:
            self.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._context)

    def _unavailable(self, error: Exception) -> ProviderUnavailableError:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted ({error.verify_message}): do not go on; check the address"
        else:
            why = f"{type(error).__name__}: check the network and the address, and try again"
        return ProviderUnavailableError(f"the provider {self._issuer} cannot be reached: {why}", detail=str(error))
