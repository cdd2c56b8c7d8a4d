"""The trust list in the read model: what is asked of it, and what a withdrawal does to certificates below."""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
from pathlib import Path

import pytest

from pki_chain import ports
from pki_chain.index.authorities import Authorities
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.errors import IndexFaultError
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.policy.rules import RuleBook
from pki_chain.ports import (
    Address,
    CertificateId,
    DelegationKind,
    EventContent,
    HoldFlag,
    MemberState,
    Status,
    TrustScope,
)
from pki_chain.status.certificate_status import CertificateStatus, derive_status
from pki_chain.validator.evidence import Evidence
from pki_chain.validator.verdict import judge_batch
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.delegation import parse_delegation
from pki_chain.x509.reasons import Reason
from tests.authorities import delegated, identifier, issued, issuing, root, rsa_authority_key
from tests.certificates import BLOCK_TIME, DAY_S, NAME, Draft, integer, key, validity
from tests.index.recorded_ledger import AUTHORITY, KINDS, MEMBER_NAMES, OPERATOR, RecordedLedger

BY = Address("0x" + "aa" * 20)
ROOT = root()
CA = issuing(ROOT)
RSA_CA = issuing(ROOT, "RSA CA", rsa_authority_key())
UNTIL = BLOCK_TIME + 1_000 * DAY_S
IKE = TrustScope.IKE


def identity(draft: Draft) -> CertificateId:
    return parse_authority(draft.encode()).id


def published(draft: Draft, parent: Draft | None = None, at: int = BLOCK_TIME) -> EventContent:
    return ports.AuthorityPublished(
        authority=identity(draft),
        member=AUTHORITY,
        parent=CertificateId(bytes(32)) if parent is None else identity(parent),
        scope=IKE,
        path_length=1,
        trusted_from=at,
        trusted_until=UNTIL,
        subject_hash=bytes(32),
        key_identifier_hash=bytes(32),
        by=BY,
        der=draft.encode(),
    )


def withdrawn(draft: Draft, reason: int = 1) -> EventContent:
    return ports.AuthorityWithdrawn(identity(draft), AUTHORITY, BY, reason)


def device(authority: Draft, number: int) -> bytes:
    draft = issued(authority, NAME, days=300).replace(serial_number=integer(1_000 + number), key=key(200 + number))
    return draft.encode()


@pytest.fixture
def ledger() -> RecordedLedger:
    ledger = RecordedLedger()
    ledger.mine([published(ROOT), published(CA, ROOT), published(RSA_CA, ROOT)])
    return ledger


def read(path: Path, ledger: RecordedLedger) -> ReadModel:
    with Indexer(path / "index.sqlite", ledger, 1) as indexer:
        indexer.advance()
    return ReadModel(path / "index.sqlite")


def status(model: ReadModel, der: bytes) -> CertificateStatus:
    record = model.certificate(hashlib.sha256(der).digest())
    assert record is not None
    return derive_status(record.facts, model.head().time)


def test_authorities_are_found(tmp_path: Path, ledger: RecordedLedger) -> None:
    model = read(tmp_path, ledger)
    trust_list = Authorities(model)
    assert [each.id for each in trust_list.authorities()] == [identity(draft) for draft in (ROOT, CA, RSA_CA)]
    assert trust_list.authorities(AUTHORITY) == trust_list.authorities()
    assert trust_list.authorities(OPERATOR) == ()
    found = trust_list.authority(identity(CA))
    assert found is not None
    assert (found.parent, found.scope, found.subject) == (identity(ROOT), IKE, CA.subject)
    assert found.key_identifier == identifier(CA.key)
    assert found.is_live(BLOCK_TIME)
    assert found.is_live(UNTIL)
    assert not found.is_live(UNTIL + 1)
    assert not found.is_live(BLOCK_TIME - 1)
    assert [each.id for each in trust_list.chain(identity(CA))] == [identity(CA), identity(ROOT)]
    assert trust_list.of_key(found.key_sha1) == trust_list.of_key(found.key_sha256) == (found,)
    assert trust_list.authority(bytes(32)) is None
    assert trust_list.chain(bytes(32)) == ()
    assert trust_list.of_key(bytes(20)) == ()


def test_the_issuer_of_a_certificate(tmp_path: Path, ledger: RecordedLedger) -> None:
    cell = device(CA, 1)
    ledger.accept([cell])
    renewed = CA.replace(serial_number=integer(9))
    ledger.mine([published(renewed, ROOT)])
    model = read(tmp_path, ledger)
    trust_list = Authorities(model)
    first, later = trust_list.issuer_of(cell), trust_list.issuer_of(device(CA, 2))
    assert first is not None
    assert later is not None
    assert (first.id, later.id) == (identity(CA), identity(renewed)), "the one that stood when it was taken in"
    assert trust_list.issuer_of(device(issuing(ROOT, "Other", key(9)), 3)) is None
    assert trust_list.issuer_of(Draft().encode()) is None
    (row,) = model.cert_id_rows(first.key_sha256, format(1_001, "x"))
    assert row[0] == CA.subject
    assert model.cert_id_rows(first.key_sha1, format(1_002, "x")) == []
    record = model.certificate(hashlib.sha256(cell).digest())
    assert record is not None
    assert record.facts.flags & HoldFlag.CA_ISSUED


def test_delegations(tmp_path: Path, ledger: RecordedLedger) -> None:
    drafts = {DelegationKind.OCSP_SIGNING: delegated(CA, "ocsp"), DelegationKind.CRL_SIGNING: delegated(CA, "crl")}
    for kind, draft in drafts.items():
        made = parse_delegation(draft.encode())
        ledger.mine([ports.DelegationPublished(made.id, identity(CA), kind, made.not_before, made.not_after, made.der)])
    ocsp = parse_delegation(drafts[DelegationKind.OCSP_SIGNING].encode())
    ledger.mine([ports.DelegationWithdrawn(ocsp.id, AUTHORITY, BY, 4)])
    trust_list = Authorities(read(tmp_path, ledger))
    assert len(trust_list.delegations(identity(CA))) == 2
    (found,) = trust_list.delegations(identity(CA), DelegationKind.OCSP_SIGNING)
    assert (found.id, found.withdrawn_at, found.reason) == (ocsp.id, ledger.time, 4)
    assert not found.is_live(BLOCK_TIME)
    (other,) = trust_list.delegations(identity(CA), DelegationKind.CRL_SIGNING)
    assert other.is_live(BLOCK_TIME)
    assert not other.is_live(other.not_after + 1)
    assert trust_list.delegation(other.id) == other
    assert trust_list.delegation(bytes(32)) is None
    assert trust_list.delegations(identity(RSA_CA)) == ()


def test_a_withdrawal_revokes_what_stands_below_and_nothing_else(tmp_path: Path, ledger: RecordedLedger) -> None:
    cells, gate, undecided = [device(CA, 1), device(CA, 2)], device(RSA_CA, 3), device(CA, 4)
    ledger.accept([*cells, gate])
    ledger.submit([undecided])
    ledger.revoke(cells[1], reason=5)
    before = ledger.head().number
    ledger.mine([withdrawn(CA)])
    model = read(tmp_path, ledger)
    told = status(model, cells[0])
    # keyCompromise of a CA is told as cACompromise.
    assert (told.state, told.reason, told.since) == (Status.REVOKED, 2, ledger.time)
    assert status(model, cells[1]).reason == 5, "its own revocation came first"
    assert status(model, gate).state is Status.VALID
    assert status(model, undecided).state is Status.SUBMITTED
    log = ChangeLog(model)
    last = log.changes(log.end(before), 10)
    assert [(change.kind, change.reason, change.sha256) for change in last] == [
        ("revoked", 2, hashlib.sha256(cells[0]).digest())
    ]
    listed = {each.serial: (each.reason, each.is_listed) for each in log.listed_under(identity(CA))}
    assert listed == {format(1_001, "x"): (2, True), format(1_002, "x"): (5, True)}
    assert list(log.listed_under(identity(RSA_CA))) == []
    assert [each.serial for each in log.listed_under_since(identity(CA), log.end(before))] == [format(1_001, "x")]


def test_a_root_takes_all_with_it_and_the_first_withdrawal_stays(tmp_path: Path, ledger: RecordedLedger) -> None:
    cell, gate = device(CA, 1), device(RSA_CA, 2)
    ledger.accept([cell, gate])
    ledger.mine([withdrawn(CA, 4)])
    first = ledger.time
    ledger.mine([withdrawn(ROOT, 5)])
    model = read(tmp_path, ledger)
    assert [(status(model, der).reason, status(model, der).since) for der in (cell, gate)] == [
        (4, first),
        (5, ledger.time),
    ]
    assert all(each.withdrawn_at for each in Authorities(model).authorities())


def test_a_withdrawal_after_a_certificate_s_end_says_nothing(tmp_path: Path, ledger: RecordedLedger) -> None:
    cell = device(CA, 1)
    ledger.accept([cell])
    ledger.mine([], after_s=400 * DAY_S)
    ledger.mine([withdrawn(CA)])
    assert status(read(tmp_path, ledger), cell).state is Status.EXPIRED


def test_what_no_known_ca_issued_is_never_good(tmp_path: Path, ledger: RecordedLedger) -> None:
    """The ledger may have taken what our reader of CAs does not understand: nobody would hear of its withdrawal."""
    cell = device(issuing(ROOT, "Unread", key(9)), 1)
    ledger.accept([cell])
    model = read(tmp_path, ledger)
    assert status(model, cell).state is not Status.VALID
    assert list(ChangeLog(model).changes(0, 10)) == []


def test_a_rebuild_gives_the_same(tmp_path: Path, ledger: RecordedLedger) -> None:
    ledger.accept([device(CA, 1)])
    ledger.mine([withdrawn(ROOT)])
    first, second = tmp_path / "first", tmp_path / "second"
    dumps = []
    for place in (first, second):
        read(place, ledger).close()
        connection = sqlite3.connect(place / "index.sqlite")
        dumps.append(list(connection.iterdump()))
        connection.close()
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize(
    "event",
    [
        withdrawn(CA),
        published(CA, ROOT),
        ports.DelegationWithdrawn(CertificateId(bytes(32)), AUTHORITY, BY, 0),
        ports.DelegationPublished(
            CertificateId(bytes(32)), identity(CA), DelegationKind.CRL_SIGNING, 0, 1, delegated(CA, "crl").encode()
        ),
    ],
)
def test_events_about_what_was_never_given_are_a_fault(tmp_path: Path, event: EventContent) -> None:
    ledger = RecordedLedger()
    ledger.mine([event])
    with (
        pytest.raises(IndexFaultError, match="never put on the trust list"),
        Indexer(tmp_path / "i", ledger, 1) as indexer,
    ):
        indexer.advance()


def judged(model: Path, batch: int) -> dict[int, Reason]:
    evidence = Evidence(sqlite3.connect(model), OPERATOR)
    try:
        found = evidence.batch(batch)
        return judge_batch(
            found, RuleBook(()), lambda entry: evidence.of_entry(found, entry), found.submitted_at
        ).reasons
    finally:
        evidence.close()


def test_a_validator_builds_the_chains_itself(tmp_path: Path, ledger: RecordedLedger) -> None:
    """Even where the ledger lists a CA whose chain does not hold, its certificates are rejected."""
    forged = issuing(ROOT, "Forged", key(50)).replace(signer=key(51))
    ledger.mine([published(forged, ROOT)])
    own = Draft(validity=validity(BLOCK_TIME, BLOCK_TIME + DAY_S))
    good = [device(CA, 1), device(forged, 2), own.encode()]
    lot = ledger.open_lot(profile=4)
    batch, events = ledger.submit(good, lot=lot, mined=False)
    header = events[-1]
    assert isinstance(header, ports.BatchSubmitted)
    submission = ports.Submission(header.submission.station, 4, lot, 1, header.submission.deadline)
    events[-1] = dataclasses.replace(header, submission=submission)
    ledger.mine(events)
    read(tmp_path, ledger).close()
    reasons = judged(tmp_path / "index.sqlite", batch)
    assert reasons == {1: Reason.UNKNOWN_ISSUER, 2: Reason.MISSING_EXTENSION}


def test_a_suspended_member_s_authority_issues_nothing_new(tmp_path: Path, ledger: RecordedLedger) -> None:
    cell = device(CA, 1)
    ledger.accept([cell])
    suspended = ports.MemberChanged(AUTHORITY, KINDS[AUTHORITY], MemberState.SUSPENDED, MEMBER_NAMES[AUTHORITY])
    ledger.mine([suspended])
    model = read(tmp_path, ledger)
    (found,) = (each for each in Authorities(model).authorities() if each.id == identity(CA))
    assert (found.barred_at, found.ended_at) == (ledger.time, ledger.time)
    assert found.is_live(ledger.time)
    assert status(model, cell).state is Status.VALID, "what it issued stays"
