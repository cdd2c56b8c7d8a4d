"""A validator whose ledger is down, restarted or slow to come back, and one whose disk is full, loses nothing."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.errors import LedgerUnavailableError, StorageError
from pki_chain.index.errors import IndexBusyError
from pki_chain.validator.run import Validator, serve
from tests.ledger import AUTHORITY, OEM, VENDOR, Consortium, found_consortium, issue_certificates
from tests.validator.opened import open_validator

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("refused endorsements")]

RULES = "[rules.weak_keys]\n"


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "not so in time"


def submit(consortium: Consortium) -> int:
    certificates = issue_certificates(consortium.members[VENDOR], 1, now=consortium.now())
    return consortium.submit(certificates, consortium.open_lot())


def test_ledger_down_and_restarted(tmp_path: Path) -> None:
    with EmbeddedEngine(tmp_path / "ledger", port=0) as engine:
        port = int(engine.endpoint.rpartition(":")[2])
        consortium = found_consortium([engine.endpoint], tmp_path)
        batch = submit(consortium)
    validator = None
    with EmbeddedEngine(tmp_path / "ledger", port=port):
        validator = open_validator(consortium, AUTHORITY, RULES)
        validator.indexer.advance()
    with validator:
        for _ in range(2):
            with pytest.raises(LedgerUnavailableError):
                validator.step()
        with EmbeddedEngine(tmp_path / "ledger", port=port):
            until(lambda: validator.step() == 0 and consortium.ledger.endorsement(batch, AUTHORITY))
        with pytest.raises(LedgerUnavailableError):
            validator.step()
    consortium.close()


def test_the_process_waits_with_growing_pauses_and_ends_when_told(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def away(_: Validator) -> int:
        tries.append(1)
        if len(tries) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        raise LedgerUnavailableError("No endpoint of the ledger answers. Check it.")

    with open_validator(consortium, OEM, RULES) as validator, caplog.at_level(logging.WARNING):
        monkeypatch.setattr(Validator, "step", away)
        serve(validator, 0.01)
    pauses = [record.message.rpartition("again in ")[2] for record in caplog.records]
    assert len(tries) == 4
    assert pauses == ["0.0 s", "0.0 s", "0.1 s", "0.2 s"]


def test_a_full_disk_endorses_nothing_and_goes_on_when_there_is_space(consortium: Consortium) -> None:
    """SQLite's own limit on the file's size gives the error that a full disk gives."""
    with open_validator(consortium, OEM, RULES) as validator:
        until(lambda: validator.step() == 0 and validator.outbox.pending() == 0)
        database = validator.outbox._database
        batches = [submit(consortium) for _ in range(15)]  # more than what is left of the last pages takes
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StorageError, match="Free space"):
            validator.step()
        assert not all(consortium.ledger.endorsement(batch, OEM) for batch in batches)
        database.execute("PRAGMA max_page_count=1000000")
        until(lambda: validator.step() == 0 and validator.outbox.pending() == 0)
        assert all(consortium.ledger.endorsement(batch, OEM) for batch in batches)


def test_a_second_validator_on_the_same_data_is_refused(consortium: Consortium) -> None:
    with (
        open_validator(consortium, OEM, RULES),
        pytest.raises(IndexBusyError, match="Another process writes the read model"),
    ):
        open_validator(consortium, OEM, RULES)
    open_validator(consortium, OEM, RULES).close()
