"""The command line `tally sim`."""

from sim_applet_tools.cli.group import sim

__all__ = ["sim"]
