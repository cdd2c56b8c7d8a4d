"""The station's outbox: what it took in is there after a crash, once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pki_chain.errors import StorageError
from pki_chain.ports import Address, Submission
from pki_chain.station.outbox import BatchState, EntryState, Outcome, StationOutbox

ACCOUNT = Address("0x00000000000000000000000000000000000000A1")
OTHER = Address("0x00000000000000000000000000000000000000A2")


def submission(outbox: StationOutbox) -> Submission:
    return Submission(ACCOUNT, 2, 7, outbox.next_nonce(), 2_000_000_000)


def filled(path: Path) -> StationOutbox:
    outbox = StationOutbox(path, ACCOUNT)
    assert outbox.add(7, 2, [("a", b"first", None), ("b", b"second", None)]) == 2
    return outbox


def test_what_was_added_survives_without_closing(tmp_path: Path) -> None:
    filled(tmp_path / "outbox")
    again = StationOutbox(tmp_path / "outbox", ACCOUNT)
    assert [entry.der for entry in again.waiting(7, 2)] == [b"first", b"second"]


def test_the_same_certificate_is_taken_in_once_for_a_lot(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "outbox")
    assert outbox.add(7, 2, [("c", b"first", None)]) == 0
    assert outbox.add(8, 2, [("c", b"first", None)]) == 1
    assert outbox.lots_waiting() == [(7, 2), (8, 2)]


def test_a_signed_batch_keeps_its_bytes_and_order(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "outbox")
    entries = outbox.waiting(7, 2)[::-1]
    signed = submission(outbox)
    outbox.store_batch(b"d" * 32, signed, b"s" * 65, entries)
    (batch,) = StationOutbox(tmp_path / "outbox", ACCOUNT).open_batches()
    assert batch.submission == signed
    assert batch.signature == b"s" * 65
    assert [entry.der for entry in batch.entries] == [b"second", b"first"]
    assert {entry.state for entry in batch.entries} == {EntryState.SENT}
    assert outbox.waiting(7, 2) == []


def test_nonces_are_never_given_twice(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "outbox")
    first = outbox.next_nonce()
    outbox.store_batch(b"d" * 32, submission(outbox), b"s" * 65, outbox.waiting(7, 2))
    again = StationOutbox(tmp_path / "outbox", ACCOUNT)
    assert again.next_nonce() == first + 1


def test_an_outcome_is_final_and_a_lapsed_entry_waits_again(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "outbox")
    outbox.store_batch(b"d" * 32, submission(outbox), b"s" * 65, outbox.waiting(7, 2))
    (batch,) = outbox.open_batches()
    first, second = batch.entries
    outbox.settle(batch, [(first, Outcome(EntryState.VALID)), (second, Outcome(EntryState.WAITING))], over=True)
    assert outbox.open_batches() == []
    assert outbox.counts() == {EntryState.VALID: 1, EntryState.WAITING: 1}
    # A late second answer about the same batch changes nothing.
    outbox.settle(batch, [(first, Outcome(EntryState.REJECTED, 64, "late"))], over=True)
    assert outbox.counts() == {EntryState.VALID: 1, EntryState.WAITING: 1}


@pytest.mark.parametrize("state", [EntryState.NOT_SENT, EntryState.REFUSED, EntryState.LAPSED])
def test_what_could_be_put_right_is_taken_in_anew(tmp_path: Path, state: EntryState) -> None:
    outbox = StationOutbox(tmp_path / "outbox", ACCOUNT)
    outbox.add(7, 2, [("a", b"first", Outcome(state, 12, "expired"))])
    assert outbox.add(7, 2, [("a", b"first", None)]) == 1
    assert [entry.tries for entry in outbox.waiting(7, 2)] == [0]


@pytest.mark.parametrize("state", [EntryState.VALID, EntryState.REJECTED])
def test_what_is_final_stays(tmp_path: Path, state: EntryState) -> None:
    outbox = StationOutbox(tmp_path / "outbox", ACCOUNT)
    outbox.add(7, 2, [("a", b"first", Outcome(state))])
    assert outbox.add(7, 2, [("a", b"first", None)]) == 0
    assert outbox.waiting(7, 2) == []


def test_the_outbox_of_another_account_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "outbox").close()
    with pytest.raises(StorageError, match=f"is the outbox of station {ACCOUNT}, not of {OTHER}"):
        StationOutbox(tmp_path / "outbox", OTHER)


def test_a_disk_without_room_takes_nothing_in_and_says_so(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "outbox")
    connection: sqlite3.Connection = outbox._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError, match=r"nothing was taken in by this step.*Free space"):
        outbox.add(7, 2, [(str(number), bytes([number % 256]) * 2_000, None) for number in range(200)])
    assert outbox.counts() == {EntryState.WAITING: 2}
    connection.execute("PRAGMA max_page_count=1000000")
    assert outbox.add(7, 2, [("c", b"third", None)]) == 1


def test_a_batch_is_acknowledged_for_good(tmp_path: Path) -> None:
    outbox = filled(tmp_path / "outbox")
    outbox.store_batch(b"d" * 32, submission(outbox), b"s" * 65, outbox.waiting(7, 2))
    outbox.mark_acknowledged(outbox.open_batches()[0])
    assert StationOutbox(tmp_path / "outbox", ACCOUNT).open_batches()[0].state is BatchState.ACKNOWLEDGED
