"""`tally demo`: the main job from beginning to end, with real processes."""

from __future__ import annotations

import click

from pki_chain.cli.failure import EXIT_CODES


@click.command(epilog=EXIT_CODES)
def demo() -> None:
    """Show the main job on the embedded ledger."""
