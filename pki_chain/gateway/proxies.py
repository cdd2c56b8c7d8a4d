"""Whom a request is from: the connection's other end, or whom a proxy of ours names there."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from pki_chain.config import Network

HEADER: Final = "x-real-ip"
_LONGEST: Final = 45  # of an IPv6 address in text


def client_address(peer: str, named: Sequence[str], proxies: Sequence[Network]) -> str:
    """Who asks, where `named` are the values of the header that came from `peer`. They count only if one of `proxies`
    sent one, and it is an address: a proxy that names nobody, or several, stands for all of its clients itself."""
    try:
        if len(named) == 1 and len(named[0]) <= _LONGEST and any(ip_address(peer) in each for each in proxies):
            return str(ip_address(named[0]))
    except ValueError:
        pass
    return peer
