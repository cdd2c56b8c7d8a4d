"""Whose command it is: `--config tally.toml`, and what a member's settings lead to: keys, ledger, gateways."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pki_chain.config import ConsortiumFile, MemberConfig

if TYPE_CHECKING:
    from pki_chain.chain.signer import Signer
    from pki_chain.station.gateway_client import GatewayClient

Function = TypeVar("Function", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("tally.toml"),
    envvar="TALLY_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The member's settings.",
)

gateway_option = click.option(
    "--gateway",
    "gateways",
    multiple=True,
    metavar="URL",
    help="Address of a gateway, such as http://127.0.0.1:8080; may be repeated. Default: [station] gateways.",
)


def member_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--config` and passes the settings read from it as first argument."""

    @config_option
    @wraps(function)
    def command(*arguments: Any, config_path: Path, **options: Any) -> Any:
        return function(MemberConfig.load(config_path), *arguments, **options)

    return command


def load_signer(config: MemberConfig, label: str) -> Signer:
    """Open one of the member's keys. Raises `ConfigurationError` that names what is missing."""
    from pki_chain.chain.signer import Keystore

    return Keystore.open(config.keystore.directory, config.keystore.passphrase_file).load(label)


def gateway_client(config: MemberConfig | None, gateways: tuple[str, ...]) -> GatewayClient:
    """A client of the gateways that were named, else of those in the settings."""
    from pki_chain.station.gateway_client import GatewayClient

    named = gateways or (config.station.gateways if config else ())
    return GatewayClient(named, timeout_s=config.ledger.timeout_s if config else 10.0)


def load_consortium(config: MemberConfig) -> ConsortiumFile:
    """The consortium's public file, with this member's endpoints."""
    return config.load_consortium()
