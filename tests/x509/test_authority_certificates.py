"""Certificates of CAs and of their delegates, and chains of them: each defect is refused in its own words."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from pki_chain.errors import InputError
from pki_chain.ports import CertificateId, DelegationKind, TrustScope
from pki_chain.x509.authority import ALL_SCOPES, parse_authority
from pki_chain.x509.delegation import check_delegation, parse_delegation
from pki_chain.x509.delegation_issue import issue_delegation, load_authority_key, load_request
from pki_chain.x509.errors import AuthorityRefusedError
from pki_chain.x509.trust_chain import ListedAuthority, build_issuers
from tests.agreement.mutation import bent_bytes
from tests.authorities import (
    CA_TRUE,
    CERT_AND_CRL_SIGN,
    CRL_SIGN,
    NO_CHECK,
    OCSP_SIGNING,
    P256_KEY,
    ROOT_KEY,
    SIGNER_KEY,
    delegated,
    identifier,
    issuing,
    root,
    rsa_authority_key,
)
from tests.certificates import (
    BLOCK_TIME,
    CLIENT_AUTH,
    DAY_S,
    IPSEC_IKE,
    RSA_SHA256,
    SERVER_AUTH,
    Draft,
    authority_key,
    basic_constraints,
    bits,
    extension,
    integer,
    key,
    key_purposes,
    key_usage,
    name,
    sequence,
    subject_key,
    validity,
)

ROOT = root()
CA = issuing(ROOT)
RSA_CA = issuing(ROOT, "RSA CA", rsa_authority_key())
BC, KU, SKI = basic_constraints(CA_TRUE), key_usage(CERT_AND_CRL_SIGN), subject_key(identifier(ROOT_KEY))
CONSTRAINTS = "2.5.29.30"


def with_extensions(*extensions: bytes) -> Draft:
    return ROOT.replace(extensions=extensions)


@pytest.mark.parametrize("draft", [ROOT, CA, RSA_CA, issuing(ROOT, path_length=None)])
def test_authorities_are_read(draft: Draft) -> None:
    authority = parse_authority(draft.encode())
    assert (authority.subject, authority.issuer) == (draft.subject, draft.issuer or draft.subject)
    assert authority.scope == ALL_SCOPES
    assert authority.is_self_issued == (draft is ROOT)
    loaded = x509.load_der_x509_certificate(draft.encode())
    constraints = loaded.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert authority.path_length == constraints.path_length


WRONG_AUTHORITIES = {
    "not a CA's": with_extensions(KU, SKI),
    "with cA TRUE": with_extensions(basic_constraints(), KU, SKI),
    "critical basicConstraints": with_extensions(basic_constraints(CA_TRUE, critical=False), KU, SKI),
    "lacks keyCertSign": with_extensions(BC, key_usage(CRL_SIGN), SKI),
    "keyUsage is not critical": with_extensions(BC, key_usage(CERT_AND_CRL_SIGN, critical=False), SKI),
    "subjectKeyIdentifier is missing": with_extensions(BC, KU),
    "the subject is empty": ROOT.replace(subject=sequence()),
    "name constraints": with_extensions(BC, KU, SKI, extension(CONSTRAINTS, sequence(), critical=True)),
    "constraints, critical or not": with_extensions(BC, KU, SKI, extension(CONSTRAINTS, sequence())),
    "or one twice": with_extensions(BC, KU, SKI, SKI),
    "is not well formed": with_extensions(BC, KU, extension("2.5.29.14", b"\x04\x00")),
    "not version 3": ROOT.replace(version=b""),
    "serial number": ROOT.replace(serial_number=integer(0)),
    "neither with ecdsa-with-SHA256": ROOT.replace(inner_algorithm=bytes.fromhex("300a06082a8648ce3d040303")),
    "neither on P-256": ROOT.replace(spki=sequence(sequence(bytes.fromhex("06032b6570")), bits(b"\x01" * 32))),
    "not a point|not an uncompressed point": ROOT.replace(
        spki=sequence(bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"), bits(b"\x04" + b"\x01" * 64))
    ),
    "validity": ROOT.replace(validity=validity(BLOCK_TIME, BLOCK_TIME - 1)),
    "not by the CA's key": ROOT.replace(signer=key(9)),
    "authorityKeyIdentifier is not": with_extensions(BC, KU, SKI, authority_key(b"\x01" * 20)),
    "strict DER": ROOT.replace(tail=b"\x05\x00"),
}


@pytest.mark.parametrize("text", WRONG_AUTHORITIES)
def test_other_certificates_are_no_authorities(text: str) -> None:
    with pytest.raises(AuthorityRefusedError, match=text):
        parse_authority(WRONG_AUTHORITIES[text].encode())


def test_purposes_of_a_ca_bound_its_scope() -> None:
    for purposes, scope in (
        ((IPSEC_IKE,), TrustScope.IKE),
        ((SERVER_AUTH, CLIENT_AUTH), TrustScope.TLS),
        ((SERVER_AUTH,), TrustScope(0)),
        (("2.5.29.37.0",), ALL_SCOPES),
    ):
        draft = CA.with_extensions(key_purposes(*purposes))
        assert parse_authority(draft.encode()).scope == scope


@pytest.mark.parametrize("authority", [CA, RSA_CA], ids=["P-256", "RSA"])
@pytest.mark.parametrize("kind", ["ocsp", "crl"])
def test_delegations_are_read(authority: Draft, kind: str) -> None:
    found = check_delegation(delegated(authority, kind).encode(), parse_authority(authority.encode()))
    assert found.kind is DelegationKind[f"{kind.upper()}_SIGNING"]
    assert found.issuer == authority.subject


OCSP, CRL = delegated(CA, "ocsp"), delegated(CA, "crl")
AKI, OWN = authority_key(identifier(P256_KEY)), subject_key(identifier(SIGNER_KEY))
NOCHECK = extension(NO_CHECK, b"\x05\x00")

WRONG_DELEGATIONS = {
    "a CA's certificate": OCSP.with_extensions(basic_constraints(CA_TRUE)),
    "publish it as an authority": CRL.replace(extensions=(OWN, AKI, key_usage(CERT_AND_CRL_SIGN))),
    "keyUsage is missing": OCSP.replace(extensions=(OWN, AKI, key_purposes(OCSP_SIGNING), NOCHECK)),
    "authorityKeyIdentifier is missing": CRL.replace(extensions=(OWN, key_usage(CRL_SIGN))),
    "OCSPSigning alone": OCSP.replace(
        extensions=(OWN, AKI, key_usage(), key_purposes(OCSP_SIGNING, SERVER_AUTH), NOCHECK)
    ),
    "nocheck is missing": OCSP.replace(extensions=(OWN, AKI, key_usage(), key_purposes(OCSP_SIGNING))),
    "must have digitalSignature": OCSP.replace(
        extensions=(OWN, AKI, key_usage(CRL_SIGN), key_purposes(OCSP_SIGNING), NOCHECK)
    ),
    "it delegates nothing": CRL.replace(extensions=(OWN, AKI, key_usage())),
    "own name as subject": CRL.replace(subject=name("Somebody")),
    "longer than 31 days": delegated(CA, "ocsp", days=32),
    "longer than 397 days": delegated(CA, "crl", days=398),
    "not processed here": OCSP.with_extensions(extension("1.2.3", b"", critical=True)),
}


@pytest.mark.parametrize("text", WRONG_DELEGATIONS)
def test_other_certificates_are_no_delegations(text: str) -> None:
    with pytest.raises(AuthorityRefusedError, match=text):
        parse_delegation(WRONG_DELEGATIONS[text].encode())


@pytest.mark.parametrize(
    ("draft", "text"),
    [
        (OCSP.replace(issuer=name("Nobody")), "not that of the CA"),
        (delegated(RSA_CA, "ocsp").replace(issuer=CA.subject), "authorityKeyIdentifier is not"),
        (OCSP.replace(inner_algorithm=RSA_SHA256, signer=rsa_authority_key()), "does not fit the CA's key"),
        (OCSP.replace(signer=key(9)), "not by the CA's key"),
        (delegated(CA, "ocsp", P256_KEY), "the CA's own"),
    ],
)
def test_delegations_by_another_key_are_refused(draft: Draft, text: str) -> None:
    with pytest.raises(AuthorityRefusedError, match=text):
        check_delegation(draft.encode(), parse_authority(CA.encode()))


def entry(draft: Draft, parent: Draft | None = None) -> ListedAuthority:
    above = None if parent is None else identity(parent)
    until = BLOCK_TIME + 1_000 * DAY_S
    return ListedAuthority(identity(draft), above, ALL_SCOPES, BLOCK_TIME, until, 0, draft.encode())


def identity(draft: Draft) -> CertificateId:
    return parse_authority(draft.encode()).id


def test_a_chain_holds_as_long_as_each_link_does(caplog: pytest.LogCaptureFixture) -> None:
    middle = issuing(ROOT, "Middle", key(110), path_length=1)
    below = issuing(middle, "Below", key(111))
    chain = [entry(ROOT), entry(middle, ROOT), entry(below, middle)]
    assert [each.subject for each in build_issuers(chain)] == [ROOT.subject, middle.subject, below.subject]
    assert not caplog.records

    deeper = issuing(below, "Deeper", key(112))
    other_root = root("Other", key(113))
    narrow = dataclasses.replace(entry(middle, ROOT), scope=TrustScope.IKE)
    wrong = {
        "path length": [*chain, entry(deeper, below)],
        "not that of the CA": [entry(ROOT), entry(other_root), entry(issuing(ROOT), other_root)],
        "not believed: publish": [entry(ROOT), entry(below, middle)],
        "wider than that of the CA above": [entry(ROOT), narrow, entry(below, middle)],
        "longer than the CA above": [
            dataclasses.replace(entry(ROOT), trusted_until=BLOCK_TIME + 5),
            entry(middle, ROOT),
        ],
        "longer than the certificate lives": [
            dataclasses.replace(entry(ROOT), trusted_until=BLOCK_TIME + 9_000 * DAY_S)
        ],
        "and only a root": [entry(CA)],
        "a root, and": [entry(ROOT), entry(other_root, ROOT)],
        "the id is not": [dataclasses.replace(entry(ROOT), id=CertificateId(bytes(32)))],
        "extended key usage": [entry(ROOT), entry(CA.with_extensions(key_purposes(IPSEC_IKE)), ROOT)],
    }
    for text, listed in wrong.items():
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = build_issuers(listed)
        assert len(found) == len(listed) - 1, text
        assert text in caplog.records[0].getMessage()


def test_the_last_one_of_a_name_and_key_issues(caplog: pytest.LogCaptureFixture) -> None:
    renewed = CA.replace(serial_number=integer(77))
    (_, found) = build_issuers([entry(ROOT), entry(CA, ROOT), entry(renewed, ROOT)])
    assert found.authority == identity(renewed)
    with caplog.at_level(logging.CRITICAL):
        spoiled = dataclasses.replace(entry(renewed, ROOT), parent=identity(CA))
        assert len(build_issuers([entry(ROOT), entry(CA, ROOT), spoiled])) == 1


def test_no_more_than_four_authorities_on_a_path() -> None:
    chain = [root(days=3_000)]
    chain += [issuing(chain[0], "1", key(121), path_length=None)]
    chain += [issuing(chain[1], "2", key(122), path_length=None)]
    chain += [issuing(chain[2], "3", key(123), path_length=None)]
    chain += [issuing(chain[3], "4", key(124), path_length=None)]
    parents = [None, *chain]
    found = build_issuers([entry(draft, parent) for draft, parent in zip(chain, parents, strict=False)])
    assert len(found) == 4


# Making delegations with a key in a file


def write_key(path: Path, private_key: object) -> Path:
    pem = private_key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    return path


def write_request(path: Path, *, spoilt: bool = False) -> Path:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(SIGNER_KEY, hashes.SHA256())  # type: ignore[arg-type]
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    if spoilt:
        der[-1] ^= 1
    loaded = x509.load_der_x509_csr(bytes(der))
    path.write_bytes(loaded.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("authority", [CA, RSA_CA], ids=["P-256", "RSA"])
@pytest.mark.parametrize("kind", DelegationKind)
def test_a_delegation_made_here_is_taken(tmp_path: Path, authority: Draft, kind: DelegationKind) -> None:
    ca_key = load_authority_key(write_key(tmp_path / "ca.pem", authority.key))
    request = load_request(write_request(tmp_path / "request.pem"))
    certificate = parse_authority(authority.encode())
    der = issue_delegation(ca_key, certificate, request, kind, not_before=BLOCK_TIME, lifetime_days=31)
    made = check_delegation(der, certificate)
    assert made.kind is kind
    assert made.not_after - made.not_before == 31 * DAY_S
    with pytest.raises(InputError, match="not that of the CA"):
        issue_delegation(ca_key, parse_authority(ROOT.encode()), request, kind, not_before=BLOCK_TIME, lifetime_days=9)
    with pytest.raises(InputError, match="398 days: give 1 to"):
        issue_delegation(ca_key, certificate, request, kind, not_before=BLOCK_TIME, lifetime_days=398)


def test_keys_and_requests_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not verify"):
        load_request(write_request(tmp_path / "bent.pem", spoilt=True))
    (tmp_path / "text").write_text("no PEM")
    with pytest.raises(InputError, match="cannot be read as PKCS#10"):
        load_request(tmp_path / "text")
    with pytest.raises(InputError, match="cannot be read; check"):
        load_authority_key(tmp_path / "text")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([ROOT, CA, RSA_CA, OCSP, CRL]), st.randoms(use_true_random=False))
def test_whatever_the_bytes_are_the_answer_is_a_value_or_a_refusal(draft: Draft, random: Random) -> None:
    der = bent_bytes(draft.encode(), random)
    for read in (parse_authority, parse_delegation):
        with suppress(AuthorityRefusedError):
            assert read(der).der == der
