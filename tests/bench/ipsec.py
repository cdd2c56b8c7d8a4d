"""Security gateway: peers loaded and cut off at 1,000 and 10,000 cells, tunnels set up, and from cut to last packet."""

from __future__ import annotations

import hashlib
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pki_chain.chain.signer import Keystore
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.config import MemberConfig
from pki_chain.demo.hosts import IS_POSSIBLE, Host, cell_initiates, two_hosts, write_settings
from pki_chain.demo.processes import Processes, wait_until
from pki_chain.demo.site import Site, open_site
from pki_chain.demo.stage import VENDOR, Stage, raise_stage
from pki_chain.demo.steps import make_devices, open_lot, submit_devices
from pki_chain.ipsec.charon import Charon
from pki_chain.ipsec.peer import parse_peer
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.ipsec.sync import PeerTable
from pki_chain.ports import HoldKind
from pki_chain.proof.verifier import identify
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.station.orders import Orders
from tests.bench.figures import MISSING, Figure
from tests.ipsec.cells import issue_for

_SIZES = (1_000, 10_000)
_TUNNELS = 20
_HOLDS = 10
_PING_S = 0.002
_PACKET = re.compile(r"\[([0-9.]+)\] .* icmp_seq=")


@dataclass(frozen=True, slots=True)
class _Site:
    gateway: Host
    cell: Host
    table: PeerTable
    far: PeerTable
    gateway_der: bytes
    cell_der: bytes

    def cut(self) -> None:
        self.table.cut(hashlib.sha256(self.cell_der).digest())


def measure() -> Iterator[Figure]:
    """Figures, or one that says what is missing."""
    if not IS_POSSIBLE:
        yield Figure("ipsec", f"strongSwan in name spaces: {MISSING}", 0, "")
        return
    cells = [issue_for(f"cell{number}.cells.vendor.example")[0] for number in range(max(_SIZES))]
    for size in _SIZES:
        with tempfile.TemporaryDirectory() as directory, two_hosts(Path(directory) / "hosts") as (gateway, cell):
            yield from _at(_begin(gateway, cell), cells[: size - 1])
    yield from _from_ledger()


def _begin(gateway: Host, cell: Host) -> _Site:
    gateway_der, gateway_key = issue_for("segw.operator.example")
    cell_der, cell_key = issue_for("cell.cells.vendor.example")
    near = IpsecSettings.load(write_settings(gateway, cell, gateway_der, gateway_key))
    far = IpsecSettings.load(write_settings(cell, gateway, cell_der, cell_key, initiator=True))
    site = _Site(
        gateway,
        cell,
        PeerTable(Charon(gateway.socket), near),
        PeerTable(Charon(cell.socket), far),
        gateway_der,
        cell_der,
    )
    site.far.reconcile([gateway_der], time.time())
    return site


def _at(site: _Site, cells: list[bytes]) -> Iterator[Figure]:
    all_cells = [*cells, site.cell_der]
    at = f"{len(all_cells):,} cells"
    begun = time.perf_counter()
    site.table.reconcile(all_cells, time.time())
    yield Figure("ipsec", f"all loaded, {at}", time.perf_counter() - begun, "s")
    begun = time.perf_counter()
    site.table.reconcile(all_cells, time.time())
    yield Figure("ipsec", f"a pass without changes, {at}", (time.perf_counter() - begun) * 1_000, "ms")
    ups, cuts, lasts = [], [], []
    name = parse_peer(site.gateway_der).name
    begun = time.perf_counter()
    assert cell_initiates(site.cell, name, 30)
    yield Figure("ipsec", f"first tunnel after loading, {at}", time.perf_counter() - begun, "s")
    site.cut()
    site.table.reconcile(all_cells, time.time())
    for _ in range(_TUNNELS):
        begun = time.perf_counter()
        assert cell_initiates(site.cell, name)
        ups.append((time.perf_counter() - begun) * 1_000)
        cut_ms, last_ms = _under_load(site.cell, site.gateway, site.cut)
        cuts.append(cut_ms)
        lasts.append(last_ms)
        site.table.reconcile(all_cells, time.time())
    yield Figure("ipsec", f"tunnel set up, median, {at}", statistics.median(ups), "ms")
    yield Figure("ipsec", f"cut off, median, {at}", statistics.median(cuts), "ms")
    yield Figure("ipsec", f"from order to last packet, median, {at}", statistics.median(lasts), "ms")
    yield Figure("ipsec", f"from order to last packet, longest of {_TUNNELS}, {at}", max(lasts), "ms")
    yield Figure("ipsec", f"charon's memory, {at}", _memory_mb(site.gateway), "MB")


def _from_ledger() -> Iterator[Figure]:
    """From an order to hold, given to a gateway, to the last packet: ledger, feed and daemon included."""
    with tempfile.TemporaryDirectory() as directory:
        processes = Processes(Path(directory), quiet=True)
        stage = Stage(Path(directory), processes, 2)
        try:
            raise_stage(stage)
            for step in (make_devices, open_lot, submit_devices):
                step(stage, lambda _: None)
            with open_site(stage, stage.devices()) as site:
                lasts = [_hold_and_release(site) for _ in range(_HOLDS)]
        finally:
            processes.stop()
    what = "from the order to hold to the last packet"
    yield Figure("ipsec", f"{what}, median of {_HOLDS}", statistics.median(lasts), "ms")
    yield Figure("ipsec", f"{what}, longest of {_HOLDS}", max(lasts), "ms")


def _hold_and_release(site: Site) -> float:
    config = MemberConfig.load(site.stage.home(VENDOR) / "tally.toml")
    keystore = Keystore.open(config.keystore.directory, config.keystore.passphrase_file)
    texts = TypedTexts(config.load_consortium())
    client = GatewayClient([site.stage.gateways[VENDOR]])
    certificate = identify(site.cell_peer.der).certificate
    sha256 = hashlib.sha256(site.cell_peer.der).hexdigest()
    counter = int(client.get(f"/v1/certificates/{sha256}/status")["hold_counter"])
    assert site.cell_connects()
    duty = Orders(texts, keystore.load("duty"), client)
    _, last_ms = _under_load(
        site.cell, site.gateway, lambda: duty.hold(certificate, HoldKind.OWNER, 6, counter), settle_s=1.5
    )
    wait_until("the cell is cut off", lambda: not site.is_let_in())
    administrator = Orders(texts, keystore.load("administrator"), client)
    administrator.release(certificate, HoldKind.OWNER, 0, counter + 1)
    wait_until("the cell is let in", site.is_let_in)
    return last_ms


def _under_load(cell: Host, gateway: Host, act: Callable[[], object], *, settle_s: float = 0.2) -> tuple[float, float]:
    """How long an act took, and from its beginning to the last packet that came through, both in ms."""
    command = ["ping", "-D", "-i", str(_PING_S), "-I", cell.inner, "-w", "20", gateway.inner]
    with subprocess.Popen(["ip", "netns", "exec", cell.namespace, *command], stdout=subprocess.PIPE, text=True) as sent:
        assert sent.stdout is not None
        while not _PACKET.search(sent.stdout.readline()):
            pass
        begun = time.time()
        act()
        took_ms = (time.time() - begun) * 1_000
        time.sleep(settle_s)
        sent.terminate()
        stamps = [float(found[1]) for line in sent.stdout if (found := _PACKET.search(line))]
    return took_ms, max(0.0, (max(stamps, default=begun) - begun) * 1_000)


def _memory_mb(host: Host) -> float:
    for candidate in Path("/proc").iterdir():
        if candidate.name.isdigit():
            try:
                environment = (candidate / "environ").read_bytes()
                status = (candidate / "status").read_text()
            except OSError:
                continue
            if f"STRONGSWAN_CONF={host.directory}".encode() in environment and "VmRSS" in status:
                return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1_024  # type: ignore[index]
    return 0.0
