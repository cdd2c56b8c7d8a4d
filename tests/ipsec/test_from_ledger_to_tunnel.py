"""The whole way in real processes: published on the ledger, a tunnel; held there, or gateways away, none."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pki_chain.demo.processes import Processes, wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, raise_stage
from pki_chain.demo.steps import make_devices, open_lot, submit_devices
from pki_chain.ipsec.charon import Charon
from pki_chain.ipsec.peer import Peer, parse_peer
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.ipsec.sync import PeerTable
from pki_chain.x509.self_signed import load_key
from tests.ipsec.hosts import IS_POSSIBLE, Host, cell_initiates, two_hosts, write_settings

pytestmark = [
    pytest.mark.ipsec,
    pytest.mark.e2e,
    pytest.mark.xdist_group("ipsec"),
    pytest.mark.skipif(not IS_POSSIBLE, reason="needs root, charon-systemd, ip and /dev/net/tun"),
]


@dataclass(frozen=True, slots=True)
class Site:
    """A stage with two published devices, one of which is the security gateway; `tally ipsec sync` runs for it."""

    stage: Stage
    gateway: Host
    cell: Host
    gateway_peer: Peer
    cell_peer: Peer
    charon: Charon

    def cell_connects(self) -> bool:
        return cell_initiates(self.cell, self.gateway_peer.name)

    def is_let_in(self) -> bool:
        return self.cell_peer.name in self.charon.connections()

    def act(self, what: str) -> None:
        """Hold or release the cell's certificate."""
        self.stage.tally(VENDOR, "certificate", what, hashlib.sha256(self.cell_peer.der).hexdigest())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    processes = Processes(root, quiet=True)
    stage = Stage(root, processes, 2)
    try:
        with two_hosts(root / "hosts") as (gateway, cell):
            raise_stage(stage)
            for step in (make_devices, open_lot, submit_devices):
                step(stage, lambda _: None)
            begun = begin_site(stage, gateway, cell)
            yield begun
            begun.charon.close()
    finally:
        processes.stop()


def begin_site(stage: Stage, gateway: Host, cell: Host) -> Site:
    certificates = stage.devices()
    for path in certificates:
        stage.wait_for_state(hashlib.sha256(path.read_bytes()).hexdigest(), "valid")
    keys = [load_key(path.with_suffix(".key")) for path in certificates]
    peers = [parse_peer(path.read_bytes()) for path in certificates]
    settings = write_settings(gateway, cell, peers[0].der, keys[0])
    far = Charon(cell.socket)
    of_cell = IpsecSettings.load(write_settings(cell, gateway, peers[1].der, keys[1], initiator=True))
    PeerTable(far, of_cell).reconcile([peers[0].der], time.time())
    far.close()
    signers = stage.root / "signers.pem"
    signers.write_bytes(stage.ask("/bundles/signers.pem").content)
    arguments = ("ipsec", "sync", str(settings), str(stage.root / "peers"), "--signers", str(signers))
    arguments += ("--gateway", stage.gateways[OPERATOR], "--stream", stage.streams[OPERATOR])
    arguments += ("--vici", str(gateway.socket), "--interval", "0.5", "--max-age", "5")
    stage.processes.daemon("ipsec sync", arguments, stage.root)
    site = Site(stage, gateway, cell, peers[0], peers[1], Charon(gateway.socket))
    wait_until("the cell is let in", site.is_let_in)
    return site


def test_a_published_cell_gets_a_tunnel_that_a_hold_ends_and_a_release_allows_again(site: Site) -> None:
    assert site.cell_connects()
    assert site.cell.reaches(site.gateway)
    site.act("hold")
    wait_until("the cell is cut off", lambda: not site.is_let_in())
    wait_until("its SAs are gone", lambda: not site.charon.associations())
    assert not site.cell.reaches(site.gateway)
    assert not site.cell_connects()
    site.act("release")
    wait_until("the cell is let in again", site.is_let_in)
    assert site.cell_connects()
    assert site.cell.reaches(site.gateway)


def test_when_nobody_vouches_for_the_cells_any_more_all_are_cut_off(site: Site) -> None:
    assert site.is_let_in()
    for daemon in site.stage.processes.daemons:
        if daemon.name.startswith("gateway"):
            daemon.stop()
    wait_until("the cell is cut off", lambda: not site.is_let_in())
    assert not site.charon.associations()
    assert not site.cell_connects()
