"""The embedded engine: what it acknowledged is in the same block with the same hash after any end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from pki_chain.chain.connection import Connection
from pki_chain.chain.engine.child import Child, find_anvil
from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.engine.journal import BlockRecord, Genesis, Journal, TransactionRecord
from pki_chain.chain.errors import EngineStoppedError, JournalCorruptError, RpcError
from pki_chain.errors import ConfigurationError, LedgerUnavailableError, StorageError
from tests.chain.wallet import Wallet, await_receipt, wait_for

pytestmark = pytest.mark.chain

SERVER = """
import sys
from pathlib import Path
from pki_chain.chain.engine.embedded import EmbeddedEngine
engine = EmbeddedEngine(Path(sys.argv[1]), port=0)
engine.start()
print(engine.endpoint, engine.child_pid, flush=True)
sys.stdin.read()
engine.stop()
"""


class Server:
    """An engine in a process of its own, so that it can be killed."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.endpoint, child = self.process.stdout.readline().split()
        self.child_pid = int(child)

    def kill(self) -> None:
        self.process.kill()
        self._end()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._end()
        assert self.process.returncode == 0

    def _end(self) -> None:
        self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_transaction_gets_into_a_block(connection: Connection) -> None:
    raw, digest = Wallet(connection.chain_id()).next()
    assert connection.request("eth_sendRawTransaction", [raw]) == digest
    receipt = await_receipt(connection, digest)
    assert receipt["status"] == "0x1"
    with pytest.raises(RpcError, match="nonce too low"):
        connection.request("eth_sendRawTransaction", [raw])


def test_a_batch_gets_in_whole_and_in_order(connection: Connection) -> None:
    wallet = Wallet(connection.chain_id())
    sent = [wallet.next(b"\xaa" * 20_000, gas=1_000_000) for _ in range(60)]
    answers = connection.results([("eth_sendRawTransaction", [raw]) for raw, _ in sent])
    assert answers == [digest for _, digest in sent]
    receipts = [await_receipt(connection, digest) for _, digest in sent]
    places = [(int(each["blockNumber"], 16), int(each["transactionIndex"], 16)) for each in receipts]
    assert places == sorted(places)
    assert len({number for number, _ in places}) < 10, "many go into one block"


def test_the_same_again_while_it_waits_is_known(connection: Connection) -> None:
    wallet = Wallet(connection.chain_id())
    wallet.next()
    raw, digest = wallet.next()  # nonce 1 waits for nonce 0, which is never sent
    assert connection.request("eth_sendRawTransaction", [raw]) == digest
    with pytest.raises(RpcError, match="already imported"):
        connection.request("eth_sendRawTransaction", [raw])


OTHER_METHODS = [
    *("evm_mine", "evm_setNextBlockTimestamp", "anvil_setBalance", "anvil_dumpState", "hardhat_setCode", "eth_sign"),
    *("eth_sendTransaction", "debug_traceCall", "eth_accounts", "eth_newFilter", "txpool_content", "none"),
]


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_methods_that_are_not_on_the_list_do_not_exist(connection: Connection, method: str) -> None:
    with pytest.raises(RpcError, match="no such method") as refused:
        connection.request(method, [])
    assert refused.value.rpc_code == -32601
    answers = connection.batch([("eth_chainId", []), (method, []), ("eth_blockNumber", [])])
    assert [isinstance(each, RpcError) for each in answers] == [False, True, False]


def test_transactions_that_could_not_get_into_a_block_are_refused(connection: Connection) -> None:
    chain_id = connection.chain_id()

    def refusal(raw: str) -> str:
        with pytest.raises(RpcError) as refused:
            connection.request("eth_sendRawTransaction", [raw])
        return str(refused.value)

    assert "signed for chain 7" in refusal(Wallet(7).next()[0])
    assert "16777216 (EIP-7825)" in refusal(Wallet(chain_id).next(gas=(1 << 24) + 1)[0])
    assert "at most 131072" in refusal(Wallet(chain_id).next(b"\x01" * 131072, gas=1 << 24)[0])
    assert "take, 21000, and" in refusal(Wallet(chain_id).next(gas=20_999)[0])
    assert "take, 61000, and" in refusal(Wallet(chain_id).next(b"\x01" * 1000, gas=60_999)[0])
    assert "hexadecimal" in refusal("0xzz")
    assert "RLP" in refusal("0xf8ff")
    assert "RLP" in refusal(Wallet(chain_id).next()[0] + "00")
    assert "type not taken" in refusal("0x03" + "c0")
    assert "fields" in refusal("0xc0")
    assert "type not taken" in refusal("0x00")


def post(engine: EmbeddedEngine, body: bytes | str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(engine.endpoint, data=body, headers={"Content-Type": "application/json"} | headers)


def test_the_front_is_for_programs_only(engine: EmbeddedEngine) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
    assert post(engine, body).status_code == 200
    assert post(engine, body, **{"Content-Type": "text/plain"}).status_code == 403
    assert post(engine, body, Origin="http://evil.example").status_code == 403
    assert post(engine, body, Host="rebound.example").status_code == 403
    assert post(engine, body, Host="localhost:8545").status_code == 200
    assert post(engine, b" " * ((16 << 20) + 1)).status_code == 413
    with requests.Session() as session:
        assert session.get(engine.endpoint).status_code == 501


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", -32700),
        ("[" * 100_000, -32700),
        ("[]", -32600),
        ("3", -32600),
        ('{"jsonrpc":"2.0","method":"eth_chainId","params":[]}', -32600),
        ('{"jsonrpc":"1.0","id":1,"method":"eth_chainId","params":[]}', -32600),
        ('{"jsonrpc":"2.0","id":[1],"method":"eth_chainId","params":[]}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":["eth_chainId"],"params":[]}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":[]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction"}', -32602),
        ("[" + ",".join(['{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'] * 1001) + "]", -32600),
    ],
)
def test_what_is_not_json_rpc_is_answered_so(engine: EmbeddedEngine, body: str, code: int) -> None:
    answer = post(engine, body).json()
    assert answer["error"]["code"] == code


def test_idle_heartbeat_keeps_the_head_fresh(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=1) as engine:
        connection = Connection([engine.endpoint])
        wait_for(lambda: int(connection.request("eth_blockNumber", []), 16) >= 3)


def test_a_clock_that_goes_back_stops_no_heartbeat(tmp_path: Path) -> None:
    """Also while a transaction waits for one with a lower nonce."""
    offset_s = [0.0]
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=1, clock=lambda: time.time() + offset_s[0]) as engine:
        connection = Connection([engine.endpoint])
        before = engine._head
        offset_s[0] = -3_600.0
        wait_for(lambda: engine._head.number >= before.number + 2)
        connection.request("eth_sendRawTransaction", [Wallet(engine.chain_id).next(nonce=5)[0]])
        waiting = engine._head
        wait_for(lambda: engine._head.number >= waiting.number + 2)
        assert engine._head.time >= before.time
        assert engine.failure is None


def test_time_never_goes_back_and_holds_over_a_restart(tmp_path: Path) -> None:
    now = [2_000_000_000.0]
    with EmbeddedEngine(tmp_path, port=0, clock=lambda: now[0]) as engine:
        connection = Connection([engine.endpoint])
        wallet = Wallet(engine.chain_id)
        times = []
        for step in (0, -1000, 5):
            now[0] += step
            raw, digest = wallet.next()
            connection.request("eth_sendRawTransaction", [raw])
            number = await_receipt(connection, digest)["blockNumber"]
            times.append(int(connection.request("eth_getBlockByNumber", [number, False])["timestamp"], 16))
        assert times == [2_000_000_000] * 3
        before = connection.request("eth_getBlockByNumber", [number, True])
    with EmbeddedEngine(tmp_path, port=0, clock=lambda: 2_000_000_001.0) as engine:
        connection = Connection([engine.endpoint])
        assert connection.request("eth_getBlockByNumber", [number, True]) == before


def test_kill_at_random_moments_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Kill engine and child, three times, in the middle of a stream; then compare with what was seen (R-OPS-1)."""
    chance = random.Random(1)  # noqa: S311  # when to kill, not a secret
    seen: dict[str, dict[str, Any]] = {}
    acknowledged: list[str] = []
    wallet: Wallet | None = None
    for run in range(4):
        server = Server(tmp_path)
        connection = Connection([server.endpoint], timeout_s=20)
        if wallet is None:
            wallet = Wallet(connection.chain_id())
        for digest, receipt in seen.items():
            assert connection.request("eth_getTransactionReceipt", [digest]) == receipt, "same block, same hash"
        for digest in acknowledged:
            await_receipt(connection, digest)
        if run == 3:
            server.stop()
            break
        wallet.nonce = int(connection.request("eth_getTransactionCount", [wallet.signer.address, "pending"]), 16)
        killer = threading.Timer(chance.uniform(0.3, 1.5), server.kill)
        killer.start()
        try:
            while True:
                raw, digest = wallet.next(b"\xbb" * chance.randrange(3000), gas=200_000)
                connection.request("eth_sendRawTransaction", [raw])
                acknowledged.append(digest)
                earlier = chance.choice(acknowledged)
                receipt = connection.request("eth_getTransactionReceipt", [earlier])
                if receipt is not None:
                    seen[earlier] = receipt
        except LedgerUnavailableError:
            killer.join()
        wait_for(lambda pid=server.child_pid: not is_running(pid))
    assert len(acknowledged) > 50
    assert len(seen) > 20


def test_child_killed_is_started_again(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path, port=0) as engine:
        connection = Connection([engine.endpoint], timeout_s=30)
        wallet = Wallet(engine.chain_id)
        raw, digest = wallet.next()
        connection.request("eth_sendRawTransaction", [raw])
        before = await_receipt(connection, digest)
        first = engine.child_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: engine.child_pid not in {None, first})
        after = wait_for(lambda: _quietly(connection, "eth_getTransactionReceipt", digest))
        assert after == before
        raw, digest = wallet.next()
        connection.request("eth_sendRawTransaction", [raw])
        assert await_receipt(connection, digest)["status"] == "0x1"
        assert engine.failure is None


def _quietly(connection: Connection, method: str, *params: str) -> Any:
    try:
        return connection.request(method, list(params))
    except LedgerUnavailableError:
        return None


def _child_request(engine: EmbeddedEngine, method: str, *params: Any) -> None:
    child = engine._child  # what another local process could do
    assert child is not None
    with requests.Session() as session:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        session.post(f"http://127.0.0.1:{child.port}", json=body, timeout=10)


def test_a_child_that_stands_still_stops_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it for ever, what it answers afterwards is not believed, and the next start goes on."""
    monkeypatch.setattr("pki_chain.chain.engine.child._REQUEST_TIMEOUT_S", 1.0)
    with EmbeddedEngine(tmp_path, port=0) as engine:
        connection = Connection([engine.endpoint], timeout_s=5)
        raw, digest = Wallet(engine.chain_id).next()
        connection.request("eth_sendRawTransaction", [raw])
        receipt = await_receipt(connection, digest)
        assert engine.child_pid is not None
        os.kill(engine.child_pid, signal.SIGSTOP)
        wait_for(lambda: engine.failure is not None)
        with pytest.raises(LedgerUnavailableError):
            connection.request("eth_blockNumber", [])
        wait_for(lambda: engine.child_pid is None)
    with EmbeddedEngine(tmp_path, port=0) as engine:
        found = Connection([engine.endpoint]).request("eth_getTransactionReceipt", [digest])
        assert found["blockHash"] == receipt["blockHash"]


def test_a_forged_block_stops_the_engine(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path, port=0) as engine:
        connection = Connection([engine.endpoint])
        connection.request("eth_blockNumber", [])
        child = engine.child_pid
        assert child is not None
        _child_request(engine, "evm_mine")
        wait_for(lambda: engine.failure is not None)
        assert isinstance(engine.failure, EngineStoppedError)
        assert "Somebody else wrote" in str(engine.failure)
        with pytest.raises(LedgerUnavailableError):
            connection.request("eth_blockNumber", [])
        wait_for(lambda: not is_running(child))
    with EmbeddedEngine(tmp_path, port=0) as engine:
        number = int(Connection([engine.endpoint]).request("eth_blockNumber", []), 16)
        assert number <= 1, "the forged block is gone"


def test_a_forged_transaction_stops_the_engine(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=2) as engine:
        raw, digest = Wallet(engine.chain_id).next()
        _child_request(engine, "eth_sendRawTransaction", raw)
        wait_for(lambda: engine.failure is not None)
        assert "not the one that the engine asked for" in str(engine.failure)
    with EmbeddedEngine(tmp_path, port=0) as engine:
        assert Connection([engine.endpoint]).request("eth_getTransactionReceipt", [digest]) is None


def test_a_journal_that_replays_to_other_hashes_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Genesis(77, 1_700_000_000, 120_000_000))
    journal.append([BlockRecord(1, 1_700_000_015, b"\x05" * 32, ())])
    journal.close()
    with pytest.raises(JournalCorruptError, match="Replaying the journal gives block 1"):
        EmbeddedEngine(tmp_path, port=0).start()


def test_a_journal_with_a_block_out_of_turn_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Genesis(77, 1_700_000_000, 120_000_000))
    journal.append([TransactionRecord(b"x"), BlockRecord(2, 1_700_000_015, b"\x05" * 32, ())])
    journal.close()
    with pytest.raises(JournalCorruptError, match="does not follow"):
        EmbeddedEngine(tmp_path, port=0).start()


def test_settings_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedEngine(tmp_path, port=0, chain_id=4242) as engine:
        assert engine.chain_id == 4242
        with pytest.raises(ConfigurationError, match="Another process has the journal"):
            EmbeddedEngine(tmp_path, port=0).start()
        port = int(engine.endpoint.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match="Cannot listen"):
            EmbeddedEngine(tmp_path / "other", port=port).start()
    with pytest.raises(ConfigurationError, match=r"chain\.chain_id"):
        EmbeddedEngine(tmp_path, port=0, chain_id=4243).start()
    with EmbeddedEngine(tmp_path, port=0) as engine:
        assert engine.chain_id == 4242, "kept in the journal"
    monkeypatch.setenv("TALLY_ANVIL", "/nowhere/anvil")
    with pytest.raises(ConfigurationError, match="TALLY_ANVIL"):
        EmbeddedEngine(tmp_path, port=0).start()


def test_a_chain_id_is_chosen_at_random(tmp_path: Path) -> None:
    ids = set()
    for name in ("a", "b"):
        with EmbeddedEngine(tmp_path / name, port=0) as engine:
            ids.add(engine.chain_id)
    assert len(ids) == 2
    assert min(ids) > 31337


def test_the_child_that_will_not_run_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_ANVIL", "/bin/false")
    with pytest.raises(EngineStoppedError, match="status 1"):
        Child(Genesis(77, 1_700_000_000, 120_000_000))


def test_disk_full_takes_nothing_in_and_goes_on_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine:
        connection = Connection([engine.endpoint])
        wallet = Wallet(engine.chain_id)
        raw, digest = wallet.next()
        append = Journal.append

        ours = engine._journal  # and not that of the engine that other tests share

        def refuse(journal: Journal, records: Any) -> None:
            if journal is ours and any(isinstance(record, TransactionRecord) for record in records):
                raise StorageError("No space left on device. Nothing was acknowledged. Free space.")
            append(journal, records)

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "append", refuse)
            with pytest.raises(LedgerUnavailableError):
                connection.request("eth_sendRawTransaction", [raw])
        assert connection.request("eth_getTransactionByHash", [digest]) is None, "not in the pool either"
        assert connection.request("eth_sendRawTransaction", [raw]) == digest
        assert await_receipt(connection, digest)["status"] == "0x1"
        assert engine.failure is None


def test_a_block_that_cannot_be_recorded_is_seen_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine, monkeypatch.context() as patch:
        ours = engine._journal  # and not that of the engine that other tests share

        def refuse(journal: Journal, records: Any) -> None:
            if journal is ours and any(isinstance(record, BlockRecord) for record in records):
                raise StorageError("No space left on device.")
            append(journal, records)

        patch.setattr(Journal, "append", refuse)
        connection = Connection([engine.endpoint])
        raw, digest = Wallet(engine.chain_id).next()
        assert connection.request("eth_sendRawTransaction", [raw]) == digest
        wait_for(lambda: engine.failure is not None)
        assert isinstance(engine.failure, StorageError)
        with pytest.raises(LedgerUnavailableError):
            connection.request("eth_getTransactionReceipt", [digest])
    with EmbeddedEngine(tmp_path, port=0, heartbeat_s=3600) as engine:
        assert await_receipt(Connection([engine.endpoint]), digest)["status"] == "0x1", "acknowledged, so it is there"


def test_where_anvil_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALLY_ANVIL", raising=False)
    assert find_anvil().endswith("/bin/anvil")
    monkeypatch.setattr("pki_chain.chain.engine.child._BUILT", "nowhere/anvil")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="npm ci"):
        find_anvil()
    (tmp_path / "anvil").write_text("#!/bin/sh\n")
    (tmp_path / "anvil").chmod(0o755)
    assert find_anvil() == str(tmp_path / "anvil")
    monkeypatch.setenv("TALLY_ANVIL", str(tmp_path / "anvil"))
    assert find_anvil() == str(tmp_path / "anvil")
