"""`tally gateway`: the REST service of a member."""

from __future__ import annotations

import json

import click

from pki_chain.cli.member import member_command
from pki_chain.cli.output import command_group, json_option
from pki_chain.config import MemberConfig


@command_group("gateway", short_help="Relay to the ledger, and answer over REST.")
def gateway() -> None:
    """Relay submissions and orders, and answer about certificates over REST."""


@gateway.command(short_help="Serve REST until SIGTERM or SIGINT.")
@member_command
@json_option
def run(config: MemberConfig, *, as_json: bool) -> None:
    """Serve REST on [gateway] host and port until SIGTERM or SIGINT."""
    from pki_chain.gateway.serve import run as serve

    address = f"http://{config.gateway.host}:{config.gateway.port}"
    starting = {"member": config.member.name, "address": address}
    click.echo(json.dumps(starting) if as_json else f"gateway of {config.member.name} starts at {address}")
    serve(config)
