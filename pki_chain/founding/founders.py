"""Who founds a consortium: read from a TOML file, or the four of the demonstration."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pki_chain.errors import ConfigurationError
from pki_chain.ports import MemberKind, NameKind, NameSpace

_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,30}[a-z0-9]:([A-Za-z0-9._:-]*:)?")
"""As contracts/NameSpaces.sol: RFC 8141 §3.1 compares the identifier without case, so it is of lower case here."""
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
KINDS = {kind.name.lower().replace("_", "-"): kind for kind in MemberKind}
"""Kinds of member, as people spell them."""


@dataclass(frozen=True, slots=True)
class Founder:
    """A member to be. `label` names its directory; `name` is its registered name, the O of its devices' subjects."""

    label: str
    kind: MemberKind
    name: str
    spaces: tuple[NameSpace, ...]
    has_station: bool
    has_relayer: bool


def parse_space(text: str) -> NameSpace:
    """A name space from `dns:cells.acme.example`, `urn:urn:dev:acme:`, `oui:001122` or `ip:192.0.2.0/24`.

    Raises `ConfigurationError` that names the text.
    """
    kind, _, value = text.partition(":")
    try:
        if kind == "dns" and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", value):
            return NameSpace(NameKind.DNS, 0, value.encode("ascii"))
        if kind == "urn" and _URN.fullmatch(value):
            return NameSpace(NameKind.URN, 0, value.encode("ascii"))
        if kind == "oui" and len(value) in {6, 7, 9}:
            bits = len(value) * 4
            return NameSpace(NameKind.OUI, bits, bytes.fromhex(value + "0" * (len(value) % 2)))
        if kind == "ip":
            network = ipaddress.ip_network(value)
            # 0000::/8 is reserved and holds the IPv4-mapped addresses. Source: RFC 4291 §2.4
            if network.version == 4 or network.network_address.packed[0] != 0:
                return NameSpace(NameKind.IP, network.prefixlen, network.network_address.packed)
    except ValueError:
        pass  # the message below says it better than the parser of one part
    raise ConfigurationError(
        f"name space {text!r} is not one of dns:<lower-case suffix>, "
        "urn:urn:<lower-case identifier>:<prefix that ends with ':'>, "
        "oui:<6, 7 or 9 hexadecimal digits>, ip:<network>/<length>"
    )


def format_space(space: NameSpace) -> str:
    """The text that `parse_space` reads."""
    if space.kind in {NameKind.DNS, NameKind.URN}:
        return f"{space.kind.name.lower()}:{space.value.decode('ascii', 'backslashreplace')}"
    if space.kind is NameKind.OUI:
        return f"oui:{space.value.hex()[: space.bits // 4]}"
    return f"ip:{ipaddress.ip_address(space.value)}/{space.bits}"


DEMO_FOUNDERS = (
    Founder(
        label="operator",
        kind=MemberKind.OPERATOR,
        name="Nordlicht Mobil",
        spaces=(parse_space("dns:nordlicht.example"), parse_space("urn:urn:dev:nordlicht:"), parse_space("oui:02a0f1")),
        has_station=False,
        has_relayer=True,
    ),
    Founder(
        label="vendor",
        kind=MemberKind.VENDOR,
        name="Acme Cells",
        spaces=(parse_space("dns:cells.acme.example"), parse_space("urn:urn:dev:acme:"), parse_space("oui:02a0f2")),
        has_station=True,
        has_relayer=True,
    ),
    Founder(
        label="oem",
        kind=MemberKind.OEM,
        name="Boreal Manufacturing",
        spaces=(parse_space("dns:boreal.example"), parse_space("urn:urn:dev:boreal:"), parse_space("oui:02a0f3")),
        has_station=True,
        has_relayer=False,
    ),
    Founder(
        label="authority",
        kind=MemberKind.CERTIFICATE_AUTHORITY,
        name="Cedar Trust Services",
        spaces=(parse_space("dns:cedar.example"), parse_space("urn:urn:dev:cedar:"), parse_space("oui:02a0f4")),
        has_station=False,
        has_relayer=False,
    ),
)
"""The demonstration's four; names under .example, locally administered OUIs: nobody else's."""


def load_founders(path: Path) -> tuple[Founder, ...]:
    """Read `[[founder]]` tables with label, kind, name, spaces and optionally station, relayer.

    Raises `ConfigurationError` that names file, founder and key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"cannot read the founders from {path}: {error}") from error
    tables = content.get("founder")
    if set(content) != {"founder"} or not isinstance(tables, list) or not tables:
        raise ConfigurationError(f"{path} must hold [[founder]] tables and nothing else")
    founders = tuple(_founder(f"{path}, founder {number}", table) for number, table in enumerate(tables, 1))
    for what in ("label", "name"):
        values = [getattr(founder, what) for founder in founders]
        if len(set(values)) != len(values):
            raise ConfigurationError(f"{path}: two founders have the same {what}: give each its own")
    return founders


def _founder(where: str, table: Mapping[str, Any]) -> Founder:
    known = {"label", "kind", "name", "spaces", "station", "relayer"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {unknown[0]!r}: use {', '.join(sorted(known))}")
    for key, kind in (("label", str), ("kind", str), ("name", str), ("spaces", list)):
        if not isinstance(table.get(key), kind):
            raise ConfigurationError(f"{where}: {key} is missing or not a {kind.__name__}")
    if not _LABEL.fullmatch(table["label"]):
        raise ConfigurationError(f"{where}: label {table['label']!r} is not 1 to 32 of a-z, 0-9 and -")
    if table["kind"] not in KINDS:
        raise ConfigurationError(f"{where}: kind {table['kind']!r} is not one of {', '.join(KINDS)}")
    if not 1 <= len(table["name"].encode()) <= 64:
        raise ConfigurationError(f"{where}: name must have 1 to 64 octets in UTF-8")
    for key in ("station", "relayer"):
        if not isinstance(table.get(key, False), bool):
            raise ConfigurationError(f"{where}: {key} is not true or false")
    return Founder(
        label=table["label"],
        kind=KINDS[table["kind"]],
        name=table["name"],
        spaces=tuple(parse_space(str(each)) for each in table["spaces"]),
        has_station=table.get("station", False),
        has_relayer=table.get("relayer", False),
    )
