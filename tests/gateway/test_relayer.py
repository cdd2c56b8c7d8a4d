"""The relayer's own rules: nothing lost, nothing doubled, every end recorded. The writer is in memory; with the real
outbox and ledger it runs in test_service.py."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import pytest

from pki_chain.chain.calls import Calls
from pki_chain.chain.typed_data import batch_digest
from pki_chain.errors import InputError, LedgerUnavailableError
from pki_chain.gateway.inbox import Inbox, InboxState, order_id
from pki_chain.gateway.relayer import KEPT_S, Relayer
from pki_chain.ports import Address, Receipt, Submission
from tests.gateway.conftest import CONSORTIUM
from tests.index.recorded_ledger import certificates

STATION = Address("0x" + "11" * 20)
TARGET = CONSORTIUM.certificate_registry
NOW = 1_000_000


class MemoryWriter:
    """Implements `TransactionWriter`; outcomes are given by the test."""

    address = Address("0x" + "22" * 20)

    def __init__(self) -> None:
        self.calls: list[tuple[Address, bytes]] = []
        self.named: dict[bytes, bytes] = {}
        self.receipts: dict[bytes, Receipt] = {}
        self.unavailable = False
        self.too_large = False

    def enqueue(
        self,
        to: Address,
        data: bytes,
        *,
        gas: int,  # noqa: ARG002 - the port has it
        reference: bytes = b"",
    ) -> bytes:
        if self.too_large:
            raise InputError("A transaction of 200000 bytes is over the ledger's limits. Split it.")
        if reference in self.named:
            return self.named[reference]
        self.calls.append((to, data))
        self.named[reference] = hashlib.sha256(b"%d" % len(self.calls)).digest()
        return self.named[reference]

    def pump(self) -> None:
        if self.unavailable:
            raise LedgerUnavailableError("No endpoint of the ledger answers.")

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        return self.receipts.get(transaction_hash)

    def settle(self, number: int, revert: str = "") -> None:
        digest = hashlib.sha256(b"%d" % number).digest()
        self.receipts[digest] = Receipt(digest, 5, succeeded=not revert, revert=revert)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox.sqlite")


def put(inbox: Inbox, nonce: int = 1, deadline: int = NOW + 600) -> bytes:
    batch = certificates(2, first=2 * nonce)
    digest = batch_digest(batch)
    inbox.put_submission(digest, Submission(STATION, 2, 1, nonce, deadline), batch, b"\x01" * 65, NOW)
    return digest


def relayer(inbox: Inbox, writer: MemoryWriter, now: float = NOW) -> Relayer:
    return Relayer(inbox, writer, Calls(CONSORTIUM), lambda: now)


def state(inbox: Inbox, digest: bytes) -> InboxState:
    stored = inbox.submission(digest)
    assert stored is not None
    return stored.state


def test_stored_is_sent_once_and_settled(inbox: Inbox) -> None:
    writer = MemoryWriter()
    digest = put(inbox)
    relaying = relayer(inbox, writer)
    assert relaying.step()
    assert relaying.step()
    assert (state(inbox, digest), len(writer.calls)) == (InboxState.SENT, 1)
    writer.settle(1)
    assert not relaying.step()
    assert (state(inbox, digest), len(writer.calls)) == (InboxState.DONE, 1)


def test_a_refusal_of_the_ledger_is_kept_with_its_reason(inbox: Inbox) -> None:
    writer = MemoryWriter()
    digest = put(inbox)
    relaying = relayer(inbox, writer)
    relaying.step()
    writer.settle(1, "RegistryLotClosed(1)")
    relaying.step()
    stored = inbox.submission(digest)
    assert stored is not None
    assert (stored.state, stored.failure) == (InboxState.FAILED, "RegistryLotClosed(1)")


def test_ledger_down_loses_nothing(inbox: Inbox) -> None:
    writer = MemoryWriter()
    writer.unavailable = True
    digest = put(inbox)
    relaying = relayer(inbox, writer)
    for _ in range(3):
        with pytest.raises(LedgerUnavailableError):
            relaying.step()
    writer.unavailable = False
    writer.settle(1)
    relaying.step()
    assert (state(inbox, digest), len(writer.calls)) == (InboxState.DONE, 1)


def test_a_passed_deadline_is_said_and_not_sent(inbox: Inbox) -> None:
    writer = MemoryWriter()
    digest = put(inbox, deadline=NOW - 1)
    relayer(inbox, writer).step()
    stored = inbox.submission(digest)
    assert stored is not None
    assert stored.state is InboxState.FAILED
    assert "passed" in stored.failure
    assert writer.calls == []


def test_what_no_ledger_would_take_is_said(inbox: Inbox) -> None:
    writer = MemoryWriter()
    writer.too_large = True
    digest = put(inbox)
    relayer(inbox, writer).step()
    assert state(inbox, digest) is InboxState.FAILED


def stop_before_the_hash_is_noted(inbox: Inbox, writer: MemoryWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inbox, "mark_submission", stop)
        patch.setattr(inbox, "mark_order", stop)
        with pytest.raises(KeyboardInterrupt):
            relayer(inbox, writer).step()


def test_a_submission_caught_before_its_hash_was_noted_is_sent_once(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = MemoryWriter()
    digest = put(inbox)
    stop_before_the_hash_is_noted(inbox, writer, monkeypatch)
    assert (state(inbox, digest), len(writer.calls)) == (InboxState.STORED, 1)
    relayer(inbox, writer).step()
    assert (state(inbox, digest), len(writer.calls)) == (InboxState.SENT, 1)
    writer.settle(1)
    relayer(inbox, writer).step()
    assert state(inbox, digest) is InboxState.DONE


def test_an_order_caught_before_its_hash_was_noted_is_sent_once(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is one that failed before and was posted again."""
    writer = MemoryWriter()
    stored = inbox.put_order("hold", TARGET, b"\x01\x02", 100_000, NOW)
    assert stored.id == order_id(TARGET, b"\x01\x02")
    for attempt, revert in ((1, "RegistryHoldCounter(0x01, 1, 0)"), (2, "")):
        stop_before_the_hash_is_noted(inbox, writer, monkeypatch)
        assert len(writer.calls) == attempt
        writer.settle(attempt, revert)
        relayer(inbox, writer).step()
        ended = inbox.order(stored.id)
        assert ended is not None
        assert (ended.state, ended.failure) == (InboxState.FAILED if revert else InboxState.DONE, revert)
        assert len(writer.calls) == attempt
        inbox.put_order("hold", TARGET, b"\x01\x02", 100_000, NOW)


def test_the_same_bytes_posted_after_they_were_forgotten_are_sent_again(inbox: Inbox) -> None:
    writer = MemoryWriter()
    for received_at in (NOW, NOW + KEPT_S + 1):
        inbox.put_order("hold", TARGET, b"\x01", 100_000, received_at)
        put(inbox, deadline=2 * NOW + KEPT_S)
        relayer(inbox, writer).step()
        for number in range(1, len(writer.calls) + 1):
            writer.settle(number, "RegistryLotClosed(1)")
        relayer(inbox, writer).step()
        inbox.forget(2 * NOW + KEPT_S)
    assert len(writer.calls) == 3, "the order twice, the submission, received at the same time, once"


def test_a_failed_order_can_be_posted_again(inbox: Inbox) -> None:
    writer = MemoryWriter()
    stored = inbox.put_order("hold", TARGET, b"\x01", 100_000, NOW)
    relaying = relayer(inbox, writer)
    relaying.step()
    writer.settle(1, "RegistryHoldCounter(0x01, 1, 0)")
    relaying.step()
    again = inbox.put_order("hold", TARGET, b"\x01", 100_000, NOW)
    assert (again.id, again.state, again.failure) == (stored.id, InboxState.STORED, "")
    relaying.step()
    writer.settle(2)
    relaying.step()
    done = inbox.put_order("hold", TARGET, b"\x01", 100_000, NOW)
    assert done.state is InboxState.DONE
    assert len(writer.calls) == 2


def test_many_processes_put_in_at_once(tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_many, args=(path, first)) for first in (0, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert Inbox(path).counts() == {("submissions", "stored"): 30}


def _put_many(path: Path, first: int) -> None:
    inbox = Inbox(path)
    for nonce in range(first, first + 20):
        put(inbox, nonce % 30)


def test_what_came_to_an_end_is_forgotten_after_its_time(inbox: Inbox) -> None:
    writer = MemoryWriter()
    ended, waiting = put(inbox, 1), put(inbox, 2)
    relayer(inbox, writer).step()
    writer.settle(1)
    relayer(inbox, writer).step()
    relayer(inbox, writer, now=NOW + KEPT_S).step()
    assert state(inbox, ended) is InboxState.DONE
    relayer(inbox, writer, now=NOW + KEPT_S + 1).step()
    assert inbox.submission(ended) is None
    assert state(inbox, waiting) is InboxState.SENT


def test_no_question_reads_what_came_to_an_end(inbox: Inbox) -> None:
    """What is kept for a month must not slow down what the relayer asks four times a second, nor a scrape."""
    connection = inbox._connection()
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    put(inbox)
    inbox.put_order("hold", TARGET, b"\x01", 100_000, NOW)
    relayer(inbox, MemoryWriter()).step()
    inbox.counts()
    connection.set_trace_callback(None)
    plans = [
        (statement, detail)
        for statement in statements
        if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert len(plans) > 8
    slow = [plan for plan in plans if ("SCAN" in plan[1] and "COVERING" not in plan[1]) or "TEMP B-TREE" in plan[1]]
    assert slow == []
