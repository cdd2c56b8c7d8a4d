"""Questions to the read model, also while it is written."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pki_chain import ports
from pki_chain.index.errors import NotReadyError
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Address, MemberKind, MemberState, Role, Status
from pki_chain.status.certificate_status import derive_status
from pki_chain.x509.certificate import parse_certificate
from tests.certificates import ORGANISATION
from tests.index.recorded_ledger import (
    AUTHORITY,
    OEM,
    OPERATOR,
    VENDOR,
    RecordedLedger,
    certificate,
    certificates,
    identity,
)


class Follower:
    """A ledger, and the read model that follows it."""

    def __init__(self, directory: Path) -> None:
        self.ledger = RecordedLedger()
        self.indexer = Indexer(directory / "index.sqlite", self.ledger, 1)
        self.model = ReadModel(directory / "index.sqlite")

    def catch_up(self) -> ReadModel:
        self.indexer.advance()
        return self.model


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    made = Follower(tmp_path)
    yield made
    made.indexer.close()


def state(model: ReadModel, der: bytes) -> Status:
    record = model.certificate(hashlib.sha256(der).digest())
    assert record is not None
    return derive_status(record.facts, model.head().time).state


def test_no_read_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError):
        ReadModel(tmp_path / "none.sqlite").head()


def test_batches_awaiting_a_members_verdict(follower: Follower) -> None:
    ledger = follower.ledger
    first, _ = ledger.submit(certificates(2))
    second, _ = ledger.submit(certificates(2, first=2))
    refused, _ = ledger.submit([b"\x30"], refused={0: 2})
    model = follower.catch_up()
    assert [batch.id for batch in model.batches_awaiting(OPERATOR)] == [first, second]
    assert model.batches_awaiting(VENDOR) == (), "never the submitter's own"
    assert model.batches_awaiting(99) == (), "not of the electorate"
    ledger.endorse(first, OPERATOR)
    model = follower.catch_up()
    assert [batch.id for batch in model.batches_awaiting(OPERATOR)] == [second]
    assert [batch.id for batch in model.batches_awaiting(OEM)] == [first, second]
    ledger.endorse(first, OEM)
    model = follower.catch_up()
    assert [batch.id for batch in model.batches_awaiting(AUTHORITY)] == [second], "settled"
    ledger.mine(after_s=86_500)
    assert follower.catch_up().batches_awaiting(OPERATOR) == (), "its window is over"
    assert refused == 3


def test_live_names(follower: Follower) -> None:
    """R-DEV: names of an undecided entry count as live; those of rejected, lapsed or revoked ones do not."""
    ledger = follower.ledger
    name = parse_certificate(certificate(0)).names[0].text
    batch, _ = ledger.submit([certificate(0)])
    assert [each.id for each in follower.catch_up().live_names(name)] == [identity(certificate(0))]
    assert follower.model.live_names(name, kind="uri") == ()
    assert follower.model.live_names("other." + name) == ()
    ledger.endorse(batch, OPERATOR)
    ledger.endorse(batch, OEM)
    ledger.hold(certificate(0))
    assert len(follower.catch_up().live_names(name)) == 1
    ledger.revoke(certificate(0))
    assert follower.catch_up().live_names(name) == ()


def test_lapsed_and_again(follower: Follower) -> None:
    """A lapsed entry is overwritten by its next submission; holds and their counter outlive the lapse."""
    ledger = follower.ledger
    ledger.submit(certificates(1))
    ledger.hold(certificate(0), counter=1)
    ledger.mine(after_s=86_402)
    assert state(follower.catch_up(), certificate(0)) == Status.LAPSED
    batch, _ = ledger.submit(certificates(1))
    assert state(follower.catch_up(), certificate(0)) == Status.SUBMITTED
    ledger.endorse(batch, OPERATOR)
    ledger.endorse(batch, OEM)
    assert state(follower.catch_up(), certificate(0)) == Status.HELD
    record = follower.model.certificate_by_id(identity(certificate(0)))
    assert record is not None
    assert (record.facts.batch, record.facts.hold_counter) == (batch, 1)


def test_settled_when_every_entry_is_decided(follower: Follower) -> None:
    ledger = follower.ledger
    number, _ = ledger.submit(certificates(2))
    ledger.endorse(number, OPERATOR, reject={1: 64})
    ledger.endorse(number, OEM)
    batch = follower.catch_up().batch(number)
    assert batch is not None
    assert (batch.accepted, batch.rejected, batch.settled_at) == (0b01, 0, 0)
    ledger.endorse(number, AUTHORITY, reject={1: 64})
    batch = follower.catch_up().batch(number)
    assert batch is not None
    assert (batch.accepted, batch.rejected, batch.settled_at) == (0b01, 0b10, ledger.time)
    reasons = {each.member: dict(each.reasons) for each in follower.model.endorsements(number)}
    assert reasons == {OPERATOR: {1: 64}, OEM: {}, AUTHORITY: {1: 64}}


def test_accounts_by_any_letter_case(follower: Follower) -> None:
    model = follower.catch_up()
    address = follower.ledger.station.address
    for text in (address, address.lower(), "0x" + address[2:].upper()):
        account = model.account(text)
        assert account is not None
        assert (account.address, account.role) == (address, Role.STATION)
        assert model.acting_member(text, Role.STATION) == VENDOR
    assert model.acting_member(address, Role.ADMINISTRATOR) == 0
    assert model.account(Address("0x" + "00" * 20)) is None
    follower.ledger.mine([ports.MemberChanged(VENDOR, MemberKind.VENDOR, MemberState.SUSPENDED, ORGANISATION)])
    assert follower.catch_up().acting_member(address, Role.STATION) == 0


def test_name_spaces_come_and_go(follower: Follower) -> None:
    vendor = follower.catch_up().member(VENDOR)
    assert vendor is not None
    (space,) = vendor.spaces
    time = follower.ledger.time
    follower.ledger.open_lot()
    assert follower.catch_up().lots(VENDOR, limit=1)[0].is_open(time)
    follower.ledger.mine([ports.NameSpaceChanged(VENDOR, space, added=False)], after_s=0)
    vendor = follower.catch_up().member(VENDOR)
    assert vendor is not None
    assert vendor.spaces == ()
    assert {lot.closed for lot in follower.model.lots(VENDOR)} == {True}, "its lots end, also one of that second"
    follower.ledger.open_lot()
    follower.ledger.mine([ports.NameSpaceChanged(VENDOR, space, added=True)])
    assert sorted(lot.closed for lot in follower.catch_up().lots(VENDOR)) == [False, True, True]


def test_proposals_and_votes(follower: Follower) -> None:
    follower.ledger.mine(
        [
            ports.ProposalMade(1, OPERATOR, 2, b"\x01" * 32, b"\x02", 99),
            ports.VoteCast(1, OPERATOR, support=True),
            ports.VoteCast(1, OEM, support=False),
            ports.ProposalAdopted(1, 77, 88),
        ]
    )
    follower.ledger.mine([ports.ProposalExecuted(1)])
    (proposal,) = follower.catch_up().proposals()
    assert proposal == follower.model.proposal(1)
    assert (proposal.votes, proposal.executable_at) == ({OPERATOR: True, OEM: False}, 77)
    assert proposal.expires_at == 88
    assert proposal.executed_at == follower.ledger.time
    assert follower.model.proposal(2) is None


def test_a_snapshot_stands_still(follower: Follower) -> None:
    ledger = follower.ledger
    ledger.accept(certificates(1))
    model = follower.catch_up()
    with model.snapshot():
        before = model.head()
        ledger.revoke(certificate(0))
        follower.indexer.advance()
        assert model.head() == before
        assert state(model, certificate(0)) == Status.VALID
    assert state(model, certificate(0)) == Status.REVOKED


def test_readers_see_whole_blocks_while_the_writer_writes(follower: Follower) -> None:
    """Every hold is released in the next block: a reader sees flag and counter of one block, never of two."""
    ledger = follower.ledger
    ledger.accept(certificates(1))
    model = follower.catch_up()
    digest = hashlib.sha256(certificate(0)).digest()
    done = threading.Event()
    seen: list[tuple[int, int, int]] = []
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                row = model.status_row(digest)
                assert row is not None
                seen.append((row[0], row[8], row[9]))  # number, flags, hold counter
            model.close()
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    start = ledger.head().number
    for counter in range(0, 120, 2):
        ledger.hold(certificate(0), counter=counter + 1)
        follower.indexer.advance()
        ledger.release(certificate(0), counter=counter + 2)
        follower.indexer.advance()
    done.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert seen
    assert all(counter == number - start and flags == counter % 2 for number, flags, counter in seen)
