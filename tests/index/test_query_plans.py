"""No question to a read model, and no block taken in, takes longer because there are more certificates."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from pki_chain.index.certificate_row import read_key_bits
from pki_chain.index.change_log import BundleScope, ChangeLog
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Address, Role
from pki_chain.x509.certificate import parse_certificate
from tests.index.recorded_ledger import OEM, OPERATOR, VENDOR, RecordedLedger, certificate, certificates

GROWING = ("certificates", "changes", "batches", "entries", "names", "endorsements", "key_blocks", "blocks", "lots")
"""Tables that grow with use, and what they are called in statements."""

_ALIASES = {
    "c": "certificates",
    "x": "changes",
    "n": "names",
    "b": "batches",
    "e": "entries",
    "k": "key_blocks",
    "l": "lots",
}
_LISTS = ("FROM lots l JOIN members",)
"""The latest lots, by descending number up to a limit: a scan that ends early."""


def scans(
    connection: sqlite3.Connection, statements: list[str], growing: tuple[str, ...] = GROWING
) -> list[tuple[str, str]]:
    """Statements that read a growing table from its beginning to its end, and how SQLite says it."""
    found = []
    for statement in statements:
        if not statement.startswith(("SELECT", "UPDATE", "DELETE")):
            continue
        for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
            verb, _, rest = detail.partition(" ")
            table = rest.partition(" ")[0]
            if verb == "SCAN" and _ALIASES.get(table, table) in growing:
                found.append((statement, detail))
    return found


@pytest.fixture
def ledger() -> RecordedLedger:
    ledger = RecordedLedger()
    ledger.accept(certificates(4))
    ledger.submit(certificates(2, first=10), refused={1: 29})
    ledger.hold(certificate(0))
    ledger.block_key(certificate(1))
    return ledger


def test_no_question_scans(tmp_path: Path, ledger: RecordedLedger) -> None:
    with Indexer(tmp_path / "index.sqlite", ledger, 1) as indexer:
        indexer.advance()
    model = ReadModel(tmp_path / "index.sqlite")
    connection = model._connection()
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    parsed = parse_certificate(certificate(0))
    sha256 = hashlib.sha256(certificate(0)).digest()
    assert model.status_row(sha256) is not None
    assert len(model.facts([sha256, bytes(32)])) == 1
    assert model.certificate(sha256) is not None
    assert model.certificate_by_id(parsed.certificate_id) is not None
    assert model.by_key(parsed.spki_hash)
    assert model.by_issuer_serial(parsed.issuer, parsed.serial_number)
    assert model.live_names(parsed.names[0].text)
    assert model.key_block(parse_certificate(certificate(1)).spki_hash) is not None
    batch = model.batch(1)
    assert batch is not None
    assert model.submission(batch.digest) is not None
    assert model.submission_of_nonce(batch.submission.station, batch.submission.nonce) is not None
    assert model.batches_awaiting(OPERATOR)
    assert len(model.entries(1)) == len(model.certificates_of(1)) == 4
    assert len(model.taken_under(batch.digest)) == 4
    assert model.endorsements(1)
    assert model.lot(1) is not None
    model.account(Address(batch.submission.station))
    model.acting_member(batch.submission.station, Role.STATION)
    model.accounts(VENDOR)
    model.members()
    assert model.lots() == model.lots(VENDOR)
    connection.set_trace_callback(None)
    assert len(scans(connection, ["SELECT id FROM certificates c WHERE c.der = x''"])) == 1, "scans are told"
    assert len(statements) > 20
    assert [each for each in scans(connection, statements) if not any(known in each[0] for known in _LISTS)] == []
    model.close()


def test_no_block_scans(tmp_path: Path, ledger: RecordedLedger) -> None:
    with Indexer(tmp_path / "index.sqlite", ledger, 1) as indexer:
        indexer.advance()
        statements: list[str] = []
        indexer._connection.set_trace_callback(statements.append)
        batch, _ = ledger.submit(certificates(3, first=20), refused={2: 31})
        ledger.endorse(batch, OPERATOR)
        ledger.endorse(batch, OEM)
        ledger.hold(certificate(20))
        ledger.release(certificate(20))
        ledger.revoke(certificate(20))
        ledger.block_key(certificate(21))
        ledger.open_lot()
        indexer.advance()
        indexer._connection.set_trace_callback(None)
        assert len(statements) > 30
        assert scans(indexer._connection, statements) == []


def test_no_question_of_relying_parties_scans(tmp_path: Path, ledger: RecordedLedger) -> None:
    with Indexer(tmp_path / "index.sqlite", ledger, 1) as indexer:
        indexer.advance()
    model = ReadModel(tmp_path / "index.sqlite")
    log = ChangeLog(model)
    connection = model._connection()
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    assert log.position() > 0
    assert len(log.changes(0, 3)) == 3
    assert len(log.changed_keys(0, 100)) > 3
    assert log.has_changed(BundleScope(2, VENDOR, "x.example"), 0) is False
    assert log.published(2) == 4
    assert len(list(log.listed(2))) == 2
    assert len(list(log.listed_since(2, 0))) == 2
    assert len(log.live(BundleScope(2, VENDOR), 10)) == 2
    assert len(log.ending(VENDOR, 1 << 40, 10)) > 0
    key = parse_certificate(certificate(0))
    assert len(model.cert_id_rows(hashlib.sha256(read_key_bits(key.spki)).digest(), "1")) == 1
    assert len(model.cert_id_rows(hashlib.sha1(read_key_bits(key.spki), usedforsecurity=False).digest(), "1")) == 1
    connection.set_trace_callback(None)
    assert len(statements) >= 11
    assert scans(connection, statements) == []
