"""`tally sim`: its commands, put together."""

from __future__ import annotations

import click

from sim_applet_tools.cli.access_rule import access_rule
from sim_applet_tools.cli.agent import agent
from sim_applet_tools.cli.emulate import emulate
from sim_applet_tools.cli.inspect import doctor, info, readers
from sim_applet_tools.cli.keys import certificate, csr, keygen, public_key, sign
from sim_applet_tools.cli.output import SimGroup
from sim_applet_tools.cli.personalise import activate, personalise_command
from sim_applet_tools.cli.pin import pin
from sim_applet_tools.cli.profile_package import profile_package
from sim_applet_tools.cli.raw import apdu, script, trace


@click.group(name="sim", cls=SimGroup, short_help="SIM cards: keys, PIN, emulation, personalisation.")
def sim() -> None:
    """SIM cards with an IoT SAFE applet: look at them, use their keys, emulate one."""


COMMANDS = (
    readers,
    info,
    doctor,
    keygen,
    public_key,
    sign,
    csr,
    certificate,
    pin,
    personalise_command,
    activate,
    access_rule,
    profile_package,
    apdu,
    script,
    trace,
    emulate,
    agent,
)
for command in COMMANDS:
    sim.add_command(command)
