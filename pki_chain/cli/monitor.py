"""`tally monitor`: tells a member of certificates for its names that it did not expect, and of ends to come."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki_chain.cli.bundle import load_token, stop_on_signals, stream_option, token_option
from pki_chain.cli.failure import EXIT_CODES
from pki_chain.cli.member import gateway_option, member_command
from pki_chain.cli.output import json_option
from pki_chain.config import MemberConfig
from pki_chain.errors import LedgerUnavailableError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from pki_chain.monitor.gateway_reader import GatewayReader
    from pki_chain.monitor.names_watch import NamesWatch, NameWarning, Space

_DAY_S = 86_400
_ENDS_EVERY_S = 3_600.0
"""How often `--follow` looks for certificates that have come to end soon, and for new name spaces."""


@click.command(short_help="Warn of unexpected certificates and of expiries.", epilog=EXIT_CODES)
@gateway_option
@click.option(
    "--expected",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SHA-256 of the certificates that you made, one a line. Default: all that your own lots brought.",
)
@click.option(
    "--state", type=click.Path(dir_okay=False, path_type=Path), help="File that remembers how far the feed was read."
)
@click.option(
    "--expires-within", type=click.IntRange(0, 3650), default=30, show_default=True, help="Days that count as soon."
)
@click.option("--follow", is_flag=True, help="Go on until SIGTERM or SIGINT.")
@stream_option
@token_option
@member_command
@json_option
def monitor(
    config: MemberConfig,
    gateways: tuple[str, ...],
    expected: Path | None,
    state: Path | None,
    expires_within: int,
    stream: str,
    token_file: Path | None,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Tell of certificates that carry this member's names and that it did not expect, and of those that end soon: of
    devices, of its CAs, and of those whom these let sign.

    Exit code 77 when there was something unexpected.
    """
    from pki_chain.monitor.gateway_reader import GatewayReader, Wake
    from pki_chain.monitor.names_watch import NamesWatch, load_expected

    token = load_token(token_file)
    reader = GatewayReader(gateways or config.station.gateways, token)
    member = config.member.id
    known = None if expected is None else load_expected(expected)
    watch = NamesWatch(reader, member, read_spaces(reader, member), known, state)
    unexpected = 0
    _say_ends(watch, expires_within, as_json=as_json)
    for warning in watch.look():
        unexpected += 1
        _say(warning, as_json=as_json)
    if not follow:
        if unexpected:
            raise RefusedError(f"{unexpected} certificates for this member's names were not expected.")
        return
    wake = Wake(stream, token) if stream else None
    stop = stop_on_signals(wake.stop if wake else None)
    if wake is not None:
        wake.start()
    ends_at = time.monotonic() + _ENDS_EVERY_S
    while not stop.is_set():
        if wake is not None:
            wake.wait(5.0)
        else:
            stop.wait(2.0)
        try:
            for warning in watch.look():
                _say(warning, as_json=as_json)
            if time.monotonic() >= ends_at:
                watch.spaces = tuple(read_spaces(reader, member))
                _say_ends(watch, expires_within, as_json=as_json)
                ends_at = time.monotonic() + _ENDS_EVERY_S
        except LedgerUnavailableError as error:
            click.echo(f"waiting: {error.message}", err=True)


def _say_ends(watch: NamesWatch, days: int, *, as_json: bool) -> None:
    before = int(time.time()) + days * _DAY_S
    for warning in (*watch.expiring(before), *watch.expiring_authorities(before)):
        _say(warning, as_json=as_json)


def read_spaces(reader: GatewayReader, member: int) -> list[Space]:
    """Name spaces of a member as its gateway tells them. Raises `NotFoundError`."""
    from pki_chain.monitor.names_watch import Space

    for each in reader.read_object("/v1/members", {})["members"]:
        if each["id"] == member:
            return [Space(space["kind"], space["bits"], bytes.fromhex(space["value"][2:])) for space in each["spaces"]]
    raise NotFoundError(f"The ledger has no member {member}. Correct member.id.")


def _say(warning: NameWarning, *, as_json: bool) -> None:
    if as_json:
        content = {"kind": warning.kind, "sha256": warning.sha256, "names": warning.names, "text": warning.text}
        click.echo(json.dumps(content))
    else:
        click.echo(f"{warning.kind}: {warning.sha256}: {warning.text}")
