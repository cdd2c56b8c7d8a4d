"""Taking submissions in: what is acknowledged is on disk, and everything else is refused with its own code."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pki_chain import ports
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import batch_digest
from pki_chain.gateway.inbox import Inbox, InboxState
from pki_chain.ports import MemberKind, MemberState, Role
from tests.certificates import ORGANISATION
from tests.gateway.conftest import CONSORTIUM, NO_CODE, Gateway, problem_code
from tests.index.recorded_ledger import OEM, OPERATOR, VENDOR, certificate, certificates


def test_acknowledged_is_on_disk(gateway: Gateway) -> None:
    batch = certificates(3)
    response = gateway.client.post("/v1/submissions", json=gateway.envelope(batch))
    digest = "0x" + batch_digest(batch).hex()
    assert response.status_code == 202
    assert response.get_json() == {"digest": digest, "count": 3, "state": "stored"}
    assert response.headers["Location"] == f"/v1/submissions/{digest}"
    stored = gateway.inbox.submission(batch_digest(batch))
    assert stored is not None
    assert stored.certificates == tuple(batch)
    assert stored.state is InboxState.STORED


def test_the_same_again_gives_the_same_answer(gateway: Gateway) -> None:
    envelope = gateway.envelope(certificates(2))
    first = gateway.client.post("/v1/submissions", json=envelope)
    second = gateway.client.post("/v1/submissions", json=envelope)
    assert (first.status_code, first.get_json()) == (second.status_code, second.get_json())
    assert gateway.inbox.counts() == {("submissions", "stored"): 1}


def test_what_the_ledger_has_is_acknowledged_and_not_stored_again(gateway: Gateway) -> None:
    gateway.ledger.submit(certificates(2), nonce=7)
    gateway.catch_up()
    response = gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(2)))
    assert response.status_code == 202
    assert response.get_json()["state"] == "on_ledger"
    assert gateway.inbox.counts() == {}


def test_ledger_down_still_takes_in_while_fresh(gateway: Gateway) -> None:
    gateway.ledger.unavailable = True
    gateway.clock.seconds = gateway.ledger.time + 29
    assert gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(1))).status_code == 202
    gateway.clock.seconds = gateway.ledger.time + 31
    response = gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(1, first=1)))
    assert problem_code(response, 503) == "stale"
    assert int(response.headers["Retry-After"]) > 0


def _without(name: str) -> Callable[[Gateway], dict[str, Any]]:
    def make(gateway: Gateway) -> dict[str, Any]:
        envelope = gateway.envelope(certificates(1))
        del envelope[name]
        return envelope

    return make


def _with(**changes: Any) -> Callable[[Gateway], dict[str, Any]]:
    return lambda gateway: gateway.envelope(certificates(1), **changes)


def _signed(**signed: Any) -> Callable[[Gateway], dict[str, Any]]:
    return lambda gateway: gateway.envelope(certificates(1), signed=signed)


def _due(seconds: int) -> Callable[[Gateway], dict[str, Any]]:
    return lambda gateway: gateway.envelope(certificates(1), signed={"deadline": int(gateway.clock()) + seconds})


GOOD = base64.b64encode(b"\x30\x00").decode()

BAD: dict[str, tuple[Callable[[Gateway], dict[str, Any]], int, str]] = {
    "field missing": (_without("nonce"), 400, "missing-field"),
    "field unknown": (_with(colour="red"), 400, "unknown-field"),
    "station not an address": (_with(station="0x12"), 400, "bad-field"),
    "station with a wrong checksum": (_with(station="0x52908400098527886E0F7030069857D2E4169Ee7"), 400, "bad-field"),
    "profile as text": (_with(profile="2"), 400, "bad-field"),
    "profile true": (_with(profile=True), 400, "bad-field"),
    "profile negative": (_with(profile=-1), 400, "bad-field"),
    "lot too large": (_with(lot=1 << 40), 400, "bad-field"),
    "nonce not decimal": (_with(nonce="0x07"), 400, "bad-field"),
    "nonce with a zero before it": (_with(nonce="07"), 400, "bad-field"),
    "nonce over 2^256": (_with(nonce=str(1 << 256)), 400, "bad-field"),
    "deadline not a number": (_with(deadline=None), 400, "bad-field"),
    "certificates not an array": (_with(certificates=GOOD), 400, "batch-size"),
    "batch of 0": (_with(certificates=[]), 400, "batch-size"),
    "batch of 201": (_with(certificates=[GOOD] * 201), 400, "batch-size"),
    "base64 without padding": (_with(certificates=["MAA"]), 400, "bad-field"),
    "base64 with spare bits": (_with(certificates=["MAB="]), 400, "bad-field"),
    "base64 with a line break": (_with(certificates=["MA\nA="]), 400, "bad-field"),
    "base64url": (_with(certificates=["__8="]), 400, "bad-field"),
    "certificate a number": (_with(certificates=[1]), 400, "bad-field"),
    "signature not hexadecimal": (_with(signature="zz"), 400, "bad-field"),
    "signature too long": (_with(signature="0x" + "00" * 4_097), 400, "bad-field"),
    "over a transaction's size": (
        _with(certificates=[base64.b64encode(b"\x30" * 64_000).decode()] * 3),
        413,
        "batch-too-large",
    ),
    "profile unknown": (_signed(profile=99), 422, "unknown-profile"),
    "profile of another lot": (_signed(profile=1), 422, "lot-profile"),
    "lot unknown": (_signed(lot=5), 422, "unknown-lot"),
    "deadline passed": (_due(-1), 422, "deadline-passed"),
    "deadline in 59 s": (_due(59), 422, "deadline-too-near"),
    "deadline in eight days": (_due(8 * 86_400), 422, "deadline-too-far"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_envelope(gateway: Gateway, case: str) -> None:
    make, status, code = BAD[case]
    response = gateway.client.post("/v1/submissions", json=make(gateway))
    assert problem_code(response, status) == code
    assert gateway.inbox.counts() == {}


@pytest.mark.parametrize("seconds", [60, 7 * 86_400])
def test_deadline_just_within_bounds(gateway: Gateway, seconds: int) -> None:
    assert gateway.client.post("/v1/submissions", json=_due(seconds)(gateway)).status_code == 202


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"[]", "not-json"),
        (b"\xff\xfe{}", "not-json"),
        (b'{"profile": NaN}', "not-json"),
        (b'{"profile": 1.5}', "not-json"),
        (b'{"profile": ' + b"9" * 5_000 + b"}", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b'{"lot": 1, "lot": 2}', "duplicate-field"),
    ],
)
def test_json_that_is_not(gateway: Gateway, body: bytes, code: str) -> None:
    response = gateway.client.post("/v1/submissions", data=body, content_type="application/json")
    assert problem_code(response, 400) == code


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_wrong_content_type(gateway: Gateway, content_type: str) -> None:
    body = json.dumps(gateway.envelope(certificates(1)))
    response = gateway.client.post("/v1/submissions", data=body, content_type=content_type)
    assert problem_code(response, 415) == "unsupported-media-type"


def test_body_over_the_limit(gateway: Gateway) -> None:
    body = b'{"a":"' + b"x" * (256 * 1024) + b'"}'
    response = gateway.client.post("/v1/submissions", data=body, content_type="application/json")
    assert problem_code(response, 413) == "body-too-large"


def test_nonce_used_for_other_certificates(gateway: Gateway) -> None:
    gateway.ledger.submit(certificates(1, first=50), nonce=7)
    gateway.catch_up()
    response = gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(1)))
    assert problem_code(response, 409) == "nonce-used"


def test_station_that_nobody_knows(gateway: Gateway) -> None:
    stranger = Signer.ephemeral()
    envelope = gateway.envelope(certificates(1), signer=stranger, signed={"station": stranger.address})
    assert problem_code(gateway.client.post("/v1/submissions", json=envelope), 403) == "unknown-station"


def test_administrator_is_no_station(gateway: Gateway) -> None:
    administrator = gateway.ledger.administrator
    envelope = gateway.envelope(certificates(1), signer=administrator, signed={"station": administrator.address})
    assert problem_code(gateway.client.post("/v1/submissions", json=envelope), 403) == "unknown-station"


def test_suspended_station(gateway: Gateway) -> None:
    gateway.ledger.mine([ports.AccountChanged(gateway.ledger.station.address, VENDOR, Role.STATION, active=False)])
    gateway.catch_up()
    response = gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(1)))
    assert problem_code(response, 403) == "station-suspended"


def test_lot_ends_with_its_owners_rights(gateway: Gateway) -> None:
    """And does not come back with them."""
    for state in (MemberState.SUSPENDED, MemberState.ACTIVE):
        gateway.ledger.mine([ports.MemberChanged(VENDOR, MemberKind.VENDOR, state, ORGANISATION)])
        gateway.catch_up()
        response = gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(1)))
        assert problem_code(response, 409) == "lot-closed"


def test_station_of_another_members_lot(gateway: Gateway) -> None:
    other = Signer.ephemeral()
    gateway.ledger.mine([ports.AccountChanged(other.address, OEM, Role.STATION, active=True)])
    gateway.catch_up()
    envelope = gateway.envelope(certificates(1), signer=other, signed={"station": other.address})
    assert problem_code(gateway.client.post("/v1/submissions", json=envelope), 403) == "station-not-in-lot"


@pytest.mark.parametrize("how", ["closed", "over"])
def test_closed_lot(gateway: Gateway, how: str) -> None:
    if how == "closed":
        gateway.ledger.mine([ports.LotClosed(1, gateway.ledger.administrator.address)])
    else:
        gateway.ledger.mine(after_s=31 * 86_400)
    gateway.catch_up()
    response = gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(1)))
    assert problem_code(response, 409) == "lot-closed"


def test_signature_of_another_key_asks_the_ledger(gateway: Gateway) -> None:
    """It could be a contract account's (ERC-1271): with the ledger away nobody can tell, so nothing is taken."""
    envelope = gateway.envelope(certificates(1), signer=Signer.ephemeral())
    assert problem_code(gateway.client.post("/v1/submissions", json=envelope), 503) == "ledger-unavailable"
    assert gateway.inbox.counts() == {}


def test_replay_from_another_consortium(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pki_chain.chain.ledger.LedgerClient.code_hash", lambda *_: NO_CODE)
    for other in (
        replace(CONSORTIUM, salt=b"\x08" * 32),
        replace(CONSORTIUM, chain_id=1),
        replace(CONSORTIUM, certificate_registry=CONSORTIUM.directory),
    ):
        envelope = gateway.envelope(certificates(1), consortium=other)
        assert problem_code(gateway.client.post("/v1/submissions", json=envelope), 403) == "bad-signature"


def test_disk_full_acknowledges_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit on the file's size gives the error that a full disk gives."""
    envelope = gateway.envelope(certificates(150))
    connect = Inbox._connection

    def small(self: Inbox) -> Any:
        connection = connect(self)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(Inbox, "_connection", small)
    response = gateway.client.post("/v1/submissions", json=envelope)
    assert problem_code(response, 507) == "storage"
    monkeypatch.undo()
    assert gateway.inbox.counts() == {}
    gateway.services.inbox._connection().execute("PRAGMA max_page_count = 1000000")
    assert gateway.client.post("/v1/submissions", json=envelope).status_code == 202


def test_outcome_of_each_entry(gateway: Gateway) -> None:
    batch = [certificate(0), b"\x30\x00", certificate(1), certificate(2)]
    envelope = gateway.envelope(batch)
    gateway.client.post("/v1/submissions", json=envelope)
    digest = "0x" + batch_digest(batch).hex()

    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    assert (answer["state"], answer["batch"]) == ("stored", None)
    assert [entry["state"] for entry in answer["entries"]] == ["stored"] * 4

    number, _ = gateway.ledger.submit(batch, refused={1: 2}, nonce=7)
    gateway.catch_up()
    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    assert (answer["state"], answer["batch"]) == ("on_ledger", number)
    assert [entry["state"] for entry in answer["entries"]] == ["submitted", "refused", "submitted", "submitted"]
    assert answer["entries"][1]["reason"]["name"] == "malformed_der"
    assert answer["entries"][1]["reason"]["remedy"]

    gateway.ledger.endorse(number, OPERATOR, reject={2: 64})
    gateway.ledger.endorse(number, OEM, reject={2: 65})
    gateway.catch_up()
    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    assert answer["state"] == "settled"
    assert [entry["state"] for entry in answer["entries"]] == ["valid", "refused", "rejected", "valid"]
    assert answer["entries"][2]["reason"]["name"] == "weak_key"
    assert [verdict["member"] for verdict in answer["entries"][2]["verdicts"]] == [OPERATOR, OEM]
    assert answer["block"]["number"] == gateway.ledger.head().number
    assert answer["age_s"] == 1.0


def test_a_lapsed_batch_may_come_again(gateway: Gateway) -> None:
    batch = certificates(1)
    gateway.ledger.submit(batch, nonce=7)
    gateway.ledger.mine(after_s=86_402)
    gateway.catch_up()
    digest = batch_digest(batch).hex()
    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    assert [entry["state"] for entry in answer["entries"]] == ["lapsed"]

    again = gateway.envelope(batch, signed={"nonce": 8})
    assert gateway.client.post("/v1/submissions", json=again).status_code == 202
    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    assert (answer["state"], answer["nonce"]) == ("stored", "8")

    gateway.ledger.submit(batch, nonce=8)
    gateway.catch_up()
    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    assert [entry["state"] for entry in answer["entries"]] == ["submitted"]


def test_what_came_again_has_the_outcome_of_its_certificate(gateway: Gateway) -> None:
    """Of four, one each is accepted, rejected, lapsed and malformed; then the same bytes come again."""
    batch = [*certificates(3), b"\x30\x00"]
    digest = batch_digest(batch).hex()
    first, _ = gateway.ledger.submit(batch, refused={3: 2})
    gateway.ledger.endorse(first, OPERATOR, reject={1: 64, 2: 65})
    gateway.ledger.endorse(first, OEM, reject={1: 64})
    gateway.ledger.mine(after_s=86_402)
    again, _ = gateway.ledger.submit(batch, refused={0: 31, 1: 31, 3: 2})
    gateway.catch_up()
    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    entries = answer["entries"]
    assert (answer["state"], answer["batch"]) == ("on_ledger", again)
    assert [entry["state"] for entry in entries] == ["valid", "rejected", "submitted", "refused"]
    assert [entry["sha256"] for entry in entries[:3]] == [hashlib.sha256(der).hexdigest() for der in batch[:3]]
    assert entries[1]["reason"]["name"] == "weak_key"
    assert [verdict["member"] for verdict in entries[1]["verdicts"]] == [OPERATOR, OEM]
    gateway.ledger.revoke(batch[0])
    gateway.catch_up()
    answer = gateway.client.get(f"/v1/submissions/{digest}").get_json()
    assert answer["entries"][0]["state"] == "revoked"


def test_what_another_batch_brought_is_refused_as_seen(gateway: Gateway) -> None:
    """Another digest is another submission: its entry was refused, whatever became of the certificate."""
    gateway.ledger.accept(certificates(1))
    batch = certificates(2)
    gateway.ledger.submit(batch, refused={0: 31})
    gateway.catch_up()
    answer = gateway.client.get(f"/v1/submissions/{batch_digest(batch).hex()}").get_json()
    assert [entry["state"] for entry in answer["entries"]] == ["refused", "submitted"]
    assert answer["entries"][0]["reason"]["name"] == "already_seen"


def test_unknown_submission(gateway: Gateway) -> None:
    assert problem_code(gateway.client.get("/v1/submissions/0x" + "ab" * 32), 404) == "not-found"
    assert problem_code(gateway.client.get("/v1/submissions/0xAB"), 400) == "bad-digest"


def test_too_many_writes(gateway: Gateway) -> None:
    gateway.services.rate_limit._clock = lambda: 0.0  # on a slow machine tokens come back faster than they are used
    codes = [gateway.client.post("/v1/submissions", json={}).status_code for _ in range(260)]
    assert codes[0] == 400
    assert codes[-1] == 429


def test_every_write_is_on_the_audit_log(gateway: Gateway) -> None:
    envelope = gateway.envelope(certificates(2))
    gateway.client.post("/v1/submissions", json=envelope)
    log = (gateway.config.gateway.data / "audit.jsonl").read_text()
    (line,) = [json.loads(each) for each in log.splitlines()]
    assert (line["act"], line["outcome"], line["count"]) == ("submission", "acknowledged", 2)
    assert envelope["signature"][2:] not in log
