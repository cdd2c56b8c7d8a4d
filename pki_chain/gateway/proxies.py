"""Whom a request is from: the connection's other end, or whom a proxy of ours names there."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from pki_chain.config import Network

_HEADER: Final = b"x-real-ip"
_LONGEST: Final = 45  # of an IPv6 address in text


def client_address(scope: dict[str, Any], proxies: Sequence[Network]) -> str:
    """The address in an ASGI scope, "unknown" where there is none. A header counts only if one of `proxies` sent it,
    once, and it is an address: a proxy that names nobody, or several, stands for all of its clients itself."""
    peer = str((scope.get("client") or ("unknown",))[0])
    try:
        if not any(ip_address(peer) in each for each in proxies):
            return peer
        (named,) = [value for name, value in scope["headers"] if name == _HEADER]
        return str(ip_address(named.decode("ascii"))) if len(named) <= _LONGEST else peer
    except ValueError:
        return peer
