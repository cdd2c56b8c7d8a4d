"""The gateway's status and `statusOf` on the ledger say the same, in every state and at every time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.ledger import CertificateStatus
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import HoldKind, Status
from pki_chain.status.certificate_status import derive_status
from pki_chain.x509.certificate import Certificate, parse_certificate
from pki_chain.x509.profile import SMALL_CELL
from tests.ledger import (
    AUTHORITY,
    OEM,
    OPERATOR,
    VENDOR,
    Consortium,
    consortium,
    found_consortium,
    issue_certificates,
    ledger_engine,
)

__all__ = ["consortium", "ledger_engine"]

pytestmark = pytest.mark.chain


class Observer:
    """Reads the ledger into a model of its own, and compares."""

    def __init__(self, consortium: Consortium, database: Path) -> None:
        self._consortium = consortium
        self._indexer = Indexer(database, consortium.ledger, consortium.file.founding_block)
        self._model = ReadModel(database)

    def close(self) -> None:
        self._indexer.close()

    def lot_used(self, number: int) -> int:
        """How many certificates the read model has counted for a lot."""
        lot = self._model.lot(number)
        assert lot is not None
        return lot.used

    def agreed(self, certificate: Certificate) -> Status:
        """The state, after checking that both give the same answer at the same block."""
        while True:
            block = self._indexer.advance()
            ledger = self._consortium.ledger.status_of(certificate.spki_hash, certificate.tbs_hash)
            if self._consortium.ledger.head() == block:
                break
        record = self._model.certificate(certificate.sha256)
        assert record is not None
        assert record.id == certificate.certificate_id
        ours = asdict(derive_status(record.facts, block.time))
        ours.pop("holds")
        assert CertificateStatus(**ours) == ledger
        return ledger.state


@pytest.fixture
def observer(consortium: Consortium, tmp_path: Path) -> Iterator[Observer]:
    made = Observer(consortium, tmp_path / "index.sqlite")
    yield made
    made.close()


def order(
    consortium: Consortium, member: int, label: str, certificate: bytes, kind: HoldKind, *, release: bool = False
) -> None:
    """A hold or release by a member's key, with the counter as it stands."""
    signer = consortium.members[member].keys[label]
    counter = _status(consortium, certificate).hold_counter
    texts, calls = consortium.texts, consortium.calls
    text, call = (texts.release, calls.release) if release else (texts.hold, calls.hold)
    deadline = consortium.deadline()
    signature = signer.sign(text(certificate, kind, 0, counter, deadline))
    receipt = consortium.send(
        call(certificate, kind, 0, counter, deadline=deadline, signer=signer.address, signature=signature)
    )
    assert receipt.succeeded, receipt.revert


_PARSED: dict[bytes, Certificate] = {}


def _status(consortium: Consortium, identity: bytes) -> CertificateStatus:
    certificate = _PARSED[identity]
    return consortium.ledger.status_of(certificate.spki_hash, certificate.tbs_hash)


def enrol(consortium: Consortium, count: int, lifetime_days: int = 365) -> tuple[int, list[Certificate]]:
    member = consortium.members[VENDOR]
    ders = issue_certificates(member, count, now=consortium.now(), lifetime_days=lifetime_days)
    batch = consortium.submit(ders, consortium.open_lot())
    certificates = [parse_certificate(der) for der in ders]
    _PARSED.update({certificate.certificate_id: certificate for certificate in certificates})
    return batch, certificates


def test_submitted_valid_rejected(consortium: Consortium, observer: Observer) -> None:
    batch, certificates = enrol(consortium, 3)
    assert [observer.agreed(each) for each in certificates] == [Status.SUBMITTED] * 3
    assert consortium.endorse(batch, OPERATOR, accepts=0b011).succeeded
    assert [observer.agreed(each) for each in certificates] == [Status.SUBMITTED] * 3
    assert consortium.endorse(batch, OEM, accepts=0b001).succeeded
    assert [observer.agreed(each) for each in certificates] == [Status.VALID, Status.SUBMITTED, Status.REJECTED]
    assert consortium.endorse(batch, AUTHORITY, accepts=0b011).succeeded
    assert [observer.agreed(each) for each in certificates] == [Status.VALID, Status.VALID, Status.REJECTED]


def test_holds_and_revocation(consortium: Consortium, observer: Observer) -> None:
    batch, (certificate, other) = enrol(consortium, 2)
    identity = certificate.certificate_id
    order(consortium, VENDOR, "duty", identity, HoldKind.OWNER)
    assert observer.agreed(certificate) == Status.SUBMITTED
    for member in (OPERATOR, OEM):
        assert consortium.endorse(batch, member).succeeded
    assert observer.agreed(certificate) == Status.HELD
    order(consortium, OEM, "duty", identity, HoldKind.EMERGENCY)
    assert observer.agreed(certificate) == Status.HELD
    order(consortium, VENDOR, "administrator", identity, HoldKind.OWNER, release=True)
    assert observer.agreed(certificate) == Status.HELD
    order(consortium, OEM, "administrator", identity, HoldKind.EMERGENCY, release=True)
    assert observer.agreed(certificate) == Status.VALID
    administrator = consortium.members[VENDOR].keys["administrator"]
    deadline = consortium.deadline()
    signature = administrator.sign(consortium.texts.revoke(identity, 1, deadline))
    call = consortium.calls.revoke(identity, 1, deadline=deadline, signer=administrator.address, signature=signature)
    assert consortium.send(call).succeeded
    assert observer.agreed(certificate) == Status.REVOKED
    assert observer.agreed(other) == Status.VALID


def test_lapsed_and_again(ledger_engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile whose window is five seconds: the entry lapses, comes again under another batch, keeps its hold."""
    monkeypatch.setattr("tests.ledger.BUILT_IN_PROFILES", (replace(SMALL_CELL, window_seconds=5),))
    founded = found_consortium([ledger_engine.endpoint], tmp_path / "consortium")
    observer = Observer(founded, tmp_path / "index.sqlite")
    try:
        lot = founded.open_lot()
        (der,) = issue_certificates(founded.members[VENDOR], 1, now=founded.now())
        certificate = parse_certificate(der)
        _PARSED[certificate.certificate_id] = certificate
        founded.submit([der], lot)
        order(founded, VENDOR, "duty", certificate.certificate_id, HoldKind.OWNER)
        end = time.monotonic() + 60
        while observer.agreed(certificate) != Status.LAPSED:
            assert time.monotonic() < end
            founded.open_lot()  # a block, so that the ledger's time goes on
        batch = founded.submit([der], lot)
        receipts = [founded.endorse(batch, member) for member in (OPERATOR, OEM)]
        in_time = all(receipt.succeeded for receipt in receipts)
        assert observer.agreed(certificate) == (Status.HELD if in_time else Status.LAPSED)
        assert founded.ledger.lot(lot).used == observer.lot_used(lot) == 1
    finally:
        observer.close()
        founded.close()


def test_unknown(consortium: Consortium) -> None:
    (der,) = issue_certificates(consortium.members[VENDOR], 1, now=consortium.now())
    certificate = parse_certificate(der)
    assert consortium.ledger.status_of(certificate.spki_hash, certificate.tbs_hash).state == Status.UNKNOWN
