"""A certificate, read once into a value.

Steps run in the order of the numbered reasons; those that need a profile or a lot run only where rules are given.
Source: RFC 5280 §4.1; docs/decisions/0004-certificate-rules.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from eth_hash.auto import keccak

from pki_chain.ports import CertificateId
from pki_chain.x509 import object_identifiers as oids
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.extensions import Extensions, check_extensions, read_extensions
from pki_chain.x509.issuer import find_issuer
from pki_chain.x509.names import SubjectAltName, read_names
from pki_chain.x509.profile import ExtensionKind, KeyAlgorithm, SanType, SignatureAlgorithm
from pki_chain.x509.public_key import P256PublicKey, RsaPublicKey, key_algorithm, read_public_key
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules, Issuer
from pki_chain.x509.signature import EcdsaSignature, parse_ecdsa_signature, read_signature
from pki_chain.x509.structure import CertificateStructure, read_structure
from pki_chain.x509.subject import EMPTY_SUBJECT, Subject, read_subject
from pki_chain.x509.validity import ENDLESS, check_validity, read_validity

_LONGEST_SERIAL_BYTES = 20
_VERSION_3 = b"\x02"
_SIGNATURE_ALGORITHMS = {
    oids.ECDSA_WITH_SHA256: SignatureAlgorithm.ECDSA_SHA256,
    oids.SHA256_WITH_RSA: SignatureAlgorithm.RSA_SHA256,
}
_FITTING_KEY = {SignatureAlgorithm.ECDSA_SHA256: KeyAlgorithm.P256, SignatureAlgorithm.RSA_SHA256: KeyAlgorithm.RSA}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says. Nothing here says that its signature is good or that anybody accepted it.

    Hashes are 32 bytes. `issuer`, `subject`, `spki` and `tbs` are whole TLVs. Times are seconds since 1970; with
    `endless`, `not_after` is 99991231235959Z. `ecdsa_signature` is None for RSA. `organisation` is empty where the
    subject is, which only a certificate that a CA issued may have.
    """

    der: bytes
    tbs: bytes
    spki: bytes
    spki_hash: bytes
    tbs_hash: bytes
    certificate_id: CertificateId
    sha256: bytes
    serial_number: int
    signature_algorithm: SignatureAlgorithm
    issuer: bytes
    subject: bytes
    organisation: str
    serial: str | None
    common_name: str | None
    not_before: int
    not_after: int
    endless: bool
    public_key: P256PublicKey | RsaPublicKey
    names: tuple[SubjectAltName, ...]
    extensions: Extensions
    signature: bytes
    ecdsa_signature: EcdsaSignature | None

    @property
    def is_self_signed(self) -> bool:
        """Whether it names itself as its issuer; no CA may (RFC 5280 §3.2, self-issued), for a device."""
        return self.issuer == self.subject


def certificate_id(spki_hash: bytes, tbs_hash: bytes) -> CertificateId:
    """Identity on the ledger, from the SHA-256 of both TLVs. Source: docs/ledger.md, Encodings."""
    return CertificateId(keccak(spki_hash + tbs_hash))


def parse_certificate(der: bytes) -> Certificate:
    """Read a certificate by the rules that hold for every profile; its signature is not verified.

    One that names another issuer than its subject is read as one that a CA issued; who that is, nobody asks here.
    Raises CertificateRefusedError with the first reason.
    """
    return read_certificate(der, None)[0]


def read_certificate(der: bytes, rules: CertificateRules | None) -> tuple[Certificate, Issuer | None]:
    """Reasons 1 to 28 and 33 to 35, and the form of the signature (29); and the CA whose key has to verify it.

    That is None for a self-signed certificate, and without rules. Raises CertificateRefusedError with the first reason.
    """
    structure = read_structure(der)
    ca_issued = structure.issuer != structure.subject if rules is None else rules.profile.ca_issued
    # 3, 4
    if structure.version != _VERSION_3:
        raise CertificateRefusedError(Reason.WRONG_VERSION)
    serial_number = _read_serial_number(structure.serial_number)
    # 5, 6
    algorithm = _read_signature_algorithm(structure, rules, ca_issued=ca_issued)
    # 7
    if not ca_issued and structure.issuer != structure.subject:
        raise CertificateRefusedError(Reason.ISSUER_NOT_SUBJECT)
    # 8, 9
    is_unnamed = ca_issued and not structure.subject_rdns
    subject = EMPTY_SUBJECT if is_unnamed else read_subject(structure.subject_rdns)
    if rules is not None and not is_unnamed and subject.organisation != rules.organisation.encode():
        raise CertificateRefusedError(Reason.SUBJECT_NOT_OWNER, repr(subject.organisation))
    # 10 to 13
    not_before, not_after = read_validity(structure.not_before, structure.not_after)
    if rules is not None:
        check_validity(not_before, not_after, rules)
    # 14, 15
    public_key = _read_allowed_key(structure, rules)
    # 16 to 24
    extensions = read_extensions(structure.extensions, san_is_critical=is_unnamed)
    check_extensions(
        extensions, None if rules is None else rules.profile, _demanded(ca_issued=ca_issued, is_unnamed=is_unnamed)
    )
    # 25 to 28
    names = read_names(extensions.general_names, rules)
    _check_common_name(subject, names)
    # 33 to 35
    issuer = find_issuer(structure, extensions, not_after, rules) if ca_issued and rules is not None else None
    # 29, its form
    signer_key = public_key if not ca_issued else None if issuer is None else issuer.public_key
    ecdsa_signature = _read_signature_value(structure.signature, algorithm, signer_key)

    spki_hash, tbs_hash = hashlib.sha256(structure.spki.encoded).digest(), hashlib.sha256(structure.tbs).digest()
    certificate = Certificate(
        der=der,
        tbs=structure.tbs,
        spki=structure.spki.encoded,
        spki_hash=spki_hash,
        tbs_hash=tbs_hash,
        certificate_id=certificate_id(spki_hash, tbs_hash),
        sha256=hashlib.sha256(der).digest(),
        serial_number=serial_number,
        signature_algorithm=algorithm,
        issuer=structure.issuer,
        subject=structure.subject,
        organisation=subject.organisation.decode(),
        serial=None if subject.serial_number is None else subject.serial_number.decode(),
        common_name=None if subject.common_name is None else subject.common_name.decode(),
        not_before=not_before,
        not_after=not_after,
        endless=not_after == ENDLESS,
        public_key=public_key,
        names=names,
        extensions=extensions,
        signature=structure.signature,
        ecdsa_signature=ecdsa_signature,
    )
    return certificate, issuer


def _demanded(*, ca_issued: bool, is_unnamed: bool) -> ExtensionKind:
    """What is demanded whatever the profile says: without AKI no issuer is found, without a subject SAN is the name."""
    demanded = ExtensionKind.AUTHORITY_KEY_IDENTIFIER if ca_issued else ExtensionKind(0)
    return demanded | ExtensionKind.SUBJECT_ALT_NAME if is_unnamed else demanded


def _read_serial_number(content: bytes) -> int:
    serial_number = int.from_bytes(content, signed=True)
    if serial_number <= 0 or len(content) > _LONGEST_SERIAL_BYTES:
        raise CertificateRefusedError(Reason.BAD_SERIAL, f"{len(content)} octets")
    return serial_number


def _read_signature_algorithm(
    structure: CertificateStructure, rules: CertificateRules | None, *, ca_issued: bool
) -> SignatureAlgorithm:
    if structure.inner_algorithm != structure.outer_algorithm:
        raise CertificateRefusedError(Reason.ALGORITHM_MISMATCH)
    algorithm = _SIGNATURE_ALGORITHMS.get(structure.outer_algorithm)
    if algorithm is None or (rules is not None and algorithm not in rules.profile.signature_algorithms):
        raise CertificateRefusedError(Reason.UNSUPPORTED_ALGORITHM, structure.outer_algorithm.hex())
    if not ca_issued and key_algorithm(structure.spki) not in {None, _FITTING_KEY[algorithm]}:
        raise CertificateRefusedError(Reason.UNSUPPORTED_ALGORITHM, "the signature algorithm does not fit the key")
    return algorithm


def _read_signature_value(
    signature: bytes, algorithm: SignatureAlgorithm, key: P256PublicKey | RsaPublicKey | None
) -> EcdsaSignature | None:
    """29, its form; without a key the CA's is not known, and ECDSA's own form is all there is to see."""
    if key is None:
        return parse_ecdsa_signature(signature) if algorithm is SignatureAlgorithm.ECDSA_SHA256 else None
    if isinstance(key, P256PublicKey) != (algorithm is SignatureAlgorithm.ECDSA_SHA256):
        raise CertificateRefusedError(Reason.BAD_SIGNATURE, "the issuer has a key of another kind")
    return read_signature(signature, key)


def _read_allowed_key(structure: CertificateStructure, rules: CertificateRules | None) -> P256PublicKey | RsaPublicKey:
    key = key_algorithm(structure.spki)
    if key is None or (rules is not None and key not in rules.profile.key_algorithms):
        raise CertificateRefusedError(Reason.KEY_ALGORITHM_NOT_ALLOWED, structure.spki.algorithm.hex())
    return read_public_key(structure.spki.key, key)


def _check_common_name(subject: Subject, names: tuple[SubjectAltName, ...]) -> None:
    if subject.common_name is not None and SubjectAltName(SanType.DNS, subject.common_name) not in names:
        raise CertificateRefusedError(Reason.COMMON_NAME_NOT_IN_SAN, repr(subject.common_name))
