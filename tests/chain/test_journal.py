"""The journal keeps what was acknowledged, drops only what was cut short, and never guesses."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pki_chain.chain.engine.journal import BlockRecord, Genesis, Journal, Record, TransactionRecord
from pki_chain.chain.errors import JournalCorruptError
from pki_chain.errors import ConfigurationError, StorageError

GENESIS = Genesis(chain_id=77, timestamp=1_700_000_000, gas_limit=120_000_000)
RECORDS: list[Record] = [
    TransactionRecord(b"first"),
    TransactionRecord(b"second" * 1000),
    BlockRecord(1, 1_700_000_001, b"\x01" * 32, (b"\x02" * 32, b"\x03" * 32)),
    BlockRecord(2, 1_700_000_016, b"\x04" * 32, ()),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    journal = Journal(path, GENESIS)
    journal.append(RECORDS)
    journal.close()
    return path


def read(path: Path) -> list[Record]:
    journal = Journal(path, Genesis(1, 2, 3))
    try:
        assert journal.genesis == GENESIS
        return list(journal.records())
    finally:
        journal.close()


def test_round_trip_keeps_the_first_genesis(path: Path) -> None:
    assert read(path) == RECORDS
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_cut_drops_the_cut_record_only(path: Path) -> None:
    whole = path.read_bytes()
    ends = [len(GENESIS.encode())]
    for record in RECORDS:
        ends.append(ends[-1] + len(record.encode()))
    assert ends[-1] == len(whole)
    for cut in [*range(ends[0], ends[1]), *range(ends[2], len(whole)), *range(ends[1], ends[2], 97)]:
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends[1:])
        assert read(path) == RECORDS[:kept]
        assert path.stat().st_size == ends[kept], "what was cut short is gone, so that appending goes on cleanly"


def test_a_tail_of_zeros_is_dropped(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(bytes(4096))
    assert read(path) == RECORDS


@pytest.mark.parametrize("place", [30, 40, 60, 3000])
def test_damage_before_the_end_is_an_error(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalCorruptError, match="damaged at byte"):
        read(path)
    assert path.read_bytes() == content, "nothing was cut off"


def test_another_file_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    other = tmp_path / "journal"
    other.write_bytes(TransactionRecord(b"x").encode() * 2)
    with pytest.raises(JournalCorruptError, match="does not begin"):
        Journal(other, GENESIS)


def test_a_second_process_is_refused(path: Path) -> None:
    journal = Journal(path, GENESIS)
    try:
        with pytest.raises(ConfigurationError, match="Another process has the journal"):
            Journal(path, GENESIS)
    finally:
        journal.close()
    assert read(path) == RECORDS


def test_threads_share_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, GENESIS)
    threads = [
        threading.Thread(target=lambda name=name: [journal.append([TransactionRecord(name)]) for _ in range(20)])
        for name in (b"a", b"b", b"c", b"d")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    kept = [record.raw for record in read(path) if isinstance(record, TransactionRecord)]
    assert sorted(kept) == sorted([b"a", b"b", b"c", b"d"] * 20)


FULL_DISK = """
import resource, sys
from pathlib import Path
from pki_chain.chain.engine.journal import Genesis, Journal, TransactionRecord
from pki_chain.errors import StorageError
journal = Journal(Path(sys.argv[1]), Genesis(77, 1700000000, 120000000))
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
taken = 0
try:
    while True:
        journal.append([TransactionRecord(b"x" * 1000)])
        taken += 1
except StorageError as error:
    assert "Nothing was acknowledged" in str(error), error
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append([TransactionRecord(b"after")])
print(taken)
"""


def test_disk_full_refuses_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = tmp_path / "journal"
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    taken = int(result.stdout)
    assert taken > 5
    assert read(path) == [TransactionRecord(b"x" * 1000)] * taken + [TransactionRecord(b"after")]


def test_a_failed_fsync_is_final(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path, GENESIS)
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), path.stat()):  # and not the journal of an engine that tests share
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="cannot be made durable"):
            journal.append([TransactionRecord(b"x")])
    with pytest.raises(StorageError, match="cannot be made durable"):
        journal.append([TransactionRecord(b"y")])
    journal.close()


def test_a_closed_journal_is_free_while_a_child_that_starts_has_a_copy(path: Path) -> None:
    """Between fork and exec of another thread's child its descriptors are there twice."""
    journal = Journal(path, GENESIS)
    copy = os.dup(journal._file)
    try:
        journal.close()
        Journal(path, GENESIS).close()
    finally:
        os.close(copy)


def test_a_record_over_the_limit_is_refused(path: Path) -> None:
    journal = Journal(path, GENESIS)
    with pytest.raises(StorageError, match="over the journal's limit"):
        journal.append([TransactionRecord(bytes((1 << 20) + 1))])
    journal.close()
    assert read(path) == RECORDS
