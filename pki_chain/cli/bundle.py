"""`tally bundle`: directories of certificates that may be trusted now, for daemons that read files."""

from __future__ import annotations

import json
import shlex
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki_chain.cli.logs import configure_logs
from pki_chain.cli.member import gateway_option
from pki_chain.cli.output import command_group, json_option
from pki_chain.errors import ConfigurationError, StorageError, TallyError

if TYPE_CHECKING:
    from pki_chain.monitor.bundle_directory import Scope

token_option = click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the gateway's member token."
)
stream_option = click.option(
    "--stream", metavar="URL", default="", help="Address of the gateway's stream port: changes arrive at once."
)


@command_group("bundle", short_help="Keep directories of trusted certificates current.")
def bundle() -> None:
    """Keep directories of trusted certificates current."""


@bundle.command(short_help="Keep a daemon's directory of trusted certificates current.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@gateway_option
@click.option(
    "--signers",
    "signers_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Certificates of status keys in PEM: /bundles/signers.pem of the gateways, compared once.",
)
@click.option("--profile", type=click.IntRange(0, 65535), default=0, help="Only certificates of this profile.")
@click.option("--member", type=click.IntRange(0, 65535), default=0, help="Only certificates of this member's lots.")
@click.option("--suffix", default="", help="Only certificates with a name in this domain.")
@click.option(
    "--authorities",
    type=click.Choice(("ike", "tls", "slice")),
    default=None,
    help="CAs of the trust list that count for this, in place of devices' certificates.",
)
@click.option("--run", "command", default="", metavar="COMMAND", help="Run after each change, without a shell.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 30), default=1.0, show_default=True, help="Seconds between looks."
)
@click.option(
    "--max-age",
    type=click.FloatRange(1, 86_400 * 30),
    default=None,
    help="Seconds for which certificates stay while no gateway answers. Default: the consortium's cut-off.",
)
@click.option("--once", is_flag=True, help="Look once.")
@stream_option
@token_option
@json_option
def sync(
    directory: Path,
    gateways: tuple[str, ...],
    signers_file: Path,
    profile: int,
    member: int,
    suffix: str,
    authorities: str | None,
    command: str,
    interval: float,
    max_age: float | None,
    stream: str,
    token_file: Path | None,
    *,
    once: bool,
    as_json: bool,
) -> None:
    """Keep DIRECTORY/current holding exactly the certificates that are valid now, until SIGTERM or SIGINT; with
    --authorities, exactly the CAs that count now.

    DIRECTORY/current is replaced in one step. It is emptied when nobody vouches for the certificates any more.
    """
    from pki_chain.monitor.bundle_directory import BundleDirectory, load_signers
    from pki_chain.monitor.gateway_reader import GatewayReader, Wake

    token = load_token(token_file)
    kept = BundleDirectory(
        directory,
        GatewayReader(gateways, token),
        load_signers(signers_file),
        _scope(profile, member, suffix, authorities or ""),
        command=_split(command),
        max_age_s=max_age,
    )
    if once:
        outcome = kept.look(time.time())
        _say(outcome.count, changed=outcome.changed, withdrawn=outcome.withdrawn, as_json=as_json)
        if outcome.untold:
            raise ConfigurationError(f"{command!r} did not succeed: correct --run, or what it runs. It is run again.")
        return
    configure_logs()
    wake = Wake(stream, token) if stream else None
    stop = stop_on_signals(wake.stop if wake else None)
    if wake is not None:
        wake.start()
    failing = False
    while not stop.is_set():
        try:
            outcome = kept.look(time.time())
            if outcome.changed:
                _say(outcome.count, changed=True, withdrawn=outcome.withdrawn, as_json=as_json)
            failing = False
        except ConfigurationError:
            raise
        except TallyError as error:
            if not failing:
                click.echo(f"waiting: {error.message}", err=True)
            failing = True
        if wake is not None:
            wake.wait(interval)
        else:
            stop.wait(interval)


def load_token(path: Path | None) -> str:
    """The token in a file; "" without one. Raises `StorageError`."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"Cannot read {path}: {error}. Give the file with the member token.") from error


def stop_on_signals(act: object = None) -> threading.Event:
    """An event that SIGTERM and SIGINT set; they also call `act`."""
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        stop.set()
        if callable(act):
            act()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def _scope(profile: int, member: int, suffix: str, authorities: str) -> Scope:
    from pki_chain.monitor.bundle_directory import Scope

    if authorities and (profile or suffix):
        raise click.UsageError("--authorities goes with --member at most: CAs have neither profile nor suffix")
    return Scope(profile, member, suffix, authorities)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"--run {command!r}: {error}. Close the quotation.") from error


def _say(count: int, *, changed: bool, withdrawn: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"certificates": count, "changed": changed, "withdrawn": withdrawn}))
    elif withdrawn:
        click.echo("nobody vouches for the certificates any more: none is trusted")
    else:
        click.echo(f"{count} certificates" + (", changed" if changed else ", unchanged"))
