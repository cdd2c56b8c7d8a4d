"""Cells with CA-issued certificates at a real strongSwan that asks a gateway, strictly: by OCSP or the CA's list."""

from __future__ import annotations

import json
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from pki_chain.chain.signer import create_passphrase
from pki_chain.cli.ipsec import ipsec
from pki_chain.demo.hosts import IS_POSSIBLE, Host, cell_initiates, two_hosts, write_settings
from pki_chain.errors import ConfigurationError
from pki_chain.ipsec.authority import IssuingAuthorities
from pki_chain.ipsec.charon import ISSUED, Charon
from pki_chain.ipsec.issued import IssuedPeers
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.ipsec.sync import PeerTable
from pki_chain.monitor.gateway_reader import GatewayReader
from pki_chain.ports import DelegationKind
from pki_chain.x509.certificate import parse_certificate
from tests.certificates import key
from tests.gateway.conftest import Gateway, opened
from tests.index.recorded_ledger import RecordedLedger
from tests.ipsec.cells import issue_for
from tests.relying.conftest import served
from tests.relying.issuer import Issuer, publish_below, publish_root, store_pem

pytestmark = [
    pytest.mark.ipsec,
    pytest.mark.xdist_group("ipsec"),
    pytest.mark.skipif(not IS_POSSIBLE, reason="needs root, charon-systemd, ip and /dev/net/tun"),
]
SEGW, CELL = 1, 2
MAX_AGE_S = 20.0


@dataclass
class Site:
    """A cell, a security gateway, and a member's gateway that it reaches over a cable of its own."""

    gateway: Gateway
    root: Issuer
    segw: Host
    cell: Host
    charon: Charon
    settings: IpsecSettings
    name: str
    by_list: bool
    address: str
    peers: IssuedPeers
    service: ExitStack

    def look(self) -> int:
        """A block of just now, and a pass of `tally ipsec sync`."""
        self.tick()
        return self.peers.look(self.gateway.clock())

    def tick(self) -> None:
        ledger = self.gateway.ledger  # each event is a second later there, and a list of the future is none yet
        ledger.mine(time=max(int(time.time()) - 10, ledger.time))
        self.gateway.catch_up(age_s=0)

    def connects(self) -> bool:
        return cell_initiates(self.cell, ISSUED, 4)

    def reaches(self) -> bool:
        return self.cell.reaches(self.segw)


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    """Daemons of their own for each test: they keep certificates that they once saw."""
    with two_hosts(tmp_path_factory.mktemp("issued")) as made:
        yield made


@pytest.fixture
def cable(hosts: tuple[Host, Host]) -> Iterator[str]:
    """Our address on a cable to the security gateway."""
    segw, _ = hosts
    tag = segw.namespace.rpartition("-")[2]
    octet = int(tag[:2], 16)
    ours, theirs = f"198.18.{octet}.1", f"198.18.{octet}.2"
    ip("link", "add", f"h{tag}", "type", "veth", "peer", "name", f"s{tag}", "netns", segw.namespace)
    try:
        ip("addr", "add", f"{ours}/30", "dev", f"h{tag}")
        ip("link", "set", f"h{tag}", "up")
        ip("-n", segw.namespace, "addr", "add", f"{theirs}/30", "dev", f"s{tag}")
        ip("-n", segw.namespace, "link", "set", f"s{tag}", "up")
        yield ours
    finally:
        ip("link", "del", f"h{tag}")


@pytest.fixture(params=["ocsp", "ocsp, two CAs", "crl", "crl, in parts"])
def site(request: pytest.FixtureRequest, hosts: tuple[Host, Host], cable: str, tmp_path: Path) -> Iterator[Site]:
    segw, cell = hosts
    with opened(tmp_path, RecordedLedger(int(time.time()) - 60)) as gateway, ExitStack() as service:
        create_passphrase(gateway.config.keystore.passphrase_file)
        address = service.enter_context(served(gateway.client.application.wsgi_app, cable))
        root = publish_root(gateway)
        certificates = [root.authority.der]
        if request.param == "ocsp, two CAs":  # the upper one's delegate answers about the lower one
            root.delegate(DelegationKind.OCSP_SIGNING)
            root = publish_below(gateway, root)
            certificates.append(root.authority.der)
        names = ", ".join(f'"ca{number}.pem"' for number in range(len(certificates)))
        trusted = section = f"certificates = [{names}]\n"
        by_list, part = request.param.startswith("crl"), "/3" if request.param.endswith("parts") else ""
        if not by_list:
            root.delegate(DelegationKind.OCSP_SIGNING)
            section += f'ocsp_uris = ["{address}/ocsp"]\n'
        else:
            root.device(SEGW)  # without an address: the cell could not reach it
            root = root.at(f"{address}/crl/{root.name}{part}.crl")
            store_pem(segw.directory / "signer.pem", root.delegate(DelegationKind.CRL_SIGNING))
            section += 'list_signers = ["signer.pem"]\n'
        gateway.ledger.accept([root.device(SEGW), root.device(CELL)])
        for host in hosts:
            for number, der in enumerate(certificates):
                store_pem(host.directory / f"ca{number}.pem", der)
        settings = IpsecSettings.load(write_settings(segw, cell, root.device(SEGW), key(SEGW), authority=section))
        name = parse_certificate(root.device(SEGW)).names[0].text
        section = f'{trusted}id = "{name}"\nrevocation = "ifuri"\n'
        of_cell = IpsecSettings.load(
            write_settings(cell, segw, root.device(CELL), key(CELL), initiator=True, authority=section)
        )
        far, charon = Charon(cell.socket), Charon(segw.socket)
        assert settings.authority is not None
        assert of_cell.authority is not None
        far.flush()
        far.open_to_issued(of_cell, of_cell.authority)
        peers = IssuedPeers(charon, settings, settings.authority, GatewayReader([address]), MAX_AGE_S)
        try:
            yield Site(gateway, root, segw, cell, charon, settings, name, by_list, address, peers, service)
        finally:
            for each in (far, charon):
                each.close_to_issued()
                each.close()


def test_good_gets_in_held_is_cut_off_and_released_gets_in_again(site: Site) -> None:
    assert not site.connects()
    site.look()
    assert site.connects()
    assert site.reaches()
    site.gateway.ledger.hold(site.root.device(CELL))
    assert site.look() == 1
    assert not site.reaches()
    assert not site.connects()
    site.gateway.ledger.release(site.root.device(CELL))
    assert site.look() == 0
    assert site.connects()
    assert site.reaches()


def test_revoked_is_cut_off_and_refused(site: Site) -> None:
    site.look()
    assert site.connects()
    site.gateway.ledger.revoke(site.root.device(CELL))
    assert site.look() == 1
    assert not site.reaches()
    assert not site.connects()


def test_what_the_daemon_keeps_is_forgotten_on_an_event(site: Site) -> None:
    """Without that a good OCSP answer would hold until its end; a list of a delegated signer it fetches each time."""
    site.look()
    assert site.connects()
    site.gateway.ledger.hold(site.root.device(CELL))
    site.tick()
    site.charon.cut_issued()
    assert site.connects() is not site.by_list  # nobody told the daemon
    assert site.peers.look(site.gateway.clock()) == (0 if site.by_list else 1)
    assert not site.connects()


def test_a_server_that_is_down_lets_nobody_in_and_silence_ends_all(site: Site) -> None:
    site.look()
    assert site.connects()
    now = site.gateway.clock()
    site.service.close()
    assert site.peers.look(now + MAX_AGE_S) == 0
    assert site.reaches()
    site.charon.flush()
    site.charon.cut_issued()
    assert not site.connects()
    assert site.charon.is_open_to_issued()
    assert site.peers.look(now + MAX_AGE_S + 1) == 0
    assert not site.charon.is_open_to_issued()


def test_a_pinned_peer_that_was_cut_off_does_not_come_in_by_the_cas(site: Site) -> None:
    """The daemon keeps a certificate that it was once given, but takes for this connection only what the CAs issued."""
    site.look()
    der, own = issue_for("cell9.cells.vendor.example")
    table = PeerTable(site.charon, site.settings)
    assert table.reconcile([der], time.time()).admitted == 1
    assert table.reconcile([], time.time()).cut == 1
    section = f'certificates = ["ca0.pem"]\nid = "{site.name}"\nrevocation = "ifuri"\n'
    path = write_settings(site.cell, site.segw, der, own, initiator=True, authority=section)
    settings = IpsecSettings.load(path)
    far = Charon(site.cell.socket)
    assert settings.authority is not None
    far.open_to_issued(settings, settings.authority)
    assert not site.connects()
    far.close()


def test_the_command_opens_and_closes_by_the_section(site: Site, tmp_path: Path) -> None:
    signers = tmp_path / "signers.pem"
    site.gateway.services.status_keys.create("Example Mobile", site.gateway.ledger.time - 60)
    signers.write_bytes(site.gateway.client.get("/bundles/signers.pem").data)
    site.tick()
    settings = str(site.segw.directory / "ipsec.toml")
    command = ["sync", settings, str(tmp_path / "peers"), "--signers", str(signers), "--once", "--json"]
    command += ["--profile", "1"]  # none of these is pinned as well
    command += ["--gateway", site.address, "--vici", str(site.segw.socket)]
    done = CliRunner().invoke(ipsec, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cut"] == 0
    assert site.connects()
    site.service.close()
    done = CliRunner().invoke(ipsec, command)  # begun anew, with nobody to ask
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cut"] == 1
    assert not site.charon.is_open_to_issued()


def test_settings_that_are_wrong_say_so(tmp_path: Path) -> None:
    from_root = 'certificates = ["ca.pem"]\n'
    (tmp_path / "ca.pem").write_text("no certificate")
    for section, said in (
        ("", "names no CA"),
        ('certificates = "ca.pem"\n', "lists of texts"),
        (from_root + 'revocation = "no"\n', "one of strict"),
        (from_root + "other = 1\n", "has no other"),
        (from_root, "strict DER"),
        ('certificates = ["none.pem"]\n', "none.pem"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            IssuingAuthorities.read(tmp_path / "ipsec.toml", tomllib.loads(section))
