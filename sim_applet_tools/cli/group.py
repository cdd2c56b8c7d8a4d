"""`tally sim`: its commands. Each is imported when it is asked for, so that an agent is at its prompt at once."""

from __future__ import annotations

from importlib import import_module

import click

from sim_applet_tools.cli.output import SimGroup

COMMANDS = {
    "access-rule": "access_rule:access_rule",
    "activate": "personalise:activate",
    "agent": "agent:agent",
    "apdu": "raw:apdu",
    "certificate": "keys:certificate",
    "csr": "keys:csr",
    "doctor": "inspect:doctor",
    "emulate": "emulate:emulate",
    "info": "inspect:info",
    "keygen": "keys:keygen",
    "personalise": "personalise:personalise_command",
    "pin": "pin:pin",
    "profile-package": "profile_package:profile_package",
    "public-key": "keys:public_key",
    "readers": "inspect:readers",
    "script": "raw:script",
    "sign": "keys:sign",
    "trace": "raw:trace",
}
"""Name: module of this package, and attribute."""


class LazyCommands(SimGroup):
    """Knows the names, and loads a command when it is run or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands and (place := COMMANDS.get(cmd_name)):
            module, _, attribute = place.partition(":")
            self.add_command(getattr(import_module(f"sim_applet_tools.cli.{module}"), attribute), cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(name="sim", cls=LazyCommands, short_help="SIM cards: keys, PIN, emulation, personalisation.")
def sim() -> None:
    """SIM cards with an IoT SAFE applet: look at them, use their keys, emulate one."""
