"""Personalisation: whole, cut off at any point, and with cards and batches that do not fit."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim_applet_tools.access_rules import RULE_APPLET, AccessRuleApplet, agent_rule
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import MemoryStore
from sim_applet_tools.errors import InputError, NoCardError, ReaderBusyError, SimError, StorageError
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, DEVICE_KEY, ApprovalCard
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.personalise.activation import activate_card
from sim_applet_tools.personalise.attestation import Attester, verify_attestation
from sim_applet_tools.personalise.batch import Batch, parse_batch
from sim_applet_tools.personalise.card_steps import CardReport, Outcome
from sim_applet_tools.personalise.durable_lines import DurableLines
from sim_applet_tools.personalise.workplace import Workplace, personalise
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.status_words import ConditionsNotSatisfiedError
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.transport.loopback import LoopbackTransport
from tests.sim.batches import ACTIVATE, DEADLINE, REGISTER, TYPE, batch_bytes, batch_document, template
from tests.sim.scripted_card import BentCard

NOW = 1_800_000_000
TALLY = [load_profile("tally")]
PIN = "98765432"


def _batch(identities: int = 3, **changes: Any) -> Batch:
    return parse_batch(batch_bytes(identities, **changes), "batch")


def _card(**image: Any) -> EmulatedCard:
    return EmulatedCard(MemoryStore(replace(new_image(), **image)))


def _run(work: Workplace, *cards: Transport | EmulatedCard, **options: Any) -> list[CardReport]:
    transports = [LoopbackTransport(card) if isinstance(card, EmulatedCard) else card for card in cards]
    return list(personalise(work.steps(TALLY, **options), transports))


def _lines(work: Workplace | Path, name: str) -> list[dict[str, Any]]:
    folder = work if isinstance(work, Path) else work.folder
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _verify_registration(batch: Batch, line: dict[str, Any], purpose: int = REGISTER) -> ec.EllipticCurvePublicKey:
    """As the contract does, with another implementation of EIP-712's hash."""
    x, y = _decoded(line["key"]["x"]), _decoded(line["key"]["y"])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    _verify_proof(batch, bytes.fromhex(line["identity"][2:]), key, line["proof"], purpose)
    return key


def _verify_proof(batch: Batch, identity: bytes, key: ec.EllipticCurvePublicKey, proof: str, purpose: int) -> None:
    numbers = key.public_numbers()
    words = [keccak(TYPE.encode()), (7).to_bytes(32, "big"), identity]
    words += [number.to_bytes(32, "big") for number in (numbers.x, numbers.y, purpose, DEADLINE)]
    digest = keccak(b"\x19\x01" + batch.register.domain_separator + keccak(b"".join(words)))
    header, payload, signature = proof.split(".")
    assert _decoded(header) == b'{"alg":"ES256","typ":"tally-possession+jws"}'
    assert _decoded(payload) == digest
    raw = _decoded(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, f"{header}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))


def test_the_digest_is_that_of_eip_712() -> None:
    """Against eth-account's own encoder, with a real domain."""
    domain = {
        "name": "Tally",
        "version": "1",
        "chainId": 5,
        "verifyingContract": "0x" + "ab" * 20,
        "salt": b"\x07" * 32,
    }
    fields = [field.split() for field in TYPE.removeprefix("Possession(").removesuffix(")").split(",")]
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    x, y = (number.to_bytes(32, "big") for number in (key.public_numbers().x, key.public_numbers().y))
    identity = b"\x42" * 32
    signable = encode_typed_data(
        domain,
        {"Possession": [{"type": kind, "name": name} for kind, name in fields]},
        {"operator": 7, "identity": identity, "x": x, "y": y, "purpose": REGISTER, "deadline": DEADLINE},
    )
    batch = _batch(1, register=template(REGISTER, domain=signable.header))
    digest = batch.register.digest(identity, key)
    assert digest == keccak(b"\x19\x01" + signable.header + signable.body)
    assert batch.register.text(identity, key)[60:] == base64.urlsafe_b64encode(digest).rstrip(b"=")
    assert digest != batch.register.digest(b"\x43" * 32, key)


def test_a_stack_of_cards(tmp_path: Path) -> None:
    batch, cards = _batch(), [_card() for _ in range(3)]
    with Workplace(tmp_path / "cards", batch) as work:
        reports = _run(work, *cards, with_device_key=True)
        assert [report.outcome for report in reports] == [Outcome.FINISHED] * 3
    header, *registrations = _lines(work, "registrations.jsonl")
    assert header == {"format": "tally-identity-registrations/1", "operator": 7, "registry": batch.registry}
    assert [line["identity"] for line in registrations] == ["0x" + identity.hex() for identity in batch.identities]
    keys = {_verify_registration(batch, line).public_numbers() for line in registrations}
    assert len(keys) == 3
    for line in registrations:
        assert (line["attestation"], line["card_enforced"], line["emulator"]) == ("none", True, True)
    # the operator's file tells nothing of cards or PINs; everything is private
    public = (work.folder / "registrations.jsonl").read_text()
    for card, private, letter in zip(
        cards, _lines(work, "cards.jsonl"), _lines(work, "pin-letters.jsonl"), strict=True
    ):
        assert private["iccid"] == letter["iccid"] == card.iccid
        assert card.iccid not in public
        assert private["device_key"]["crv"] == "P-256"
        others = public + (work.folder / "journal.jsonl").read_text() + (work.folder / "cards.jsonl").read_text()
        assert letter["puk"] not in others
    assert {stat.S_IMODE(path.stat().st_mode) for path in work.folder.iterdir()} == {0o600}
    assert stat.S_IMODE(work.folder.stat().st_mode) == 0o700


def test_the_person_takes_the_card_over(tmp_path: Path) -> None:
    batch, card = _batch(1), _card()
    with Workplace(tmp_path / "cards", batch) as work:
        _run(work, card)
    letter = _lines(work, "pin-letters.jsonl")[0]
    approval = ApprovalCard(find_applet(LoopbackTransport(card), TALLY))
    seen, identity = SeenInMemory(), batch.identities[0]
    with pytest.raises(InputError, match="transport PIN must be changed"):
        activate_card(approval, batch.activate, identity, letter["transport_pin"], now=NOW, seen=seen)
    approval.change_pin(letter["transport_pin"], PIN)
    with pytest.raises(InputError, match="deadline"):
        activate_card(approval, batch.activate, identity, PIN, now=DEADLINE, seen=seen)
    proof = activate_card(approval, batch.activate, identity, PIN, now=NOW, seen=seen)
    key = _verify_registration(batch, _lines(work, "registrations.jsonl")[1])
    _verify_proof(batch, identity, key, proof, ACTIVATE)
    # the two proofs are not each other's
    assert proof.split(".")[1] != _lines(work, "registrations.jsonl")[1]["proof"].split(".")[1]


class _PulledAt:
    """Leaves after `left` commands: before the last of them has run, or after."""

    def __init__(self, card: EmulatedCard, left: int, *, has_run: bool) -> None:
        self._card = card
        self._left = left
        self._has_run = has_run

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def reset(self) -> None:
        self._card.reset()

    def transmit(self, raw: bytes) -> bytes:
        self._left -= 1
        if self._left > 0:
            return self._card.transmit(raw)
        if self._left == 0 and self._has_run:
            self._card.transmit(raw)
        raise NoCardError("pulled")


def _assert_one_finished(folder: Path, batch: Batch, card: EmulatedCard) -> None:
    """One identity, one key, one letter, and the letter's PIN opens the card."""
    _, *registrations = _lines(folder, "registrations.jsonl")
    assert len(registrations) == 1
    key = _verify_registration(batch, registrations[0])
    (letter,) = _lines(folder, "pin-letters.jsonl")
    approval = ApprovalCard(find_applet(LoopbackTransport(card), TALLY))
    assert approval.status().state_name == "personalised"
    assert approval.read_public_key(letter["transport_pin"]) == key
    approval.applet.select()
    approval.unblock_pin(letter["puk"], PIN)


@pytest.mark.parametrize("has_run", [False, True])
def test_a_card_pulled_at_any_command_is_finished_later(tmp_path: Path, has_run: bool) -> None:
    number, outcomes = 0, set()
    rule = agent_rule(TALLY[0].application_ids[0], b"certificate")
    while Outcome.FINISHED not in outcomes:
        number += 1
        batch, card, folder = _batch(2), _card(), tmp_path / str(number)
        with Workplace(folder, batch) as work:
            pulled = LoopbackTransport(_PulledAt(card, number, has_run=has_run))
            outcomes.add(_run(work, pulled, with_device_key=True, access_rule=rule)[0].outcome)
        with Workplace(folder, batch) as work:
            again = _run(work, card, with_device_key=True, access_rule=rule)[0]
            assert again.outcome in {Outcome.FINISHED, Outcome.KNOWN}, again.detail
        _assert_one_finished(folder, batch, card)
        assert AccessRuleApplet(LoopbackTransport(card)).rules() == [rule]
    assert number > 20
    assert outcomes == {Outcome.INTERRUPTED, Outcome.FINISHED}


class _KilledError(BaseException):
    """The process ends here."""


@contextmanager
def _killed_at_write(monkeypatch: pytest.MonkeyPatch, number: int, *, is_written: bool) -> Iterator[list[int]]:
    counted = [0]
    real = DurableLines.append

    def append(self: DurableLines, line: Any) -> None:
        counted[0] += 1
        if counted[0] == number and not is_written:
            raise _KilledError
        real(self, line)
        if counted[0] == number:
            raise _KilledError

    with monkeypatch.context() as patch:
        patch.setattr(DurableLines, "append", append)
        yield counted


@pytest.mark.parametrize("is_written", [False, True])
def test_a_kill_at_any_write_loses_no_key_and_no_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        batch, card, folder = _batch(2), _card(), tmp_path / str(number)
        with _killed_at_write(monkeypatch, number, is_written=is_written):
            try:
                with Workplace(folder, batch) as work:
                    _run(work, card, with_device_key=True)
                killed = False
            except _KilledError:
                killed = True
        with Workplace(folder, batch) as work:
            _run(work, card, with_device_key=True)
        _assert_one_finished(folder, batch, card)
    assert number > 6


def test_a_line_cut_off_is_removed_and_a_damaged_one_refused(tmp_path: Path) -> None:
    batch, card = _batch(2), _card()
    with Workplace(tmp_path / "cards", batch) as work:
        _run(work, card)
    journal = tmp_path / "cards" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"identity": "00')
    with Workplace(tmp_path / "cards", batch) as work:
        assert _run(work, card)[0].outcome is Outcome.KNOWN
    assert journal.read_bytes() == whole
    first = whole.splitlines()[1].decode()
    for damage in ("nonsense\n", "[]\n", "{}\n", first + "\n", first.replace(card.iccid, "8999901") + "\n"):
        journal.write_bytes(whole + damage.encode())
        with pytest.raises(StorageError, match=r"damaged|twice"):
            Workplace(tmp_path / "cards", batch)


def test_one_run_a_batch_and_one_batch_a_folder(tmp_path: Path) -> None:
    batch = _batch()
    with Workplace(tmp_path / "cards", batch), pytest.raises(ReaderBusyError, match="another process"):
        Workplace(tmp_path / "cards", batch)
    with pytest.raises(InputError, match="another batch"):
        Workplace(tmp_path / "cards", _batch())
    Workplace(tmp_path / "cards", batch).__exit__(None, None, None)


def _used(change: Callable[[ApprovalCard], object]) -> EmulatedCard:
    card = _card()
    change(ApprovalCard(find_applet(LoopbackTransport(card), TALLY)))
    return card


def _personalised(card: ApprovalCard) -> None:
    card.applet.generate_key_pair(APPROVAL_KEY)
    card.personalise("123456", "11223344")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda card: card.applet.generate_key_pair(APPROVAL_KEY), "holds a key already"),
        (lambda card: card.applet.generate_key_pair(DEVICE_KEY), "holds a key already"),
        (_personalised, "personalised, not fresh"),
    ],
)
def test_a_used_card_gets_no_identity_and_keeps_its_key(
    tmp_path: Path, change: Callable[[ApprovalCard], object], text: str
) -> None:
    used, good = _used(change), _card()
    before = used.store.load() if used.store else None
    with Workplace(tmp_path / "cards", _batch(2)) as work:
        refused, finished = _run(work, used, good)
        assert (refused.outcome, finished.outcome) == (Outcome.REFUSED, Outcome.FINISHED)
        assert text in refused.detail
        assert work.journal.identities_left == 1
    assert used.store is not None
    assert used.store.load() == before


def test_a_card_without_applet_or_iccid_is_refused(tmp_path: Path) -> None:
    with Workplace(tmp_path / "cards", _batch(2)) as work:
        (report,) = _run(work, EmulatedCard(None))
        assert report.outcome is Outcome.REFUSED
        assert work.journal.identities_left == 2


def _pull_before_personalise(work: Workplace, card: EmulatedCard) -> None:
    class Pulled(_PulledAt):
        def transmit(self, raw: bytes) -> bytes:
            if raw[1] == 0xD2:
                raise NoCardError("pulled")
            return self._card.transmit(raw)

    (report,) = _run(work, LoopbackTransport(Pulled(card, 0, has_run=False)))
    assert report.outcome is Outcome.INTERRUPTED


def _taken_over(card: ApprovalCard) -> None:
    card.personalise("123456", "11223344")
    card.change_pin("123456", PIN)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda card: card.applet.generate_key_pair(APPROVAL_KEY), "another key than the one made"),
        (lambda card: card.personalise("123456", "11223344"), "wrong PIN"),
        (
            lambda card: (card.personalise("123456", "11223344"), card.change_pin("123456", PIN)),
            "personalised elsewhere",
        ),
    ],
)
def test_a_card_changed_by_others_is_set_aside_and_its_identity_spent(
    tmp_path: Path, change: Callable[[ApprovalCard], object], text: str
) -> None:
    batch, card, other = _batch(2), _card(), _card()
    with Workplace(tmp_path / "cards", batch) as work:
        _pull_before_personalise(work, card)
        change(ApprovalCard(find_applet(LoopbackTransport(card), TALLY)))
        aside, again, finished = _run(work, card, card, other)
        assert [report.outcome for report in (aside, again)] == [Outcome.SET_ASIDE] * 2
        assert finished.outcome is Outcome.FINISHED
        assert text in aside.detail
        assert work.journal.identities_left == 0
    _, line = _lines(work, "registrations.jsonl")
    assert line["identity"] == "0x" + batch.identities[1].hex()


def test_a_card_whose_letter_was_destroyed_too_early_is_set_aside(tmp_path: Path) -> None:
    card = _card()

    class AfterPersonalise(_PulledAt):
        def transmit(self, raw: bytes) -> bytes:
            answer = self._card.transmit(raw)
            if raw[1] == 0xD2:
                raise NoCardError("pulled")
            return answer

    with Workplace(tmp_path / "cards", _batch(1)) as work:
        _run(work, LoopbackTransport(AfterPersonalise(card, 0, has_run=True)))
    (tmp_path / "cards" / "pin-letters.jsonl").unlink()
    with Workplace(tmp_path / "cards", work.batch) as work:
        (report,) = _run(work, card)
    assert report.outcome is Outcome.SET_ASIDE
    assert "letter is gone" in report.detail


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 32),
    st.binary(max_size=90),
    st.sampled_from([b"", b"\x90\x00", b"\x61\x10", b"\x6c\x02", b"\x6f\x00"]),
)
def test_a_card_that_answers_anything_once_spoils_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, number: int, data: bytes, status: bytes
) -> None:
    """One answer is replaced; the card is finished, or set aside with its identity, and the next card goes well."""
    batch, odd, good = _batch(2), _card(), _card()
    left = [number]

    def bend(_command: bytes, answer: bytes) -> bytes:
        left[0] -= 1
        return data + status if left[0] == 0 else answer

    folder = tmp_path_factory.mktemp("bent") / "cards"
    with Workplace(folder, batch) as work:
        first = _run(work, LoopbackTransport(BentCard(odd, bend)))[0]
        outcomes = [report.outcome for report in _run(work, odd, good)]
    assert first.outcome in set(Outcome)
    _, *lines = _lines(folder, "registrations.jsonl")
    assert len({line["identity"] for line in lines}) == len(lines)
    for line in lines:
        _verify_registration(batch, line)
    assert Outcome.FINISHED in {first.outcome, *outcomes}
    letters = {letter["iccid"]: letter for letter in _lines(folder, "pin-letters.jsonl")}
    for card, record in ((card, work.journal.record(card.iccid)) for card in (odd, good)):
        if record is not None and record.is_finished:
            approval = ApprovalCard(find_applet(LoopbackTransport(card), TALLY))
            approval.read_public_key(letters[card.iccid]["transport_pin"])


def test_a_half_done_card_can_be_given_up(tmp_path: Path) -> None:
    card = _card()
    with Workplace(tmp_path / "cards", _batch(1)) as work:
        _pull_before_personalise(work, card)
        with pytest.raises(InputError, match="no card 123"):
            work.set_aside("123", "lost")
        work.set_aside(card.iccid, "lost")
        with pytest.raises(InputError, match="half done"):
            work.set_aside(card.iccid, "lost")
        assert _run(work, card, _card())[0].outcome is Outcome.SET_ASIDE
    assert len(_lines(work, "registrations.jsonl")) == 1


def test_a_card_with_anothers_iccid_is_refused(tmp_path: Path) -> None:
    card = _card()
    with Workplace(tmp_path / "cards", _batch(2)) as work:
        first, second = _run(work, card, _card(iccid=card.iccid))
        assert (first.outcome, second.outcome) == (Outcome.FINISHED, Outcome.REFUSED)
        assert "another card of this ICCID" in second.detail


def test_more_cards_than_identities(tmp_path: Path) -> None:
    with Workplace(tmp_path / "cards", _batch(1)) as work:
        assert len(_run(work, _card(), _card())) == 1
    with Workplace(tmp_path / "cards", work.batch) as work, pytest.raises(InputError, match="another batch"):
        _run(work, _card())


def test_no_proof_after_the_deadline(tmp_path: Path) -> None:
    batch, card = _batch(1, register=template(REGISTER, deadline=1)), _card()
    with Workplace(tmp_path / "cards", batch) as work, pytest.raises(InputError, match="deadline"):
        _run(work, card)
    assert work.journal.record(card.iccid) is None


def test_a_personaliser_attests_cards_and_no_emulator(tmp_path: Path) -> None:
    batch, attester = _batch(2), Attester(ec.generate_private_key(ec.SECP256R1()))
    real, marked = _card(flags=0), _card(flags=1)
    with Workplace(tmp_path / "cards", batch) as work:
        _run(work, real, marked, attester=attester)
        records = {record.iccid: record for record in work.journal}
    _, first, second = _lines(work, "registrations.jsonl")
    assert (first["attestation"], first["emulator"]) == ("personaliser", False)
    assert (second["attestation"], second["emulator"]) == ("none", True)
    (line,) = _lines(work, "attestations.jsonl")
    assert line["identity"] == first["identity"]
    record, key = records[real.iccid], attester.key.public_key()
    verify_attestation(line["attestation"], batch, record, key)
    with pytest.raises(InputError, match="emulator is not attested"):
        attester.attest(batch, records[marked.iccid])
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    head, payload, signature = line["attestation"].split(".")
    for jws, who, whose in (
        (line["attestation"], record, other),
        (line["attestation"], records[marked.iccid], key),
        (f"{head}.{payload}.{signature[:-2]}", record, key),
        (f"{head}.{payload[:-1]}.{signature}", record, key),
        ("", record, key),
    ):
        with pytest.raises(InputError):
            verify_attestation(jws, batch, who, whose)


def test_the_agents_app_is_let_in_where_the_card_has_rules(tmp_path: Path) -> None:
    rule = agent_rule(TALLY[0].application_ids[0], b"certificate")
    card, without = _card(), _card()

    class NoRules(_PulledAt):
        """Has no ARA-M, as many SIMs."""

        def transmit(self, raw: bytes) -> bytes:
            return b"\x6a\x82" if RULE_APPLET in raw else self._card.transmit(raw)

    with Workplace(tmp_path / "cards", _batch(2)) as work:
        first, second = _run(work, card, LoopbackTransport(NoRules(without, 0, has_run=False)), access_rule=rule)
    assert AccessRuleApplet(LoopbackTransport(card)).rules() == [rule]
    assert (first.outcome, second.outcome) == (Outcome.FINISHED, Outcome.FINISHED)
    assert "no ARA-M" in second.detail
    stored = [line["access_rule"] for line in _lines(work, "cards.jsonl")]
    assert stored == ["stored", "the card has no ARA-M"]


class _StockCard:
    """A card with an IoT SAFE applet of others: its AID, no PIN, keys that sign anything."""

    def __init__(self, card: EmulatedCard) -> None:
        self._card = card

    @property
    def atr(self) -> bytes:
        return self._card.atr

    def reset(self) -> None:
        self._card.reset()

    def transmit(self, raw: bytes) -> bytes:
        foreign, ours = STOCK.application_ids[0], TALLY[0].application_ids[0]
        if raw[1] == 0xA4 and ours in raw:
            return b"\x6a\x82"
        if raw[1] == 0xA4 and foreign in raw:
            raw = b"\x00\xa4\x04\x00" + bytes((len(ours),)) + ours
        answer = self._card.transmit(raw)
        # the emulator's mark is an extension that stock applets have not
        return answer.replace(bytes.fromhex("EF09800101810101830105"), b"")


STOCK = load_profile("orange")


def test_a_stock_card_gets_a_key_and_a_proof_only(tmp_path: Path) -> None:
    batch, cards = (
        _batch(2),
        [
            _StockCard(
                _card(),
            )
            for _ in range(2)
        ],
    )
    with Workplace(tmp_path / "cards", batch) as work:
        steps = work.steps([*TALLY, STOCK], container=DEVICE_KEY)
        reports = list(personalise(steps, [LoopbackTransport(card) for card in cards]))
        assert [report.outcome for report in reports] == [Outcome.FINISHED] * 2
        assert steps.take(LoopbackTransport(cards[0])).outcome is Outcome.KNOWN
    for line in _lines(work, "registrations.jsonl")[1:]:
        _verify_registration(batch, line)
        assert (line["card_enforced"], line["emulator"], line["attestation"]) == (False, False, "none")
    assert _lines(work, "pin-letters.jsonl") == []


def test_a_stock_card_that_holds_a_key_is_refused(tmp_path: Path) -> None:
    inner = _used(lambda card: card.applet.generate_key_pair(DEVICE_KEY))
    with Workplace(tmp_path / "cards", _batch(1)) as work:
        steps = work.steps([STOCK], container=DEVICE_KEY)
        (report,) = personalise(steps, [LoopbackTransport(_StockCard(inner))])
        assert report.outcome is Outcome.REFUSED
        assert "holds a key already" in report.detail


def _changed(**changes: Any) -> bytes:
    return json.dumps({**batch_document(1), **changes}).encode()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no object"),
        (b'{"format":1,"format":1}', "twice"),
        (_changed(format="tally-identity-batch/2"), "another version"),
        (_changed(more=1), "unknown"),
        (_changed(operator=True), "member number"),
        (_changed(operator=0), "member number"),
        (_changed(operator_name="a\nb"), "plain text"),
        (_changed(registry="0x12"), "registry"),
        (_changed(identities=[]), "identities"),
        (_changed(identities=["0x" + "11" * 32] * 2), "twice"),
        (_changed(identities=["0x" + "11" * 31]), "identities"),
        (_changed(identities=["0x" + "11" * 32, 5]), "identities"),
        (_changed(register={}), "register"),
        (_changed(register={**template(1), "deadline": "soon"}), "deadline"),
        (_changed(register={**template(1), "words": ["identity", "x"]}), "each of identity"),
        (_changed(register={**template(1), "words": ["identity", "x", "y", "x"]}), "each of identity"),
        (_changed(register={**template(1), "words": ["identity", "x", "y", "z"]}), "words"),
        (_changed(register={**template(1), "words": ["identity", "x", "y"] + ["0x" + "00" * 32] * 40}), "words"),
        (_changed(activate={**template(2), "domain_separator": "0x"}), "domain_separator"),
    ],
)
def test_a_batch_of_another_form_is_refused(raw: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        parse_batch(raw, "batch.json")
    parse_batch(batch_bytes(), "batch.json")


def test_a_full_disk_stops_the_run_and_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, card = _batch(2), _card()
    real = DurableLines.append
    with Workplace(tmp_path / "cards", batch) as work:

        def append(self: DurableLines, line: Any) -> None:
            if "proof" in line:
                raise StorageError("cannot write: no space")
            real(self, line)

        with monkeypatch.context() as patch:
            patch.setattr(DurableLines, "append", append)
            with pytest.raises(StorageError, match="no space"):
                _run(work, card)
    with Workplace(tmp_path / "cards", batch) as work:
        assert _run(work, card)[0].outcome is Outcome.FINISHED
    _assert_one_finished(tmp_path / "cards", batch, card)
    assert card.store is not None
    assert card.store.load().counter == 2


def test_a_fresh_card_signs_three_proofs_a_key_and_is_then_set_aside(tmp_path: Path) -> None:
    """A card that always goes before its proof is written down is given up, not asked for ever."""
    batch, card = _batch(2), _card()
    with Workplace(tmp_path / "cards", batch) as work:

        class Pulled(_PulledAt):
            def transmit(self, raw: bytes) -> bytes:
                answer = self._card.transmit(raw)
                if raw[1] == 0xC0 and len(answer) == 68:
                    raise NoCardError("pulled")
                return answer

        for _ in range(3):
            (report,) = _run(work, LoopbackTransport(Pulled(card, 0, has_run=False)))
            assert report.outcome is Outcome.INTERRUPTED
        assert _run(work, card)[0].outcome is Outcome.SET_ASIDE
    assert "proof" not in (work.folder / "registrations.jsonl").read_text()


def test_errors_are_of_this_package(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="folder"):
        Workplace(tmp_path / "file" / "cards", _batch())
    assert issubclass(ConditionsNotSatisfiedError, SimError)
    assert hashlib.sha256(batch_bytes()).digest_size == 32
