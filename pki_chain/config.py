"""Settings of a member's processes (`tally.toml`) and the consortium's public file (`consortium.json`).

Both are checked whole when they are read: an unknown key, a wrong type or a value out of range is a
`ConfigurationError` that names key and file. `TALLY_<SECTION>_<KEY>` in the environment overrides `tally.toml`.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from pki_chain.errors import ConfigurationError, StorageError
from pki_chain.ports import Address

_ENVIRONMENT_PREFIX = "TALLY_"
_MAX_FILE_BYTES = 1 << 20

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ConsortiumFile:
    """Where a consortium's contracts stand and how to tell that it is they: public, the same for every member.

    `code_hashes` maps a contract's name to keccak256 of its runtime code; `founding_block` is the first block that
    holds an event of the consortium.
    """

    chain_id: int
    salt: bytes
    consortium: Address
    directory: Address
    certificate_registry: Address
    identity_registry: Address
    trust_list: Address
    code_hashes: Mapping[str, bytes]
    endpoints: tuple[str, ...]
    founding_block: int
    founding_hash: bytes

    _KEYS: ClassVar[frozenset[str]] = frozenset(
        {
            "chain_id",
            "salt",
            "consortium",
            "directory",
            "certificate_registry",
            "identity_registry",
            "trust_list",
            "code_hashes",
            "endpoints",
            "founding_block",
            "founding_hash",
        }
    )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file. Raises `ConfigurationError` naming file and key."""
        try:
            content = json.loads(_read(path))
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{path} is not JSON: {error}. Ask a member for the consortium's file.") from error
        if not isinstance(content, dict) or content.keys() != cls._KEYS:
            wrong = sorted(content.keys() ^ cls._KEYS) if isinstance(content, dict) else ["an object"]
            raise ConfigurationError(f"{path}: missing or unknown: {', '.join(wrong)}. Ask a member for the file.")
        reader = _Reader(str(path), content)
        hashes = content["code_hashes"]
        if not isinstance(hashes, dict):
            raise reader.error("code_hashes", "an object of contract names and code hashes")
        return cls(
            chain_id=reader.integer("chain_id", 1, (1 << 63) - 1),
            salt=reader.bytes32("salt"),
            consortium=reader.address("consortium"),
            directory=reader.address("directory"),
            certificate_registry=reader.address("certificate_registry"),
            identity_registry=reader.address("identity_registry"),
            trust_list=reader.address("trust_list"),
            code_hashes=MappingProxyType({name: _Reader(str(path), hashes).bytes32(name) for name in hashes}),
            endpoints=reader.endpoints("endpoints"),
            founding_block=reader.integer("founding_block", 0, (1 << 63) - 1),
            founding_hash=reader.bytes32("founding_hash"),
        )

    def store(self, path: Path) -> None:
        """Write the file in one step (temporary file, fsync, rename). Raises `StorageError`."""
        content = {
            "chain_id": self.chain_id,
            "salt": "0x" + self.salt.hex(),
            "consortium": self.consortium,
            "directory": self.directory,
            "certificate_registry": self.certificate_registry,
            "identity_registry": self.identity_registry,
            "trust_list": self.trust_list,
            "code_hashes": {name: "0x" + value.hex() for name, value in sorted(self.code_hashes.items())},
            "endpoints": list(self.endpoints),
            "founding_block": self.founding_block,
            "founding_hash": "0x" + self.founding_hash.hex(),
        }
        temporary = path.with_name(path.name + ".new")
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                json.dump(content, stream, indent=2)
                stream.write("\n")
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError as error:
            raise StorageError(f"Cannot write {path}: {error.strerror}. Free space or choose another place.") from error

    def with_endpoints(self, endpoints: tuple[str, ...]) -> ConsortiumFile:
        """The same consortium, reached through other endpoints."""
        return replace(self, endpoints=endpoints)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}. Give the right path.") from error
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is longer than {_MAX_FILE_BYTES} bytes. Give the right file.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text. Give the right file.") from error


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes values of the right type out of a table; every error names the key and where it stands."""

    where: str
    table: Mapping[str, Any]
    section: str = ""

    def error(self, key: str, wanted: str) -> ConfigurationError:
        name = f"{self.section}.{key}" if self.section else key
        return ConfigurationError(f"{self.where}: {name} must be {wanted}.")

    def integer(self, key: str, least: int, most: int) -> int:
        value = self.table[key]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, least: float, most: float) -> float:
        value = self.table[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.error(key, f"a number from {least:g} to {most:g}")
        return float(value)

    def text(self, key: str, longest: int) -> str:
        value = self.table[key]
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
            raise self.error(key, f"a text of 1 to {longest} printable characters")
        return value

    def bytes32(self, key: str) -> bytes:
        value = self.table[key]
        if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-f]{64}", value):
            raise self.error(key, "0x and 64 lower-case hexadecimal digits")
        return bytes.fromhex(value[2:])

    def address(self, key: str) -> Address:
        value = self.table[key]
        if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{40}", value):
            raise self.error(key, "an address: 0x and 40 hexadecimal digits")
        return Address(value)

    def path(self, key: str, base: Path) -> Path | None:
        value = self.table[key]
        if value is None:
            return None
        return base / (value if isinstance(value, Path) else Path(self.text(key, 4096)))

    def endpoints(self, key: str) -> tuple[str, ...]:
        value = self.table[key]
        if not isinstance(value, list | tuple) or len(value) > 16 or not all(_is_endpoint(each) for each in value):
            raise self.error(key, "a list of at most 16 addresses that begin with http:// or https://")
        return tuple(value)

    def networks(self, key: str) -> tuple[Network, ...]:
        value = self.table[key]
        try:
            if isinstance(value, list | tuple) and len(value) <= 16 and all(isinstance(each, str) for each in value):
                found = tuple(ip_network(each) for each in value)
                if all(each.prefixlen for each in found):
                    return found
        except ValueError:  # no address, or bits beyond the prefix
            pass
        raise self.error(key, 'a list of at most 16 networks such as "127.0.0.1/32", none of them everybody')


def _is_endpoint(value: object) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[!-~]+", value):
        return False
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:  # brackets or port
        return False
    known = re.fullmatch(r"[0-9A-Za-z._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?", parts.netloc)
    return bool(known) and port != 0 and "?" not in value and "#" not in value


@dataclass(frozen=True, slots=True)
class MemberSection:
    """[member]: who this is. `id` is the member's number on the ledger, `name` its registered name."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class LedgerSection:
    """[ledger]: the consortium's public file, and endpoints of one's own instead of those named there."""

    consortium: Path = Path("consortium.json")
    endpoints: tuple[str, ...] = ()
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class KeystoreSection:
    """[keystore]: where the encrypted account keys lie, and the file (mode 0600) with their passphrase."""

    directory: Path = Path("keystore")
    passphrase_file: Path = Path("keystore/passphrase")


@dataclass(frozen=True, slots=True)
class GatewaySection:
    """[gateway]: REST service; `relayer` is the label or address of the account that relays; `stream_port` is that of
    the change feed as a stream, 0 for none; from `trusted_proxies` X-Real-IP is believed."""

    host: str = "127.0.0.1"
    port: int = 8080
    data: Path = Path("data/gateway")
    relayer: str = "relayer"
    workers: int = 2
    token_file: Path | None = None
    stream_port: int = 0
    pkcs11_module: Path | None = None
    pkcs11_token: str = "tally"  # noqa: S105 - a label
    pkcs11_pin_file: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class ValidatorSection:
    """[validator]: `endorser` is the label or address of the account that endorses."""

    rules: Path = Path("rules.toml")
    data: Path = Path("data/validator")
    endorser: str = "endorser"


@dataclass(frozen=True, slots=True)
class StationSection:
    """[station]: `account` signs submissions; `gateways` are the addresses that they are posted to."""

    data: Path = Path("data/station")
    account: str = "station"
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentitySection:
    """[identity]: an operator's record of its people's identities; `account` registers and activates them."""

    data: Path = Path("data/identity")
    account: str = "registrar"


@dataclass(frozen=True, slots=True)
class ChainSection:
    """[chain]: the embedded engine, where this member runs it. `chain_id` 0 chooses one at random, once."""

    host: str = "127.0.0.1"
    port: int = 8545
    data: Path = Path("data/chain")
    heartbeat_s: float = 15.0
    chain_id: int = 0


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """All settings of one member's processes. Relative paths are taken from the directory of the file."""

    path: Path
    member: MemberSection
    ledger: LedgerSection = LedgerSection()
    keystore: KeystoreSection = KeystoreSection()
    gateway: GatewaySection = GatewaySection()
    validator: ValidatorSection = ValidatorSection()
    station: StationSection = StationSection()
    identity: IdentitySection = IdentitySection()
    chain: ChainSection = ChainSection()

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """Read `tally.toml`, apply the environment, check everything. Raises `ConfigurationError`."""
        try:
            content = tomllib.loads(_read(path))
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{path} is not TOML: {error}. Mend that line.") from error
        unknown = sorted(content.keys() - _SECTIONS.keys())
        if unknown:
            raise ConfigurationError(f"{path}: unknown section or key {unknown[0]}. Known: {', '.join(_SECTIONS)}.")
        overrides = _overrides(environment)
        sections = {
            name: _section(kind, name, path, content.get(name, {}), overrides.get(name, {}))
            for name, kind in _SECTIONS.items()
        }
        config = cls(path=path, **sections)
        if (config.gateway.pkcs11_module is None) != (config.gateway.pkcs11_pin_file is None):
            raise ConfigurationError(
                f"{path}: gateway.pkcs11_module and gateway.pkcs11_pin_file go together. Give both."
            )
        return config

    def load_consortium(self) -> ConsortiumFile:
        """The consortium's file, with this member's own endpoints where it names some."""
        consortium = ConsortiumFile.load(self.ledger.consortium)
        return consortium.with_endpoints(self.ledger.endpoints) if self.ledger.endpoints else consortium


_SECTIONS: Mapping[str, type] = MappingProxyType(
    {
        "member": MemberSection,
        "ledger": LedgerSection,
        "keystore": KeystoreSection,
        "gateway": GatewaySection,
        "validator": ValidatorSection,
        "station": StationSection,
        "identity": IdentitySection,
        "chain": ChainSection,
    }
)


_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "member.id": (1, 65535),
        "member.name": (0, 64),
        "ledger.timeout_s": (0.1, 120),
        "gateway.port": (0, 65535),
        "gateway.stream_port": (0, 65535),
        "gateway.workers": (1, 64),
        "chain.port": (0, 65535),
        "chain.heartbeat_s": (1, 3600),
        "chain.chain_id": (0, (1 << 53) - 1),
    }
)
"""Least and greatest value of numbers; a text has at most 255 characters unless it is named here."""


def _overrides(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Settings from the environment, by section; names that are no section's are not ours to judge."""
    found: dict[str, dict[str, str]] = {}
    for variable, value in environment.items():
        section, _, key = variable.removeprefix(_ENVIRONMENT_PREFIX).partition("_")
        if variable.startswith(_ENVIRONMENT_PREFIX) and section.lower() in _SECTIONS and key:
            found.setdefault(section.lower(), {})[key.lower()] = value
    return found


def _section(kind: type, name: str, path: Path, table: object, overrides: Mapping[str, str]) -> Any:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: {name} must be a section: [{name}].")
    known = {each.name: each for each in fields(kind)}
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{path}: unknown key {name}.{key}. Known: {', '.join(known)}.")
    values: dict[str, Any] = {}
    for key, each in known.items():
        variable = f"{_ENVIRONMENT_PREFIX}{name}_{key}".upper()
        if key in overrides:
            given = _from_text(overrides[key], str(each.type))
            reader = _Reader(f"Environment variable {variable}", {key: given}, name)
        elif key in table:
            reader = _Reader(str(path), table, name)
        elif each.default is MISSING:
            raise ConfigurationError(f"{path}: {name}.{key} is missing. Set it there or in {variable}.")
        else:
            reader = _Reader(str(path), {key: each.default}, name)
        values[key] = _value(reader, key, str(each.type), path.parent)
    for key in overrides:
        if key not in known:
            raise ConfigurationError(
                f"Environment variable {_ENVIRONMENT_PREFIX}{name.upper()}_{key.upper()}: "
                f"unknown key {name}.{key}. Known: {', '.join(known)}."
            )
    return kind(**values)


def _from_text(text: str, kind: str) -> Any:
    """A value of the environment as TOML would give it; what does not fit is left for the check to refuse."""
    if kind.startswith("tuple["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        if kind == "int":
            return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text
        if kind == "float":
            return float(text) if text.isascii() and "_" not in text else text
    except ValueError:
        return text
    return text


def _value(reader: _Reader, key: str, kind: str, base: Path) -> Any:
    least, most = _BOUNDS.get(f"{reader.section}.{key}", (0, 255))
    if kind == "int":
        return reader.integer(key, int(least), int(most))
    if kind == "float":
        return reader.number(key, least, most)
    if kind == "str":
        return reader.text(key, int(most))
    if kind == "tuple[str, ...]":
        return reader.endpoints(key)
    if kind == "tuple[Network, ...]":
        return reader.networks(key)
    return reader.path(key, base)
