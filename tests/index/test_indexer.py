"""The read model's writer: resumes, never forks, rebuilds to the same rows."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki_chain import ports
from pki_chain.errors import LedgerUnavailableError, StorageError
from pki_chain.index import schema
from pki_chain.index.errors import IndexBusyError, IndexFaultError
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import HoldKind
from tests.index.recorded_ledger import AUTHORITY, OEM, OPERATOR, RecordedLedger, certificate, certificates

FIRST_BLOCK = 1


def rows(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the read model."""
    connection = sqlite3.connect(database)
    try:
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in schema.TABLES}  # noqa: S608
    finally:
        connection.close()


def index(database: Path, ledger: RecordedLedger) -> dict[str, list[tuple[object, ...]]]:
    with Indexer(database, ledger, FIRST_BLOCK) as indexer:
        indexer.advance()
    return rows(database)


def test_takes_in_everything_up_to_the_head(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    ledger.accept(certificates(3))
    for _ in range(1_200):
        ledger.mine(after_s=15)
    with Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer:
        assert indexer.advance() == ledger.head()
    assert ReadModel(tmp_path / "index.sqlite").head() == ledger.head()


def test_an_idle_ledger_costs_one_request(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    with Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer:
        indexer.advance()
        ledger.requests = 0
        indexer.advance()
        assert ledger.requests == 1


def test_blocks_before_the_first_are_not_asked_for(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    with Indexer(tmp_path / "index.sqlite", ledger, first_block=50) as indexer:
        assert indexer.advance() == ledger.head()
    assert rows(tmp_path / "index.sqlite")["head"] == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["submit", "endorse", "hold", "release", "revoke", "block", "idle"]), st.booleans()),
        max_size=25,
    )
)
def test_rebuilt_equals_incremental(acts: list[tuple[str, bool]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever happened, and wherever the indexer looked in between, a rebuild gives the same rows."""
    directory = tmp_path_factory.mktemp("rebuild")
    ledger = RecordedLedger()
    ledger.accept(certificates(2))
    submitted = 1
    with Indexer(directory / "followed.sqlite", ledger, FIRST_BLOCK) as indexer:
        for number, (act, looks) in enumerate(acts):
            _perform(ledger, act, number, submitted)
            submitted += act == "submit"
            if looks:
                indexer.advance()
        indexer.advance()
        followed = rows(directory / "followed.sqlite")
    with Indexer(directory / "followed.sqlite", ledger, FIRST_BLOCK, anew=True) as indexer:
        indexer.advance()
    assert rows(directory / "followed.sqlite") == followed
    assert index(directory / "fresh.sqlite", ledger) == followed


def _perform(ledger: RecordedLedger, act: str, number: int, batch: int) -> None:
    match act:
        case "submit":
            ledger.submit(certificates(2, first=10 + number), refused={1: 29})
        case "endorse":
            ledger.endorse(batch, (OPERATOR, OEM, AUTHORITY)[number % 3], reject={0: 64} if number % 5 == 0 else None)
        case "hold":
            ledger.hold(certificate(0), HoldKind.EMERGENCY, counter=number, until=ledger.time + number)
        case "release":
            ledger.release(certificate(0), counter=number)
        case "revoke":
            ledger.revoke(certificate(1))
        case "block":
            ledger.block_key(certificate(1))
        case _:
            ledger.mine()


def test_a_block_is_taken_in_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "index.sqlite"
    ledger = RecordedLedger()
    before = index(database, ledger)
    ledger.submit(certificates(5))
    with Indexer(database, ledger, FIRST_BLOCK) as indexer:
        taken: list[object] = []
        apply = indexer._projection.apply

        def stop_half_way(event: ports.LoggedEvent, block: ports.Block) -> None:
            taken.append(event)
            if len(taken) == 3:
                raise KeyboardInterrupt
            apply(event, block)

        monkeypatch.setattr(indexer._projection, "apply", stop_half_way)
        with pytest.raises(KeyboardInterrupt):
            indexer.advance()
    assert rows(database) == before
    assert index(database, ledger) == index(tmp_path / "fresh.sqlite", ledger)


@pytest.mark.parametrize("block", [3, 7, 12])
def test_resumes_after_kill_at_any_block(tmp_path: Path, block: int) -> None:
    """A process killed with SIGKILL inside a transaction leaves what was committed, and the next goes on from there."""
    database = tmp_path / "index.sqlite"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_index_until_killed, args=(database, block))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    (number,) = sqlite3.connect(database).execute("SELECT number FROM head").fetchone()
    assert number == block - 1
    ledger = _same_ledger()
    assert index(database, ledger) == index(tmp_path / "fresh.sqlite", ledger)


def _same_ledger() -> RecordedLedger:
    """The same in every process."""
    ledger = RecordedLedger(keys=(b"\x01" * 32, b"\x02" * 32))
    for first in range(0, 8, 2):
        ledger.accept([b"entry %d" % (first + entry) for entry in range(2)])
    return ledger


def _index_until_killed(database: Path, block: int) -> None:
    indexer = Indexer(database, _same_ledger(), FIRST_BLOCK)
    apply = indexer._projection.apply

    def kill(event: ports.LoggedEvent, at: ports.Block) -> None:
        apply(event, at)
        if at.number == block:
            os.kill(os.getpid(), signal.SIGKILL)

    indexer._projection.apply = kill  # type: ignore[method-assign]
    indexer.advance()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_fork_is_noticed_and_nobody_answers(tmp_path: Path, depth: int) -> None:
    database = tmp_path / "index.sqlite"
    ledger = RecordedLedger()
    ledger.accept(certificates(1))
    index(database, ledger)
    ledger.fork(ledger.head().number - depth + 1)
    for _ in range(depth + 2):
        ledger.mine()
    with Indexer(database, ledger, FIRST_BLOCK) as indexer:
        with pytest.raises(IndexFaultError, match="at odds"):
            indexer.advance()
        with pytest.raises(IndexFaultError):
            indexer.advance()
        with pytest.raises(IndexFaultError):
            ReadModel(database).head()
    with Indexer(database, ledger, FIRST_BLOCK, anew=True) as indexer:
        assert indexer.advance() == ledger.head()
    assert ReadModel(database).head() == ledger.head()


def test_another_head_at_the_same_height_is_a_fork(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    index(tmp_path / "index.sqlite", ledger)
    ledger.fork(ledger.head().number)
    ledger.mine()
    with Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer, pytest.raises(IndexFaultError):
        indexer.advance()


def test_an_endpoint_that_lags_is_no_fork(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    ledger.accept(certificates(1))
    index(tmp_path / "index.sqlite", ledger)
    reached = ledger.head()
    del ledger._blocks[-2:]
    with Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer:
        assert indexer.advance() == reached


def test_events_kept_back_are_noticed(tmp_path: Path) -> None:
    """Batches are numbered without gaps: an endpoint that lost one is not believed."""
    ledger = RecordedLedger()
    block = ledger.head().number + 1
    ledger.submit(certificates(1))
    ledger._events[block].clear()
    ledger.submit(certificates(1, first=1))
    with (
        Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer,
        pytest.raises(IndexFaultError, match="batches: 2 came after 0"),
    ):
        indexer.advance()


def test_ledger_down_keeps_what_was_taken_in(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    database = tmp_path / "index.sqlite"
    before = index(database, ledger)
    ledger.unavailable = True
    with Indexer(database, ledger, FIRST_BLOCK) as indexer:
        with pytest.raises(LedgerUnavailableError):
            indexer.advance()
        ledger.unavailable = False
        indexer.advance()
    assert rows(database) == before


def test_there_is_one_writer(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    with (
        Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK),
        pytest.raises(IndexBusyError, match=r"index\.sqlite"),
    ):
        Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK)
    Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK).close()


def test_an_older_shape_is_built_anew(tmp_path: Path) -> None:
    database = tmp_path / "index.sqlite"
    ledger = RecordedLedger()
    expected = index(database, ledger)
    connection = sqlite3.connect(database)
    connection.execute("ALTER TABLE lots ADD COLUMN old TEXT")
    connection.execute("PRAGMA user_version = 0")
    connection.commit()
    connection.close()
    assert index(database, ledger) == expected


@pytest.mark.parametrize("kept_back", [ports.CertificateSubmitted, ports.EntryRefused])
def test_an_entry_kept_back_is_noticed(tmp_path: Path, kept_back: type) -> None:
    """A batch's header says how many entries it has and which of them have a slot."""
    ledger = RecordedLedger()
    before = ledger.head()
    ledger.submit(certificates(3), refused={2: 29})
    whole = ledger._events[-1]
    ledger._events[-1] = [each for each in whole if not isinstance(each.content, kept_back)]
    with Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer:
        with pytest.raises(LedgerUnavailableError, match="batch 1"):
            indexer.advance()
        assert ReadModel(tmp_path / "index.sqlite").head() == before
        ledger._events[-1] = whole
        assert indexer.advance() == ledger.head(), "whoever says it whole is believed"


@pytest.mark.parametrize("act", ["hold", "release", "revoke", "endorse"])
def test_an_act_on_what_was_kept_back_is_noticed(tmp_path: Path, act: str) -> None:
    ledger = RecordedLedger()
    ledger.submit(certificates(1))
    ledger._events[-1] = []
    match act:
        case "endorse":
            ledger.endorse(1, OPERATOR)
        case "hold":
            ledger.hold(certificate(0))
        case "release":
            ledger.release(certificate(0))
        case _:
            ledger.revoke(certificate(0))
    with Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer:
        with pytest.raises(IndexFaultError, match="was never"):
            indexer.advance()
        with pytest.raises(IndexFaultError):
            ReadModel(tmp_path / "index.sqlite").head()


def damage(database: Path, first: int) -> None:
    """Write rubbish over everything from this byte on; what is in the log of writes goes into the file before."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = database.stat().st_size
    with database.open("r+b") as stream:
        stream.seek(first)
        stream.write(b"\xa5" * (size - first))


@pytest.mark.parametrize("first", [0, 20, 100, 4_096, 40_000])
def test_a_damaged_database_is_said_and_rebuilt(tmp_path: Path, first: int) -> None:
    database = tmp_path / "index.sqlite"
    ledger = RecordedLedger()
    ledger.accept(certificates(4))
    before = index(database, ledger)
    damage(database, first)
    reader = ReadModel(database)
    for question in (reader.head, lambda: reader.status_row(bytes(32)), lambda: reader.facts([bytes(32)])):
        try:
            question()
        except IndexFaultError as error:
            assert "ebuil" in error.message  # noqa: PT017 - that a page is whole is no error
    with contextlib.suppress(IndexFaultError), reader.snapshot():
        reader.certificate(bytes(32))
    reader.close()
    ledger.accept(certificates(4, first=4))
    with contextlib.suppress(StorageError), Indexer(database, ledger, FIRST_BLOCK) as indexer:
        indexer.advance()
    with Indexer(database, ledger, FIRST_BLOCK, anew=True) as indexer:
        indexer.advance()
    assert rows(database) == index(tmp_path / "fresh.sqlite", ledger) != before
    reader.close()


def test_a_disk_that_is_full_keeps_what_was_taken_in(tmp_path: Path) -> None:
    database = tmp_path / "index.sqlite"
    ledger = RecordedLedger()
    before = index(database, ledger)
    ledger.accept(certificates(30))
    with Indexer(database, ledger, FIRST_BLOCK) as indexer:
        (pages,) = indexer._connection.execute("PRAGMA page_count").fetchone()
        indexer._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageError, match="goes on by itself"):
            indexer.advance()
        assert rows(database) == before
        indexer._connection.execute("PRAGMA max_page_count = 100000")
        assert indexer.advance() == ledger.head()


def test_a_fault_that_cannot_be_written_down_is_an_error_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = RecordedLedger()
    database = tmp_path / "index.sqlite"
    index(database, ledger)
    ledger.fork(ledger.head().number)
    ledger.mine()
    with Indexer(database, ledger, FIRST_BLOCK) as indexer:
        indexer._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(IndexFaultError):
            indexer.advance()


def test_a_database_that_is_read_only_is_said(tmp_path: Path) -> None:
    ledger = RecordedLedger()
    index(tmp_path / "index.sqlite", ledger)
    ledger.mine()
    with Indexer(tmp_path / "index.sqlite", ledger, FIRST_BLOCK) as indexer:
        indexer._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StorageError, match=r"index\.sqlite"):
            indexer.advance()
