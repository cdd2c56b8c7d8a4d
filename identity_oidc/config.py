"""Settings of the provider (`oidc.toml`), checked whole when they are read.

An unknown key, a wrong type or a value out of range is a `ConfigurationError` that names key and file.
`TALLY_OIDC_<SECTION>_<KEY>` in the environment overrides the file.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self, get_type_hints
from urllib.parse import urlsplit

from identity_oidc.errors import ConfigurationError

_ENVIRONMENT_PREFIX: Final = "TALLY_OIDC_"
_MAX_FILE_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """[provider]. `issuer` is https, or http on loopback for a trial; times in seconds."""

    issuer: str
    name: str = "Tiger Tally"
    host: str = "127.0.0.1"
    port: int = 8443
    workers: int = 1
    database: str = "sqlite:///oidc.sqlite"
    subscribers: str = ""
    member: int = 1
    members: Path | None = None
    theme: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    metrics_token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class KeySettings:
    """[keys]. A key is published `publish_before_s` before it signs, and `keep_after_s` after it signed last.

    With `pkcs11_module` new keys are made in the token of that label; `pkcs11_pin_file` has mode 0600.
    """

    directory: Path = Path("keys")
    passphrase_file: Path | None = None
    pkcs11_module: Path | None = None
    pkcs11_token: str = "tally"  # noqa: S105  a label
    pkcs11_pin_file: Path | None = None
    publish_before_s: int = 3_600
    keep_after_s: int = 7_200
    look_every_s: int = 5


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """[ledger]. `gateways` answer `/v1/identities`; older than `max_age_s` is stale, and nobody logs in."""

    gateways: tuple[str, ...] = ()
    token_file: Path | None = None
    timeout_s: float = 3.0
    max_age_s: int = 60
    poll_s: float = 2.0
    accept_emulators: bool = False


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """[login]. How long each step may take, in seconds, and what a login is good for."""

    request_s: int = 600
    challenge_s: int = 120
    remote_link_s: int = 60
    code_s: int = 60
    session_s: int = 28_800
    single_sign_on_s: int = 900
    access_token_s: int = 300
    id_token_s: int = 300
    refresh_token_s: int = 2_592_000
    grant_days: int = 180
    account_s: int = 900
    agent_days: int = 365
    clock_skew_s: int = 30
    max_failures: int = 3
    agent_loopback_port: int = 28_466


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """[egress]. Where apps may be told of logouts: https at public addresses, and what stands in `private_networks`.

    Each app is told at a moment of its own within `spread_s`: those told in one second would know it is one person.
    """

    private_networks: tuple[str, ...] = ()
    ca_file: Path | None = None
    timeout_s: float = 5.0
    attempts: int = 12
    spread_s: int = 15


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """[limits]. Requests a second and at once, for each address and worker; many people may share an address."""

    rate: float = 200.0
    burst: int = 1_000


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """All settings, and the file they came from."""

    path: Path
    provider: ProviderSettings
    keys: KeySettings = field(default_factory=KeySettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    login: LoginSettings = field(default_factory=LoginSettings)
    egress: EgressSettings = field(default_factory=EgressSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)

    @property
    def issuer(self) -> str:
        return self.provider.issuer

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """Read and check the file. Paths in it are relative to it. Raises `ConfigurationError`."""
        try:
            content = path.read_bytes()
            if len(content) > _MAX_FILE_BYTES:
                raise ConfigurationError(f"{path} is larger than {_MAX_FILE_BYTES} bytes: is it the right file?")
            tables = tomllib.loads(content.decode("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read ({error.strerror}): name it with --config") from error
        except ValueError as error:
            raise ConfigurationError(f"{path} is not TOML: {error}") from error
        sections = {each.name: each for each in fields(cls) if each.name != "path"}
        for name in tables:
            if name not in sections:
                raise ConfigurationError(f"{path}: section [{name}] is not known; there are {', '.join(sections)}")
        hints = get_type_hints(cls)
        found = {name: _section(path, name, hints[name], tables.get(name, {}), environment) for name in sections}
        config = cls(path=path, **found)
        config._check()
        return config

    def _check(self) -> None:
        _check_issuer(self.path, self.issuer)
        login, ledger = self.login, self.ledger
        bounds: tuple[tuple[str, float, float, float], ...] = (
            ("provider.port", self.provider.port, 1, 65_535),
            ("provider.workers", self.provider.workers, 1, 64),
            ("provider.member", self.provider.member, 1, 65_535),
            ("login.challenge_s", login.challenge_s, 10, 120),
            ("login.remote_link_s", login.remote_link_s, 5, 60),
            ("login.code_s", login.code_s, 5, 60),
            ("login.access_token_s", login.access_token_s, 10, 300),
            ("login.id_token_s", login.id_token_s, 10, 3_600),
            ("login.request_s", login.request_s, 30, 3_600),
            ("login.session_s", login.session_s, 60, 604_800),
            ("login.single_sign_on_s", login.single_sign_on_s, 0, 86_400),
            ("login.grant_days", login.grant_days, 1, 3_660),
            ("login.agent_days", login.agent_days, 1, 400),
            ("login.clock_skew_s", login.clock_skew_s, 0, 60),
            ("login.max_failures", login.max_failures, 1, 10),
            ("login.agent_loopback_port", login.agent_loopback_port, 1_024, 65_535),
            ("ledger.max_age_s", ledger.max_age_s, 1, 3_600),
            ("ledger.poll_s", ledger.poll_s, 0.05, 60),
            ("ledger.timeout_s", ledger.timeout_s, 0.1, 30),
            ("keys.publish_before_s", self.keys.publish_before_s, 0, 2_592_000),
            ("keys.keep_after_s", self.keys.keep_after_s, 0, 2_592_000),
            ("egress.spread_s", self.egress.spread_s, 0, 300),
            ("egress.timeout_s", self.egress.timeout_s, 0.1, 30),
            ("limits.rate", self.limits.rate, 0.1, 1e6),
            ("limits.burst", self.limits.burst, 1, 1e6),
        )
        for key, value, least, most in bounds:
            if not least <= value <= most:
                raise ConfigurationError(f"{self.path}: {key} is {value:g} and must be from {least:g} to {most:g}")
        if (self.keys.pkcs11_module is None) != (self.keys.pkcs11_pin_file is None):
            raise ConfigurationError(f"{self.path}: keys.pkcs11_module and keys.pkcs11_pin_file go together: give both")
        for network in (*self.egress.private_networks, *self.provider.trusted_proxies):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ConfigurationError(f"{self.path}: {network!r} is no network, such as 10.1.0.0/16") from error


def _check_issuer(path: Path, issuer: str) -> None:
    parts = urlsplit(issuer)
    is_local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if not parts.hostname or (parts.scheme != "https" and not is_local) or parts.query or parts.fragment:
        raise ConfigurationError(f"{path}: provider.issuer must be an https address without query (http on loopback)")
    if parts.path or parts.username is not None:
        raise ConfigurationError(f"{path}: provider.issuer must have no path (nor a slash at its end), nor name a user")
    try:
        is_default_port = parts.port == {"https": 443, "http": 80}[parts.scheme]
    except ValueError as error:
        raise ConfigurationError(f"{path}: provider.issuer names a port that there is not") from error
    if is_default_port or not issuer.isascii() or issuer != issuer.lower() or issuer.endswith(":"):
        # Browsers write the origin of our forms so, and agents compare it.
        raise ConfigurationError(
            f"{path}: provider.issuer must be in lower case (a host's A-label), without the port that https has anyway"
        )


def _section(path: Path, name: str, kind: type[Any], table: object, environment: Mapping[str, str]) -> Any:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: [{name}] must be a section")
    hints = get_type_hints(kind)
    for key in table:
        if key not in hints:
            raise ConfigurationError(f"{path}: {name}.{key} is not known; there are {', '.join(hints)}")
    values = {}
    for each in fields(kind):
        override = environment.get(f"{_ENVIRONMENT_PREFIX}{name}_{each.name}".upper())
        raw = table.get(each.name) if override is None else _from_environment(override, hints[each.name])
        if raw is None:
            if each.default is MISSING:
                raise ConfigurationError(f"{path}: {name}.{each.name} is missing: give it")
            if isinstance(each.default, Path):
                values[each.name] = path.parent / each.default
            continue
        values[each.name] = _value(path, f"{name}.{each.name}", hints[each.name], raw)
    return kind(**values)


def _from_environment(text: str, kind: object) -> object:
    if kind in {int, float, bool, tuple[str, ...]}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _value(path: Path, key: str, kind: Any, raw: object) -> Any:
    if kind is bool and isinstance(raw, bool):
        return raw
    if kind is int and type(raw) is int:
        return raw
    if kind is float and type(raw) in {int, float}:
        return float(raw)  # type: ignore[arg-type]  # narrowed by the line above
    if kind is str and isinstance(raw, str) and len(raw) <= 1_024:
        return raw
    if kind in {Path, Path | None} and isinstance(raw, str) and raw:
        return path.parent / raw
    if kind == tuple[str, ...] and isinstance(raw, list) and all(isinstance(each, str) for each in raw):
        return tuple(raw)
    wanted = {bool: "true or false", int: "a whole number", float: "a number", tuple[str, ...]: "an array of texts"}
    raise ConfigurationError(f"{path}: {key} must be {wanted.get(kind, 'a text')}")
