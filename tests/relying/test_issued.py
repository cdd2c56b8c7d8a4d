"""Status of certificates that a CA issued: by keys that this CA delegated, as strangers' software takes them."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus
from pyasn1.codec.der import decoder, encoder
from pyasn1_modules import rfc6960

from pki_chain.chain.signer import create_passphrase
from pki_chain.gateway.app import create_front
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.ports import DelegationKind
from pki_chain.x509.certificate import parse_certificate
from tests.gateway.conftest import Gateway, opened, problem_code
from tests.index.recorded_ledger import RecordedLedger, certificate
from tests.relying.conftest import served
from tests.relying.issuer import Issuer, publish_below, publish_root, store_pem
from tests.relying.ocsp_requests import request

OCSP, CRL = DelegationKind.OCSP_SIGNING, DelegationKind.CRL_SIGNING
TYPE = "application/ocsp-request"
STRANGER = Path(__file__).parent / "stranger"


@pytest.fixture
def publishing(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway over a ledger of now, which has a key of its own, and where devices 0 to 2 of `root` are valid."""
    with opened(tmp_path, RecordedLedger(int(time.time()) - 60)) as found:
        create_passphrase(found.config.keystore.passphrase_file)
        found.services.status_keys.create("Example Mobile", found.ledger.time - 86_400)
        yield found


@pytest.fixture
def root(publishing: Gateway) -> Issuer:
    made = publish_root(publishing)
    publishing.ledger.accept([made.device(number) for number in range(3)])
    publishing.catch_up()
    return made


def asked(
    issuer: Issuer, der: bytes, algorithm: hashes.HashAlgorithm | None = None, nonce: bytes | None = None
) -> bytes:
    """A request by cryptography, which knows the issuer."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(der),
        x509.load_der_x509_certificate(issuer.authority.der),
        algorithm or hashes.SHA1(),  # noqa: S303 - as strongSwan and openssl name certificates
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def post(gateway: Gateway, content: bytes) -> ocsp.OCSPResponse:
    response = gateway.client.post("/ocsp", data=content, content_type=TYPE)
    assert response.status_code == 200
    return ocsp.load_der_ocsp_response(response.data)


def fetch(issuer: Issuer, query: str = "") -> bytes:
    response = issuer.gateway.client.get(f"/crl/{issuer.name}.crl{query}")
    assert (response.status_code, response.content_type) == (200, "application/pkix-crl"), response.data
    assert response.headers["Cache-Control"] == "no-store"
    return bytes(response.data)


def listed(content: bytes) -> dict[int, x509.ReasonFlags]:
    return {
        each.serial_number: each.extensions.get_extension_for_class(x509.CRLReason).value.reason
        for each in x509.load_der_x509_crl(content)
    }


def is_signed_by(content: bytes, der: bytes) -> bool:
    key = x509.load_der_x509_certificate(der).public_key()
    return x509.load_der_x509_crl(content).is_signature_valid(key)  # type: ignore[arg-type]


# OCSP


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])  # noqa: S303
def test_the_delegated_key_answers(publishing: Gateway, root: Issuer, algorithm: hashes.HashAlgorithm) -> None:
    der = root.delegate(OCSP)
    publishing.catch_up()
    answer = post(publishing, asked(root, root.device(0), algorithm, b"n" * 32))
    signer = x509.load_der_x509_certificate(der)
    public_key = signer.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    assert answer.certificates == [signer]
    assert answer.certificate_status is OCSPCertStatus.GOOD
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    publishing.ledger.hold(root.device(0))
    publishing.catch_up()
    answer = post(publishing, asked(root, root.device(0), algorithm))
    assert (answer.certificate_status, answer.revocation_reason) == (
        OCSPCertStatus.REVOKED,
        x509.ReasonFlags.certificate_hold,
    )
    unknown = post(publishing, asked(root, root.device(9), algorithm))  # issued, and never published
    assert unknown.certificate_status is OCSPCertStatus.UNKNOWN


def test_without_delegation_it_is_unauthorized(publishing: Gateway, root: Issuer) -> None:
    content = asked(root, root.device(0))
    assert post(publishing, content).response_status is OCSPResponseStatus.UNAUTHORIZED
    other = root.certify(OCSP)  # made, and not published
    assert post(publishing, content).response_status is OCSPResponseStatus.UNAUTHORIZED
    root.delegate(CRL)  # for something else
    publishing.catch_up()
    assert post(publishing, content).response_status is OCSPResponseStatus.UNAUTHORIZED
    root.publish(other)
    publishing.catch_up()
    assert post(publishing, content).response_status is OCSPResponseStatus.SUCCESSFUL
    root.withdraw_delegation(other)
    publishing.catch_up()
    assert post(publishing, content).response_status is OCSPResponseStatus.UNAUTHORIZED


def test_a_delegation_that_ended_signs_no_more_and_the_next_one_takes_over(publishing: Gateway, root: Issuer) -> None:
    first, second = root.delegate(OCSP, days=1), root.delegate(OCSP, days=2)
    publishing.catch_up()
    content = asked(root, root.device(0))
    assert post(publishing, content).certificates == [x509.load_der_x509_certificate(second)]
    root.withdraw_delegation(second)
    publishing.catch_up()
    assert post(publishing, content).certificates == [x509.load_der_x509_certificate(first)]
    publishing.ledger.mine(after_s=86_500)
    publishing.catch_up()
    assert post(publishing, content).response_status is OCSPResponseStatus.UNAUTHORIZED


def test_several_issuers_in_one_request_are_refused(publishing: Gateway, root: Issuer) -> None:
    root.delegate(OCSP)
    publishing.ledger.accept([certificate(0)])
    publishing.catch_up()
    assert post(publishing, request([certificate(0)])).response_status is OCSPResponseStatus.SUCCESSFUL
    own = ocsp.load_der_ocsp_request(asked(root, root.device(0)))
    mixed = publishing.services.ocsp_answers.answer(_joined(request([certificate(0)]), asked(root, root.device(0))))
    assert ocsp.load_der_ocsp_response(mixed.content).response_status is OCSPResponseStatus.UNAUTHORIZED
    both = publishing.services.ocsp_answers.answer(_joined(asked(root, root.device(1)), asked(root, root.device(0))))
    answers = list(ocsp.load_der_ocsp_response(both.content).responses)
    assert [each.serial_number for each in answers] == [1_001, own.serial_number]


def test_two_cas_in_one_request_are_refused_though_both_delegated(publishing: Gateway, root: Issuer) -> None:
    """One answer has one signature, and no CA lets its key speak for another. Source: RFC 6960 §4.2.2.2."""
    other = publish_below(publishing, root)
    publishing.ledger.accept([other.device(5)])
    for each in (root, other):
        each.delegate(OCSP)
    publishing.catch_up()
    mine, theirs = asked(root, root.device(0)), asked(other, other.device(5))
    for content in (mine, theirs):
        assert post(publishing, content).certificate_status is OCSPCertStatus.GOOD
    for content in (_joined(mine, theirs), _joined(theirs, mine)):
        assert post(publishing, content).response_status is OCSPResponseStatus.UNAUTHORIZED


def _joined(first: bytes, second: bytes) -> bytes:
    """Both requests in one."""
    one, _ = decoder.decode(first, asn1Spec=rfc6960.OCSPRequest())
    other, _ = decoder.decode(second, asn1Spec=rfc6960.OCSPRequest())
    one["tbsRequest"]["requestList"].append(other["tbsRequest"]["requestList"][0])
    return bytes(encoder.encode(one))


def test_a_withdrawn_ca_has_all_revoked_below_it(publishing: Gateway, root: Issuer) -> None:
    below = publish_below(publishing, root)
    root.delegate(OCSP)
    below.delegate(OCSP)
    publishing.ledger.accept([below.device(5)])
    publishing.catch_up()
    device, authority = asked(below, below.device(5)), asked(root, below.authority.der)
    assert post(publishing, device).certificate_status is OCSPCertStatus.GOOD
    assert post(publishing, authority).certificate_status is OCSPCertStatus.GOOD
    below.withdraw()
    publishing.catch_up()
    for content in (device, authority):
        answer = post(publishing, content)
        assert answer.certificate_status is OCSPCertStatus.REVOKED
        assert answer.revocation_reason is x509.ReasonFlags.ca_compromise
    assert post(publishing, asked(root, root.device(0))).certificate_status is OCSPCertStatus.GOOD


def test_the_cache_follows_events_and_delegations(publishing: Gateway, root: Issuer) -> None:
    der = root.delegate(OCSP)
    publishing.catch_up()
    front = create_front(publishing.config, publishing.clock)
    cache: OcspCache = front._ocsp
    for nonce in (None, b"n" * 16):
        content = asked(root, root.device(0), nonce=nonce)
        first = ocsp.load_der_ocsp_response(cache.answer(content).content)
        assert first.certificates == [x509.load_der_x509_certificate(der)]
        assert first.certificate_status is OCSPCertStatus.GOOD
    content = asked(root, root.device(0))
    assert cache.answer(content).content == cache.answer(content).content
    publishing.ledger.hold(root.device(0))
    publishing.catch_up()
    assert ocsp.load_der_ocsp_response(cache.answer(content).content).certificate_status is OCSPCertStatus.REVOKED
    root.withdraw_delegation(der)
    publishing.catch_up()
    refused = ocsp.load_der_ocsp_response(cache.answer(content).content)
    assert refused.response_status is OCSPResponseStatus.UNAUTHORIZED


# Lists


def test_a_list_is_of_one_ca_in_its_name(publishing: Gateway, root: Issuer) -> None:
    der = root.delegate(CRL)
    below = publish_below(publishing, root)
    below.delegate(CRL)
    publishing.ledger.accept([below.device(5), certificate(0)])
    publishing.ledger.hold(root.device(0))
    publishing.ledger.revoke(root.device(1), reason=1)
    publishing.ledger.revoke(below.device(5), reason=4)
    publishing.ledger.revoke(certificate(0))
    publishing.catch_up()
    content = fetch(root)
    read = x509.load_der_x509_crl(content)
    assert is_signed_by(content, der)
    assert not is_signed_by(content, root.authority.der)
    assert read.issuer == x509.load_der_x509_certificate(root.authority.der).subject
    head = publishing.ledger.head()
    assert read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == head.number
    assert read.last_update_utc == datetime.fromtimestamp(head.time, UTC)
    assert read.next_update_utc == datetime.fromtimestamp(head.time + 60, UTC)
    hold, compromise = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.key_compromise
    assert listed(content) == {1_000: hold, 1_001: compromise}
    assert listed(fetch(below)) == {1_005: x509.ReasonFlags.superseded}
    assert fetch(root) == content  # nothing is signed twice for a block


def test_a_delta_has_what_changed_and_a_withdrawn_ca_is_on_its_parents_list(publishing: Gateway, root: Issuer) -> None:
    root.delegate(CRL)
    below = publish_below(publishing, root)
    publishing.ledger.hold(root.device(0))
    publishing.catch_up()
    base = publishing.ledger.head().number
    publishing.ledger.release(root.device(0))
    publishing.ledger.revoke(root.device(1), reason=1)
    below.withdraw()
    publishing.catch_up()
    delta = fetch(root, f"?base={base}")
    indicator = x509.load_der_x509_crl(delta).extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert (indicator.critical, indicator.value.crl_number) == (True, base)
    assert listed(delta) == {
        77: x509.ReasonFlags.ca_compromise,
        1_000: x509.ReasonFlags.remove_from_crl,
        1_001: x509.ReasonFlags.key_compromise,
    }
    assert listed(fetch(root)).keys() == {77, 1_001}


def test_a_renewed_ca_has_one_list_under_both_ids(publishing: Gateway, root: Issuer) -> None:
    root.delegate(CRL)
    publishing.ledger.mine(after_s=5)
    renewed = publish_root(publishing)
    assert renewed.authority.id != root.authority.id
    publishing.ledger.accept([renewed.device(7)])
    publishing.ledger.hold(renewed.device(7))
    publishing.ledger.hold(root.device(0))
    publishing.catch_up()
    assert listed(fetch(root)).keys() == listed(fetch(renewed)).keys() == {1_000, 1_007}


def test_unknown_scopes_and_bases_are_refused(publishing: Gateway, root: Issuer) -> None:
    client, number = publishing.client, publishing.ledger.head().number
    assert problem_code(client.get(f"/crl/{root.name}.crl"), 404) == "not-delegated"
    root.delegate(CRL)
    publishing.catch_up()
    assert client.get(f"/crl/{root.name}.crl?base={number}").status_code == 200
    assert problem_code(client.get(f"/crl/{root.name}.crl?base={number + 9}"), 400) == "base-from-the-future"
    assert problem_code(client.get(f"/crl/{root.name}.crl?other=1"), 400) == "bad-query"
    for scope in ("00" * 32, root.name.upper(), "2", "x"):
        assert problem_code(client.get(f"/crl/{scope}.crl"), 404) == "not-found"


# Strangers' software


def run(*command: str | Path, status: int = 0) -> str:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.openssl
def test_openssl_asks_and_believes_by_the_root_alone(publishing: Gateway, root: Issuer, tmp_path: Path) -> None:
    root.delegate(OCSP)
    publishing.catch_up()
    authority, device = (
        store_pem(tmp_path / "ca.pem", root.authority.der),
        store_pem(tmp_path / "d.pem", root.device(0)),
    )
    with served(publishing.client.application.wsgi_app) as address:
        ask = (
            "openssl",
            "ocsp",
            "-issuer",
            authority,
            "-cert",
            device,
            "-url",
            f"{address}/ocsp",
            "-CAfile",
            authority,
        )
        for nonce in ("-nonce", "-no_nonce"):
            said = run(*ask, nonce)
            assert "Response verify OK" in said
            assert f"{device}: good" in said
        publishing.ledger.hold(root.device(0))
        publishing.catch_up()
        assert "certificateHold" in run(*ask)


@pytest.mark.openssl
@pytest.mark.parametrize("algorithm", ["-sha1", "-sha256"])
def test_openssl_believes_what_came_by_get(publishing: Gateway, root: Issuer, tmp_path: Path, algorithm: str) -> None:
    """Its own client posts, so the request is fetched with curl. Source: RFC 6960 appendix A.1; RFC 5019 §5."""
    root.delegate(OCSP)
    publishing.ledger.hold(root.device(1))
    publishing.catch_up()
    authority = store_pem(tmp_path / "ca.pem", root.authority.der)
    stranger = store_pem(tmp_path / "other.pem", publish_root(publishing, "Other").authority.der)
    good, held = (store_pem(tmp_path / f"{number}.pem", root.device(number)) for number in range(2))
    asked_at, told_at = tmp_path / "request.der", tmp_path / "answer.der"
    which = ("openssl", "ocsp", algorithm, "-issuer", authority, "-cert", good, "-cert", held)
    run(*which, "-no_nonce", "-reqout", asked_at)
    path = quote(base64.b64encode(asked_at.read_bytes()).decode(), safe="")
    with served(publishing.client.application.wsgi_app) as address:
        run("curl", "-sSf", "-o", told_at, f"{address}/ocsp/{path}")
    read = (*which, "-respin", told_at, "-reqin", asked_at)
    said = run(*read, "-CAfile", authority)
    for wanted in ("Response verify OK", f"{good}: good", f"{held}: revoked", "certificateHold"):
        assert wanted in said
    assert "Response Verify Failure" in run(*read, "-CAfile", stranger, status=1)


@pytest.mark.openssl
def test_openssl_checks_with_the_list(publishing: Gateway, root: Issuer, tmp_path: Path) -> None:
    """The list's signer has a key of its own: openssl takes that with -extended_crl."""
    signer = store_pem(tmp_path / "signer.pem", root.delegate(CRL))
    publishing.ledger.hold(root.device(1))
    publishing.catch_up()
    authority, path = store_pem(tmp_path / "ca.pem", root.authority.der), tmp_path / "list.crl"
    path.write_bytes(fetch(root))
    assert "Certificate Hold" in run("openssl", "crl", "-inform", "DER", "-in", path, "-noout", "-text")
    pem = tmp_path / "list.pem"
    run("openssl", "crl", "-inform", "DER", "-in", path, "-out", pem)
    check = (
        "openssl",
        "verify",
        "-crl_check",
        "-extended_crl",
        "-CAfile",
        authority,
        "-untrusted",
        signer,
        "-CRLfile",
        pem,
    )
    good, held = (store_pem(tmp_path / f"{number}.pem", root.device(number)) for number in range(2))
    assert run(*check, good).endswith("OK\n")
    assert "certificate revoked" in run(*check, held, status=2)
    assert parse_certificate(root.device(1)).serial_number == 1_001


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
def test_go_believes_both_by_the_ca_alone(publishing: Gateway, root: Issuer, tmp_path: Path) -> None:
    """OCSP by the CA's certificate; of the list, Go's x509 verifies the delegated signer's signature."""
    program = tmp_path / "stranger"
    done = subprocess.run(
        ["go", "build", "-o", program, "."], cwd=STRANGER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    root.delegate(OCSP)
    signer = store_pem(tmp_path / "signer.pem", root.delegate(CRL))
    publishing.catch_up()
    authority = store_pem(tmp_path / "ca.pem", root.authority.der)
    device = store_pem(tmp_path / "device.pem", root.device(0))
    stranger = store_pem(tmp_path / "stranger.pem", publish_root(publishing, "Other").authority.der)
    with served(publishing.client.application.wsgi_app) as address:
        assert run(program, "issued", authority, device, f"{address}/ocsp") == "good\ngood\n"
        publishing.ledger.hold(root.device(0))
        publishing.catch_up()
        assert run(program, "issued", authority, device, f"{address}/ocsp") == "revoked 6\nrevoked 6\n"
        assert run(program, "issued", stranger, device, f"{address}/ocsp", status=1)
    listed_at = tmp_path / "list.crl"
    listed_at.write_bytes(fetch(root))
    assert run(program, "crl", signer, listed_at) == "1000\n"
    assert run(program, "crl", stranger, listed_at, status=1)
