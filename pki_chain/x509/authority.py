"""Certificates of CAs: read strictly, and judged against the certificate above them.

This is the validators' and members' own code. It shares nothing with contracts/TrustList.sol, so that a defect of one
is caught by the other. Source: RFC 5280 §4.2.1.9, §6.1; docs/decisions/0019-trust-list.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pki_chain.ports import CertificateId, TrustScope
from pki_chain.x509 import object_identifiers as oids
from pki_chain.x509.certificate import certificate_id
from pki_chain.x509.der import DerError
from pki_chain.x509.errors import AuthorityRefusedError, CertificateRefusedError
from pki_chain.x509.extensions import (
    EXTENSIONS_MAXIMUM,
    KEY_USAGE_KEY_CERT_SIGN,
    read_authority_key,
    read_basic_constraints,
    read_key_purposes,
    read_key_usage,
    read_subject_key,
)
from pki_chain.x509.issued_by import verify_issued_by
from pki_chain.x509.profile import KeyAlgorithm, SignatureAlgorithm
from pki_chain.x509.public_key import P256PublicKey, RsaPublicKey, key_algorithm, read_public_key
from pki_chain.x509.structure import CertificateStructure, Extension, read_structure
from pki_chain.x509.validity import read_validity

_T = TypeVar("_T")

MOST_BELOW_A_ROOT = 3
"""At most four CAs stand on a path, the root among them."""
ALL_SCOPES = TrustScope.IKE | TrustScope.TLS | TrustScope.SLICE
_VERSION_3 = b"\x02"
_ALGORITHMS = {
    oids.ECDSA_WITH_SHA256: SignatureAlgorithm.ECDSA_SHA256,
    oids.SHA256_WITH_RSA: SignatureAlgorithm.RSA_SHA256,
}


@dataclass(frozen=True, slots=True)
class AuthorityCertificate:
    """What a CA's certificate says; nothing says yet that anybody trusts it.

    `issuer`, `subject`, `spki` and `tbs` are whole TLVs, times seconds since 1970 (the last one included).
    `path_length` is None where the certificate does not restrict it, `scope` what its extended key usage leaves: all
    without one.
    """

    der: bytes
    tbs: bytes
    id: CertificateId
    spki: bytes
    issuer: bytes
    subject: bytes
    key_identifier: bytes
    authority_key_identifier: bytes | None
    public_key: P256PublicKey | RsaPublicKey
    path_length: int | None
    scope: TrustScope
    not_before: int
    not_after: int
    signature_algorithm: SignatureAlgorithm
    signature: bytes

    @property
    def is_self_issued(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.issuer == self.subject


def parse_authority(der: bytes) -> AuthorityCertificate:
    """Read a CA's certificate; its signature is not verified but for a self-issued one.

    Raises AuthorityRefusedError.
    """
    structure, algorithm, public_key = read_signed(der, {KeyAlgorithm.P256, KeyAlgorithm.RSA})
    values = read_values(structure.extensions, {oids.BASIC_CONSTRAINTS, oids.KEY_USAGE, oids.EXTENDED_KEY_USAGE})
    if oids.NAME_CONSTRAINTS in values:
        raise AuthorityRefusedError("name constraints, critical or not, are not processed: have it made without them")
    constraints = read_value(values, oids.BASIC_CONSTRAINTS, read_basic_constraints)
    if constraints is None or not constraints.is_authority or not is_critical(structure, oids.BASIC_CONSTRAINTS):
        raise AuthorityRefusedError("no critical basicConstraints with cA TRUE: this is not a CA's certificate")
    if not (read_value(values, oids.KEY_USAGE, read_key_usage) or 0) & KEY_USAGE_KEY_CERT_SIGN:
        raise AuthorityRefusedError("keyUsage lacks keyCertSign: this key may not sign certificates")
    if not is_critical(structure, oids.KEY_USAGE):
        raise AuthorityRefusedError("keyUsage is not critical: have the CA's certificate made anew")
    key_identifier = read_value(values, oids.SUBJECT_KEY_IDENTIFIER, read_subject_key)
    if key_identifier is None:
        raise AuthorityRefusedError(
            "subjectKeyIdentifier is missing: a CA's certificate must have it (RFC 5280 §4.2.1.2)"
        )
    if not structure.subject_rdns:
        raise AuthorityRefusedError("the subject is empty: a CA must have a name (RFC 5280 §4.1.2.6)")
    not_before, not_after = _guarded(lambda: read_validity(structure.not_before, structure.not_after))
    authority = AuthorityCertificate(
        der=der,
        tbs=structure.tbs,
        id=certificate_id(hashlib.sha256(structure.spki.encoded).digest(), hashlib.sha256(structure.tbs).digest()),
        spki=structure.spki.encoded,
        issuer=structure.issuer,
        subject=structure.subject,
        key_identifier=key_identifier,
        authority_key_identifier=read_value(values, oids.AUTHORITY_KEY_IDENTIFIER, read_authority_key),
        public_key=public_key,
        path_length=constraints.path_length,
        scope=_scope_of(read_value(values, oids.EXTENDED_KEY_USAGE, read_key_purposes)),
        not_before=not_before,
        not_after=not_after,
        signature_algorithm=algorithm,
        signature=structure.signature,
    )
    if authority.is_self_issued:
        verify_issued_by(authority, authority, is_own=True)
    return authority


def _scope_of(purposes: tuple[bytes, ...] | None) -> TrustScope:
    """Many a verifier takes a CA's purposes as bounds of what is below it."""
    if purposes is None or oids.ANY_PURPOSE in purposes:
        return ALL_SCOPES
    scope = TrustScope.IKE if oids.IPSEC_IKE in purposes else TrustScope(0)
    return scope | TrustScope.TLS if {oids.SERVER_AUTH, oids.CLIENT_AUTH} <= set(purposes) else scope


def read_signed(
    der: bytes, keys: set[KeyAlgorithm]
) -> tuple[CertificateStructure, SignatureAlgorithm, P256PublicKey | RsaPublicKey]:
    """The parts that any certificate has, version 3, an algorithm of ours, a key of these kinds.

    Raises AuthorityRefusedError.
    """
    structure = _guarded(lambda: read_structure(der))
    if structure.version != _VERSION_3 or not 0 < int.from_bytes(structure.serial_number, signed=True) < 1 << 160:
        raise AuthorityRefusedError("not version 3, or a serial number that is not positive or over 20 octets long")
    algorithm = _ALGORITHMS.get(structure.outer_algorithm)
    if algorithm is None or structure.inner_algorithm != structure.outer_algorithm:
        raise AuthorityRefusedError(
            "signed neither with ecdsa-with-SHA256 nor with sha256WithRSAEncryption: have it signed with one of them"
        )
    kind = key_algorithm(structure.spki)
    if kind not in keys:
        raise AuthorityRefusedError("the key is neither on P-256 nor, where that is allowed, an RSA key: make another")
    return structure, algorithm, _guarded(lambda: read_public_key(structure.spki.key, kind))


def read_values(extensions: tuple[Extension, ...], processed: set[bytes]) -> dict[bytes, bytes]:
    """Contents of the extensions by their OID. Raises AuthorityRefusedError for a critical one not `processed`."""
    values = {extension.oid: extension.value for extension in extensions}
    if len(extensions) > EXTENSIONS_MAXIMUM or len(values) != len(extensions):
        raise AuthorityRefusedError("more than 16 extensions, or one twice: have the certificate made anew")
    for extension in extensions:
        if extension.critical and extension.oid not in processed:
            raise AuthorityRefusedError(
                f"critical extension {extension.oid.hex()}, such as name constraints, is not processed here, and so "
                "must not be believed (RFC 5280 §4.2): have the certificate made without it"
            )
    return values


def read_value(values: dict[bytes, bytes], oid: bytes, read: Callable[[bytes], _T]) -> _T | None:
    """One content read, None where there is none. Raises AuthorityRefusedError."""
    try:
        return read(values[oid]) if oid in values else None
    except DerError as error:
        raise AuthorityRefusedError(f"extension {oid.hex()} is not well formed: {error}") from error


def is_critical(structure: CertificateStructure, oid: bytes) -> bool:
    """Whether this extension is there and critical."""
    return any(extension.critical for extension in structure.extensions if extension.oid == oid)


def _guarded(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except CertificateRefusedError as refused:
        raise AuthorityRefusedError(
            f"{refused.reason.text}; {refused.reason.remedy}", detail=refused.detail
        ) from refused
