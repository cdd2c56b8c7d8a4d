"""Certificates that CAs issued, from the vote on a root to the withdrawal of a CA, by commands and real processes."""

from __future__ import annotations

import hashlib
import secrets
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pki_chain.demo.stage import AUTHORITY, OPERATOR, ORGANISATION, REALM, VENDOR, Stage
from tests.authorities import delegated, identifier, issued, issuing, root
from tests.certificates import (
    DAY_S,
    Draft,
    PrivateKey,
    authority_key,
    dns,
    extension,
    integer,
    key_usage,
    name,
    sequence,
    subject_key,
    validity,
)

pytestmark = [pytest.mark.e2e, pytest.mark.chain, pytest.mark.xdist_group("commands")]

REFUSED, BAD_INPUT = 77, 65
AUTHORITY_MEMBER = "4"


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def current(draft: Draft, days: int) -> Draft:
    """The same, of now; the tests' drafts are of a fixed time."""
    now = int(time.time())
    return draft.replace(
        validity=validity(now - 60, now + days * DAY_S), serial_number=integer(secrets.randbits(120) | 1 << 120)
    )


def device(authority: Draft) -> bytes:
    label = f"{secrets.token_hex(6)}.{REALM}"
    draft = issued(authority, label).replace(subject=name(ORGANISATION), key=p256())
    return current(draft, 30).encode()


def nameless(authority: Draft) -> bytes:
    """Subject empty, and its name in a critical subjectAltName."""
    value = sequence(dns(f"{secrets.token_hex(6)}.{REALM}"))
    draft = issued(authority).replace(
        subject=sequence(),
        key=p256(),
        extensions=(
            subject_key(),
            authority_key(identifier(authority.key)),
            key_usage(),
            extension("2.5.29.17", value, critical=True),
        ),
    )
    return current(draft, 30).encode()


def store(directory: Path, label: str, draft: Draft) -> str:
    path = directory / f"{label}.cer"
    path.write_bytes(draft.encode())
    return str(path)


def store_request(path: Path, key: PrivateKey) -> str:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    path.write_bytes(request.public_bytes(serialization.Encoding.PEM))
    return str(path)


def store_key(path: Path, key: PrivateKey) -> str:
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(path)


def adopt(stage: Stage, *proposal: str) -> None:
    number = str(stage.tally(AUTHORITY, "consortium", "propose", *proposal).content["proposal"])
    for member in (OPERATOR, VENDOR):
        stage.tally(member, "consortium", "vote", number)
    stage.tally(OPERATOR, "consortium", "execute", number)


def test_from_the_vote_on_a_root_to_the_end_of_a_ca(shared_stage: Stage, tmp_path: Path) -> None:
    stage = shared_stage
    top = current(root("Authority Root", p256()), 900)
    adopt(
        stage,
        "trust-root",
        AUTHORITY_MEMBER,
        store(tmp_path, "root", top),
        "ike,tls",
        str(int(time.time()) + 800 * DAY_S),
    )
    rsa_key = rsa.generate_private_key(65_537, 2_048)
    elliptic = current(issuing(top, "Cells CA", p256()), 700)
    classic = current(issuing(top, "Gates CA", rsa_key), 700)

    # Whose CA it is and whose order counts: not the vendor's.
    file = store(tmp_path, "cells", elliptic)
    refused = stage.tally(VENDOR, "ca", "publish", file, "--scope", "ike", expected=(REFUSED,))
    assert "TrustListNotAuthorised" in refused.error
    too_wide = stage.tally(AUTHORITY, "ca", "publish", file, "--scope", "slice", expected=(REFUSED,))
    assert "TrustListBadScope" in too_wide.error
    published = stage.tally(AUTHORITY, "ca", "publish", file, "--scope", "ike,tls").content
    stage.tally(AUTHORITY, "ca", "publish", store(tmp_path, "gates", classic), "--scope", "ike")

    listed = stage.tally(OPERATOR, "ca", "list").content["authorities"]
    assert [each["state"] for each in listed] == ["live"] * 3
    assert listed[1]["id"] == published["authority"]
    chain = stage._session.get(
        f"{stage.gateways[OPERATOR]}/v1/authorities/{published['authority']}",
        headers={"Accept": "application/pem-certificate-chain"},
        timeout=10,
    )
    assert chain.text.count("BEGIN CERTIFICATE") == 2

    lot = int(
        stage.tally(
            VENDOR, "lot", "open", "--profile", "cell-ca", "--maximum", "50", "--range", f"dns:{REALM}"
        ).content["lot"]
    )
    below_elliptic = [device(elliptic) for _ in range(4)] + [nameless(elliptic)]
    below_classic = [device(classic) for _ in range(5)]
    stranger = device(current(issuing(top, "Stranger CA", p256()), 700))
    cells = tmp_path / "cells-of-today"
    cells.mkdir()
    for number, der in enumerate((*below_elliptic, *below_classic, stranger)):
        (cells / f"{number:02}.cer").write_bytes(der)
    submitted = stage.tally(
        VENDOR, "station", "submit", str(cells), "--lot", str(lot), "--no-check", expected=(REFUSED,)
    )
    outcomes = {each["source"]: (each["state"], each["reason"]) for each in submitted.content["certificates"]}
    assert outcomes.pop("10.cer") == ("refused", "unknown_issuer")
    assert set(outcomes.values()) == {("valid", None)}
    assert len(outcomes) == 10

    # The station's own check says the same of the stranger, and lets the others through.
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "stranger.cer").write_bytes(stranger)
    (tmp_path / "again" / "good.cer").write_bytes(device(elliptic))
    checked = stage.tally(
        VENDOR, "station", "submit", str(tmp_path / "again"), "--lot", str(lot), expected=(REFUSED,)
    ).content["certificates"]
    told = {each["source"]: (each["state"], each["reason"]) for each in checked}
    assert told["stranger.cer"] == ("not-sent", "unknown_issuer")
    assert told["good.cer"] == ("valid", None)

    # A delegation made with the CA's key file, and one that the CA did not sign.
    key_file, request = store_key(tmp_path / "ca.pem", elliptic.key), store_request(tmp_path / "signer.csr", p256())
    made = ("--ca-key", key_file, "--ca", file, "--request", request, "--kind")
    given = stage.tally(VENDOR, "ca", "delegate", *made, "ocsp", "--out", str(tmp_path / "ocsp.cer")).content
    stage.tally(VENDOR, "ca", "delegate", *made, "crl")
    again = stage.tally(VENDOR, "ca", "delegate", str(tmp_path / "ocsp.cer"))
    assert again.content["delegation"] == given["delegation"]  # the same order again changes nothing
    (tmp_path / "forged.cer").write_bytes(current(delegated(elliptic, "crl").replace(signer=p256()), 20).encode())
    forged = stage.tally(VENDOR, "ca", "delegate", str(tmp_path / "forged.cer"), expected=(REFUSED,))
    assert "TrustListBadCertificate" in forged.error
    wrong_key = stage.tally(
        VENDOR,
        "ca",
        "delegate",
        "--ca-key",
        store_key(tmp_path / "other.pem", p256()),
        *made[2:],
        "ocsp",
        expected=(BAD_INPUT,),
    )
    assert "not that of the CA's certificate" in wrong_key.error
    stage.tally(AUTHORITY, "ca", "withdraw", given["delegation"], "--reason", "superseded")
    kinds = {
        (each["kind"], each["withdrawn"] is not None)
        for each in stage.get(f"/v1/authorities/{published['authority']}")["delegations"]
    }
    assert kinds == {("ocsp-signing", True), ("crl-signing", False)}

    # The end of one CA: all that it issued is revoked, what the other issued is not, and nothing new comes in.
    late = stage.tally(VENDOR, "ca", "withdraw", file, expected=(REFUSED,))
    assert "TrustListNotAuthorised" in late.error
    stage.tally(AUTHORITY, "ca", "withdraw", file, "--reason", "key-compromise")
    for der in below_elliptic:
        status = stage.get(f"/v1/certificates/{hashlib.sha256(der).hexdigest()}/status")
        assert (status["state"], status["reason"]["number"]) == ("revoked", 2)
    for der in below_classic:
        assert stage.state(hashlib.sha256(der).hexdigest()) == "valid"
    assert stage.submit(lot, [("late", device(elliptic))])["late"]["reason"] == "issuer_not_live"

    # And of the root, by vote.
    adopt(stage, "withdraw-authority", listed[0]["id"], "5")
    states = {stage.state(hashlib.sha256(der).hexdigest()) for der in (*below_elliptic, *below_classic)}
    assert states == {"revoked"}
