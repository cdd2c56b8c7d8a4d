"""A small cell and a security gateway with real strongSwan: who is published gets in, who is held is cut off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pki_chain.demo.hosts import IS_POSSIBLE, Host, cell_initiates, two_hosts, write_settings
from pki_chain.ipsec.charon import Charon, CharonError
from pki_chain.ipsec.peer import parse_peer
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.ipsec.sync import PeerTable
from tests.ipsec.cells import issue_for

pytestmark = [
    pytest.mark.ipsec,
    pytest.mark.xdist_group("ipsec"),
    pytest.mark.skipif(not IS_POSSIBLE, reason="needs root, charon-systemd, ip and /dev/net/tun"),
]


@dataclass(frozen=True, slots=True)
class Pair:
    """Gateway and cell; the cell knows the gateway already."""

    gateway: Host
    cell: Host
    table: PeerTable
    charon: Charon
    gateway_der: bytes
    cell_der: bytes

    @property
    def cell_name(self) -> str:
        return parse_peer(self.cell_der).name

    @property
    def gateway_name(self) -> str:
        return parse_peer(self.gateway_der).name

    def connects(self) -> bool:
        return cell_initiates(self.cell, self.gateway_name)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    with two_hosts(tmp_path_factory.mktemp("ipsec")) as made:
        yield made


@pytest.fixture
def pair(hosts: tuple[Host, Host]) -> Iterator[Pair]:
    gateway, cell = hosts
    gateway_der, gateway_key = issue_for("segw.operator.example")
    cell_der, cell_key = issue_for("cell1.cells.vendor.example")
    settings = IpsecSettings.load(write_settings(gateway, cell, gateway_der, gateway_key))
    charon = Charon(gateway.socket)
    table = PeerTable(charon, settings)
    far = Charon(cell.socket)
    of_cell = IpsecSettings.load(write_settings(cell, gateway, cell_der, cell_key, initiator=True))
    PeerTable(far, of_cell).reconcile([gateway_der], time.time())
    yield Pair(gateway, cell, table, charon, gateway_der, cell_der)
    table.reconcile([], time.time())
    PeerTable(far, of_cell).reconcile([], time.time())
    charon.close()
    far.close()


def test_published_cells_get_a_tunnel_held_ones_lose_it_and_released_ones_get_it_back(pair: Pair) -> None:
    assert not pair.connects()
    outcome = pair.table.reconcile([pair.cell_der, pair.gateway_der], time.time())
    assert (outcome.peers, outcome.admitted, outcome.cut) == (1, 1, 0)
    assert pair.connects()
    assert pair.cell.reaches(pair.gateway)
    assert pair.charon.associations() == {pair.cell_name}

    outcome = pair.table.reconcile([pair.gateway_der], time.time())
    assert (outcome.peers, outcome.admitted, outcome.cut) == (0, 0, 1)
    assert pair.charon.associations() == set()
    assert not pair.cell.reaches(pair.gateway)
    assert not pair.connects()

    assert pair.table.reconcile([pair.cell_der], time.time()).admitted == 1
    assert pair.connects()
    assert pair.cell.reaches(pair.gateway)


def test_an_expired_certificate_is_taken_away_by_us_since_charon_takes_it(pair: Pair) -> None:
    end = parse_peer(pair.cell_der).not_after
    assert pair.table.reconcile([pair.cell_der], end).peers == 1
    assert pair.connects()
    assert pair.table.reconcile([pair.cell_der], end + 1).cut == 1
    assert not pair.connects()


def test_another_key_of_the_same_name_does_not_get_in(pair: Pair) -> None:
    other, _ = issue_for("cell1.cells.vendor.example")
    assert pair.table.reconcile([other], time.time()).admitted == 1
    assert not pair.connects()


def test_two_certificates_of_one_name_serve_a_roll_over(pair: Pair) -> None:
    newer, _ = issue_for("cell1.cells.vendor.example")
    assert pair.table.reconcile([newer, pair.cell_der], time.time()).admitted == 2
    assert pair.connects()
    assert pair.table.reconcile([newer], time.time()).cut == 1
    assert not pair.connects()


def test_who_must_not_be_let_in_again_is_cut_off_all_the_same(pair: Pair) -> None:
    assert pair.table.reconcile([pair.cell_der], time.time(), admit=False).admitted == 0
    assert not pair.connects()


def test_a_table_that_begins_anew_finds_what_an_earlier_one_left(pair: Pair) -> None:
    pair.table.reconcile([pair.cell_der], time.time())
    assert pair.connects()
    settings = IpsecSettings.load(pair.gateway.directory / "ipsec.toml")
    anew = Charon(pair.gateway.socket)
    assert PeerTable(anew, settings).reconcile([], time.time()).cut == 1
    anew.close()
    assert not pair.connects()


def test_what_can_be_no_peer_is_left_out(pair: Pair) -> None:
    assert pair.table.reconcile([b"\x30\x00", pair.cell_der], time.time()).peers == 1


def test_no_daemon_is_an_error_that_names_the_socket(tmp_path: Path) -> None:
    with pytest.raises(CharonError, match="vici"):
        Charon(tmp_path / "vici").connections()
