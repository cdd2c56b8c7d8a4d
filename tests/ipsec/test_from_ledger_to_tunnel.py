"""The whole way in real processes: published on the ledger, a tunnel; held there, or gateways away, none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pki_chain.demo.hosts import IS_POSSIBLE
from pki_chain.demo.processes import Processes, wait_until
from pki_chain.demo.site import Site, open_site
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, raise_stage
from pki_chain.demo.steps import make_devices, open_lot, submit_devices

pytestmark = [
    pytest.mark.ipsec,
    pytest.mark.e2e,
    pytest.mark.xdist_group("ipsec"),
    pytest.mark.skipif(not IS_POSSIBLE, reason="needs root, charon-systemd, ip and /dev/net/tun"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    processes = Processes(root, quiet=True)
    stage = Stage(root, processes, 2)
    try:
        raise_stage(stage)
        for step in (make_devices, open_lot, submit_devices):
            step(stage, lambda _: None)
        with open_site(stage, stage.devices()) as opened:
            yield opened
    finally:
        processes.stop()


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


def test_when_nobody_vouches_for_the_cells_any_more_all_are_cut_off_but_who_brings_a_proof(site: Site) -> None:
    assert site.is_let_in()
    with_proofs, stage = proofs_of(site), site.stage
    (follower,) = (daemon for daemon in stage.processes.daemons if daemon.name == "ipsec sync")
    follower.stop()
    manifest = stage.root / "peers" / "manifest.jws"
    read_before = manifest.stat().st_mtime_ns
    follower.arguments = (*follower.arguments, *with_proofs, "--proof-age", "3600")
    follower.start()
    trusted = stage.root / "peers" / "current" / "certificates"
    wait_until("it follows", lambda: manifest.stat().st_mtime_ns != read_before)
    for daemon in stage.processes.daemons:
        if daemon.name.startswith("gateway"):
            daemon.stop()
    wait_until("nobody vouches any more", lambda: not any(trusted.iterdir()))
    site.charon.cut(site.cell_peer.name)
    wait_until("the cell is let in again, by its proof", site.is_let_in)
    assert site.cell_connects()
    assert site.cell.reaches(site.gateway)
    (stage.root / "proofs" / "cell.proof").unlink()
    wait_until("the cell is cut off", lambda: not site.is_let_in())
    assert not site.charon.associations()
    assert not site.cell_connects()


def proofs_of(site: Site) -> tuple[str, ...]:
    """A folder with the cell's proof of now, and the trust file to it, as `tally ipsec sync` is given them."""
    stage, folder = site.stage, site.stage.root / "proofs"
    folder.mkdir()
    trust, certificate = str(stage.root / "TRUST.json"), folder / "cell.cer"
    certificate.write_bytes(site.cell_peer.der)
    stage.tally(OPERATOR, "trust", "export", "--trust", trust)
    for member in (OPERATOR, VENDOR):
        stage.tally(member, "trust", "checkpoint", "--trust", trust)
    fetch = ("--gateway", stage.gateways[OPERATOR], "--save", str(folder / "cell.proof"), "--unsafe-unsealed")
    stage.tally(OPERATOR, "verify", str(certificate), "--trust", trust, *fetch)
    return ("--proofs", str(folder), "--trust", trust, "--unsafe-unsealed")
