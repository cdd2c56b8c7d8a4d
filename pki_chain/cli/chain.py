"""`tally chain`: the embedded ledger."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pki_chain.cli.logs import configure_logs
from pki_chain.cli.output import command_group, json_option


@command_group("chain", short_help="The embedded ledger, for one machine.")
def chain() -> None:
    """The embedded ledger: one machine's own chain, durable by its journal."""


@chain.command(short_help="Run the ledger of a directory.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8545, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--chain-id", type=click.IntRange(1, 2**53 - 1), help="On the first start only. [default: random]")
@click.option("--heartbeat", "heartbeat_s", default=15.0, show_default=True, type=click.FloatRange(1, 3600))
@json_option
def run(directory: Path, host: str, port: int, chain_id: int | None, heartbeat_s: float, *, as_json: bool) -> None:
    """Run the ledger that is kept in DIRECTORY until SIGTERM or SIGINT.

    Prints the endpoint once it answers; an idle ledger makes a block every HEARTBEAT seconds.
    """
    from pki_chain.chain.engine.embedded import EmbeddedEngine

    class AnnouncedEngine(EmbeddedEngine):
        """Says where it answers as soon as it does."""

        def start(self) -> None:
            super().start()
            started = {"endpoint": self.endpoint, "chain_id": self.chain_id, "directory": str(directory)}
            click.echo(json.dumps(started) if as_json else f"ledger {self.chain_id} answers at {self.endpoint}")

    configure_logs()
    AnnouncedEngine(directory, host, port, chain_id, heartbeat_s).serve_forever()
