"""A submission that the ledger cannot take at once is sent again in halves, by real processes, and nothing is lost."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.chain.signer import Keystore
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.config import MemberConfig
from pki_chain.demo.stage import ORGANISATION, REALM, VENDOR, Stage, wait_for_gateways
from pki_chain.station import batch
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.station.outbox import EntryState
from pki_chain.station.submit import Station
from tests.certificates import DAY_S, Draft, alternative_names, dns, integer, key_usage, name, subject_key, validity

pytestmark = [pytest.mark.e2e, pytest.mark.chain, pytest.mark.xdist_group("commands")]

COUNT = 56


def many_labels(now: int) -> bytes:
    """About 2,030 octets with eight names of ninety labels each: what costs most to read."""
    names = [f"{secrets.token_hex(6)}.{'a.' * 87}{REALM}" for _ in range(8)]
    return Draft(
        key=ec.generate_private_key(ec.SECP256R1()),
        serial_number=integer(secrets.randbits(120) | 1 << 120),
        subject=name(ORGANISATION),
        validity=validity(now - 60, now + 300 * DAY_S),
        extensions=(subject_key(), key_usage(), alternative_names(*(dns(each) for each in names))),
    ).encode()


@pytest.fixture
def stingy_gateway(shared_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The vendor's gateway, all its processes, allowed 8.5 million gas a transaction."""
    (tmp_path / "sitecustomize.py").write_text("from pki_chain.chain import calls\ncalls.TRANSACTION_GAS = 8_500_000\n")
    (gateway,) = (each for each in shared_stage.processes.daemons if each.name == f"gateway {VENDOR}")
    gateway.stop()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    gateway.start()
    monkeypatch.delenv("PYTHONPATH")
    wait_for_gateways(shared_stage)
    yield shared_stage.gateways[VENDOR]
    gateway.stop()
    gateway.start()
    wait_for_gateways(shared_stage)


def test_what_runs_out_of_gas_ends_valid_all_the_same(
    shared_stage: Stage, stingy_gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station's estimate is made blind, as if the contracts had become dearer since it was calibrated."""
    monkeypatch.setattr(batch, "estimated_gas", lambda _: 0)
    arguments = ("lot", "open", "--profile", "small-cell", "--maximum", "100", "--range", f"dns:{REALM}")
    lot = int(shared_stage.tally(VENDOR, *arguments).content["lot"])
    home = shared_stage.home(VENDOR)
    config = MemberConfig.load(home / "tally.toml", {})
    signer = Keystore.open(config.keystore.directory, config.keystore.passphrase_file).load("station")
    now = shared_stage.line().now
    with Station(
        shared_stage.root / "blind-station",
        signer,
        texts=TypedTexts(config.load_consortium()),
        gateways=GatewayClient((stingy_gateway,)),
    ) as line:
        line.take_in(lot, 2, [(f"{number}", many_labels(now)) for number in range(COUNT)], None)
        sizes = [len(each) for each in batch.split(line.outbox.waiting(lot, 2))]
        assert sizes[0] > 30, "the estimate still cuts"
        assert line.run(threading.Event(), timeout_s=120)
        assert line.outbox.counts() == {EntryState.VALID: COUNT}, line.outbox.entries()[0].explanation
        (highest,) = line.outbox._connection.execute("SELECT max(id) FROM batches").fetchone()
        assert highest > len(sizes), "no batch was halved"
