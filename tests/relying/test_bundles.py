"""Trust bundles and the change feed over REST."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from joserfc import jws
from joserfc.jwk import ECKey

from pki_chain.status.bundle import TYPE, BundleError, digest_of, verify_manifest
from tests.certificates import REALM
from tests.gateway.conftest import Gateway, problem_code
from tests.index.recorded_ledger import OPERATOR, SMALL_CELL, VENDOR, certificate, certificates
from tests.relying.test_crl import signers_of


def shown(gateway: Gateway, form: str, query: str = "") -> bytes:
    response = gateway.client.get(f"/bundles/certificates.{form}{query}")
    assert response.status_code == 200, response.data
    return bytes(response.data)


def test_all_formats_hold_the_valid_ones(publishing: Gateway) -> None:
    publishing.ledger.hold(certificate(0))
    publishing.catch_up()
    expected = {x509.load_der_x509_certificate(certificate(number)) for number in (1, 2)}
    assert set(x509.load_pem_x509_certificates(shown(publishing, "pem"))) == expected
    assert set(pkcs7.load_der_pkcs7_certificates(shown(publishing, "p7b"))) == expected
    content = json.loads(shown(publishing, "json"))
    ders = [base64.b64decode(each["der"]) for each in content["certificates"]]
    assert {x509.load_der_x509_certificate(der) for der in ders} == expected
    manifest = verify_manifest(content["manifest"], signers_of(publishing), publishing.clock())
    assert manifest.digest == digest_of(hashlib.sha256(der).digest() for der in ders)
    assert (manifest.count, manifest.block) == (2, publishing.ledger.head().number)
    assert manifest.next_update == publishing.ledger.time + 60


@pytest.mark.openssl
def test_openssl_reads_pkcs7(publishing: Gateway, tmp_path: Path) -> None:
    (tmp_path / "bundle.p7b").write_bytes(shown(publishing, "p7b"))
    done = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-in", tmp_path / "bundle.p7b", "-print_certs"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("BEGIN CERTIFICATE") == 3


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (f"?profile={SMALL_CELL}", 3),
        ("?profile=9", 0),
        (f"?member={VENDOR}", 3),
        (f"?member={OPERATOR}", 0),
        (f"?suffix={REALM}&member={VENDOR}", 3),
        ("?suffix=other.example", 0),
    ],
)
def test_scopes(publishing: Gateway, query: str, count: int) -> None:
    assert shown(publishing, "pem", query).count(b"BEGIN CERTIFICATE") == count


@pytest.mark.parametrize(
    "query",
    [
        "?profile=0",
        "?profile=x",
        "?member=65536",
        "?suffix=",
        "?suffix=.x",
        "?suffix=UP.x",
        "?a=1",
        "?profile=1&profile=2",
    ],
)
def test_what_is_no_scope_is_refused(publishing: Gateway, query: str) -> None:
    assert problem_code(publishing.client.get(f"/bundles/certificates.pem{query}"), 400) == "bad-scope"


def test_the_tag_changes_with_the_certificates_only(publishing: Gateway) -> None:
    first = publishing.client.get("/bundles/certificates.pem")
    tag = {"If-None-Match": first.headers["ETag"]}
    publishing.ledger.mine()
    publishing.catch_up()
    assert publishing.client.get("/bundles/certificates.pem", headers=tag).status_code == 304
    publishing.ledger.hold(certificate(0))
    publishing.catch_up()
    second = publishing.client.get("/bundles/certificates.pem", headers=tag)
    assert second.status_code == 200
    publishing.ledger.release(certificate(0))
    publishing.catch_up()
    assert publishing.client.get("/bundles/certificates.pem", headers=tag).status_code == 304
    other = publishing.client.get(f"/bundles/certificates.pem?member={OPERATOR}", headers=tag)
    assert other.status_code == 200


def test_too_large_a_scope_is_refused(publishing: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pki_chain.gateway.bundle_answers.MAX_CERTIFICATES", 2)
    assert problem_code(publishing.client.get("/bundles/certificates.pem"), 422) == "scope-too-large"


def test_lists_are_for_members_and_signers_for_everybody(publishing: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    token = b"t" * 32
    services = publishing.services
    monkeypatch.setattr(type(services), "member_token", token, raising=False)
    for path in ("/bundles/certificates.pem", "/bundles/manifest.jws", "/v1/changes", "/v1/expiries?member=1&before=1"):
        assert problem_code(publishing.client.get(path), 401) == "member-token"
        headers = {"Authorization": f"Bearer {token.decode()}"}
        assert publishing.client.get(path, headers=headers).status_code == 200
    assert publishing.client.get("/bundles/signers.pem").status_code == 200


def manifest_of(gateway: Gateway) -> str:
    return gateway.client.get("/bundles/manifest.jws").get_data(as_text=True)


def test_a_manifest_holds_until_its_next_update(publishing: Gateway) -> None:
    text, signers = manifest_of(publishing), signers_of(publishing)
    end = publishing.ledger.time + 60
    assert verify_manifest(text, signers, end).count == 3
    with pytest.raises(BundleError, match="out of date"):
        verify_manifest(text, signers, end + 1)


def test_a_manifest_of_somebody_else_is_refused(publishing: Gateway) -> None:
    text, signers = manifest_of(publishing), signers_of(publishing)
    now = publishing.clock()
    for wrong in (text[:-4] + "AAAA", text.replace(".", "..", 1), "", "x" * 10_000):
        with pytest.raises(BundleError):
            verify_manifest(wrong, signers, now)
    with pytest.raises(BundleError, match="nobody who is known"):
        verify_manifest(text, [x509.load_der_x509_certificate(certificate(0))], now)


@pytest.mark.parametrize("payload", ["[]", '{"count": 1}', "x"])
def test_a_manifest_of_another_form_is_refused(publishing: Gateway, payload: str) -> None:
    key = publishing.services.status_keys.signer(publishing.clock())
    pem = key.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = jws.serialize_compact({"alg": "ES256", "typ": TYPE}, payload, ECKey.import_key(pem))
    with pytest.raises(BundleError, match="form"):
        verify_manifest(text, signers_of(publishing), publishing.clock())


def test_stale_is_never_answered(publishing: Gateway) -> None:
    publishing.clock.seconds = publishing.ledger.time + 30.1
    for path in ("/bundles/certificates.pem", "/bundles/manifest.jws", "/v1/changes"):
        assert problem_code(publishing.client.get(path), 503) == "stale"


# The change feed


def test_the_feed_goes_on_from_its_cursor(publishing: Gateway) -> None:
    first = publishing.client.get("/v1/changes?limit=2").get_json()
    assert [change["kind"] for change in first["changes"]] == ["published"] * 2
    assert first["more"]
    second = publishing.client.get(f"/v1/changes?after={first['cursor']}").get_json()
    assert len(second["changes"]) == 1
    assert not second["more"]
    empty = publishing.client.get(f"/v1/changes?after={second['cursor']}").get_json()
    assert (empty["changes"], empty["cursor"]) == ([], second["cursor"])
    publishing.ledger.hold(certificate(1))
    publishing.ledger.accept(certificates(1, first=9))
    publishing.catch_up()
    third = publishing.client.get(f"/v1/changes?after={second['cursor']}").get_json()
    assert [change["kind"] for change in third["changes"]] == ["held", "published"]
    assert third["changes"][0] == {
        "cursor": third["changes"][0]["cursor"],
        "kind": "held",
        "block": third["changes"][0]["block"],
        "time": third["changes"][0]["time"],
        "sha256": hashlib.sha256(certificate(1)).hexdigest(),
        "certificate": third["changes"][0]["certificate"],
        "spki_sha256": third["changes"][0]["spki_sha256"],
        "reason": {"number": 6, "name": "certificateHold"},
        "until": None,
        "profile": SMALL_CELL,
        "member": VENDOR,
        "station_member": VENDOR,
        "lot": 1,
        "not_before": third["changes"][0]["not_before"],
        "not_after": third["changes"][0]["not_after"],
        "names": [{"kind": "dns", "value": f"00a1b2c3d001.{REALM}"}],
    }


def test_a_cursor_from_the_future_is_refused(publishing: Gateway) -> None:
    end = publishing.services.change_log.end(publishing.ledger.head().number)
    assert publishing.client.get(f"/v1/changes?after={end}").status_code == 200
    response = publishing.client.get(f"/v1/changes?after={end + 1}")
    assert problem_code(response, 409) == "cursor-from-the-future"
    assert problem_code(publishing.client.get("/v1/changes?after=x"), 400) == "bad-cursor"


def test_expiries(publishing: Gateway) -> None:
    ends = x509.load_der_x509_certificate(certificate(0)).not_valid_after_utc.timestamp()
    path = f"/v1/expiries?member={VENDOR}&before="
    found = publishing.client.get(f"{path}{int(ends) + 1}").get_json()["certificates"]
    assert len(found) == 3
    assert publishing.client.get(f"{path}{int(ends)}").get_json()["certificates"] == []
    assert problem_code(publishing.client.get("/v1/expiries?member=1"), 400) == "bad-number"
