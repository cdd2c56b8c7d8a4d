"""Revocation lists: what is on them and for how long, as our reader and cryptography's have it."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from pki_chain.gateway.services import INDEX_FILE
from pki_chain.ports import Status
from pki_chain.status import crl
from pki_chain.status.crl import (
    CrlEntry,
    CrlError,
    CrlScope,
    RevocationList,
    encode_crl,
    load_revocation_list,
    part_of,
    parts_of,
)
from pki_chain.x509.certificate import parse_certificate
from tests.gateway.conftest import Gateway, problem_code
from tests.index.recorded_ledger import SMALL_CELL, certificate
from tests.relying.ocsp_requests import each_response, request

KNOWN = certificate(0)
PATH = f"/crl/{SMALL_CELL}/0-of-1.crl"


def fetch(gateway: Gateway, path: str = PATH) -> bytes:
    response = gateway.client.get(path)
    assert (response.status_code, response.content_type) == (200, "application/pkix-crl"), response.data
    assert response.headers["Cache-Control"] == "no-store"
    return bytes(response.data)


def signers_of(gateway: Gateway) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(gateway.client.get("/bundles/signers.pem").data)


def read(gateway: Gateway, path: str = PATH) -> RevocationList:
    return load_revocation_list(fetch(gateway, path), signers_of(gateway))


def listed(found: RevocationList) -> dict[int, int]:
    """Serial numbers to reasons."""
    return {serial: reason for (_, serial), (reason, _) in found.entries.items()}


def test_held_and_revoked_are_listed(publishing: Gateway) -> None:
    assert read(publishing).entries == {}
    publishing.ledger.hold(KNOWN)
    publishing.ledger.revoke(certificate(1), reason=1)
    publishing.ledger.block_key(certificate(2), reason=0)
    publishing.catch_up()
    found = read(publishing)
    assert listed(found) == {1: 6, 2: 1, 3: 0}
    head = publishing.ledger.head()
    assert (found.number, found.base, found.this_update) == (head.number, None, head.time)
    assert found.next_update == head.time + 60
    assert found.find(parse_certificate(KNOWN).issuer, 1) == (6, publishing.ledger.block(head.number - 2).time)
    assert found.find(b"0\x00", 1) is None
    publishing.ledger.release(KNOWN)
    publishing.catch_up()
    assert listed(read(publishing)) == {2: 1, 3: 0}


def test_a_superseded_one_is_listed_as_ocsp_says_it(publishing: Gateway) -> None:
    """No contract writes that state yet; a list must not be silent where OCSP says revoked."""
    database = publishing.config.gateway.data / INDEX_FILE
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "UPDATE certificates SET told = ?, state = 4, reason = 4 WHERE sha256 = ?",
            (int(Status.SUPERSEDED), parse_certificate(KNOWN).sha256),
        )
    assert listed(read(publishing)) == {1: 4}
    (single,) = each_response(publishing.services.ocsp_answers.answer(request([KNOWN])).content)
    assert single.revocation_reason is x509.ReasonFlags.superseded


def test_cryptography_reads_it(publishing: Gateway) -> None:
    publishing.ledger.hold(KNOWN)
    publishing.catch_up()
    read_by = x509.load_der_x509_crl(fetch(publishing))
    (signer,) = signers_of(publishing)
    assert read_by.is_signature_valid(signer.public_key())  # type: ignore[arg-type]
    entry = read_by.get_revoked_certificate_by_serial_number(1)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.certificate_hold
    (name,) = entry.extensions.get_extension_for_class(x509.CertificateIssuer).value.get_values_for_type(
        x509.DirectoryName
    )
    assert name == x509.load_der_x509_certificate(KNOWN).issuer
    point = read_by.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert point.critical
    assert point.value.indirect_crl


def test_a_delta_brings_a_list_up_to_date(publishing: Gateway) -> None:
    publishing.ledger.hold(KNOWN)
    publishing.catch_up()
    full = read(publishing)
    publishing.ledger.release(KNOWN)
    publishing.ledger.revoke(certificate(1))
    publishing.catch_up()
    delta = read(publishing, f"{PATH}?base={full.number}")
    assert delta.base == full.number
    assert listed(delta) == {1: crl.REMOVE_FROM_CRL, 2: 1}
    assert full.with_delta(delta).entries == read(publishing).entries
    assert listed(read(publishing, f"{PATH}?base={delta.number}")) == {}
    assert listed(read(publishing, f"{PATH}?base=0")) == {1: crl.REMOVE_FROM_CRL, 2: 1}


def test_a_delta_that_does_not_fit_is_refused(publishing: Gateway) -> None:
    full = read(publishing)
    publishing.ledger.revoke(KNOWN)
    publishing.catch_up()
    delta = read(publishing, f"{PATH}?base={full.number}")
    for wrong in (full, replace(delta, scope="urn:other"), replace(delta, base=full.number + 1)):
        with pytest.raises(CrlError):
            full.with_delta(wrong)
    with pytest.raises(CrlError):
        full.with_delta(replace(delta, number=full.number - 1))


def test_the_number_never_goes_back_and_nothing_is_signed_twice_for_a_block(publishing: Gateway) -> None:
    first = fetch(publishing)
    publishing.clock.seconds += 20
    assert fetch(publishing) == first
    publishing.ledger.mine()
    publishing.catch_up()
    assert read(publishing).number == publishing.ledger.head().number


def test_a_gateway_that_lags_gives_the_true_next_update(publishing: Gateway) -> None:
    publishing.clock.seconds = publishing.ledger.time + 3_600
    assert read(publishing).next_update == publishing.ledger.time + 60


@pytest.mark.parametrize("path", ["/crl/2/1-of-1.crl", "/crl/2/0-of-2.crl", "/crl/9/0-of-1.crl", "/crl/2/0-of-0.crl"])
def test_an_unknown_scope_is_refused(publishing: Gateway, path: str) -> None:
    assert problem_code(publishing.client.get(path), 404) == "not-found"


def test_a_base_from_the_future_is_refused(publishing: Gateway) -> None:
    number = publishing.ledger.head().number
    assert publishing.client.get(f"{PATH}?base={number}").status_code == 200
    assert problem_code(publishing.client.get(f"{PATH}?base={number + 1}"), 400) == "base-from-the-future"
    assert problem_code(publishing.client.get(f"{PATH}?base=-1"), 400) == "bad-number"
    assert problem_code(publishing.client.get(f"{PATH}?other=1"), 400) == "bad-query"


def test_lists_are_named(publishing: Gateway) -> None:
    lists = publishing.client.get("/crl").get_json()["lists"]
    assert {"profile": SMALL_CELL, "parts": 1, "path": "/crl/2/{part}-of-1.crl"} in lists


def test_what_nobody_known_signed_is_refused(publishing: Gateway) -> None:
    content, now = fetch(publishing), int(publishing.clock())
    stranger = publishing.services.status_keys.create("Example Mobile", now - 1)  # of the same name
    assert load_revocation_list(content, signers_of(publishing))
    with pytest.raises(CrlError, match="nobody who is known"):
        load_revocation_list(content, [x509.load_der_x509_certificate(stranger)])
    with pytest.raises(CrlError, match="nobody who is known"):
        load_revocation_list(content, [])
    bent = bytearray(content)
    bent[60] ^= 1
    with pytest.raises(CrlError):
        load_revocation_list(bytes(bent), signers_of(publishing))
    with pytest.raises(CrlError):
        load_revocation_list(content[:-1], signers_of(publishing))


def test_a_part_stays_below_a_megabyte_when_all_of_it_is_revoked(publishing: Gateway) -> None:
    key = publishing.services.status_keys.signer(publishing.clock())
    issuer = parse_certificate(KNOWN).issuer
    entries = [CrlEntry(issuer, (1 << 158) + each, 1, 1_800_000_000) for each in range(crl.CERTIFICATES_A_PART)]
    scope = CrlScope(SMALL_CELL, 0, 1)
    content = encode_crl(key, scope, number=9, base=None, this_update=0, next_update=60, entries=entries)
    assert len(content) < 1_000_000
    assert len(load_revocation_list(content, signers_of(publishing)).entries) == len(entries)


@pytest.mark.parametrize(("published", "parts"), [(0, 1), (8_192, 1), (8_193, 2), (1_000_000, 128)])
def test_parts(published: int, parts: int) -> None:
    assert parts_of(published) == parts
    assert part_of(b"\xff" * 32, parts) == parts - 1
    assert part_of(bytes(32), parts) == 0


def test_several_issuers_each_with_its_own_number(publishing: Gateway) -> None:
    """The same number under two names: an entry without a name has that of the entry before."""
    key = publishing.services.status_keys.signer(publishing.clock())
    names = [x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, each)]).public_bytes() for each in "ab"]
    entries = [CrlEntry(name, serial, 0, 1_800_000_000) for name in names for serial in (1, 2)]
    scope = CrlScope(SMALL_CELL, 0, 1)
    content = encode_crl(key, scope, number=9, base=None, this_update=0, next_update=60, entries=entries)
    found = load_revocation_list(content, signers_of(publishing))
    assert found.entries.keys() == {(name, serial) for name in names for serial in (1, 2)}


@pytest.mark.openssl
def test_openssl_prints_it_and_its_signature_is_good(publishing: Gateway, tmp_path: Path, signer_file: Path) -> None:
    publishing.ledger.hold(KNOWN)
    publishing.catch_up()
    (tmp_path / "list.crl").write_bytes(fetch(publishing))
    done = subprocess.run(
        ["openssl", "crl", "-inform", "DER", "-in", tmp_path / "list.crl", "-noout", "-text", "-CAfile", signer_file],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "verify OK" in done.stderr
    assert "Certificate Hold" in done.stdout
    assert "Indirect CRL" in done.stdout
