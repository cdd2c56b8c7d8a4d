"""`tally sim emulate`: a card without hardware."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import click

from sim_applet_tools.cli.output import json_option, print_result, read_secret
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore, ImageStore, MemoryStore
from sim_applet_tools.errors import InputError
from sim_applet_tools.transport.loopback import RawCard

MAX_PORT = 32_766


@click.command(short_help="Emulate a card, with a pcscd of its own.")
@click.argument("card_file", type=click.Path(path_type=Path), required=False)
@click.option("--new", "is_new", is_flag=True, help="Make the card file.")
@click.option("--passphrase-file", metavar="FILE", envvar="TALLY_SIM_PASSPHRASE_FILE", help="Of the card file.")
@click.option("--t1", "is_t1", is_flag=True, help="A card of protocol T=1; T=0 without.")
@click.option("--serve", "port", type=click.IntRange(1024, MAX_PORT), help="Serve a pcscd of yours at this port.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@json_option
@click.pass_context
def emulate(
    ctx: click.Context,
    card_file: Path | None,
    is_new: bool,
    passphrase_file: str | None,
    is_t1: bool,
    port: int | None,
    command: tuple[str, ...],
    as_json: bool,
) -> None:
    """Emulate a card from CARD_FILE, or `-` for one that forgets, in a reader of a real pcscd.

    \b
    tally sim emulate - -- tally sim info       a pcscd of its own, for this command
    tally sim emulate card.tally --new          the same until interrupted; prints how to reach it
    tally sim emulate card.tally --serve 31000  for your pcscd; prints its reader.conf
    """
    with _store(card_file, passphrase_file, is_new=is_new) as store:
        card = EmulatedCard(store, is_t1=is_t1)
        if port is not None:
            if command:
                raise InputError("--serve waits for a pcscd of yours and runs no command: leave one of them out")
            _serve(card, port, as_json=as_json)
        else:
            ctx.exit(_with_pcscd(card, command, as_json=as_json))


@contextmanager
def _store(card_file: Path | None, passphrase_file: str | None, *, is_new: bool) -> Iterator[ImageStore]:
    if card_file is None or str(card_file) == "-":
        yield MemoryStore(new_image())
        return
    if is_new and card_file.exists():
        raise InputError(f"{card_file} is there already: leave --new out, or choose another name")
    passphrase = read_secret(passphrase_file, "passphrase of the card file")
    store = EncryptedFileStore(card_file, passphrase, image_if_new=new_image() if is_new else None)
    try:
        yield store
    finally:
        store.close()


def _with_pcscd(card: RawCard, command: tuple[str, ...], *, as_json: bool) -> int:
    from sim_applet_tools.emulator.pcscd import SOCKET_VARIABLE, PrivatePcscd

    with ExitStack() as stack:
        stack.enter_context(_interruptible())
        pcscd = stack.enter_context(PrivatePcscd())
        pcscd.insert(card)
        if command:
            environment = {**pcscd.environment, "TALLY_SIM_WAIT": "10"}
            return subprocess.run(_found(command), env=environment, check=False).returncode  # noqa: S603
        setting = f"{SOCKET_VARIABLE}={pcscd.socket_path}"
        text = (
            "the card is in a reader; in another terminal:\n\n"
            f"  export {setting}\n  tally sim info --wait 10\n\nCtrl-C ends"
        )
        print_result({"socket": str(pcscd.socket_path), "environment": setting}, text, as_json=as_json)
        sys.stdout.flush()
        signal.pause()
    return 0


def _serve(card: RawCard, port: int, *, as_json: bool) -> None:
    from sim_applet_tools.emulator.pcscd import reader_configuration
    from sim_applet_tools.emulator.vpcd import CardServer

    configuration = reader_configuration(f"127.0.0.1:{port}", port)
    server = CardServer(card, EmulatedCard(None), port)
    server.start()
    text = (
        f"serving 127.0.0.1:{port} and {port + 1}. Start pcscd now, with this in a folder of its own (pcscd "
        f"--foreground --config FOLDER), and stop it before this program:\n\n{configuration}"
    )
    print_result({"port": port, "reader_conf": configuration}, text, as_json=as_json)
    sys.stdout.flush()
    with _interruptible():
        signal.pause()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does, so that pcscd is stopped before the card leaves."""

    def _stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def _found(command: tuple[str, ...]) -> list[str]:
    """`tally` means this very program, also where it is not on the path."""
    if command[0] == "tally" and Path(sys.argv[0]).name == "tally":
        return [sys.executable, sys.argv[0], *command[1:]] if os.access(sys.argv[0], os.R_OK) else list(command)
    return list(command)
