"""A small cell's site: a security gateway and a cell with strongSwan, and `tally ipsec sync` for the gateway."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pki_chain.demo.hosts import Host, cell_initiates, two_hosts, write_settings
from pki_chain.demo.processes import wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage
from pki_chain.ipsec.charon import Charon
from pki_chain.ipsec.peer import Peer, parse_peer
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.ipsec.sync import PeerTable
from pki_chain.x509.self_signed import load_key


@dataclass(frozen=True, slots=True)
class Site:
    """A stage with two published devices, one of which is the security gateway."""

    stage: Stage
    gateway: Host
    cell: Host
    gateway_peer: Peer
    cell_peer: Peer
    charon: Charon

    def cell_connects(self) -> bool:
        """Whether the cell gets a tunnel now."""
        return cell_initiates(self.cell, self.gateway_peer.name, 15)

    def is_let_in(self) -> bool:
        """Whether the gateway has a connection for the cell."""
        return self.cell_peer.name in self.charon.connections()

    def act(self, what: str) -> None:
        """Hold or release the cell's certificate."""
        self.stage.tally(VENDOR, "certificate", what, hashlib.sha256(self.cell_peer.der).hexdigest())


@contextmanager
def open_site(stage: Stage, certificates: Sequence[Path]) -> Iterator[Site]:
    """The site of two published certificates, the gateway's first; ended afterwards. Needs `hosts.IS_POSSIBLE`."""
    for path in certificates:
        stage.wait_for_state(hashlib.sha256(path.read_bytes()).hexdigest(), "valid")
    keys = [load_key(path.with_suffix(".key")) for path in certificates]
    peers = [parse_peer(path.read_bytes()) for path in certificates]
    with two_hosts(stage.root / "hosts") as (gateway, cell):
        far, charon = Charon(cell.socket), Charon(gateway.socket)
        of_cell = IpsecSettings.load(write_settings(cell, gateway, peers[1].der, keys[1], initiator=True))
        PeerTable(far, of_cell).reconcile([peers[0].der], time.time())
        far.close()
        daemon = stage.processes.daemon(
            "ipsec sync",
            _sync_arguments(stage, gateway, write_settings(gateway, cell, peers[0].der, keys[0])),
            stage.root,
        )
        site = Site(stage, gateway, cell, peers[0], peers[1], charon)
        try:
            wait_until("the cell is let in", site.is_let_in)
            yield site
        finally:
            daemon.stop()
            stage.processes.daemons.remove(daemon)
            charon.close()


def _sync_arguments(stage: Stage, gateway: Host, settings: Path) -> tuple[str, ...]:
    signers = stage.root / "signers.pem"
    signers.write_bytes(stage.ask("/bundles/signers.pem").content)
    gateways = ("--gateway", stage.gateways[OPERATOR], "--stream", stage.streams[OPERATOR])
    daemon = ("--vici", str(gateway.socket), "--interval", "0.5", "--max-age", "5")
    return ("ipsec", "sync", str(settings), str(stage.root / "peers"), "--signers", str(signers), *gateways, *daemon)
