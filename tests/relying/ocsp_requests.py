"""OCSP requests, written by pyasn1 so that neither our writer nor our reader judges itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import univ
from pyasn1_modules import rfc5280, rfc6960

OIDS = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1", "sha512": "2.16.840.1.101.3.4.2.3"}


def cert_id(der: bytes, algorithm: str = "sha1") -> rfc6960.CertID:
    """The CertID of a self-signed certificate: its issuer is itself."""
    certificate = x509.load_der_x509_certificate(der)
    spki, _ = decoder.decode(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        asn1Spec=rfc5280.SubjectPublicKeyInfo(),
    )
    value = rfc6960.CertID()
    value["hashAlgorithm"]["algorithm"] = univ.ObjectIdentifier(OIDS[algorithm])
    value["hashAlgorithm"]["parameters"] = univ.Any(bytes.fromhex("0500"))
    value["issuerNameHash"] = hashlib.new(algorithm, certificate.issuer.public_bytes()).digest()
    value["issuerKeyHash"] = hashlib.new(algorithm, spki["subjectPublicKey"].asOctets()).digest()
    value["serialNumber"] = certificate.serial_number
    return value


def request(
    certificates: Sequence[bytes], algorithm: str = "sha1", nonce: bytes | None = None, *, critical: bool = False
) -> bytes:
    """DER of an OCSPRequest."""
    value = rfc6960.OCSPRequest()
    for number, der in enumerate(certificates):
        value["tbsRequest"]["requestList"][number]["reqCert"] = cert_id(der, algorithm)
    if not certificates:
        value["tbsRequest"]["requestList"].clear()
    if nonce is not None:
        extension = rfc5280.Extension()
        extension["extnID"] = rfc6960.id_pkix_ocsp_nonce
        extension["critical"] = critical
        extension["extnValue"] = encoder.encode(univ.OctetString(nonce))
        value["tbsRequest"]["requestExtensions"].append(extension)
    return bytes(encoder.encode(value))


def each_response(content: bytes) -> list[ocsp.OCSPSingleResponse]:
    """What cryptography reads in a successful answer."""
    return list(ocsp.load_der_ocsp_response(content).responses)
