"""`tally validator`: the process that judges batches for a member."""

from __future__ import annotations

import json

import click

from pki_chain.cli.logs import configure_logs
from pki_chain.cli.member import member_command
from pki_chain.cli.output import command_group, json_option
from pki_chain.config import MemberConfig


@command_group("validator", short_help="Judge batches by the member's own rules.")
def validator() -> None:
    """Judge batches by the member's own rules, and endorse them."""


@validator.command(short_help="Judge and endorse until SIGTERM or SIGINT.")
@click.option("--poll", "poll_s", default=0.5, show_default=True, type=click.FloatRange(0.05, 60), help="Seconds.")
@member_command
@json_option
def run(config: MemberConfig, poll_s: float, *, as_json: bool) -> None:
    """Follow the ledger and endorse every batch that awaits this member, until SIGTERM or SIGINT."""
    from pki_chain.validator.run import Validator, serve

    configure_logs()
    with Validator.open(config) as process:
        started = {"member": config.member.name, "endorser": process.endorser, "rules": list(process.rule_names)}
        rules = ", ".join(process.rule_names) or "none: it accepts everything"
        text = f"validator of {config.member.name} endorses as {process.endorser}; rules: {rules}"
        click.echo(json.dumps(started) if as_json else text)
        serve(process, poll_s)
