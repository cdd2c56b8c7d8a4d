"""Certificates of CAs, of their delegates and of devices that they issued, as drafts that a test may bend."""

from __future__ import annotations

import hashlib

from tests.certificates import (
    BLOCK_TIME,
    DAY_S,
    ECDSA_SHA256,
    NAME,
    RSA_SHA256,
    Draft,
    PrivateKey,
    alternative_names,
    authority_key,
    basic_constraints,
    dns,
    extension,
    integer,
    key,
    key_purposes,
    key_usage,
    name,
    rsa_key,
    spki,
    subject_key,
    validity,
)

CERT_AND_CRL_SIGN = bytes.fromhex("03020106")
CRL_SIGN = bytes.fromhex("03020102")
CA_TRUE = b"\x01\x01\xff"
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
NO_CHECK = "1.3.6.1.5.5.7.48.1.5"
LONG_AGO_S = 3_650 * DAY_S
"""CAs are older than any clock that these tests may run under."""

ROOT_KEY, P256_KEY, SIGNER_KEY = key(100), key(101), key(103)


def rsa_authority_key() -> PrivateKey:
    return rsa_key(2_048)


def identifier(private_key: PrivateKey) -> bytes:
    """What stands in subjectKeyIdentifier."""
    return hashlib.sha256(spki(private_key)).digest()[:20]


def algorithm(signer: PrivateKey) -> bytes:
    return ECDSA_SHA256 if hasattr(signer, "curve") else RSA_SHA256


def root(subject: str = "Root", own: PrivateKey = ROOT_KEY, *, now: int = BLOCK_TIME, days: int = 3_000) -> Draft:
    """A root of this O."""
    return Draft(
        subject=name(subject),
        key=own,
        inner_algorithm=algorithm(own),
        validity=validity(now - LONG_AGO_S, now + days * DAY_S),
        extensions=(basic_constraints(CA_TRUE), key_usage(CERT_AND_CRL_SIGN), subject_key(identifier(own))),
    )


def issuing(
    parent: Draft,
    subject: str = "Issuing CA",
    own: PrivateKey = P256_KEY,
    *,
    path_length: int | None = 0,
    days: int = 2_000,
) -> Draft:
    """A CA below another."""
    bounds = () if path_length is None else (integer(path_length),)
    return root(subject, own, days=days).replace(
        issuer=parent.subject,
        signer=parent.key,
        validity=validity(BLOCK_TIME - LONG_AGO_S, BLOCK_TIME + days * DAY_S),
        inner_algorithm=algorithm(parent.key),
        extensions=(
            basic_constraints(CA_TRUE, *bounds),
            key_usage(CERT_AND_CRL_SIGN),
            subject_key(identifier(own)),
            authority_key(identifier(parent.key)),
        ),
    )


def issued(authority: Draft, *names: str, days: int = 365) -> Draft:
    """A device's certificate for the profile cell-ca."""
    return Draft(
        issuer=authority.subject,
        signer=authority.key,
        inner_algorithm=algorithm(authority.key),
        validity=validity(BLOCK_TIME - 60, BLOCK_TIME + days * DAY_S),
        extensions=(
            subject_key(),
            authority_key(identifier(authority.key)),
            key_usage(),
            alternative_names(*(dns(each) for each in names or (NAME,))),
        ),
    )


def delegated(authority: Draft, kind: str, own: PrivateKey = SIGNER_KEY, *, days: int = 30) -> Draft:
    """A signer of OCSP answers ("ocsp") or CRLs ("crl") in a CA's place."""
    ocsp = (key_usage(), key_purposes(OCSP_SIGNING), extension(NO_CHECK, b"\x05\x00"))
    return Draft(
        subject=name("OCSP signer") if kind == "ocsp" else authority.subject,
        issuer=authority.subject,
        signer=authority.key,
        key=own,
        inner_algorithm=algorithm(authority.key),
        validity=validity(BLOCK_TIME - 60, BLOCK_TIME + days * DAY_S),
        extensions=(
            subject_key(identifier(own)),
            authority_key(identifier(authority.key)),
            *(ocsp if kind == "ocsp" else (key_usage(CRL_SIGN),)),
        ),
    )
