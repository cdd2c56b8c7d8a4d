"""A validator's verdict follows from the bytes alone, whatever the ledger says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from pki_chain import ports
from pki_chain.index.indexer import Indexer
from pki_chain.index.schema import open_reader
from pki_chain.policy.context import EvidenceMissingError
from pki_chain.policy.rules import RuleBook, load_rules
from pki_chain.validator.evidence import Evidence
from pki_chain.validator.verdict import BatchMismatchError, Verdict, judge_batch
from pki_chain.x509.reasons import Reason
from tests.certificates import BLOCK_TIME, REALM, Draft, alternative_names, dns, integer, key, key_usage, subject_key
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

FULL = "[rules.clock]\n[rules.weak_keys]\n[rules.live_names]\n[rules.repeated_serials]\n"


class Bench:
    """A recorded ledger, a read model that follows it, and a validator's questions to it."""

    def __init__(self, directory: Path, member: int = OPERATOR) -> None:
        self.ledger = RecordedLedger()
        self.indexer = Indexer(directory / "read-model", self.ledger, 1)
        self.indexer.advance()
        self.evidence = Evidence(open_reader(directory / "read-model"), member)
        rules = directory / "rules.toml"
        rules.write_text(FULL)
        self.rules = load_rules(rules)

    def awaiting(self) -> list[int]:
        return self.evidence.awaiting(self.indexer.advance().time)

    def judge(self, batch: int, rules: RuleBook | None = None) -> Verdict:
        self.indexer.advance()
        stands = self.evidence.batch(batch)
        now = self.ledger.time
        return judge_batch(stands, rules or self.rules, lambda entry: self.evidence.of_entry(stands, entry), now)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.indexer.close()


def named(number: int, name: str) -> bytes:
    """A certificate of key `number` with this name."""
    extensions = (subject_key(), key_usage(), alternative_names(dns(name)))
    return Draft(key=key(number), serial_number=integer(number + 1), extensions=extensions).encode()


def test_good_certificates_are_accepted(bench: Bench) -> None:
    batch, _ = bench.ledger.submit(certificates(3))
    verdict = bench.judge(batch)
    assert (verdict.accepts, verdict.abstains, verdict.reasons) == (0b111, 0, {})


def test_what_the_contract_let_through_is_rejected(bench: Bench) -> None:
    """As if the contract's check of signatures were broken: the second certificate got a slot."""
    bad = Draft(key=key(7), signer=key(8)).encode()
    batch, _ = bench.ledger.submit([certificate(1), bad, certificate(2)])
    verdict = bench.judge(batch)
    assert verdict.accepts == 0b101
    assert verdict.reasons == {1: Reason.BAD_SIGNATURE}


def test_bytes_that_are_no_certificate_are_rejected(bench: Bench) -> None:
    batch, _ = bench.ledger.submit([certificate(1), b"\x30\x03junk"])
    assert bench.judge(batch).reasons == {1: Reason.MALFORMED_DER}


def test_an_id_that_is_not_the_certificate_s_own_is_rejected(bench: Bench) -> None:
    _, events = bench.ledger.submit([certificate(1)], mined=False)
    submitted = events[0]
    assert isinstance(submitted, ports.CertificateSubmitted)
    bench.ledger.mine([dataclasses.replace(submitted, certificate=identity(certificate(2))), *events[1:]])
    assert bench.judge(1).reasons == {0: Reason.NOT_IN_OWN_RULES}


def test_a_digest_that_is_not_that_of_the_bytes_is_not_endorsed(bench: Bench) -> None:
    _, events = bench.ledger.submit(certificates(2), mined=False)
    header = events[-1]
    assert isinstance(header, ports.BatchSubmitted)
    bench.ledger.mine([*events[:-1], dataclasses.replace(header, digest=b"\x01" * 32)])
    with pytest.raises(BatchMismatchError, match="its bytes give digest"):
        bench.judge(1)


@pytest.fixture
def careless_indexer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The indexer notices by itself what does not fit; the validator relies on nobody."""
    monkeypatch.setattr("pki_chain.index.indexer.check_whole", lambda _: None)


@pytest.mark.usefixtures("careless_indexer")
def test_an_entry_that_was_held_back_is_noticed(bench: Bench) -> None:
    _, events = bench.ledger.submit(certificates(3), mined=False)
    bench.ledger.mine([*events[:1], *events[2:]])
    with pytest.raises(BatchMismatchError, match="showed 2 of 3 entries"):
        bench.judge(1)


@pytest.mark.usefixtures("careless_indexer")
def test_a_map_that_differs_from_the_entries_is_noticed(bench: Bench) -> None:
    _, events = bench.ledger.submit(certificates(2), mined=False)
    header = events[-1]
    assert isinstance(header, ports.BatchSubmitted)
    bench.ledger.mine([*events[:-1], dataclasses.replace(header, present=0b01)])
    with pytest.raises(BatchMismatchError, match="map of entries"):
        bench.judge(1)


def test_refused_entries_count_for_the_digest_and_not_for_the_verdict(bench: Bench) -> None:
    refused = Draft(serial_number=integer(0)).encode()
    _, events = bench.ledger.submit([certificate(1), refused], refused={1: int(Reason.BAD_SERIAL)}, mined=False)
    told = events[1]
    assert isinstance(told, ports.EntryRefused)
    bench.ledger.mine([events[0], dataclasses.replace(told, entry_hash=keccak(refused)), events[2]])
    verdict = bench.judge(1)
    assert (verdict.accepts, verdict.reasons) == (0b01, {})


def test_weak_keys_are_rejected(bench: Bench) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - only here

    weak = ec.derive_private_key(1, ec.SECP256R1())
    batch, _ = bench.ledger.submit([Draft(key=weak).encode()])
    assert bench.judge(batch).reasons == {0: Reason.WEAK_KEY}
    careless = RuleBook(())
    assert bench.judge(batch, careless).accepts == 1


def test_a_name_of_a_live_certificate_is_rejected_for_another_key(bench: Bench) -> None:
    name = f"00a1b2c3d001.{REALM}"
    bench.ledger.accept([named(1, name)])
    batch, _ = bench.ledger.submit([named(2, name), named(3, f"00a1b2c3d003.{REALM}")])
    verdict = bench.judge(batch)
    assert verdict.reasons == {0: Reason.NAME_LIVE_ELSEWHERE}
    assert verdict.accepts == 0b10


def test_a_name_of_a_revoked_certificate_is_free(bench: Bench) -> None:
    name = f"00a1b2c3d001.{REALM}"
    bench.ledger.accept([named(1, name)])
    bench.ledger.revoke(named(1, name))
    batch, _ = bench.ledger.submit([named(2, name)])
    assert bench.judge(batch).accepts == 1


def test_a_name_of_a_held_certificate_is_live(bench: Bench) -> None:
    name = f"00a1b2c3d001.{REALM}"
    bench.ledger.accept([named(1, name)])
    bench.ledger.hold(named(1, name))
    batch, _ = bench.ledger.submit([named(2, name)])
    assert bench.judge(batch).reasons == {0: Reason.NAME_LIVE_ELSEWHERE}


def test_of_two_undecided_entries_the_earlier_has_the_name(bench: Bench) -> None:
    name = f"00a1b2c3d001.{REALM}"
    first, _ = bench.ledger.submit([named(1, name), named(2, name)])
    second, _ = bench.ledger.submit([named(3, name)])
    assert bench.judge(first).reasons == {1: Reason.NAME_LIVE_ELSEWHERE}
    assert bench.judge(second).reasons == {0: Reason.NAME_LIVE_ELSEWHERE}


def test_a_rejected_or_lapsed_entry_does_not_keep_its_name(bench: Bench) -> None:
    name = f"00a1b2c3d001.{REALM}"
    rejected, _ = bench.ledger.submit([named(1, name)])
    bench.ledger.endorse(rejected, OPERATOR, reject={0: 64})
    bench.ledger.endorse(rejected, OEM, reject={0: 64})
    bench.ledger.submit([named(2, name)], window_s=10)
    bench.ledger.mine([], after_s=100)
    batch, _ = bench.ledger.submit([named(3, name)])
    assert bench.judge(batch).accepts == 1


def test_the_same_key_may_have_its_name_again(bench: Bench) -> None:
    name = f"00a1b2c3d001.{REALM}"
    bench.ledger.accept([named(1, name)])
    again = Draft(
        key=key(1),
        serial_number=integer(99),
        extensions=(subject_key(), key_usage(), alternative_names(dns(name))),
    ).encode()
    batch, _ = bench.ledger.submit([again])
    assert bench.judge(batch).accepts == 1


def test_a_serial_number_is_given_once(bench: Bench) -> None:
    bench.ledger.accept([named(1, f"00a1b2c3d001.{REALM}")])
    again = Draft(
        key=key(2),
        serial_number=integer(2),
        extensions=(subject_key(), key_usage(), alternative_names(dns(f"00a1b2c3d002.{REALM}"))),
    ).encode()
    batch, _ = bench.ledger.submit([again])
    assert bench.judge(batch).reasons == {0: Reason.SERIAL_REPEATED}


def test_a_block_from_the_future_is_abstained_from(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    batch, _ = bench.ledger.submit(certificates(1))
    bench.indexer.advance()
    stands = bench.evidence.batch(batch)
    early = judge_batch(stands, bench.rules, lambda entry: bench.evidence.of_entry(stands, entry), BLOCK_TIME - 4_000)
    assert (early.accepts, early.abstains, early.reasons) == (0, 1, {0: Reason.CLOCK_DISAGREES})
    bench.indexer.close()


def test_only_batches_that_this_member_may_judge_await_it(bench: Bench, tmp_path: Path) -> None:
    batch, _ = bench.ledger.submit(certificates(1))
    assert bench.awaiting() == [batch]
    vendors = Evidence(open_reader(tmp_path / "read-model"), VENDOR)
    assert vendors.awaiting(bench.ledger.time) == []
    bench.ledger.endorse(batch, OPERATOR)
    assert bench.awaiting() == []
    assert Evidence(open_reader(tmp_path / "read-model"), OEM).awaiting(bench.ledger.time) == [batch]
    bench.ledger.endorse(batch, OEM)
    bench.indexer.advance()
    assert Evidence(open_reader(tmp_path / "read-model"), 4).awaiting(bench.ledger.time) == []


def test_a_batch_whose_window_is_over_awaits_nobody(bench: Bench) -> None:
    bench.ledger.submit(certificates(1), window_s=10)
    assert bench.awaiting() == [1]
    bench.ledger.mine([], after_s=100)
    assert bench.awaiting() == []


@pytest.mark.parametrize("member", [VENDOR, AUTHORITY])
def test_a_batch_awaits_nobody_while_its_vendor_is_suspended(bench: Bench, member: int) -> None:
    """The contract takes no word on it, also after the restoration: its lot has ended. Others do not matter."""
    batch, _ = bench.ledger.submit(certificates(1))
    bench.ledger.mine([ports.MemberChanged(member, ports.MemberKind.VENDOR, ports.MemberState.SUSPENDED, "X")])
    awaited = [] if member == VENDOR else [batch]
    assert bench.awaiting() == awaited
    bench.ledger.mine([ports.MemberChanged(member, ports.MemberKind.VENDOR, ports.MemberState.ACTIVE, "X")])
    assert bench.awaiting() == awaited


def test_a_batch_of_which_nothing_is_known_waits(bench: Bench) -> None:
    with pytest.raises(EvidenceMissingError):
        bench.evidence.batch(4_711)
