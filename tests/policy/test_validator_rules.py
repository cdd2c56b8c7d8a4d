"""A validator's rules: each rejects what it is for and lets its neighbour pass; rules.toml says exactly which hold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.errors import ConfigurationError
from pki_chain.policy.context import BatchContext, EvidenceMissingError
from pki_chain.policy.rules import CERTIFICATE_CHECK, RuleBook, available_rules, load_rules
from pki_chain.policy.settings import RuleSettings
from pki_chain.policy.weak_keys import weak_points
from pki_chain.ports import CertificateId
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import SMALL_CELL, SanType
from pki_chain.x509.public_key import N
from pki_chain.x509.reasons import Reason
from tests.certificates import BLOCK_TIME, EUI_RANGE, NAME, ORGANISATION, Draft, integer, key

DER = Draft().encode()
CERTIFICATE = parse_certificate(DER)
RFC_6979_KEY = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721


@dataclass(frozen=True)
class Records:
    """What the ledger is said to hold."""

    names: tuple[tuple[str, bytes], ...] = ()
    serials: tuple[tuple[int, CertificateId], ...] = ()
    is_reachable: bool = True

    def keys_with_name(self, name: SubjectAltName) -> Collection[bytes]:
        self._reach()
        assert name.kind is SanType.DNS
        return [spki_hash for text, spki_hash in self.names if text == name.text]

    def certificates_with_serial(self, issuer: bytes, serial_number: int) -> Collection[CertificateId]:
        self._reach()
        assert issuer == CERTIFICATE.issuer
        return [found for number, found in self.serials if number == serial_number]

    def _reach(self) -> None:
        if not self.is_reachable:
            raise EvidenceMissingError


def context(records: Records = Records(), **changes: object) -> BatchContext:
    plain = BatchContext(BLOCK_TIME, BLOCK_TIME, SMALL_CELL, ORGANISATION, (EUI_RANGE,), records, records)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture
def book(tmp_path: Path) -> RuleBook:
    """All rules, with the hash of key 1 as the compromised one."""
    bad = parse_certificate(Draft(key=key(1)).encode())
    (tmp_path / "keys.txt").write_text(f"# seen in a firmware image\n\n{bad.spki_hash.hex().upper()}\n")
    return load(tmp_path, '[rules.compromised_keys]\nfile = "keys.txt"\n' + EVERY_OTHER)


EVERY_OTHER = "[rules.weak_keys]\n[rules.clock]\ntolerance_s = 60\n[rules.live_names]\n[rules.repeated_serials]\n"


def load(folder: Path, text: str) -> RuleBook:
    path = folder / "rules.toml"
    path.write_text(text)
    return load_rules(path)


def test_a_good_certificate_passes_every_rule(book: RuleBook) -> None:
    assert {rule.name for rule in book.rules} == set(available_rules())
    judgement = book.judge(DER, context())
    assert judgement.is_accepted
    assert not judgement.is_abstention
    assert judgement.certificate == CERTIFICATE


def test_the_certificate_is_checked_even_without_any_rule() -> None:
    judgement = RuleBook(()).judge(Draft(serial_number=integer(0)).encode(), context())
    assert (judgement.reason, judgement.rule, judgement.certificate) == (Reason.BAD_SERIAL, CERTIFICATE_CHECK, None)
    assert RuleBook(()).judge(DER, context()).is_accepted


@pytest.mark.parametrize(
    "scalar",
    [1, 2, 1_024, N - 1, N - 2, 1 << 255, int("5a" * 32, 16), RFC_6979_KEY],
)
def test_weak_keys(book: RuleBook, scalar: int) -> None:
    draft = Draft(key=ec.derive_private_key(scalar, ec.SECP256R1()))
    judgement = book.judge(draft.encode(), context())
    assert (judgement.reason, judgement.rule) == (Reason.WEAK_KEY, "weak_keys")


def test_the_published_example_keys_are_those_of_the_documents() -> None:
    published = (
        "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",  # RFC 6979 §A.2.5
        "2442a5cc0ecd015fa3ca31dc8e2bbc70bf42d60cbca20085e0822cb04235e970",  # RFC 4754 §8.1
        "7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445",  # RFC 7515 §A.3
        "30a0424cd21c2944838a2d75c92b37e76ea20d9f00893a3b4eee8a3c0aafec3e",  # RFC 7517 §A.2
    )
    assert {int(x, 16) for x in published} <= weak_points()


def test_compromised_keys(book: RuleBook) -> None:
    judgement = book.judge(Draft(key=key(1)).encode(), context())
    assert (judgement.reason, judgement.rule) == (Reason.COMPROMISED_KEY, "compromised_keys")
    assert book.judge(Draft(key=key(2)).encode(), context()).is_accepted


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (BLOCK_TIME - 60, None),
        (BLOCK_TIME - 61, Reason.CLOCK_DISAGREES),
        (BLOCK_TIME + 3_600, None),
        (BLOCK_TIME + SMALL_CELL.window_seconds + 60, None),
        (BLOCK_TIME + SMALL_CELL.window_seconds + 61, Reason.CLOCK_DISAGREES),
    ],
)
def test_clock(book: RuleBook, now: int, reason: Reason | None) -> None:
    judgement = book.judge(DER, context(now=now))
    assert judgement.reason is reason
    assert judgement.is_abstention == (reason is not None)


def test_live_names(book: RuleBook) -> None:
    own, other = CERTIFICATE.spki_hash, bytes(32)
    assert book.judge(DER, context(Records(names=((NAME, own), ("other.example", other))))).is_accepted
    taken = book.judge(DER, context(Records(names=((NAME, own), (NAME, other)))))
    assert (taken.reason, taken.is_abstention) == (Reason.NAME_LIVE_ELSEWHERE, False)


def test_repeated_serials(book: RuleBook) -> None:
    number, own, other = CERTIFICATE.serial_number, CERTIFICATE.certificate_id, CertificateId(bytes(32))
    assert book.judge(DER, context(Records(serials=((number, own), (number + 1, other))))).is_accepted
    repeated = book.judge(DER, context(Records(serials=((number, other),))))
    assert repeated.reason is Reason.SERIAL_REPEATED


def test_missing_evidence_is_an_abstention_unless_something_else_rejects(book: RuleBook) -> None:
    judgement = book.judge(DER, context(Records(is_reachable=False)))
    assert (judgement.reason, judgement.is_abstention) == (Reason.EVIDENCE_MISSING, True)
    repeated = replace(context(Records(serials=((CERTIFICATE.serial_number, CertificateId(bytes(32))),))), now=0)
    assert book.judge(DER, repeated).reason is Reason.SERIAL_REPEATED


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "wants tables"),
        ("rules = 1", "wants tables"),
        ("[rules.none]", "no rule named 'none'"),
        ("[rules.quorum]", "no rule named 'quorum'"),
        ("[rules.settings]", "no rule named 'settings'"),
        ("[other]\n[rules.clock]", "wants tables"),
        ("[rules.clock", "cannot be read as TOML"),
        ("[rules]\nclock = true", "not a table"),
        ("[rules.clock]\ntolerance_s = -1", "rules.clock.tolerance_s wants seconds"),
        ("[rules.clock]\ntolerance_s = true", "rules.clock.tolerance_s wants seconds"),
        ('[rules.clock]\ntolerance_s = "60"', "rules.clock.tolerance_s wants seconds"),
        ("[rules.clock]\ntolerance = 60", "rules.clock.tolerance is not a setting"),
        ("[rules.weak_keys]\nfile = 'x'", "rules.weak_keys.file is not a setting"),
        ("[rules.compromised_keys]", "rules.compromised_keys.file wants the name of a file"),
        ("[rules.compromised_keys]\nfile = 'none.txt'", "cannot be read"),
        ("[rules.compromised_keys]\nfile = 'short.txt'", "'abcd' is not a SHA-256"),
    ],
)
def test_rules_toml_is_read_strictly(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "short.txt").write_text("abcd\n")
    with pytest.raises(ConfigurationError, match=complaint) as refused:
        load(tmp_path, text)
    assert "rules.toml" in refused.value.message


def test_rules_are_judged_in_the_order_of_the_file(tmp_path: Path) -> None:
    weak = Draft(key=ec.derive_private_key(1, ec.SECP256R1())).encode()
    taken = context(Records(names=((NAME, bytes(32)),)))
    first = load(tmp_path, "[rules.live_names]\n[rules.weak_keys]\n").judge(weak, taken)
    second = load(tmp_path, "[rules.weak_keys]\n[rules.live_names]\n").judge(weak, taken)
    assert (first.reason, second.reason) == (Reason.NAME_LIVE_ELSEWHERE, Reason.WEAK_KEY)


def test_a_list_of_keys_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("#" * 100)
    settings = RuleSettings("compromised_keys", tmp_path / "rules.toml", {"file": "keys.txt"})
    with pytest.raises(ConfigurationError, match="longer than 99 bytes"):
        settings.take_lines("file", 99)
    assert RuleSettings("x", tmp_path / "rules.toml", {"file": "keys.txt"}).take_lines("file", 100) == []
