"""The change feed: in the ledger's order, the same from every gateway, nothing missed and nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pki_chain.index.change_log import BundleScope, Change, ChangeLog
from pki_chain.index.change_writer import POSITIONS_A_BLOCK
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import HoldKind
from pki_chain.x509.certificate import parse_certificate
from tests.certificates import REALM
from tests.index.recorded_ledger import OEM, OPERATOR, SMALL_CELL, VENDOR, RecordedLedger, certificate, certificates


@pytest.fixture
def ledger() -> RecordedLedger:
    ledger = RecordedLedger()
    ledger.accept(certificates(3))
    return ledger


def log_of(path: Path, ledger: RecordedLedger) -> ChangeLog:
    with Indexer(path, ledger, 1) as indexer:
        indexer.advance()
    return ChangeLog(ReadModel(path))


def told(changes: tuple[Change, ...]) -> list[tuple[str, int]]:
    """Kind and number of the certificate, in order."""
    numbers = {hashlib.sha256(certificate(number)).digest(): number for number in range(20)}
    return [(change.kind, numbers[change.sha256]) for change in changes]


def test_what_is_published_held_released_and_revoked(tmp_path: Path, ledger: RecordedLedger) -> None:
    ledger.hold(certificate(0))
    ledger.release(certificate(0))
    ledger.revoke(certificate(1), reason=1)
    ledger.block_key(certificate(2), reason=9)
    log = log_of(tmp_path / "index.sqlite", ledger)
    changes = log.changes(0, 100)
    assert told(changes) == [
        *(("published", number) for number in range(3)),
        ("held", 0),
        ("released", 0),
        ("revoked", 1),
        ("revoked", 2),
    ]
    assert [change.reason for change in changes] == [0, 0, 0, 6, 0, 1, 9]
    assert all(change.time == ledger.block(change.block).time for change in changes)
    assert (changes[0].owner, changes[0].names) == (VENDOR, (("dns", f"00a1b2c3d000.{REALM}"),))


def test_what_was_never_published_is_not_told(tmp_path: Path, ledger: RecordedLedger) -> None:
    ledger.submit(certificates(2, first=10))  # nobody endorses it
    batch, _ = ledger.submit(certificates(1, first=15))
    ledger.endorse(batch, OPERATOR, reject={0: 1})
    ledger.endorse(batch, OEM, reject={0: 1})
    log = log_of(tmp_path / "index.sqlite", ledger)
    assert told(log.changes(0, 100)) == [("published", 0), ("published", 1), ("published", 2)]


def test_one_that_was_held_before_it_was_published(tmp_path: Path, ledger: RecordedLedger) -> None:
    batch, _ = ledger.submit(certificates(1, first=10))
    ledger.hold(certificate(10))
    ledger.endorse(batch, OPERATOR)
    ledger.endorse(batch, OEM)
    log = log_of(tmp_path / "index.sqlite", ledger)
    assert told(log.changes(0, 100))[3:] == [("published", 10), ("held", 10)]


def test_an_emergency_hold_that_ends_by_itself_is_told(tmp_path: Path, ledger: RecordedLedger) -> None:
    ledger.hold(certificate(0), HoldKind.EMERGENCY, until=ledger.time + 3_600)
    for _ in range(4):
        ledger.mine(after_s=1_200)
    ledger.mine()
    log = log_of(tmp_path / "index.sqlite", ledger)
    last = log.changes(0, 100)[-1]
    assert told((last,)) == [("released", 0)]
    assert last.time == ledger.block(last.block).time
    assert ledger.block(last.block - 1).time < last.time - 1_199


def test_expiry_is_told_once(tmp_path: Path, ledger: RecordedLedger) -> None:
    ends = parse_certificate(certificate(0)).not_after
    ledger.mine(time=ends)
    log = log_of(tmp_path / "index.sqlite", ledger)
    assert len(log.changes(0, 100)) == 3
    ledger.mine(time=ends + 1)
    ledger.mine(time=ends + 2)
    log = log_of(tmp_path / "index.sqlite", ledger)
    assert sorted(told(log.changes(0, 100))[3:]) == [("expired", 0), ("expired", 1), ("expired", 2)]


def test_every_gateway_tells_the_same(tmp_path: Path, ledger: RecordedLedger) -> None:
    """One follows block by block, one catches up at once: positions and contents are equal."""
    steps: list[Callable[[], object]] = [
        lambda: ledger.hold(certificate(0), HoldKind.EMERGENCY, until=ledger.time + 3_600),
        lambda: ledger.mine(after_s=3_000),
        lambda: ledger.mine(after_s=3_000),
        lambda: ledger.revoke(certificate(1)),
        ledger.mine,
        lambda: ledger.mine(time=parse_certificate(certificate(0)).not_after + 1),
        ledger.mine,
    ]
    with Indexer(tmp_path / "steady.sqlite", ledger, 1) as indexer:
        for step in steps:
            step()
            indexer.advance()
    steady = ChangeLog(ReadModel(tmp_path / "steady.sqlite")).changes(0, 100)
    assert steady == log_of(tmp_path / "late.sqlite", ledger).changes(0, 100)
    assert len(steady) == 8


def test_a_reader_that_was_away_misses_nothing_and_sees_nothing_twice(tmp_path: Path, ledger: RecordedLedger) -> None:
    log = log_of(tmp_path / "index.sqlite", ledger)
    seen = list(log.changes(0, 2))
    seen += log.changes(seen[-1].position, 2)
    ledger.hold(certificate(2))
    ledger.accept(certificates(2, first=10))
    log = log_of(tmp_path / "index.sqlite", ledger)
    while page := log.changes(seen[-1].position, 2):
        seen += page
    assert tuple(seen) == log.changes(0, 100)
    assert [change.position for change in seen] == sorted({change.position for change in seen})
    assert log.position() == seen[-1].position
    assert seen[-1].position // POSITIONS_A_BLOCK == seen[-1].block


def test_lists_for_relying_parties(tmp_path: Path, ledger: RecordedLedger) -> None:
    log = log_of(tmp_path / "index.sqlite", ledger)
    before = log.position()
    ledger.hold(certificate(0))
    ledger.revoke(certificate(1))
    log = log_of(tmp_path / "index.sqlite", ledger)
    listed = {listing.serial: listing.reason for listing in log.listed(SMALL_CELL)}
    assert listed == {"1": 6, "2": 1}
    assert list(log.listed(SMALL_CELL + 1)) == []
    assert len(list(log.listed_since(SMALL_CELL, before))) == 2
    ledger.release(certificate(0))
    log = log_of(tmp_path / "index.sqlite", ledger)
    assert [listing.serial for listing in log.listed(SMALL_CELL)] == ["2"]
    assert sorted((x.serial, x.is_listed) for x in log.listed_since(SMALL_CELL, before)) == [("1", False), ("2", True)]
    live = [each.der for each in log.live(BundleScope(), 10)]
    assert set(live) == {certificate(0), certificate(2)}
    assert log.published(SMALL_CELL) == 3


@pytest.mark.parametrize(
    ("scope", "count"),
    [
        (BundleScope(profile=SMALL_CELL), 3),
        (BundleScope(profile=SMALL_CELL + 1), 0),
        (BundleScope(owner=VENDOR), 3),
        (BundleScope(owner=OPERATOR), 0),
        (BundleScope(suffix=REALM), 3),
        (BundleScope(suffix=REALM[1:]), 0),
        (BundleScope(suffix=f"00a1b2c3d001.{REALM}"), 1),
        (BundleScope(SMALL_CELL, VENDOR, REALM), 3),
    ],
)
def test_scopes(tmp_path: Path, ledger: RecordedLedger, scope: BundleScope, count: int) -> None:
    log = log_of(tmp_path / "index.sqlite", ledger)
    assert len(log.live(scope, 10)) == count
    assert log.has_changed(scope, 0) == bool(count)
    assert not log.has_changed(scope, log.position())


def test_expiries_to_come(tmp_path: Path, ledger: RecordedLedger) -> None:
    log = log_of(tmp_path / "index.sqlite", ledger)
    ends = parse_certificate(certificate(0)).not_after
    assert len(log.ending(VENDOR, ends + 1, 10)) == 3
    assert log.ending(VENDOR, ends, 10) == ()
    assert log.ending(OPERATOR, ends + 1, 10) == ()
