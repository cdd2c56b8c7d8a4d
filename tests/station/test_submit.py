"""A station against gateways that are away, behind, refuse, or answer nonsense."""

from __future__ import annotations

import base64
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedTexts, batch_digest, recover
from pki_chain.config import ConsortiumFile
from pki_chain.errors import ConfigurationError, LedgerUnavailableError
from pki_chain.ports import Address, Submission
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.station.outbox import EntryState
from pki_chain.station.submit import Station, StationSettings
from pki_chain.x509.reasons import Reason
from tests.certificates import Draft, integer, rules
from tests.station.scripted_gateway import ScriptedGateway, serve

NOBODY = Address("0x" + "00" * 20)
FILE = ConsortiumFile(
    chain_id=4_711,
    salt=b"\x01" * 32,
    consortium=NOBODY,
    directory=NOBODY,
    certificate_registry=NOBODY,
    identity_registry=NOBODY,
    trust_list=Address("0x" + "7e" * 20),
    code_hashes={},
    endpoints=("http://127.0.0.1:1",),
    founding_block=0,
    founding_hash=b"\0" * 32,
)
TEXTS = TypedTexts(FILE)
SIGNER = Signer.ephemeral()


def digest_of(content: dict[str, Any]) -> str:
    return "0x" + batch_digest([base64.b64decode(each) for each in content["certificates"]]).hex()


def take(content: dict[str, Any]) -> tuple[int, Any]:
    return 202, {"digest": digest_of(content)}


def decided(gateway: ScriptedGateway, *states: str, reason: Reason | None = None) -> Callable[[str], tuple[int, Any]]:
    """Answers about the last submission that this gateway got: a state for each entry."""

    def get(_: str) -> tuple[int, Any]:
        content = gateway.posted[-1]
        told = reason and {"number": int(reason), "text": reason.text, "remedy": reason.remedy}
        entries = [{"sha256": None, "state": state, "reason": told} for state in states]
        return 200, {"nonce": content["nonce"], "batch": 1, "entries": entries}

    return get


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with serve(ScriptedGateway(take, lambda _: (404, {"detail": "unknown"}))) as served:
        yield served


def station(
    directory: Path, *gateways: str, clock: Callable[[], float] = lambda: 1_790_000_000.0, **settings: int
) -> Station:
    client = GatewayClient(gateways, timeout_s=2)
    return Station(directory, SIGNER, texts=TEXTS, gateways=client, settings=StationSettings(**settings), clock=clock)


def certificates(count: int) -> list[tuple[str, bytes]]:
    return [(f"{number}.cer", Draft(serial_number=integer(number + 1)).encode()) for number in range(count)]


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_submission_is_signed_by_the_station_over_exactly_what_is_posted(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    gateway.get = decided(gateway, "valid", "valid")
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(2), rules())
        assert line.run(threading.Event(), timeout_s=10)
        assert line.outbox.counts() == {EntryState.VALID: 2}
    (posted,) = gateway.posted
    submission = Submission(posted["station"], 2, 7, int(posted["nonce"]), posted["deadline"])
    typed = TEXTS.submission(submission, bytes.fromhex(digest_of(posted)[2:]))
    assert recover(typed, bytes.fromhex(posted["signature"][2:])) == SIGNER.address
    other = TEXTS.submission(submission, secrets.token_bytes(32))
    assert recover(other, bytes.fromhex(posted["signature"][2:])) != SIGNER.address


def test_the_local_check_keeps_a_bad_certificate_and_says_why(tmp_path: Path, gateway: ScriptedGateway) -> None:
    gateway.get = decided(gateway, "valid")
    bad = Draft(serial_number=integer(0)).encode()
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, [*certificates(1), ("bad.cer", bad)], rules())
        assert line.run(threading.Event(), timeout_s=10)
        entry = line.outbox.entries()[1]
    assert (entry.state, entry.reason) == (EntryState.NOT_SENT, Reason.BAD_SERIAL)
    assert Reason.BAD_SERIAL.text in entry.explanation
    assert len(gateway.posted[0]["certificates"]) == 1


def test_without_the_local_check_everything_is_sent(tmp_path: Path, gateway: ScriptedGateway) -> None:
    gateway.get = decided(gateway, "refused", reason=Reason.BAD_SERIAL)
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, [("bad.cer", Draft(serial_number=integer(0)).encode())], None)
        assert line.run(threading.Event(), timeout_s=10)
        (entry,) = line.outbox.entries()
    assert (entry.state, entry.reason) == (EntryState.REFUSED, Reason.BAD_SERIAL)


def test_a_gateway_that_is_away_is_passed_over(tmp_path: Path, gateway: ScriptedGateway) -> None:
    gateway.get = decided(gateway, "valid")
    with station(tmp_path, closed_port(), gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        assert line.run(threading.Event(), timeout_s=10)


def test_a_gateway_that_is_too_slow_is_passed_over(tmp_path: Path, gateway: ScriptedGateway) -> None:
    """It takes the batch all the same, later: the same bytes are no second submission."""
    answer = threading.Event()
    gateway.get = decided(gateway, "valid")

    def slowly(content: dict[str, Any]) -> tuple[int, Any]:
        answer.wait(30)
        return take(content)

    with serve(ScriptedGateway(slowly, gateway.get)) as slow:
        client = GatewayClient((slow.address, gateway.address), timeout_s=0.3)
        with Station(tmp_path, SIGNER, texts=TEXTS, gateways=client, clock=lambda: 1_790_000_000.0) as line:
            line.take_in(7, 2, certificates(1), rules())
            line.step()
            answer.set()
            assert line.run(threading.Event(), timeout_s=10)
            assert line.outbox.counts() == {EntryState.VALID: 1}
        assert gateway.posted == slow.posted


def test_all_gateways_away_loses_nothing_and_says_so(tmp_path: Path) -> None:
    with station(tmp_path, closed_port()) as line:
        line.take_in(7, 2, certificates(3), rules())
        with pytest.raises(LedgerUnavailableError, match="does not answer"):
            line.run(threading.Event(), timeout_s=0.5, poll_s=0.05)
        assert line.outbox.counts() == {EntryState.SENT: 3}
        assert len(line.outbox.open_batches()) == 1


@pytest.mark.parametrize("status", [429, 500, 503, 507])
def test_a_gateway_in_trouble_is_asked_again_with_the_same_bytes(
    tmp_path: Path, gateway: ScriptedGateway, status: int
) -> None:
    gateway.post = lambda content: take(content) if len(gateway.posted) > 2 else (status, {"detail": "later"})
    gateway.get = decided(gateway, "valid")
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
    assert gateway.posted[0] == gateway.posted[1] == gateway.posted[2]


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"", {"digest": "0x" + "00" * 32}])
def test_an_acknowledgement_that_is_none_is_not_believed(
    tmp_path: Path, gateway: ScriptedGateway, answer: object
) -> None:
    gateway.post = lambda _: (202, answer)
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        with pytest.raises(LedgerUnavailableError):
            line.run(threading.Event(), timeout_s=0.2, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.SENT: 1}


def test_a_refusal_is_final_with_the_gateway_s_text(tmp_path: Path, gateway: ScriptedGateway) -> None:
    gateway.post = lambda _: (403, {"code": "station-suspended", "detail": "Station is suspended."})
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        assert line.run(threading.Event(), timeout_s=10)
        (entry,) = line.outbox.entries()
    assert entry.state is EntryState.NOT_SENT
    assert "Station is suspended." in entry.explanation
    assert len(gateway.posted) == 1


def test_a_gateway_that_is_behind_is_asked_again(tmp_path: Path, gateway: ScriptedGateway) -> None:
    behind = (422, {"code": "unknown-lot", "detail": "There is no lot 7."})
    gateway.post = lambda content: take(content) if len(gateway.posted) > 2 else behind
    gateway.get = decided(gateway, "valid")
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.VALID: 1}


def test_a_batch_that_a_gateway_never_heard_of_is_given_to_it(tmp_path: Path, gateway: ScriptedGateway) -> None:
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        line.step()
        line.step()  # 404: the one that acknowledged is another
    assert gateway.posted[0] == gateway.posted[1]


def test_lapsed_entries_come_again_under_a_fresh_nonce_and_not_for_ever(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    gateway.get = decided(gateway, "lapsed", reason=Reason.EVIDENCE_MISSING)
    with station(tmp_path, gateway.address, maximum_tries=3) as line:
        line.take_in(7, 2, certificates(1), rules())
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        (entry,) = line.outbox.entries()
    assert entry.state is EntryState.LAPSED
    assert Reason.EVIDENCE_MISSING.text in entry.explanation
    assert len({posted["nonce"] for posted in gateway.posted}) == 3


def test_the_lapse_of_an_earlier_attempt_says_nothing_of_this_one(tmp_path: Path, gateway: ScriptedGateway) -> None:
    lapsed = decided(gateway, "lapsed", reason=Reason.EVIDENCE_MISSING)
    gateway.get = lambda path: (200, {**lapsed(path)[1], "nonce": "1"})
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        assert not line.run(threading.Event(), timeout_s=0.2, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.SENT: 1}


def failed(gateway: ScriptedGateway, text: str, *, more_than: int = 0) -> Callable[[str], tuple[int, Any]]:
    """Submissions of more certificates than that failed on the ledger; the others are valid. Looked up by digest."""

    def get(path: str) -> tuple[int, Any]:
        posted = next(each for each in reversed(gateway.posted) if path.endswith(digest_of(each)))
        count = len(posted["certificates"])
        if count <= more_than:
            entries = [{"sha256": None, "state": "valid", "reason": None}] * count
            return 200, {"nonce": posted["nonce"], "batch": 1, "state": "settled", "entries": entries}
        told = {"number": 0, "name": "batch_refused", "text": text, "remedy": "correct it and submit again"}
        entries = [{"sha256": None, "state": "refused", "reason": told}] * count
        content = {"nonce": posted["nonce"], "batch": None, "state": "failed", "failure": text, "entries": entries}
        return 200, content

    return get


@pytest.mark.parametrize(
    "text",
    ["The call ran out of its 16777216 gas.", "The contract refused without giving a reason."],
)
def test_a_batch_that_ran_out_of_gas_is_sent_again_in_halves(
    tmp_path: Path, gateway: ScriptedGateway, text: str
) -> None:
    gateway.get = failed(gateway, text, more_than=3)
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(10), rules())
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.VALID: 10}
    sizes = sorted(len(posted["certificates"]) for posted in gateway.posted)
    assert sizes == [2, 2, 3, 3, 5, 5, 10]
    assert len({posted["nonce"] for posted in gateway.posted}) == len(gateway.posted)


def test_a_certificate_that_runs_out_of_gas_alone_is_refused_with_the_reason(
    tmp_path: Path, gateway: ScriptedGateway
) -> None:
    gateway.get = failed(gateway, "The call ran out of its 16777216 gas.")
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(2), rules())
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        entries = line.outbox.entries()
    assert [entry.state for entry in entries] == [EntryState.REFUSED, EntryState.REFUSED]
    assert "ran out of its 16777216 gas" in entries[0].explanation
    assert [len(posted["certificates"]) for posted in gateway.posted] == [2, 1, 1]


def test_what_a_contract_refuses_as_a_whole_is_not_halved(tmp_path: Path, gateway: ScriptedGateway) -> None:
    gateway.get = failed(gateway, "RegistryStationNotInLot(0x00, 7)")
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(4), rules())
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.REFUSED: 4}
    assert len(gateway.posted) == 1


@pytest.mark.parametrize(
    "text", ["RegistryNonceUsed(0x00, 9)", "RegistryDeadlinePassed(7)", "... Send the call again."]
)
def test_what_a_fresh_signature_mends_is_signed_anew(tmp_path: Path, gateway: ScriptedGateway, text: str) -> None:
    gateway.get = failed(gateway, text)
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(2), rules())
        line.step()
        line.step()
        gateway.get = decided(gateway, "valid", "valid")
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.VALID: 2}
    first, second = gateway.posted
    assert first["nonce"] != second["nonce"]
    assert first["certificates"] == second["certificates"]


def test_a_batch_that_a_gateway_calls_too_large_is_halved(tmp_path: Path, gateway: ScriptedGateway) -> None:
    too_large = (413, {"code": "batch-too-large", "detail": "Split the batch."})
    gateway.post = lambda content: too_large if len(content["certificates"]) > 1 else take(content)
    gateway.get = failed(gateway, "", more_than=9)
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(3), rules())
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.VALID: 3}


def test_halves_survive_a_crash_between_them(
    tmp_path: Path, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.get = failed(gateway, "The call ran out of its 16777216 gas.", more_than=2)
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(4), rules())
        line.step()
        with monkeypatch.context() as patch:
            patch.setattr(line, "_sign", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                line.step()
    with station(tmp_path, gateway.address) as line:
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
        assert line.outbox.counts() == {EntryState.VALID: 4}


def test_the_failure_of_an_earlier_attempt_says_nothing_of_this_one(tmp_path: Path, gateway: ScriptedGateway) -> None:
    told = failed(gateway, "RegistryLotClosed(7)")
    gateway.get = lambda path: (200, {**told(path)[1], "nonce": "1"})
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        line.step()
        line.step()
        assert line.outbox.counts() == {EntryState.SENT: 1}
    assert gateway.posted[0] == gateway.posted[1], "the gateway that knows only an earlier attempt was not given this"


def test_a_passed_deadline_is_signed_anew(tmp_path: Path, gateway: ScriptedGateway) -> None:
    now = [1_790_000_000.0]
    gateway.post = lambda _: (503, {"detail": "later"})
    with station(tmp_path, gateway.address, clock=lambda: now[0], deadline_s=100) as line:
        line.take_in(7, 2, certificates(1), None)
        with pytest.raises(LedgerUnavailableError):
            line.step()
        now[0] += 101
        line.step()
        gateway.post = take
        gateway.get = decided(gateway, "valid")
        assert line.run(threading.Event(), timeout_s=10, poll_s=0.02)
    assert gateway.posted[-1]["deadline"] == gateway.posted[0]["deadline"] + 101
    assert gateway.posted[-1]["nonce"] != gateway.posted[0]["nonce"]


def test_an_answer_about_other_certificates_is_not_believed(tmp_path: Path, gateway: ScriptedGateway) -> None:
    entries = [{"sha256": "ab" * 32, "state": "valid", "reason": None}]
    gateway.get = lambda _: (200, {"nonce": "1", "batch": 1, "entries": entries})
    with station(tmp_path, gateway.address) as line:
        line.take_in(7, 2, certificates(1), rules())
        line.step()
        with pytest.raises(LedgerUnavailableError, match="other certificates"):
            line.step()
        assert line.outbox.counts() == {EntryState.SENT: 1}


def test_two_copies_go_to_two_gateways(tmp_path: Path, gateway: ScriptedGateway) -> None:
    gateway.get = decided(gateway, "valid")
    with serve(ScriptedGateway(take, gateway.get)) as second:
        with station(tmp_path, gateway.address, second.address, copies=2) as line:
            line.take_in(7, 2, certificates(1), rules())
            assert line.run(threading.Event(), timeout_s=10)
        assert gateway.posted == second.posted


def test_a_second_process_on_an_outbox_is_refused(tmp_path: Path, gateway: ScriptedGateway) -> None:
    with (
        station(tmp_path, gateway.address),
        pytest.raises(ConfigurationError, match="another process uses the station's outbox"),
    ):
        station(tmp_path, gateway.address)
    station(tmp_path, gateway.address).close()
