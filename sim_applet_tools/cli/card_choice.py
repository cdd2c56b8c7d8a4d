"""Which card a command talks to: in a reader, or emulated in this process; options that all commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sim_applet_tools.cli.output import read_secret
from sim_applet_tools.iot_safe.commands import ObjectName
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, DEVICE_KEY, SESSION_KEY
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInFile
from sim_applet_tools.profiles import load_profile, parse_application_id, profile_names
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.transport.trace import TraceTransport

TRACE_KEY = "sim_applet_tools.trace"
KEYS = {"approval": APPROVAL_KEY, "device": DEVICE_KEY, "session": SESSION_KEY}


@dataclass(frozen=True, slots=True)
class CardChoice:
    """The options of `card_options`."""

    reader: str
    wait_s: float
    exclusive: bool
    card_file: Path | None
    passphrase_file: str | None
    profile: str | None
    application_ids: tuple[bytes, ...]
    is_traced: bool

    @contextmanager
    def transport(self) -> Iterator[Transport]:
        """The connected card; left, reset, at the end."""
        with self._plain_transport() as plain:
            yield TraceTransport(plain, _write_trace) if self.is_traced else plain

    @contextmanager
    def applet(self) -> Iterator[IotSafeApplet]:
        """The first applet found, selected."""
        names = (self.profile,) if self.profile else profile_names()
        with self.transport() as transport:
            yield find_applet(transport, [load_profile(name) for name in names], self.application_ids)

    @contextmanager
    def _plain_transport(self) -> Iterator[Transport]:
        if self.card_file is not None:
            with emulated_card(self.card_file, self.passphrase_file) as transport:
                yield transport
            return
        from sim_applet_tools.transport.pcsc import connect

        connected = connect(self.reader, exclusive=self.exclusive, wait_s=self.wait_s)
        try:
            yield connected
        finally:
            connected.close()


@contextmanager
def emulated_card(path: Path, passphrase_file: str | None) -> Iterator[Transport]:
    """A card file opened in this process."""
    from sim_applet_tools.emulator.card import EmulatedCard
    from sim_applet_tools.emulator.keystore import EncryptedFileStore
    from sim_applet_tools.transport.loopback import LoopbackTransport

    store = EncryptedFileStore(path, read_secret(passphrase_file, "passphrase of the card file"))
    try:
        yield LoopbackTransport(EmulatedCard(store), str(path))
    finally:
        store.close()


def card_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options and hands the command a `CardChoice` as `card`."""

    @click.option("--reader", default="*", envvar="TALLY_SIM_READER", show_default=True, help="Name or pattern.")
    @click.option(
        "--wait", "wait_s", default=0.0, envvar="TALLY_SIM_WAIT", metavar="SECONDS", help="Wait for reader and card."
    )
    @click.option("--exclusive", is_flag=True, help="Keep other programs from the reader.")
    @click.option("--card-file", type=click.Path(path_type=Path), help="An emulated card instead of a reader.")
    @click.option("--passphrase-file", metavar="FILE", envvar="TALLY_SIM_PASSPHRASE_FILE", help="For --card-file.")
    @click.option("--profile", help=f"How the card's stack speaks: {', '.join(profile_names())}.")
    @click.option("--aid", "aids", multiple=True, help="AID to try, in hexadecimal; may be given more than once.")
    @click.option("--trace", "is_traced", is_flag=True, help="Write APDUs to standard error, without secrets.")
    @functools.wraps(command)
    def with_card(
        reader: str,
        wait_s: float,
        exclusive: bool,
        card_file: Path | None,
        passphrase_file: str | None,
        profile: str | None,
        aids: tuple[str, ...],
        is_traced: bool,
        **rest: Any,
    ) -> Any:
        traced = is_traced or bool(click.get_current_context().meta.get(TRACE_KEY))
        ids = tuple(parse_application_id(aid) for aid in aids)
        choice = CardChoice(reader, wait_s, exclusive, card_file, passphrase_file, profile, ids, traced)
        return command(card=choice, **rest)

    return with_card


def key_name(name: str) -> ObjectName:
    """`approval`, `device`, `session`, or an id in hexadecimal of another stack."""
    if name in KEYS:
        return KEYS[name]
    try:
        return ObjectName(bytes.fromhex(name))
    except ValueError as error:
        raise click.BadParameter(f"{name!r} is none of {', '.join(KEYS)} and no id in hexadecimal") from error


def seen_nonces() -> SeenInFile:
    """The list of signatures seen on this machine."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return SeenInFile(state / "tally" / "sim-signatures-seen")


def _write_trace(line: str) -> None:
    click.echo(line, err=True)
