"""Certificates and their status over REST: never a stale "good", and unknown is an answer too."""

from __future__ import annotations

import base64
import hashlib
import ssl
from dataclasses import replace

import pytest

from pki_chain.errors import StaleError
from pki_chain.gateway.app import create_app
from pki_chain.gateway.freshness import TOLERANCE_S, Freshness, cache_seconds
from pki_chain.gateway.services import INDEX_FILE
from pki_chain.index.errors import IndexFaultError
from pki_chain.index.indexer import Indexer
from pki_chain.ports import HoldKind
from pki_chain.x509.certificate import parse_certificate
from tests.gateway.conftest import Gateway, problem_code
from tests.index.recorded_ledger import OEM, OPERATOR, certificate, certificates, twin

KNOWN = certificate(0)
SHA256 = hashlib.sha256(KNOWN).hexdigest()
UNKNOWN = "00" * 32


@pytest.fixture
def enrolled(gateway: Gateway) -> Gateway:
    gateway.ledger.accept(certificates(2))
    gateway.catch_up()
    return gateway


def state(gateway: Gateway, sha256: str = SHA256) -> str:
    return str(gateway.client.get(f"/v1/certificates/{sha256}/status").get_json()["state"])


def test_status_of_a_valid_certificate(enrolled: Gateway) -> None:
    response = enrolled.client.get(f"/v1/certificates/{SHA256}/status")
    head = enrolled.ledger.head()
    assert response.status_code == 200
    assert response.get_json() == {
        "sha256": SHA256,
        "certificate": "0x" + parse_certificate(KNOWN).certificate_id.hex(),
        "state": "valid",
        "reason": None,
        "since": head.time,
        "not_after": parse_certificate(KNOWN).not_after,
        "holds": [],
        "hold_counter": 0,
        "profile": 2,
        "lot": 1,
        "batch": 1,
        "entry": 0,
        "block": {"number": head.number, "time": head.time, "hash": "0x" + head.hash.hex()},
        "age_s": 1.0,
    }


def test_unknown_is_an_answer_and_never_good(enrolled: Gateway) -> None:
    response = enrolled.client.get(f"/v1/certificates/{UNKNOWN}/status")
    assert response.status_code == 200
    assert (response.get_json()["state"], response.get_json()["certificate"]) == ("unknown", None)
    assert problem_code(enrolled.client.get(f"/v1/certificates/{UNKNOWN}"), 404) == "not-found"


def test_hold_release_revoke(enrolled: Gateway) -> None:
    enrolled.ledger.hold(KNOWN)
    enrolled.catch_up()
    answer = enrolled.client.get(f"/v1/certificates/{SHA256}/status").get_json()
    assert (answer["state"], answer["holds"], answer["hold_counter"]) == ("held", ["owner"], 1)
    assert answer["reason"] == {"number": 6, "name": "certificateHold"}
    enrolled.ledger.release(KNOWN)
    enrolled.catch_up()
    assert state(enrolled) == "valid"
    enrolled.ledger.revoke(KNOWN, reason=1)
    enrolled.catch_up()
    answer = enrolled.client.get(f"/v1/certificates/{SHA256}/status").get_json()
    assert (answer["state"], answer["reason"]) == ("revoked", {"number": 1, "name": "keyCompromise"})
    assert state(enrolled, hashlib.sha256(certificate(1)).hexdigest()) == "valid"


def test_an_emergency_hold_ends_by_itself(enrolled: Gateway) -> None:
    enrolled.ledger.hold(KNOWN, HoldKind.EMERGENCY, until=enrolled.ledger.time + 3_600)
    enrolled.catch_up()
    assert state(enrolled) == "held"
    enrolled.ledger.mine(after_s=3_600)
    enrolled.catch_up()
    assert state(enrolled) == "valid"


def test_a_blocked_key_revokes(enrolled: Gateway) -> None:
    enrolled.ledger.block_key(KNOWN)
    enrolled.catch_up()
    assert state(enrolled) == "revoked"


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/certificates/{SHA256}/status",
        f"/v1/certificates/{SHA256}",
        f"/v1/certificates?key={'00' * 32}",
        "/v1/members",
        "/v1/lots",
        "/v1/lots/1",
        "/v1/profiles/2",
        "/v1/proposals",
        "/v1/submissions/0x" + "ab" * 32,
        "/readyz",
    ],
)
def test_stale_is_never_answered(enrolled: Gateway, path: str) -> None:
    """R-OPS: at the bound an answer, a moment later none."""
    enrolled.clock.seconds = enrolled.ledger.time + 30.0
    assert enrolled.client.get(path).status_code in {200, 404}
    enrolled.clock.seconds = enrolled.ledger.time + 30.1
    response = enrolled.client.get(path)
    assert problem_code(response, 503) == "stale"


def test_bulk_is_stale_too(enrolled: Gateway) -> None:
    enrolled.clock.seconds = enrolled.ledger.time + 31
    response = enrolled.client.post("/v1/certificates/status", json={"sha256": [SHA256]})
    assert problem_code(response, 503) == "stale"


def test_a_fork_silences_the_gateway(enrolled: Gateway) -> None:
    enrolled.ledger.fork(enrolled.ledger.head().number)
    for _ in range(3):
        enrolled.ledger.mine()
    with pytest.raises(IndexFaultError):
        enrolled.indexer.advance()
    for path in (f"/v1/certificates/{SHA256}/status", f"/v1/certificates/{SHA256}", "/readyz"):
        assert problem_code(enrolled.client.get(path), 503) == "read-model-fault"
    assert enrolled.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("age_s", [0.0, 1.0, 29.9, 54.5, 55.5, 60.0, 75.0])
def test_no_copy_outlives_the_cut_off(age_s: float) -> None:
    assert age_s + cache_seconds(age_s, 60) <= 60 or cache_seconds(age_s, 60) == 0


def test_answers_say_how_long_they_may_be_kept(enrolled: Gateway) -> None:
    response = enrolled.client.get(f"/v1/certificates/{SHA256}/status")
    assert response.headers["Cache-Control"] == "max-age=5, must-revalidate"


def test_der_pem_and_json(enrolled: Gateway) -> None:
    path = f"/v1/certificates/{SHA256}"
    der = enrolled.client.get(path, headers={"Accept": "application/pkix-cert"})
    assert (der.data, der.content_type) == (KNOWN, "application/pkix-cert")
    pem = enrolled.client.get(path, headers={"Accept": "application/x-pem-file"})
    assert ssl.PEM_cert_to_DER_cert(pem.get_data(as_text=True)) == KNOWN
    for accept in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        answer = enrolled.client.get(path, headers=accept)
        content = answer.get_json()
        assert base64.b64decode(content["der"]) == KNOWN
        assert content["names"] == [{"kind": "dns", "value": "00a1b2c3d000.cells.acme.example"}]
        assert content["status"]["state"] == "valid"
        assert "Accept" in answer.vary
    refused = enrolled.client.get(path, headers={"Accept": "text/html"})
    assert problem_code(refused, 406) == "not-acceptable"


def test_the_same_bytes_are_not_sent_twice(enrolled: Gateway) -> None:
    headers = {"Accept": "application/pkix-cert"}
    etag = enrolled.client.get(f"/v1/certificates/{SHA256}", headers=headers).headers["ETag"]
    again = enrolled.client.get(f"/v1/certificates/{SHA256}", headers={**headers, "If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["abc", SHA256.upper(), SHA256 + "00", "0x" + SHA256[2:]])
def test_a_name_that_is_no_sha256(enrolled: Gateway, name: str) -> None:
    assert problem_code(enrolled.client.get(f"/v1/certificates/{name}/status"), 400) == "bad-sha256"
    assert problem_code(enrolled.client.get(f"/v1/certificates/{name}"), 400) == "bad-sha256"


def test_bulk_status(enrolled: Gateway) -> None:
    wanted = [SHA256, UNKNOWN, hashlib.sha256(certificate(1)).hexdigest()]
    answer = enrolled.client.post("/v1/certificates/status", json={"sha256": wanted}).get_json()
    assert [each["sha256"] for each in answer["statuses"]] == wanted
    assert [each["state"] for each in answer["statuses"]] == ["valid", "unknown", "valid"]
    assert answer["block"]["number"] == enrolled.ledger.head().number


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({}, "missing-field"),
        ({"sha256": []}, "bad-field"),
        ({"sha256": [SHA256] * 1_001}, "bad-field"),
        ({"sha256": [5]}, "bad-sha256"),
        ({"sha256": ["zz"]}, "bad-sha256"),
        ({"sha256": [SHA256], "more": 1}, "unknown-field"),
    ],
)
def test_bulk_refused(enrolled: Gateway, content: dict[str, object], code: str) -> None:
    assert problem_code(enrolled.client.post("/v1/certificates/status", json=content), 400) == code


def test_look_up_by_key_and_by_issuer_and_serial(enrolled: Gateway) -> None:
    parsed = parse_certificate(KNOWN)
    by_key = enrolled.client.get(f"/v1/certificates?key={parsed.spki_hash.hex()}").get_json()
    issuer = base64.urlsafe_b64encode(parsed.issuer).rstrip(b"=").decode()
    path = f"/v1/certificates?issuer={issuer}&serial={parsed.serial_number:040X}"
    by_serial = enrolled.client.get(path).get_json()
    assert [each["sha256"] for each in by_key["certificates"]] == [SHA256]
    assert by_key == by_serial
    other = f"/v1/certificates?issuer={issuer}&serial={parsed.serial_number + 1_000:x}"
    assert enrolled.client.get(other).get_json()["certificates"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "bad-look-up"),
        ("certificate=zz", "bad-certificate"),
        (f"certificate={UNKNOWN}", "bad-certificate"),
        (f"certificate=0x{UNKNOWN}&key={UNKNOWN}", "bad-look-up"),
        ("key=zz", "bad-key"),
        (f"key={UNKNOWN}&key={UNKNOWN}", "bad-look-up"),
        (f"key={UNKNOWN}&serial=1", "bad-look-up"),
        ("issuer=MAA", "bad-look-up"),
        ("issuer=M%2BA&serial=1", "bad-issuer"),
        ("issuer=A&serial=1", "bad-issuer"),
        ("issuer=MAA&serial=-1", "bad-serial"),
        ("issuer=MAA&serial=" + "1" * 41, "bad-serial"),
    ],
)
def test_look_up_refused(enrolled: Gateway, query: str, code: str) -> None:
    assert problem_code(enrolled.client.get(f"/v1/certificates?{query}"), 400) == code


def test_twin_signature_of_a_known_certificate(gateway: Gateway) -> None:
    """(r, n-s) is the same certificate: refused as seen; its own SHA-256 stays unknown, so never good."""
    other = twin(KNOWN)
    assert parse_certificate(other).certificate_id == parse_certificate(KNOWN).certificate_id
    gateway.ledger.accept([KNOWN])
    gateway.ledger.submit([other], refused={0: 31})
    gateway.catch_up()
    assert state(gateway) == "valid"
    assert state(gateway, hashlib.sha256(other).hexdigest()) == "unknown"


def test_twin_of_a_lapsed_certificate_takes_its_place(gateway: Gateway) -> None:
    gateway.ledger.submit([KNOWN])
    gateway.ledger.mine(after_s=86_402)
    number, _ = gateway.ledger.submit([twin(KNOWN)])
    gateway.ledger.endorse(number, OPERATOR)
    gateway.ledger.endorse(number, OEM)
    gateway.catch_up()
    assert state(gateway, hashlib.sha256(twin(KNOWN)).hexdigest()) == "valid"
    assert state(gateway) == "unknown"
    identity = parse_certificate(KNOWN).certificate_id.hex()
    (found,) = gateway.client.get(f"/v1/certificates?certificate=0x{identity}").get_json()["certificates"]
    assert found["status"]["state"] == "valid", "by what both have in common"
    lot = gateway.client.get("/v1/lots/1").get_json()
    assert lot["used"] == 1


def test_bytes_that_our_parser_refuses_are_never_good(gateway: Gateway) -> None:
    """A defect of the contract would let them in."""
    gateway.ledger.accept([b"\x30\x03junk"])
    gateway.catch_up()
    assert state(gateway, hashlib.sha256(b"\x30\x03junk").hexdigest()) == "expired"


@pytest.mark.parametrize(
    "path", [f"/v1/certificates/{SHA256}/status", f"/v1/certificates/{SHA256}", "/readyz", "/v1/lots", "/v1/profiles/2"]
)
def test_a_clock_that_went_back_is_not_believed(enrolled: Gateway, path: str) -> None:
    """Whoever thinks that it is yesterday takes every old answer for a fresh one."""
    enrolled.clock.seconds = enrolled.ledger.time - TOLERANCE_S
    assert enrolled.client.get(path).status_code == 200
    enrolled.clock.seconds = enrolled.ledger.time - TOLERANCE_S - 1
    response = enrolled.client.get(path)
    assert problem_code(response, 503) == "stale"
    assert "clock" in response.get_json()["detail"]


def test_a_head_that_does_not_move_is_stale_whatever_the_clock_says(enrolled: Gateway) -> None:
    """Time is also measured by how long this process has seen the same head."""
    ticks = [1_000.0]
    freshness = Freshness(enrolled.read_model, enrolled.clock, lambda: ticks[0])
    assert freshness.moment().age_s == 1.0
    ticks[0] += 30
    enrolled.clock.seconds = enrolled.ledger.time
    assert freshness.moment().age_s == 30.0, "the clock was set back meanwhile"
    ticks[0] += 0.001
    with pytest.raises(StaleError):
        freshness.moment()
    enrolled.ledger.mine()
    enrolled.catch_up()
    assert freshness.moment().age_s == 1.0


def test_answers_of_a_read_model_that_is_read_anew(enrolled: Gateway) -> None:
    """Half way it is at an old block, so nobody is told what held then."""
    enrolled.ledger.mine()
    enrolled.ledger.mine(after_s=60)
    enrolled.ledger.revoke(KNOWN)
    data = enrolled.config.gateway.data / "anew"
    config = replace(enrolled.config, gateway=replace(enrolled.config.gateway, data=data))
    with Indexer(data / INDEX_FILE, enrolled.ledger, 1, anew=True) as indexer:
        client = create_app(config, enrolled.clock).test_client()
        enrolled.clock.seconds = enrolled.ledger.time + 1.0
        path = f"/v1/certificates/{SHA256}/status"
        assert problem_code(client.get(path), 503) == "not-ready"
        whole, enrolled.ledger._blocks = enrolled.ledger._blocks, enrolled.ledger._blocks[:-2]
        indexer.advance()
        assert problem_code(client.get(path), 503) == "stale"
        enrolled.ledger._blocks = whole
        indexer.advance()
        assert client.get(path).get_json()["state"] == "revoked"
