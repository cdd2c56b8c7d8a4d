"""CAs that mean harm, or whose names others cannot read: no answer about others suffers, none is good by mistake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus

from pki_chain import ports
from pki_chain.chain.signer import create_passphrase, load_passphrase
from pki_chain.gateway.app import create_front
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.gateway.services import DELEGATED_KEYS
from pki_chain.ports import DelegationKind, TrustScope
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.self_signed import load_key
from tests.authorities import delegated, issuing
from tests.certificates import Draft, integer
from tests.gateway.conftest import Gateway, opened, problem_code
from tests.index.recorded_ledger import AUTHORITY, RecordedLedger
from tests.relying.issuer import BY, Issuer, current, publish, publish_below, publish_root

OCSP, CRL = DelegationKind.OCSP_SIGNING, DelegationKind.CRL_SIGNING


@pytest.fixture
def publishing(tmp_path: Path) -> Iterator[Gateway]:
    with opened(tmp_path, RecordedLedger(int(time.time()) - 60)) as found:
        create_passphrase(found.config.keystore.passphrase_file)
        found.services.status_keys.create("Example Mobile", found.ledger.time - 86_400)
        yield found


@pytest.fixture
def root(publishing: Gateway) -> Issuer:
    made = publish_root(publishing)
    publishing.ledger.accept([made.device(0)])
    return made


def asked(issuer: Issuer, der: bytes) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(der), x509.load_der_x509_certificate(issuer.authority.der), hashes.SHA256()
    )
    return builder.build().public_bytes(serialization.Encoding.DER)


def test_a_kept_answer_about_a_ca_goes_with_its_withdrawal(publishing: Gateway, root: Issuer) -> None:
    """Also where it issued nothing to a device, so that the change feed says nothing."""
    root.delegate(OCSP)
    below = publish_below(publishing, root)
    publishing.catch_up()
    front = create_front(publishing.config, publishing.clock)
    cache: OcspCache = front._ocsp
    content = asked(root, below.authority.der)
    assert ocsp.load_der_ocsp_response(cache.answer(content).content).certificate_status is OCSPCertStatus.GOOD
    below.withdraw()
    publishing.catch_up()
    assert ocsp.load_der_ocsp_response(cache.answer(content).content).certificate_status is OCSPCertStatus.REVOKED


def strange_ca(root: Issuer) -> Draft:
    """A CA below this one, in whose name are characters that its string type has not."""
    draft = issuing(root.draft).replace(serial_number=integer(78))
    subject = bytearray(draft.subject)
    place = subject.index(b"Issuing CA")
    subject[place - 2], subject[place + 7] = 0x13, ord("@")
    return draft.replace(subject=bytes(subject))


def test_a_ca_with_a_name_that_others_cannot_read_stops_nobody(publishing: Gateway, root: Issuer) -> None:
    """PrintableString with characters of others: the ledger takes it, cryptography does not."""
    root.delegate(OCSP)
    root.delegate(CRL)
    below = current(strange_ca(root), publishing.ledger.time, 800)
    read = parse_authority(below.encode())
    with pytest.raises(ValueError, match="PrintableString"):
        x509.load_der_x509_certificate(read.der)
    publishing.ledger.mine(
        [
            ports.AuthorityPublished(
                authority=read.id,
                member=AUTHORITY,
                parent=root.authority.id,
                scope=TrustScope.IKE,
                path_length=0,
                trusted_from=read.not_before,
                trusted_until=read.not_after,
                subject_hash=bytes(32),
                key_identifier_hash=bytes(32),
                by=BY,
                der=read.der,
            )
        ]
    )
    publishing.ledger.mine([ports.AuthorityWithdrawn(read.id, AUTHORITY, BY, 1)])
    publishing.catch_up()
    answer = publishing.client.post("/ocsp", data=asked(root, root.device(0)), content_type="application/ocsp-request")
    assert ocsp.load_der_ocsp_response(answer.data).certificate_status is OCSPCertStatus.GOOD
    listed = publishing.client.get(f"/crl/{root.name}.crl")
    assert listed.status_code == 200
    assert [each.serial_number for each in x509.load_der_x509_crl(listed.data)] == [78]


def test_a_strange_name_over_a_key_that_was_seen_gains_nothing(publishing: Gateway, root: Issuer) -> None:
    """A CA whose name others cannot read certifies a key of the gateway that another CA's delegation showed it."""
    root.delegate(CRL)
    (file,) = (publishing.config.gateway.data / DELEGATED_KEYS).iterdir()
    seen = load_key(file, load_passphrase(publishing.config.keystore.passphrase_file))
    draft = current(strange_ca(root), publishing.ledger.time, 800)
    strange = publish(publishing, draft, root, TrustScope.IKE)
    strange.publish(current(delegated(draft, "crl", seen), publishing.ledger.time, 20).encode())
    publishing.catch_up()
    assert problem_code(publishing.client.get(f"/crl/{strange.name}.crl"), 404) == "not-delegated"
    assert publishing.client.get(f"/crl/{root.name}.crl").status_code == 200
