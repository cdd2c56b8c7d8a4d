"""Names and ranges of names, as people write them on the command line."""

from __future__ import annotations

import ipaddress
import re

from pki_chain.errors import InputError
from pki_chain.ports import NameRange, RangeKind
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import SanType

_EUI_RANGE = re.compile(r"(?P<first>[0-9a-f]{12}|[0-9a-f]{16})-(?P<last>[0-9a-f]{12,16})\.(?P<realm>[a-z0-9.-]+)")


def parse_name(text: str) -> SubjectAltName:
    """A name from `dns:gate.acme.example`, `uri:urn:dev:acme:1` or `ip:192.0.2.1`. Raises `InputError`."""
    kind, _, value = text.partition(":")
    try:
        if kind == "dns" and value:
            return SubjectAltName(SanType.DNS, value.encode("ascii"))
        if kind == "uri" and value:
            return SubjectAltName(SanType.URI, value.encode("ascii"))
        if kind == "ip":
            return SubjectAltName(SanType.IP, ipaddress.ip_address(value).packed)
    except ValueError:
        pass  # said below
    raise InputError(f"name {text!r} is not dns:<ASCII name>, uri:<ASCII URN> or ip:<address>")


def parse_range(text: str) -> NameRange:
    """A range of a lot. Raises `InputError`.

    `dns:cells.acme.example`, `urn:urn:dev:acme:`, `ip:192.0.2.0/24`, or
    `eui:02a0f2000000-02a0f200ffff.cells.acme.example` (names <EUI>.<realm>, both ends included).
    """
    kind, _, value = text.partition(":")
    try:
        if kind == "dns" and value:
            return NameRange(RangeKind.DNS, 0, 0, 0, value.encode("ascii"))
        if kind == "urn" and value.endswith(":"):
            return NameRange(RangeKind.URN, 0, 0, 0, value.encode("ascii"))
        if kind == "ip":
            network = ipaddress.ip_network(value)
            return NameRange(RangeKind.IP, network.prefixlen, 0, 0, network.network_address.packed)
        if kind == "eui" and (found := _EUI_RANGE.fullmatch(value)) and len(found["first"]) == len(found["last"]):
            first, last = int(found["first"], 16), int(found["last"], 16)
            if first <= last:
                return NameRange(RangeKind.EUI, 4 * len(found["first"]), first, last, found["realm"].encode("ascii"))
    except ValueError:
        pass  # said below
    raise InputError(
        f"range {text!r} is not dns:<suffix>, urn:<prefix that ends with ':'>, ip:<network>/<length> or "
        "eui:<first>-<last>.<realm> with 12 or 16 lower-case hexadecimal digits each, the first not above the last"
    )


def format_range(allowed: NameRange) -> str:
    """The text that `parse_range` reads."""
    value = allowed.value.decode("ascii", "backslashreplace") if allowed.kind is not RangeKind.IP else ""
    match allowed.kind:
        case RangeKind.DNS:
            return f"dns:{value}"
        case RangeKind.URN:
            return f"urn:{value}"
        case RangeKind.EUI:
            digits = allowed.bits // 4
            return f"eui:{allowed.first:0{digits}x}-{allowed.last:0{digits}x}.{value}"
        case RangeKind.IP:
            return f"ip:{ipaddress.ip_address(allowed.value)}/{allowed.bits}"
