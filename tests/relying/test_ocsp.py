"""OCSP as cryptography and openssl read it: the ledger's answer, within the bounds, and never a stale good."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.gateway.app import create_front
from pki_chain.gateway.front import Front
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.index.errors import IndexFaultError
from pki_chain.ports import HoldKind
from pki_chain.status.ocsp_request import OcspRequestError, parse_ocsp_request
from pki_chain.status.status_key import LEAD_S, RENEW_BEFORE_S
from pki_chain.x509.certificate import parse_certificate
from tests.gateway.asking import Asked, ask
from tests.gateway.conftest import Gateway, problem_code
from tests.index.recorded_ledger import OEM, OPERATOR, certificate, certificates
from tests.relying.ocsp_requests import each_response, request

KNOWN = certificate(0)
TYPE = "application/ocsp-request"


def post(gateway: Gateway, content: bytes) -> bytes:
    response = gateway.client.post("/ocsp", data=content, content_type=TYPE)
    assert (response.status_code, response.content_type) == (200, "application/ocsp-response")
    return bytes(response.data)


def status_of(gateway: Gateway, der: bytes = KNOWN) -> tuple[OCSPCertStatus, x509.ReasonFlags | None]:
    (single,) = each_response(post(gateway, request([der])))
    return single.certificate_status, single.revocation_reason


def refusal(content: bytes) -> OCSPResponseStatus:
    return ocsp.load_der_ocsp_response(content).response_status


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_good_is_signed_by_the_published_key(publishing: Gateway, algorithm: str) -> None:
    answer = ocsp.load_der_ocsp_response(post(publishing, request([KNOWN], algorithm, nonce=b"n" * 32)))
    key = publishing.services.status_keys.signer(publishing.clock())
    signer = x509.load_der_x509_certificate(key.certificate)
    public_key = signer.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    assert answer.certificates == [signer]
    assert answer.responder_key_hash == key.key_sha1
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    assert answer.certificate_status is OCSPCertStatus.GOOD
    assert answer.serial_number == parse_certificate(KNOWN).serial_number


def test_times_are_the_blocks_and_the_cut_off(publishing: Gateway) -> None:
    publishing.clock.seconds = publishing.ledger.time + 12.0
    answer = ocsp.load_der_ocsp_response(post(publishing, request([KNOWN])))
    at = datetime.fromtimestamp(publishing.ledger.time, UTC)
    assert answer.this_update_utc == at
    assert answer.next_update_utc is not None
    assert (answer.next_update_utc - at).total_seconds() == 60
    assert (answer.produced_at_utc - at).total_seconds() == 12


def test_a_block_of_the_near_future_gives_no_answer_of_the_future(publishing: Gateway) -> None:
    publishing.clock.seconds = publishing.ledger.time - 10
    answer = ocsp.load_der_ocsp_response(post(publishing, request([KNOWN])))
    assert answer.this_update_utc.timestamp() == publishing.clock.seconds


def test_every_state_in_the_words_of_ocsp(publishing: Gateway) -> None:
    assert status_of(publishing) == (OCSPCertStatus.GOOD, None)
    publishing.ledger.hold(KNOWN)
    publishing.catch_up()
    assert status_of(publishing) == (OCSPCertStatus.REVOKED, x509.ReasonFlags.certificate_hold)
    publishing.ledger.release(KNOWN)
    publishing.catch_up()
    assert status_of(publishing) == (OCSPCertStatus.GOOD, None)
    publishing.ledger.revoke(KNOWN, reason=1)
    publishing.ledger.revoke(certificate(1), reason=0)
    publishing.catch_up()
    assert status_of(publishing) == (OCSPCertStatus.REVOKED, x509.ReasonFlags.key_compromise)
    assert status_of(publishing, certificate(1)) == (OCSPCertStatus.REVOKED, None)
    (single,) = each_response(post(publishing, request([certificate(1)])))
    assert single.revocation_time_utc is not None
    assert single.revocation_time_utc.timestamp() == publishing.ledger.time


def test_what_the_ledger_does_not_vouch_for_is_unknown(publishing: Gateway) -> None:
    unknown = (OCSPCertStatus.UNKNOWN, None)
    assert status_of(publishing, certificate(9)) == unknown  # never submitted
    batch, _ = publishing.ledger.submit([certificate(9)])
    publishing.catch_up()
    assert status_of(publishing, certificate(9)) == unknown  # submitted
    publishing.ledger.endorse(batch, OPERATOR, reject={0: 1})
    publishing.ledger.endorse(batch, OEM, reject={0: 1})
    publishing.ledger.submit([certificate(8)], window_s=60)
    publishing.ledger.mine(after_s=61)
    publishing.catch_up()
    assert status_of(publishing, certificate(9)) == unknown  # rejected
    assert status_of(publishing, certificate(8)) == unknown  # lapsed
    publishing.ledger.revoke(certificate(1))
    publishing.ledger.mine(time=parse_certificate(KNOWN).not_after + 1)
    publishing.catch_up()
    publishing.services.status_keys.create("Example Mobile", int(publishing.clock()) - 60)
    assert status_of(publishing) == unknown  # expired
    assert status_of(publishing, certificate(1))[0] is OCSPCertStatus.REVOKED  # for good


def test_a_blocked_key_is_revoked(publishing: Gateway) -> None:
    publishing.ledger.block_key(KNOWN, reason=1)
    publishing.catch_up()
    assert status_of(publishing) == (OCSPCertStatus.REVOKED, x509.ReasonFlags.key_compromise)


def test_several_in_one_each_with_its_own_answer(publishing: Gateway) -> None:
    publishing.ledger.hold(certificate(1))
    publishing.catch_up()
    answers = each_response(post(publishing, request([KNOWN, certificate(1), certificate(9)], "sha256")))
    assert [(each.certificate_status, each.serial_number) for each in answers] == [
        (OCSPCertStatus.GOOD, 1),
        (OCSPCertStatus.REVOKED, 2),
        (OCSPCertStatus.UNKNOWN, 10),
    ]


def test_another_hash_or_name_is_unknown(publishing: Gateway) -> None:
    """The key and the number alone are not the certificate."""
    parts = request([KNOWN])
    name_hash = ocsp.load_der_ocsp_request(parts).issuer_name_hash
    (single,) = each_response(post(publishing, parts.replace(name_hash, bytes(20))))
    assert single.certificate_status is OCSPCertStatus.UNKNOWN
    (single,) = each_response(post(publishing, request([KNOWN], "sha512")))
    assert single.certificate_status is OCSPCertStatus.UNKNOWN


@pytest.mark.parametrize(
    "content",
    [b"", b"0", b"\x31\x00", request([]), request([KNOWN])[:-3], request([KNOWN], nonce=b""), bytes(200_000)],
    ids=["empty", "cut", "tag", "nothing asked", "truncated", "nonce of 0", "long"],
)
def test_malformed(publishing: Gateway, content: bytes) -> None:
    assert refusal(post(publishing, content)) is OCSPResponseStatus.MALFORMED_REQUEST


def test_nonces_beyond_the_bound_are_malformed(publishing: Gateway) -> None:
    assert each_response(post(publishing, request([KNOWN], nonce=b"n" * 128)))
    assert refusal(post(publishing, request([KNOWN], nonce=b"n" * 129))) is OCSPResponseStatus.MALFORMED_REQUEST


def test_a_gateway_that_lags_says_try_later(publishing: Gateway) -> None:
    publishing.clock.seconds = publishing.ledger.time + 30
    assert each_response(post(publishing, request([KNOWN])))
    publishing.clock.seconds = publishing.ledger.time + 30.1
    assert refusal(post(publishing, request([KNOWN]))) is OCSPResponseStatus.TRY_LATER


def test_a_fork_or_no_key_is_an_internal_error(publishing: Gateway, gateway: Gateway) -> None:
    publishing.ledger.fork(publishing.ledger.head().number)
    for _ in range(3):
        publishing.ledger.mine()
    with pytest.raises(IndexFaultError):
        publishing.indexer.advance()
    assert refusal(post(publishing, request([KNOWN]))) is OCSPResponseStatus.INTERNAL_ERROR


def test_without_a_key_nothing_is_signed(gateway: Gateway) -> None:
    assert refusal(post(gateway, request([KNOWN]))) is OCSPResponseStatus.INTERNAL_ERROR


def test_get_in_base64(publishing: Gateway) -> None:
    encoded = base64.b64encode(request([KNOWN])).decode()
    response = publishing.client.get("/ocsp/" + encoded.replace("+", "%2B").replace("=", "%3D"))
    assert each_response(response.data)[0].certificate_status is OCSPCertStatus.GOOD
    assert response.headers["Cache-Control"] == "max-age=5, must-revalidate"
    response = publishing.client.get("/ocsp/not-base64!")
    assert refusal(response.data) is OCSPResponseStatus.MALFORMED_REQUEST
    assert response.headers["Cache-Control"] == "no-store"


def test_a_body_of_another_type_is_refused(publishing: Gateway) -> None:
    response = publishing.client.post("/ocsp", data=request([KNOWN]), content_type="application/json")
    assert problem_code(response, 415) == "unsupported-media-type"


# The short way, as the HTTP server takes it


def front_of(gateway: Gateway) -> Front:
    return create_front(gateway.config, gateway.clock)


def by_front(front: Front, content: bytes) -> bytes:
    status, headers, body = asyncio.run(ask(front, Asked("POST", "/ocsp", TYPE, content)))
    assert (status, headers["content-type"]) == (200, "application/ocsp-response")
    return body


def test_an_answer_is_signed_once_and_dropped_by_an_event(publishing: Gateway) -> None:
    front = front_of(publishing)
    first, other = by_front(front, request([KNOWN])), by_front(front, request([certificate(1)]))
    publishing.clock.seconds += 1
    assert by_front(front, request([KNOWN])) == first
    assert by_front(front, request([KNOWN], nonce=b"n" * 16)) != by_front(front, request([KNOWN], nonce=b"n" * 16))
    publishing.ledger.hold(KNOWN)
    publishing.catch_up()
    held = by_front(front, request([KNOWN]))
    assert each_response(held)[0].certificate_status is OCSPCertStatus.REVOKED
    assert by_front(front, request([certificate(1)])) == other
    publishing.ledger.release(KNOWN)
    publishing.catch_up()
    assert each_response(by_front(front, request([KNOWN])))[0].certificate_status is OCSPCertStatus.GOOD


def test_an_answer_that_names_several_is_dropped_by_any(publishing: Gateway) -> None:
    front = front_of(publishing)
    both = request([KNOWN, certificate(9)], "sha256")
    assert [each.certificate_status for each in each_response(by_front(front, both))][1] is OCSPCertStatus.UNKNOWN
    publishing.ledger.accept([certificate(9)])
    publishing.catch_up()
    assert [each.certificate_status for each in each_response(by_front(front, both))][1] is OCSPCertStatus.GOOD


def test_the_end_of_an_emergency_hold_drops_it(publishing: Gateway) -> None:
    publishing.ledger.hold(KNOWN, HoldKind.EMERGENCY, until=publishing.ledger.time + 100)
    publishing.catch_up()
    front = front_of(publishing)
    assert each_response(by_front(front, request([KNOWN])))[0].certificate_status is OCSPCertStatus.REVOKED
    publishing.ledger.mine(after_s=100)
    publishing.clock.seconds = publishing.ledger.time - 95.0  # the old answer would still be young enough
    publishing.catch_up()
    assert each_response(by_front(front, request([KNOWN])))[0].certificate_status is OCSPCertStatus.GOOD


def test_a_kept_answer_does_not_outlive_the_bounds(publishing: Gateway) -> None:
    """It is signed anew while there is a new block, and nothing is said where there is none."""
    front = front_of(publishing)
    first = by_front(front, request([KNOWN]))
    publishing.ledger.mine(after_s=15)
    publishing.catch_up()
    assert by_front(front, request([KNOWN])) == first
    publishing.ledger.mine(after_s=10)
    publishing.catch_up()
    again = by_front(front, request([KNOWN]))
    assert ocsp.load_der_ocsp_response(again).this_update_utc.timestamp() == publishing.ledger.time
    publishing.clock.seconds = publishing.ledger.time + 31
    assert refusal(by_front(front, request([KNOWN]))) is OCSPResponseStatus.TRY_LATER


def test_get_with_slashes_takes_the_short_way_too(publishing: Gateway) -> None:
    front = front_of(publishing)
    path = "/ocsp/" + base64.b64encode(request([KNOWN])).decode()
    status, headers, body = asyncio.run(ask(front, Asked("GET", path)))
    assert (status, headers["cache-control"]) == (200, "max-age=5, must-revalidate")
    assert each_response(body)[0].certificate_status is OCSPCertStatus.GOOD
    for bad in ("/ocsp//", "/ocsp/", "/ocsp/" + "A" * 100_000):
        _, headers, body = asyncio.run(ask(front, Asked("GET", bad)))
        assert refusal(body) is OCSPResponseStatus.MALFORMED_REQUEST
        assert headers["cache-control"] == "no-store"


def test_a_megabyte_is_not_read(publishing: Gateway) -> None:
    asked = Asked("POST", "/ocsp", TYPE, length=2**20)
    status, _, _ = asyncio.run(ask(front_of(publishing), asked))
    assert status == 413


@given(
    st.lists(st.tuples(st.integers(0, 1), st.binary(min_size=0, max_size=130), st.booleans()), max_size=6), st.data()
)
def test_what_was_read_before_is_read_the_same(asked: list[tuple[int, bytes, bool]], data: st.DataObject) -> None:
    """The short way of the cache and the strict reader agree, also about requests that were bent."""
    cache = OcspCache.__new__(OcspCache)
    cache._read = {}
    for number, nonce, critical in asked:
        content = bytearray(request([certificate(number)], nonce=nonce, critical=critical))
        if data.draw(st.booleans()):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            expected = parse_ocsp_request(bytes(content))
        except OcspRequestError:
            with pytest.raises(OcspRequestError):
                cache._parse(bytes(content))
            continue
        assert cache._parse(bytes(content)) == expected


def test_the_cache_is_bounded(publishing: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pki_chain.gateway.ocsp_cache._MAX_KEPT", 2)
    parts = publishing.services
    cache = OcspCache(parts.ocsp_answers, parts.read_model, parts.change_log, parts.freshness)
    for der in certificates(3):
        cache.answer(request([der]))
    assert (len(cache._singles), len(cache._by_key), len(cache._signed)) == (2, 2, 2)


# Keys


def test_keys_change_without_a_gap(publishing: Gateway) -> None:
    keys, now = publishing.services.status_keys, int(publishing.clock())
    first = keys.signer(now)
    assert keys.renew("Example Mobile", now) is None
    later = first.ends - RENEW_BEFORE_S + 1
    publishing.clock.seconds = later
    assert keys.renew("Example Mobile", later) is not None
    assert keys.renew("Example Mobile", later) is None
    assert [key.begins for key in keys.published(later)] == [first.begins, later + LEAD_S]
    assert keys.signer(later) == first
    assert keys.signer(later + LEAD_S - 1) == first
    assert keys.signer(later + LEAD_S) != first
    assert first in keys.published(first.ends - 1)
    assert first not in keys.published(first.ends)


def test_the_name_stays_when_the_key_changes(publishing: Gateway) -> None:
    keys, now = publishing.services.status_keys, int(publishing.clock())
    keys.create("Example Mobile", now - 1)
    first, second = keys.published(now)
    assert first.name == second.name
    assert first.key_sha1 != second.key_sha1
    assert keys.signer(now) == second


# openssl


@pytest.mark.openssl
@pytest.mark.parametrize("options", [(), ("-no_nonce",), ("-sha256",)], ids=" ".join)
def test_openssl_reads_it(publishing: Gateway, signer_file: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """-VAfile: the responder is trusted because we say so. With the request at hand openssl compares the nonce too."""
    publishing.ledger.hold(certificate(1))
    publishing.catch_up()
    for number in range(3):
        pem = tmp_path / f"{number}.pem"
        pem.write_text(publishing.client.get(path_of(certificate(number)), headers={"Accept": PEM}).text)
    one, two, unknown = (str(tmp_path / f"{number}.pem") for number in range(3))
    asked = tmp_path / "request"
    subjects = [*options, "-issuer", one, "-cert", one, "-issuer", two, "-cert", two]
    openssl("ocsp", *subjects, "-reqout", str(asked))
    answer = tmp_path / "response"
    answer.write_bytes(post(publishing, asked.read_bytes()))
    at = ["-attime", str(int(publishing.clock()))]
    verify = ["ocsp", "-reqin", str(asked), "-respin", str(answer), "-resp_text", *at]
    done = openssl(*verify, "-VAfile", str(signer_file))
    assert "Response verify OK" in done.stderr
    assert [line.split(": ")[1] for line in done.stdout.splitlines() if "Cert Status" in line] == ["good", "revoked"]
    assert "certificateHold (0x6)" in done.stdout
    # And not by another key.
    assert "Response Verify Failure" in openssl(*verify, "-VAfile", unknown, expected=1).stderr


PEM = "application/x-pem-file"


def path_of(der: bytes) -> str:
    return f"/v1/certificates/{parse_certificate(der).sha256.hex()}"


def openssl(*arguments: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == expected, done.stdout + done.stderr
    return done
