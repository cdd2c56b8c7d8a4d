"""`tally demo`: the main job from beginning to end, with real processes."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from rich.console import Console

from pki_chain.cli.output import json_option, print_result, print_table
from pki_chain.errors import TallyError

if TYPE_CHECKING:
    from pki_chain.demo.stage import Stage

_EPILOG = "\b\nExit codes:\n  0    every step gave what it should\n  1    a step did not; the message says which"


@click.command(epilog=_EPILOG, short_help="Show the main job from beginning to end.")
@click.option("--count", default=1_000, show_default=True, type=click.IntRange(10, 100_000), help="Small cells.")
@click.option("--keep", is_flag=True, help="Leave everything running, and print addresses and commands to try.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put everything. [default: a temporary directory, removed at the end]",
)
@json_option
def demo(count: int, directory: Path | None, *, keep: bool, as_json: bool) -> None:
    """Show the main job on the embedded ledger, in real processes of four members.

    Device keys and certificates are made, submitted, checked by contract and validators, asked for, held, released and
    revoked; bad ones of every kind, a careless endorser and a thief with a station's key get nothing in. A SIM is
    personalised in a reader, and its identity registered, activated and read back; with it a person logs in to an app,
    through an OpenID provider's page and an agent beside the card, until the identity is held.
    """
    from pki_chain.demo.processes import Processes
    from pki_chain.demo.stage import Stage

    root = (directory or Path(tempfile.mkdtemp(prefix="tally-demo-"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise click.UsageError(f"{root} is not empty: name a new directory")
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    stage = Stage(root, Processes(root, quiet=as_json), count)
    begun = time.monotonic()
    failed = True
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _play(stage, console)
        seconds = time.monotonic() - begun
        failed = False
        _report(stage, seconds, as_json=as_json)
        if keep:
            _print_addresses(stage, console)
            _wait_for_interrupt()
    except KeyboardInterrupt:
        console.print("interrupted: ending all processes")
        raise click.Abort from None
    finally:
        stage.processes.stop()
        if failed:
            console.print(f"logs of all processes: {root / 'logs'}", style="yellow")
        elif directory is None:
            shutil.rmtree(root)


def _interrupt(_: int, __: FrameType | None) -> None:
    """End as with Ctrl-C, so that no process is left behind."""
    raise KeyboardInterrupt


def _play(stage: Stage, console: Console) -> None:
    from pki_chain.demo.steps import STEPS

    for number, (title, step) in enumerate(STEPS, 1):
        console.print(f"\n[bold]{number}. {title}[/bold]")
        sys.stdout.flush()
        try:
            step(stage, lambda text: console.print(f"   {text}", markup=False))
            stage.processes.require_running()
        except TallyError as error:
            console.print(f"   failed: {error.message}", style="red", markup=False)
            raise


def _report(stage: Stage, seconds: float, *, as_json: bool) -> None:
    from pki_chain.demo.stage import engine_text

    engine = engine_text()
    if as_json:
        figures = [{"what": what, "took": took, "speed": speed} for what, took, speed in stage.figures]
        print_result(
            {"passed": True, "seconds": round(seconds, 1), "engine": engine, "figures": figures}, "", as_json=True
        )
        return
    click.echo()
    rows = [*stage.figures, ("everything", f"{seconds:.1f} s", "")]
    print_table("What was done, and how fast", ("what", "took", "speed"), rows)
    click.echo(f"\nengine: {engine}\nevery step gave what it should")


def _print_addresses(stage: Stage, console: Console) -> None:
    from pki_chain.demo.stage import OPERATOR, VENDOR

    device = stage.devices()[3]
    config = stage.home(VENDOR) / "tally.toml"
    lines = [f"\nleft running in {stage.root}; Ctrl-C ends everything", f"  ledger RPC        {stage.ledger}"]
    lines += [f"  gateway {member:<9} {address}" for member, address in stage.gateways.items()]
    lines += [f"  {name:<17} {each}" for name, each in stage.login.items()]
    address = next(iter(stage.gateways.values()))
    tally = sys.argv[0] if Path(sys.argv[0]).name == "tally" else "tally"
    lines += [
        "\ncommands to try in another terminal:",
        f"  {tally} certificate status {device} --gateway {address}",
        f"  {tally} certificate hold {device} --config {config}",
        f"  {tally} consortium members --config {config}",
    ]
    if stage.identity:
        lines.append(f"  {tally} identity show {stage.identity} --gateway {address}")
    if stage.login:
        operator = stage.home(OPERATOR) / "tally.toml"
        lines += [
            f"  {tally} identity hold {stage.identity} --config {operator}",
            "\nwhere to click:",
            f"  {stage.login['sample app']}: 'Log in with your SIM', 'Open the agent', the PIN; then hold the identity",
        ]
    console.print("\n".join(lines), markup=False)


def _wait_for_interrupt() -> None:
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    stop.wait()
