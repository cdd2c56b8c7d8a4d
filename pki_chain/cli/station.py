"""`tally station`: the accounts of production lines, and what they submit."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import click

from pki_chain.cli.account import add_account, find, find_or_make, set_account
from pki_chain.cli.member import gateway_client, gateway_option, load_signer, member_command
from pki_chain.cli.output import command_group, json_option, print_result, progress_bar
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, LedgerUnavailableError, NotFoundError, RefusedError, StaleError
from pki_chain.station.outbox import FINAL_STATES, Entry, EntryState

if TYPE_CHECKING:
    from pki_chain.station.submit import Station

_Read = TypeVar("_Read")

_MAXIMUM_FILE_BYTES = 1 << 20
_SHOWN = 20


@command_group("station", short_help="Production lines: accounts, and what they submit.")
def station() -> None:
    """Production lines: add and suspend their accounts, submit certificates."""


@station.command(short_help="Make a station's key, and register its account.")
@click.argument("label")
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@gateway_option
@member_command
@json_option
def add(config: MemberConfig, label: str, key: str, gateways: tuple[str, ...], *, as_json: bool) -> None:
    """Make a station key LABEL in the member's keystore, and register its account."""
    from pki_chain.ports import Role

    account = find_or_make(config, label)
    add_account(config, account, Role.STATION, key, gateways)
    print_result({"station": account, "label": label}, f"station {label} is {account}", as_json=as_json)


@station.command(short_help="Suspend a station at once.")
@click.argument("station_account", metavar="STATION")
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@gateway_option
@member_command
@json_option
def suspend(config: MemberConfig, station_account: str, key: str, gateways: tuple[str, ...], *, as_json: bool) -> None:
    """Suspend STATION (label or address) at once: nothing more gets in with its key."""
    from pki_chain.ports import Role

    account = find(config, station_account)
    if account is None:
        raise NotFoundError(f"the keystore has no key {station_account!r}: give its label or the account's address")
    set_account(config, account, Role.STATION, key, gateways, active=False)
    print_result({"station": account, "active": False}, f"station {account} is suspended", as_json=as_json)


@station.command(short_help="Submit certificates, and wait for each.")
@click.argument("sources", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[FILE|DIRECTORY]...")
@click.option("--lot", "lot_number", type=click.IntRange(1, 2**40 - 1), help="The lot; needed with new certificates.")
@click.option("--no-check", is_flag=True, help="Send without the local check; contract and validators still judge.")
@click.option("--copies", default=1, show_default=True, type=click.IntRange(1, 16), help="Gateways to send each to.")
@click.option(
    "--wait", "timeout_s", default=600.0, show_default=True, type=click.FloatRange(1, 604_800), help="Seconds."
)
@click.option("--tries", default=3, show_default=True, type=click.IntRange(1, 100), help="Batches for a lapsing entry.")
@gateway_option
@member_command
@json_option
def submit(
    config: MemberConfig,
    sources: tuple[Path, ...],
    lot_number: int | None,
    copies: int,
    timeout_s: float,
    tries: int,
    gateways: tuple[str, ...],
    *,
    no_check: bool,
    as_json: bool,
) -> None:
    """Submit certificates (*.cer, DER or PEM) and wait until each is valid, or refused with a reason.

    They are stored before anything is sent: after an interruption, run the same command again, also without any FILE.
    Exit code 0: all of this call's lot are valid; 77: some are not; 75: some are undecided yet.
    """
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.station.issuers import fetch_issuers
    from pki_chain.station.lot import fetch_lot
    from pki_chain.station.submit import Station, StationSettings

    if sources and lot_number is None:
        raise InputError("--lot is missing: say in which lot these certificates are")
    consortium = config.load_consortium()
    opened = None
    clients = gateway_client(config, gateways)
    ledger = LedgerClient(consortium, config.ledger.timeout_s)
    if sources and lot_number is not None:
        number = lot_number
        opened, now = _patiently(
            lambda: (fetch_lot(ledger, consortium, number), ledger.head().time), timeout_s, quiet=as_json
        )
    with Station(
        config.station.data,
        load_signer(config, config.station.account),
        texts=TypedTexts(consortium),
        gateways=clients,
        settings=StationSettings(copies=copies, maximum_tries=tries),
    ) as line:
        if opened is not None and lot_number is not None:
            issuers = fetch_issuers(clients) if opened.profile.ca_issued and not no_check else ()
            rules = None if no_check else opened.rules(now, issuers)
            line.take_in(lot_number, opened.terms.profile, read_certificates(sources), rules)
        finished = _run(line, timeout_s, quiet=as_json)
        entries = line.outbox.entries(lot_number)
    _print_outcome(entries, as_json=as_json)
    if not finished:
        raise StaleError("some certificates are undecided yet: run `tally station submit` again to go on waiting")
    bad = sum(entry.state is not EntryState.VALID for entry in entries)
    if bad:
        raise RefusedError(f"{bad} of {len(entries)} certificates did not become valid: see the reasons above")


def _patiently(read: Callable[[], _Read], timeout_s: float, *, quiet: bool) -> _Read:
    """Read from the ledger; a ledger that is being restarted is waited for, as gateways are.

    Raises `LedgerUnavailableError` when it still cannot be reached after `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    pause_s = 0.2
    while True:
        try:
            return read()
        except LedgerUnavailableError as error:
            if time.monotonic() + pause_s > end:
                raise
            if not quiet:
                click.echo(f"waiting for the ledger: {error}", err=True)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)


def _run(line: Station, timeout_s: float, *, quiet: bool) -> bool:
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with progress_bar("certificates decided", sum(line.outbox.counts().values()), quiet=quiet) as progress:

            def report(counts: Mapping[EntryState, int]) -> None:
                progress(sum(count for state, count in counts.items() if state in FINAL_STATES))

            return line.run(stop, timeout_s=timeout_s, report=report)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def read_certificates(sources: tuple[Path, ...]) -> list[tuple[str, bytes]]:
    """Certificates from files and from the *.cer, *.crt, *.pem and *.der files of directories: (name, DER).

    Bytes that are no PEM are taken as they are. Raises `InputError`.
    """
    import ssl

    found = []
    for source in sources:
        paths = [source]
        if source.is_dir():
            paths = sorted(path for path in source.iterdir() if path.suffix in {".cer", ".crt", ".pem", ".der"})
        for path in paths:
            try:
                content = path.read_bytes()
                if content.startswith(b"-----BEGIN CERTIFICATE-----"):
                    content = ssl.PEM_cert_to_DER_cert(content.decode("ascii").strip())
            except (OSError, ValueError) as error:
                raise InputError(f"cannot read a certificate from {path}: {error}") from error
            if len(content) > _MAXIMUM_FILE_BYTES:
                raise InputError(f"{path} is longer than {_MAXIMUM_FILE_BYTES} bytes: it is no certificate")
            found.append((path.name, content))
    return found


def _print_outcome(entries: list[Entry], *, as_json: bool) -> None:
    from pki_chain.x509.reasons import Reason

    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.state] = counts.get(entry.state, 0) + 1
    listed = [
        {
            "source": entry.source,
            "sha256": entry.sha256.hex(),
            "state": entry.state,
            "reason": Reason(entry.reason).label if entry.reason else None,
            "explanation": entry.explanation or None,
        }
        for entry in entries
    ]
    lines = [", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing in the outbox"]
    others = [entry for entry in entries if entry.state is not EntryState.VALID]
    lines += [f"  {entry.source}: {entry.state}: {entry.explanation}" for entry in others[:_SHOWN]]
    if len(others) > _SHOWN:
        lines.append(f"  and {len(others) - _SHOWN} more: --json lists them all")
    print_result({"counts": counts, "certificates": listed}, "\n".join(lines), as_json=as_json)
