"""The only way out to addresses that apps registered: https, one resolution and that address, no private networks, no
redirects, bounded in time and size. Source: RFC 9700 §4 (SSRF), OpenID Connect Back-Channel Logout §2.5.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final
from urllib.parse import urlsplit

from identity_oidc.config import EgressSettings
from identity_oidc.errors import EgressError

Resolver = Callable[[str, int], Sequence[str]]
"""Addresses of a host, as texts."""

_MAX_ANSWER_BYTES: Final = 16_384
_MOST_RESOLVING: Final = 32
"""Names asked for at once: a resolver that hangs keeps no more threads than this."""
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""All that is assigned of IPv6; beyond lie site-local, IPv4-compatible and NAT64 addresses. Source: RFC 4291 §2.4."""
_TRANSLATING: Final = (ipaddress.ip_network("2002::/16"), ipaddress.ip_network("2001::/32"))
"""IPv6 that carries an IPv4 address inside: 6to4, Teredo."""


def resolve(host: str, port: int) -> Sequence[str]:
    """By the system's resolver."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Egress:
    """Sends a form to an app."""

    def __init__(self, settings: EgressSettings, resolver: Resolver = resolve) -> None:
        self._settings = settings
        self._resolver = resolver
        self._allowed = [ipaddress.ip_network(network) for network in settings.private_networks]
        self._resolving = threading.BoundedSemaphore(_MOST_RESOLVING)
        self._context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)

    def post(self, address: str, body: str) -> int:
        """The status of the answer. Raises `EgressError` where there is none, or the address must not be asked."""
        parts = urlsplit(address)
        try:
            host, port = parts.hostname or "", parts.port or 443
        except ValueError as error:
            raise EgressError("the address is none") from error
        if parts.scheme != "https" or not host or parts.username is not None or parts.fragment:
            raise EgressError("the address is not https, or names a user")
        pinned = self._pinned(host, port)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = _PinnedConnection(host, port, pinned, self._context, self._settings.timeout_s)
        # Whoever drips its answer must not hold us longer than this.
        limit = threading.Timer(2 * self._settings.timeout_s, connection.abort)
        limit.start()
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "tiger-tally"}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EgressError("the app does not answer", detail=type(error).__name__) from error
        else:
            return answer.status
        finally:
            limit.cancel()
            connection.close()

    def _pinned(self, host: str, port: int) -> str:
        """The address to connect to; every one that the name has must be allowed."""
        found = self._resolved(host, port)
        if not found or not all(self._is_allowed(each) for each in found):
            raise EgressError("the host is in a network that is not allowed (egress.private_networks)")
        return found[0]

    def _resolved(self, host: str, port: int) -> Sequence[str]:
        """Addresses, within the time that everything has: the system's resolver itself cannot be given one."""
        answer: Future[Sequence[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(list(self._resolver(host, port)))
            except (OSError, UnicodeError) as error:
                answer.set_exception(error)
            finally:
                self._resolving.release()

        if not self._resolving.acquire(blocking=False):
            raise EgressError("too many names wait for the resolver")
        threading.Thread(target=ask, name="resolver", daemon=True).start()
        try:
            return answer.result(self._settings.timeout_s)
        except TimeoutError as error:
            raise EgressError("the host's address is not found in time") from error
        except (OSError, UnicodeError) as error:
            raise EgressError("the host has no address") from error

    def _is_allowed(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._allowed):
            return True
        if address.version == 6 and (address not in _GLOBAL_UNICAST or any(address in each for each in _TRANSLATING)):
            return False
        return address.is_global and not address.is_multicast


class _PinnedConnection(http.client.HTTPSConnection):
    """Connects to the address that was checked; the certificate must be the host's."""

    def __init__(self, host: str, port: int, pinned: str, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._pinned_address = pinned
        self._tls = context
        self._raw: socket.socket | None = None

    def connect(self) -> None:
        self._raw = socket.create_connection((self._pinned_address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(self._raw, server_hostname=self.host)

    def abort(self) -> None:
        """From another thread: what waits for this connection fails."""
        sock = self.sock or self._raw
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return
