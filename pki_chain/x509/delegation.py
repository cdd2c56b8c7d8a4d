"""Certificates by which a CA lets another key sign its OCSP answers or its CRLs.

Own code, as `pki_chain.x509.authority`. Source: RFC 6960 §4.2.2.2; RFC 5280 §6.3.3; docs/decisions/0019-trust-list.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from pki_chain.ports import CertificateId, DelegationKind
from pki_chain.x509 import object_identifiers as oids
from pki_chain.x509.authority import (
    AuthorityCertificate,
    is_critical,
    read_signed,
    read_value,
    read_values,
)
from pki_chain.x509.certificate import certificate_id
from pki_chain.x509.errors import AuthorityRefusedError, CertificateRefusedError
from pki_chain.x509.extensions import (
    KEY_USAGE_CRL_SIGN,
    KEY_USAGE_DIGITAL_SIGNATURE,
    KEY_USAGE_KEY_CERT_SIGN,
    read_authority_key,
    read_basic_constraints,
    read_key_purposes,
    read_key_usage,
    read_subject_key,
)
from pki_chain.x509.issued_by import verify_issued_by
from pki_chain.x509.profile import KeyAlgorithm, SignatureAlgorithm
from pki_chain.x509.structure import CertificateStructure
from pki_chain.x509.validity import read_validity

_DAY_S: Final = 86_400
LONGEST_S: Final = {DelegationKind.OCSP_SIGNING: 31 * _DAY_S, DelegationKind.CRL_SIGNING: 397 * _DAY_S}
_NULL: Final = b"\x05\x00"


@dataclass(frozen=True, slots=True)
class DelegatedCertificate:
    """What such a certificate says. `issuer`, `subject`, `spki` and `tbs` are TLVs; times are seconds since 1970."""

    der: bytes
    tbs: bytes
    id: CertificateId
    kind: DelegationKind
    spki: bytes
    issuer: bytes
    subject: bytes
    authority_key_identifier: bytes | None
    not_before: int
    not_after: int
    signature_algorithm: SignatureAlgorithm
    signature: bytes


def parse_delegation(der: bytes) -> DelegatedCertificate:
    """Read a delegated signer's certificate; its signature is not verified. Raises AuthorityRefusedError.

    OCSP: extended key usage exactly id-kp-OCSPSigning, and id-pkix-ocsp-nocheck, at most 31 days. CRL: keyUsage cRLSign
    and the CA's own name, without which openssl and strongSwan refuse the CRL, at most 397 days.
    """
    structure, algorithm, _ = read_signed(der, {KeyAlgorithm.P256, KeyAlgorithm.RSA})
    values = read_values(
        structure.extensions, {oids.BASIC_CONSTRAINTS, oids.KEY_USAGE, oids.EXTENDED_KEY_USAGE, oids.OCSP_NO_CHECK}
    )
    constraints = read_value(values, oids.BASIC_CONSTRAINTS, read_basic_constraints)
    usage = read_value(values, oids.KEY_USAGE, read_key_usage)
    if (constraints is not None and constraints.is_authority) or (usage or 0) & KEY_USAGE_KEY_CERT_SIGN:
        raise AuthorityRefusedError("this is a CA's certificate: publish it as an authority instead")
    if usage is None or not is_critical(structure, oids.KEY_USAGE) or not structure.subject_rdns:
        raise AuthorityRefusedError("keyUsage is missing or not critical, or the subject is empty: have it made anew")
    if not {oids.SUBJECT_KEY_IDENTIFIER, oids.AUTHORITY_KEY_IDENTIFIER} <= values.keys():
        raise AuthorityRefusedError("subjectKeyIdentifier or authorityKeyIdentifier is missing: have it made with both")
    read_value(values, oids.SUBJECT_KEY_IDENTIFIER, read_subject_key)
    purposes = read_value(values, oids.EXTENDED_KEY_USAGE, read_key_purposes)
    if purposes is None:
        kind = DelegationKind.CRL_SIGNING
        _check_crl_signer(structure, usage)
    else:
        kind = DelegationKind.OCSP_SIGNING
        _check_ocsp_signer(purposes, usage, values)
    try:
        not_before, not_after = read_validity(structure.not_before, structure.not_after)
    except CertificateRefusedError as refused:
        raise AuthorityRefusedError(f"{refused.reason.text}; {refused.reason.remedy}") from refused
    if not_after - not_before > LONGEST_S[kind]:
        raise AuthorityRefusedError(f"it lives longer than {LONGEST_S[kind] // _DAY_S} days: have a shorter one made")
    return DelegatedCertificate(
        der=der,
        tbs=structure.tbs,
        id=certificate_id(hashlib.sha256(structure.spki.encoded).digest(), hashlib.sha256(structure.tbs).digest()),
        kind=kind,
        spki=structure.spki.encoded,
        issuer=structure.issuer,
        subject=structure.subject,
        authority_key_identifier=read_value(values, oids.AUTHORITY_KEY_IDENTIFIER, read_authority_key),
        not_before=not_before,
        not_after=not_after,
        signature_algorithm=algorithm,
        signature=structure.signature,
    )


def _check_crl_signer(structure: CertificateStructure, usage: int) -> None:
    if not usage & KEY_USAGE_CRL_SIGN:
        raise AuthorityRefusedError(
            "neither extended key usage id-kp-OCSPSigning nor keyUsage cRLSign: it delegates nothing"
        )
    if structure.subject != structure.issuer:
        raise AuthorityRefusedError("a CRL signer must have the CA's own name as subject, octet for octet")


def _check_ocsp_signer(purposes: tuple[bytes, ...], usage: int, values: dict[bytes, bytes]) -> None:
    if purposes != (oids.OCSP_SIGNING,):
        raise AuthorityRefusedError("extended key usage is not id-kp-OCSPSigning alone: have it made with that alone")
    if values.get(oids.OCSP_NO_CHECK) != _NULL:
        raise AuthorityRefusedError("id-pkix-ocsp-nocheck is missing: clients would ask for this one's own status")
    if not usage & KEY_USAGE_DIGITAL_SIGNATURE or usage & KEY_USAGE_CRL_SIGN:
        raise AuthorityRefusedError("keyUsage of an OCSP signer must have digitalSignature, and not cRLSign")


def check_delegation(der: bytes, authority: AuthorityCertificate) -> DelegatedCertificate:
    """As `parse_delegation`, and signed by this CA, whose key is another one. Raises AuthorityRefusedError."""
    delegated = parse_delegation(der)
    verify_issued_by(delegated, authority)
    if delegated.spki == authority.spki:
        raise AuthorityRefusedError("the delegated key is the CA's own: make another, the CA's key stays off line")
    return delegated
