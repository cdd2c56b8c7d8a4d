"""`tally ipsec`: security gateways whose peers are those that the ledger says are valid."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki_chain.cli.bundle import load_token, stop_on_signals, stream_option, token_option
from pki_chain.cli.logs import configure_logs
from pki_chain.cli.member import gateway_option
from pki_chain.cli.output import command_group, json_option
from pki_chain.errors import ConfigurationError, TallyError

if TYPE_CHECKING:
    from pki_chain.carried_proof import ProofFolder
    from pki_chain.ipsec.charon import Charon
    from pki_chain.ipsec.issued import IssuedPeers
    from pki_chain.ipsec.settings import IpsecSettings
    from pki_chain.monitor.gateway_reader import GatewayReader

_CUT_OFF_S = 60.0
"""For how long peers with CA-issued certificates stay without a gateway, where --max-age is not given."""


@command_group("ipsec", short_help="Keep an IPsec security gateway's peers current.")
def ipsec() -> None:
    """Keep an IPsec security gateway's peers those whose certificates are valid."""


@ipsec.command(short_help="Keep strongSwan's peers current.")
@click.argument("settings", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@gateway_option
@click.option(
    "--signers",
    "signers_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Certificates of status keys in PEM: /bundles/signers.pem of the gateways, compared once.",
)
@click.option("--profile", type=click.IntRange(0, 65535), default=2, show_default=True, help="Peers of this profile.")
@click.option("--member", type=click.IntRange(0, 65535), default=0, help="Only peers from this member's lots.")
@click.option("--suffix", default="", help="Only peers with a name in this domain.")
@click.option(
    "--vici",
    "socket_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("/var/run/charon.vici"),
    show_default=True,
    help="The daemon's socket.",
)
@click.option(
    "--interval", type=click.FloatRange(0.05, 30), default=1.0, show_default=True, help="Seconds between looks."
)
@click.option(
    "--max-age",
    type=click.FloatRange(1, 86_400 * 30),
    default=None,
    help="Seconds for which peers stay while no gateway answers. Default: the consortium's cut-off.",
)
@click.option(
    "--proofs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with peers' certificates and proofs: they let peers in while no gateway answers.",
)
@click.option(
    "--trust",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("TRUST.json"),
    show_default=True,
    help="The trust file, by which proofs are believed.",
)
@click.option(
    "--proof-age",
    type=click.IntRange(1, 30 * 86_400),
    default=900,
    show_default=True,
    help="Oldest proof that lets a peer in, in seconds.",
)
@click.option("--unsafe-unsealed", is_flag=True, help="Believe a ledger whose engine seals nothing: for trials only.")
@click.option("--once", is_flag=True, help="Look once.")
@stream_option
@token_option
@json_option
def sync(
    settings: Path,
    directory: Path,
    gateways: tuple[str, ...],
    signers_file: Path,
    profile: int,
    member: int,
    suffix: str,
    socket_path: Path,
    interval: float,
    max_age: float | None,
    proofs: Path | None,
    trust: Path,
    proof_age: int,
    stream: str,
    token_file: Path | None,
    *,
    unsafe_unsealed: bool,
    once: bool,
    as_json: bool,
) -> None:
    """Keep strongSwan's connections those of valid certificates, until SIGTERM or SIGINT, by SETTINGS (ipsec.toml).

    DIRECTORY keeps the certificates. Who is held, revoked or expired is cut off, tunnels and all; all are when nobody
    vouches for them any more. Connections that do not begin with `tally` are left alone.

    With --proofs, peers whose proofs are young enough and newer than the last word of a gateway come in as well.

    With a section [authority] in SETTINGS, peers whose certificates those CAs issued come in too: the daemon asks about
    each, and forgets what it heard at each event of the ledger.
    """
    from pki_chain.ipsec.charon import Charon, CharonError
    from pki_chain.ipsec.settings import IpsecSettings
    from pki_chain.ipsec.sync import IpsecSync, PeerTable
    from pki_chain.monitor.bundle_directory import BundleDirectory, Scope, load_signers
    from pki_chain.monitor.gateway_reader import GatewayReader, Wake

    token = load_token(token_file)
    reader = GatewayReader(gateways, token)
    scope = Scope(profile, member, suffix)
    kept = BundleDirectory(directory, reader, load_signers(signers_file), scope, max_age_s=max_age)
    charon, own = Charon(socket_path), IpsecSettings.load(settings)
    click.get_current_context().call_on_close(charon.close)
    issued = _issued_peers(charon, own, reader, max_age or _CUT_OFF_S)
    carried = _carried(proofs, trust, proof_age, unsafe_unsealed=unsafe_unsealed)
    loop = IpsecSync(PeerTable(charon, own), kept, directory, reader, issued=issued, carried=carried)
    if once:
        outcome = loop.look(time.time())
        _say(outcome.peers, outcome.admitted, outcome.cut, as_json=as_json)
        return
    configure_logs()
    wake = Wake(stream, token) if stream else None
    stop = stop_on_signals(wake.stop if wake else None)
    if wake is not None:
        wake.start()
    failing = False
    while not stop.is_set():
        try:
            outcome = loop.look(time.time())
            if outcome.admitted or outcome.cut:
                _say(outcome.peers, outcome.admitted, outcome.cut, as_json=as_json)
            failing = False
        except ConfigurationError:
            raise
        except (CharonError, TallyError) as error:
            if not failing:
                click.echo(f"waiting: {error.message}", err=True)
            failing = True
        if wake is not None:
            wake.wait(interval)
        else:
            stop.wait(interval)


def _issued_peers(
    charon: Charon, settings: IpsecSettings, reader: GatewayReader, max_age_s: float
) -> IssuedPeers | None:
    """Those of the section [authority], where there is one."""
    from pki_chain.ipsec.issued import IssuedPeers

    authority = settings.authority
    return None if authority is None else IssuedPeers(charon, settings, authority, reader, max_age_s)


def _carried(directory: Path | None, trust: Path, age_s: int, *, unsafe_unsealed: bool) -> ProofFolder | None:
    from pki_chain.carried_proof import ProofFolder

    return None if directory is None else ProofFolder(directory, trust, age_s, unsafe_unsealed=unsafe_unsealed)


def _say(peers: int, admitted: int, cut: int, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"peers": peers, "admitted": admitted, "cut": cut}))
    else:
        click.echo(f"{peers} peers: {admitted} let in, {cut} cut off")
