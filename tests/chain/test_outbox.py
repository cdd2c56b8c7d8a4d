"""The outbox: what it took is sent until there is an outcome, once, whatever dies in between."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pki_chain.chain import outbox as module
from pki_chain.chain.connection import Connection
from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.outbox import Outbox
from pki_chain.chain.signer import Keystore, Signer, create_passphrase
from pki_chain.errors import ConfigurationError, InputError, LedgerUnavailableError, StorageError
from pki_chain.ports import Address, Receipt
from tests.chain.wallet import wait_for
from tests.ledger import Consortium, issue_certificates

pytestmark = pytest.mark.chain

TARGET = Address("0x" + "99" * 20)


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    create_passphrase(tmp_path / "passphrase")
    keystore = Keystore.open(tmp_path / "keys", tmp_path / "passphrase")
    keystore.create("relayer")
    return keystore


@pytest.fixture
def outbox(tmp_path: Path, keystore: Keystore, connection: Connection) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite", keystore.load("relayer"), connection, connection.chain_id()) as opened:
        yield opened


def settle(outbox: Outbox, digest: bytes) -> Receipt:
    def pumped() -> Receipt | None:
        outbox.pump()
        return outbox.receipt(digest)

    receipt: Receipt = wait_for(pumped)
    return receipt


class Recorder(Connection):
    """A connection that notes what was sent, and fails when it is told to."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sent: list[str] = []
        self.lose_answers = False
        self.down = False

    def batch(self, requests_: Any) -> Any:
        if self.down:
            raise LedgerUnavailableError("down")
        answers = super().batch(requests_)
        sent = [params[0] for method, params in requests_ if method == "eth_sendRawTransaction"]
        self.sent += sent
        if sent and self.lose_answers:
            raise LedgerUnavailableError("the answer got lost")
        return answers


def test_transactions_in_order_with_their_outcomes(outbox: Outbox) -> None:
    digests = [outbox.enqueue(TARGET, bytes([n]), gas=100_000) for n in range(10)]
    assert outbox.pending() == 10
    assert outbox.receipt(digests[0]) is None
    receipts = [settle(outbox, digest) for digest in digests]
    assert all(receipt.succeeded and receipt.revert == "" for receipt in receipts)
    assert [each.block_number for each in receipts] == sorted(each.block_number for each in receipts)
    assert outbox.pending() == 0
    assert outbox.receipt(b"\x01" * 32) is None


def test_more_than_a_window_is_sent_in_parts(outbox: Outbox) -> None:
    digests = [outbox.enqueue(TARGET, b"\x07" * 30_000, gas=2_000_000) for _ in range(module.WINDOW + 20)]
    assert settle(outbox, digests[-1]).succeeded
    assert outbox.pending() == 0


def test_the_nonce_goes_on_where_it_was(tmp_path: Path, keystore: Keystore, connection: Connection) -> None:
    def opened() -> Outbox:
        return Outbox(tmp_path / "outbox.sqlite", keystore.load("relayer"), connection, connection.chain_id())

    with opened() as outbox:
        first = outbox.enqueue(TARGET, b"1", gas=100_000)
    with opened() as outbox:
        second = outbox.enqueue(TARGET, b"2", gas=100_000)
        assert settle(outbox, second).succeeded
        assert settle(outbox, first).succeeded
    with opened() as outbox:
        assert outbox.receipt(first) is not None
        assert settle(outbox, outbox.enqueue(TARGET, b"3", gas=100_000)).succeeded
    (tmp_path / "outbox.sqlite").unlink()
    with opened() as outbox:
        assert settle(outbox, outbox.enqueue(TARGET, b"4", gas=100_000)).succeeded, "nonce from the chain"


def test_a_reference_is_taken_once(tmp_path: Path, keystore: Keystore, connection: Connection) -> None:
    """Killed between the outbox's step and its caller's, the caller asks again and nothing is doubled."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pki_chain.chain.signer import Keystore\n"
        "from pki_chain.chain.outbox import Outbox\n"
        "from pki_chain.chain.connection import Connection\n"
        "home = Path(sys.argv[1])\n"
        "signer = Keystore.open(home / 'keys', home / 'passphrase').load('relayer')\n"
        "outbox = Outbox(home / 'outbox.sqlite', signer, Connection([sys.argv[2]]), int(sys.argv[3]))\n"
        "outbox.enqueue('0x' + '99' * 20, b'once', gas=100_000, reference=b'order 1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    arguments = [str(tmp_path), connection.endpoints[0], str(connection.chain_id())]
    killed = subprocess.run([sys.executable, "-c", program, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Outbox(tmp_path / "outbox.sqlite", keystore.load("relayer"), connection, connection.chain_id()) as outbox:
        digest = outbox.enqueue(TARGET, b"once", gas=100_000, reference=b"order 1")
        assert outbox.pending() == 1
        assert settle(outbox, digest).succeeded
        assert outbox.enqueue(TARGET, b"once", gas=100_000, reference=b"order 1") == digest, "also after its end"
        assert outbox.pending() == 0
        assert outbox.enqueue(TARGET, b"once", gas=100_000, reference=b"order 2") != digest
        assert outbox.enqueue(TARGET, b"once", gas=100_000) != digest, "without a reference each is a new one"
        assert outbox.pending() == 2


def test_a_lost_answer_is_made_good_by_the_same_bytes(
    tmp_path: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESEND_S", 0)
    recorder = Recorder(connection.endpoints, chain_id=connection.chain_id())
    with Outbox(tmp_path / "outbox.sqlite", Signer.ephemeral(), recorder, connection.chain_id()) as outbox:
        digest = outbox.enqueue(TARGET, b"x", gas=100_000)
        recorder.lose_answers = True
        for _ in range(2):
            with pytest.raises(LedgerUnavailableError):
                outbox.pump()
        assert outbox.receipt(digest) is None
        recorder.lose_answers = False
        assert settle(outbox, digest).succeeded
        assert len(recorder.sent) >= 3
        assert len(set(recorder.sent)) == 1, "always the same bytes"
        count = connection.request("eth_getTransactionCount", [outbox.address, "latest"])
        assert count == "0x1", "done once"


def test_enqueue_needs_no_ledger_once_it_has_begun(tmp_path: Path, connection: Connection) -> None:
    recorder = Recorder(connection.endpoints, chain_id=connection.chain_id())
    with Outbox(tmp_path / "outbox.sqlite", Signer.ephemeral(), recorder, connection.chain_id()) as outbox:
        first = outbox.enqueue(TARGET, b"1", gas=100_000)
        recorder.down = True
        second = outbox.enqueue(TARGET, b"2", gas=100_000)
        with pytest.raises(LedgerUnavailableError):
            outbox.pump()
        recorder.down = False
        assert settle(outbox, second).succeeded
        assert settle(outbox, first).succeeded


def test_ledger_restarted_in_between(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path / "chain", port=0) as engine:
        port, chain_id = int(engine.endpoint.rpartition(":")[2]), engine.chain_id
        connection = Connection([engine.endpoint], chain_id=chain_id)
        outbox = Outbox(tmp_path / "outbox.sqlite", Signer.ephemeral(), connection, chain_id)
        before = [outbox.enqueue(TARGET, b"1", gas=100_000) for _ in range(5)]
        outbox.pump()
    with outbox:
        between = outbox.enqueue(TARGET, b"2", gas=100_000)
        with pytest.raises(LedgerUnavailableError):
            outbox.pump()
        with EmbeddedEngine(tmp_path / "chain", port=port):
            assert settle(outbox, between).succeeded
            assert all(settle(outbox, digest).succeeded for digest in before)


def test_a_failed_transaction_tells_why(consortium: Consortium) -> None:
    call = consortium.calls.close_lot(999, administrator=TARGET, deadline=consortium.deadline(), signature=b"\x01" * 65)
    receipt = consortium.send(call)
    assert not receipt.succeeded
    assert receipt.revert == "RegistryUnknownLot(lot=999)"
    batch = consortium.submit(issue_certificates(consortium.members[2], 1, now=consortium.now()), consortium.open_lot())
    digest = consortium.ledger.batch(batch).digest
    endorse = consortium.calls.endorse(batch, digest, 1, 0, {})
    starved = consortium.send(dataclasses.replace(endorse, gas=60_000), consortium.members[1].keys["endorser"])
    assert not starved.succeeded
    assert starved.revert == "The call ran out of its 60000 gas."


def test_limits_of_the_ledger_are_refused_at_once(outbox: Outbox) -> None:
    with pytest.raises(InputError, match="over the ledger's limits"):
        outbox.enqueue(TARGET, b"", gas=(1 << 24) + 1)
    with pytest.raises(InputError, match="over the ledger's limits"):
        outbox.enqueue(TARGET, bytes(128 * 1024), gas=1 << 24)
    assert outbox.pending() == 0
    assert settle(outbox, outbox.enqueue(TARGET, b"", gas=100_000)).succeeded, "no nonce was lost"


def test_a_second_writer_is_refused(tmp_path: Path, outbox: Outbox, keystore: Keystore, connection: Connection) -> None:
    chain_id = connection.chain_id()
    with pytest.raises(ConfigurationError, match=f"writes with key {outbox.address}.*outbox.sqlite.writer"):
        Outbox(tmp_path / "outbox.sqlite", keystore.load("relayer"), connection, chain_id)
    with pytest.raises(ConfigurationError, match=rf"writes with key {outbox.address}.*relayer\.json\.writer"):
        Outbox(tmp_path / "elsewhere.sqlite", keystore.load("relayer"), connection, chain_id)
    program = (
        "import sys; from pathlib import Path\n"
        "from pki_chain.chain.signer import Keystore\n"
        "from pki_chain.chain.outbox import Outbox\n"
        "from pki_chain.chain.connection import Connection\n"
        "signer = Keystore.open(Path(sys.argv[1]) / 'keys', Path(sys.argv[1]) / 'passphrase').load('relayer')\n"
        "Outbox(Path(sys.argv[1]) / 'other.sqlite', signer, Connection([sys.argv[2]]), int(sys.argv[3]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), connection.endpoints[0], str(chain_id)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Another process writes with key" in result.stderr
    outbox.close()
    Outbox(tmp_path / "outbox.sqlite", keystore.load("relayer"), connection, chain_id).close()


def test_a_database_of_another_key_or_chain_is_refused(tmp_path: Path, connection: Connection) -> None:
    path, signer, chain_id = tmp_path / "outbox.sqlite", Signer.ephemeral(), connection.chain_id()
    with Outbox(path, signer, connection, chain_id) as outbox:
        outbox.enqueue(TARGET, b"", gas=100_000)
    with pytest.raises(ConfigurationError, match="belongs to account"):
        Outbox(path, Signer.ephemeral(), connection, chain_id)
    with pytest.raises(ConfigurationError, match="belongs to account"):
        Outbox(path, signer, connection, chain_id + 1)
    Outbox(path, signer, connection, chain_id).close()


def test_a_nonce_taken_by_another_writer_ends_in_an_outcome(
    tmp_path: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESEND_S", 0)
    monkeypatch.setattr(module, "GIVE_UP_S", 0)
    signer, chain_id = Signer.ephemeral(), connection.chain_id()
    with (
        Outbox(tmp_path / "one.sqlite", signer, connection, chain_id) as one,
        Outbox(tmp_path / "two.sqlite", signer, connection, chain_id) as two,
    ):
        lost = one.enqueue(TARGET, b"one", gas=100_000)
        won = two.enqueue(TARGET, b"two", gas=100_000)
        assert settle(two, won).succeeded
        receipt = settle(one, lost)
        assert not receipt.succeeded
        assert "took its nonce" in receipt.revert
        assert settle(one, one.enqueue(TARGET, b"again", gas=100_000)).succeeded


def test_a_used_nonce_is_not_given_up_at_once(
    tmp_path: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that lags may not know a receipt yet."""
    monkeypatch.setattr(module, "RESEND_S", 0)
    signer, chain_id = Signer.ephemeral(), connection.chain_id()
    with (
        Outbox(tmp_path / "one.sqlite", signer, connection, chain_id) as one,
        Outbox(tmp_path / "two.sqlite", signer, connection, chain_id) as two,
    ):
        lost = one.enqueue(TARGET, b"one", gas=100_000)
        settle(two, two.enqueue(TARGET, b"two", gas=100_000))
        for _ in range(3):
            one.pump()
        assert one.receipt(lost) is None


def test_disk_full_acknowledges_nothing(tmp_path: Path, connection: Connection) -> None:
    with Outbox(tmp_path / "outbox.sqlite", Signer.ephemeral(), connection, connection.chain_id()) as outbox:
        first = outbox.enqueue(TARGET, b"1", gas=100_000)
        pages = outbox._database.execute("PRAGMA page_count").fetchone()[0]
        outbox._database.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageError, match="Nothing was acknowledged"):
            outbox.enqueue(TARGET, b"\x02" * 50_000, gas=3_000_000)
        taken = outbox.pending()
        outbox._database.execute("PRAGMA max_page_count = 100000")
        last = outbox.enqueue(TARGET, b"3", gas=100_000)
        assert outbox.pending() == taken + 1
        assert settle(outbox, last).succeeded, "no nonce is missing"
        assert settle(outbox, first).succeeded


def test_a_broken_database_is_an_error_of_storage(tmp_path: Path, connection: Connection) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageError):
        Outbox(tmp_path / "outbox.sqlite", Signer.ephemeral(), connection, connection.chain_id())
    with pytest.raises(StorageError):
        Outbox(Path("/proc/nowhere/outbox.sqlite"), Signer.ephemeral(), connection, connection.chain_id())


def test_threads_share_an_outbox(outbox: Outbox) -> None:
    digests: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: digests.extend(outbox.enqueue(TARGET, b"t", gas=100_000) for _ in range(5)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(digests)) == 40
    assert all(settle(outbox, digest).succeeded for digest in digests)


WRITER = """
import sys
from pathlib import Path
from pki_chain.chain.connection import Connection
from pki_chain.chain.outbox import Outbox
from pki_chain.chain.signer import Keystore
home, endpoint, chain_id = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
signer = Keystore.open(home / "keys", home / "passphrase").load("relayer")
with Outbox(home / "outbox.sqlite", signer, Connection([endpoint], chain_id=chain_id), chain_id) as outbox:
    while True:
        print(outbox.enqueue("0x" + "99" * 20, b"w", gas=100_000).hex(), flush=True)
        outbox.pump()
"""


def test_writer_killed_at_random_moments(tmp_path: Path, keystore: Keystore, connection: Connection) -> None:
    """Everything that was acknowledged gets into a block, exactly once (R-OPS-1)."""
    chance = random.Random(2)  # noqa: S311  # when to kill, not a secret
    acknowledged: list[str] = []
    arguments = [str(tmp_path), connection.endpoints[0], str(connection.chain_id())]
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if line.endswith("\n"):
                acknowledged.append(line.strip())
            if count == chance.randrange(10, 30) or count == 30:
                os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with Outbox(tmp_path / "outbox.sqlite", keystore.load("relayer"), connection, connection.chain_id()) as outbox:
        assert len(acknowledged) == len(set(acknowledged)) > 20
        assert all(settle(outbox, bytes.fromhex(digest)).succeeded for digest in acknowledged)
        wait_for(lambda: outbox.pump() or outbox.pending() == 0)
        count = int(connection.request("eth_getTransactionCount", [outbox.address, "latest"]), 16)
    with sqlite3.connect(tmp_path / "outbox.sqlite") as database:
        stored = database.execute("SELECT count(*) FROM transactions").fetchone()[0]
    database.close()
    assert stored == count >= len(acknowledged)
