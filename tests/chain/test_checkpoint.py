"""Checkpoints shorten a start and change nothing; the audit that makes them notices tampering that makes no block."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from pki_chain.chain.connection import Connection
from pki_chain.chain.engine import audit
from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.errors import EngineStoppedError
from tests.chain.wallet import Wallet, await_receipt, wait_for

pytestmark = pytest.mark.chain


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "EVERY_BLOCKS", 3)


@pytest.fixture
def checkpointed(tmp_path: Path) -> tuple[Path, dict[str, Any], str]:
    """A directory with a checkpoint and more after it, a receipt of before, and a transaction that waits."""
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine:
        connection = Connection([engine.endpoint])
        other = Wallet(engine.chain_id)
        waiting, waiting_digest = other.next(nonce=1)
        connection.request("eth_sendRawTransaction", [waiting])
        wallet = Wallet(engine.chain_id)
        receipt = make_blocks(connection, wallet, until=(tmp_path / "checkpoint.json").exists)
        make_blocks(connection, wallet, until=lambda: True)
        first, _ = other.next(nonce=0)
    return tmp_path, receipt, json.dumps([first, waiting_digest])


def make_blocks(connection: Connection, wallet: Wallet, until: Callable[[], bool]) -> dict[str, Any]:
    """Make blocks with a transaction each until a condition holds; the first receipt."""
    receipts = []
    while not receipts or not until():
        raw, digest = wallet.next(b"\x01" * 50)
        connection.request("eth_sendRawTransaction", [raw])
        receipts.append(await_receipt(connection, digest))
        assert len(receipts) < 200
    return receipts[0]


def starts_from(caplog: pytest.LogCaptureFixture) -> str:
    return "genesis" if "replaying everything" in caplog.text or "checkpoint" in caplog.text else "checkpoint"


def check(directory: Path, receipt: dict[str, Any], waiting: str) -> None:
    with EmbeddedEngine(directory, port=0, heartbeat_s=3600) as engine:
        connection = Connection([engine.endpoint])
        assert connection.request("eth_getTransactionReceipt", [receipt["transactionHash"]]) == receipt
        first, digest = json.loads(waiting)
        assert connection.request("eth_getTransactionReceipt", [digest]) is None
        connection.request("eth_sendRawTransaction", [first])
        assert await_receipt(connection, digest)["status"] == "0x1", "what waited from before the checkpoint"


def test_a_start_from_a_checkpoint(
    checkpointed: tuple[Path, dict[str, Any], str], caplog: pytest.LogCaptureFixture
) -> None:
    directory = checkpointed[0]
    description = json.loads((directory / "checkpoint.json").read_text())
    assert [each.name for each in directory.glob("state-*")] == [f"state-{description['number']}.json"]
    with caplog.at_level(logging.WARNING):
        check(*checkpointed)
    assert starts_from(caplog) == "checkpoint"


READER = bytes.fromhex("665f3554505f5ffd5f5260076019f3")
"""Creates a contract that reads the slot that a call names, and reverts (CALLDATALOAD, SLOAD, POP, REVERT)."""


def test_what_is_read_and_never_written_comes_out_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By an audit that goes on from a checkpoint, in an engine that does, and from the genesis again."""
    description = tmp_path / "checkpoint.json"

    def number() -> int:
        return int(json.loads(description.read_text())["number"]) if description.exists() else 0

    def read(engine: EmbeddedEngine, until: Callable[[], bool]) -> None:
        while True:
            raw, digest = wallet.next(secrets.token_bytes(32), to=contract)
            connection = Connection([engine.endpoint])
            connection.request("eth_sendRawTransaction", [raw])
            assert await_receipt(connection, digest)["status"] == "0x0"
            if until():
                return

    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine:
        connection = Connection([engine.endpoint])
        wallet = Wallet(engine.chain_id)
        raw, digest = wallet.create(READER)
        connection.request("eth_sendRawTransaction", [raw])
        contract = await_receipt(connection, digest)["contractAddress"]
        assert connection.request("eth_getCode", [contract, "latest"]) == "0x5f3554505f5ffd"
        read(engine, until=number)
        first = number()
        read(engine, until=lambda: number() > first)
        read(engine, until=lambda: True)
        assert engine.failure is None
    with caplog.at_level(logging.WARNING), EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine:
        read(engine, until=lambda: True)
    assert starts_from(caplog) == "checkpoint"
    description.unlink()
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine:
        read(engine, until=lambda: True)
        assert engine.failure is None


@pytest.mark.parametrize("spoiled", ["state", "description", "missing", "block", "place", "balance"])
def test_a_checkpoint_of_no_use_is_left_aside(
    checkpointed: tuple[Path, dict[str, Any], str], spoiled: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = checkpointed[0]
    path = directory / "checkpoint.json"
    description = json.loads(path.read_text())
    state = directory / f"state-{description['number']}.json"
    match spoiled:
        case "state":
            state.write_bytes(state.read_bytes()[:-1])
        case "description":
            path.write_text("{")
        case "missing":
            state.unlink()
        case "block":
            path.write_text(json.dumps(description | {"hash": "00" * 32}))
        case "place":
            path.write_text(json.dumps(description | {"head_at": description["head_at"] + 1}))
        case "balance":
            content = json.loads(state.read_text())
            address = next(iter(content["accounts"]))
            content["accounts"][address]["balance"] = "0x1"
            state.write_text(json.dumps(content))
            path.write_text(json.dumps(description | {"sha256": sha256(state)}))
    with caplog.at_level(logging.WARNING):
        check(*checkpointed)
    if spoiled != "missing":
        assert starts_from(caplog) == "genesis"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint_of_another_journal_is_left_aside(
    checkpointed: tuple[Path, dict[str, Any], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for each in [*checkpointed[0].glob("state-*"), checkpointed[0] / "checkpoint.json"]:
        (other / each.name).write_bytes(each.read_bytes())
    with caplog.at_level(logging.WARNING), EmbeddedEngine(other, port=0) as engine:
        assert int(Connection([engine.endpoint]).request("eth_blockNumber", []), 16) <= 1
    assert starts_from(caplog) == "genesis"


def test_tampering_without_a_block_stops_the_engine(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine:
        connection = Connection([engine.endpoint])
        wallet = Wallet(engine.chain_id)
        child = engine._child
        assert child is not None
        with requests.Session() as session:
            body = {"jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": ["0x" + "77" * 20, "0x1"]}
            session.post(f"http://127.0.0.1:{child.port}", json=body, timeout=10)
        for _ in range(4):
            raw, digest = wallet.next()
            connection.request("eth_sendRawTransaction", [raw])
            if engine.failure is None:
                await_receipt(connection, digest)
        wait_for(lambda: engine.failure is not None)
        assert isinstance(engine.failure, EngineStoppedError)
        assert "somebody else wrote" in str(engine.failure)
        assert not (tmp_path / "checkpoint.json").exists(), "nothing of the forged state is kept"
