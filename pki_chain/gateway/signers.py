"""Whose key signs: the gateway's own about self-signed certificates, one that a CA delegated about those it issued."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from pki_chain.index.authorities import Authorities
from pki_chain.index.authority_records import AuthorityRecord
from pki_chain.ports import DelegationKind, Status
from pki_chain.status.certificate_status import UNKNOWN, CertificateStatus
from pki_chain.status.delegated_key import DelegatedKeys, NotDelegatedError
from pki_chain.status.ocsp import is_about
from pki_chain.status.ocsp_request import CertId
from pki_chain.status.status_key import StatusKey, StatusKeys
from pki_chain.x509.structure import read_structure

Issuer = bytes
"""SHA-256 of a CA's name and key: a CA that renewed its own certificate is the same issuer."""

SELF_SIGNED: Final = b""


def issuer_of(authority: AuthorityRecord) -> Issuer:
    """The issuer that a CA's certificate is of."""
    return hashlib.sha256(authority.subject + authority.spki_sha256).digest()


def serial_of(authority: AuthorityRecord) -> str:
    """The serial number of a CA's certificate in hexadecimal, as the read model writes those of others.

    By the ledger's own rules for DER: a name that a stricter reader refuses must not stop answers about others.
    """
    return format(int.from_bytes(read_structure(authority.der).serial_number), "x")


def status_of_authority(authority: AuthorityRecord, block_time: int) -> CertificateStatus:
    """What is said of a CA's certificate: valid while it counts, revoked for good once it or one above is withdrawn."""
    if 0 < authority.withdrawn_at <= block_time:
        return replace(UNKNOWN, state=Status.REVOKED, reason=authority.reason, since=authority.withdrawn_at)
    return replace(UNKNOWN, state=Status.VALID) if authority.is_live(block_time) else UNKNOWN


def one_issuer(issuers: Iterable[Issuer]) -> Issuer:
    """The issuer that all are of. Raises `NotDelegatedError`."""
    found = set(issuers)
    if len(found) != 1:
        raise NotDelegatedError("Nobody may answer for several issuers at once. Ask about each one's on their own.")
    return found.pop()


class Signers:
    """Chooses keys by the trust list of the read model. Safe for threads; raises as `ReadModel` does."""

    def __init__(self, authorities: Authorities, own: StatusKeys, delegated: DelegatedKeys | None) -> None:
        """Without `delegated` nothing is signed about certificates that CAs issued."""
        self._authorities = authorities
        self._own = own
        self._delegated = delegated

    def issuer(self, certificate: CertId) -> Issuer:
        """The CA that a CertID names; `SELF_SIGNED` where it is none on the list."""
        found = self.named(certificate)
        return issuer_of(found[0]) if found else SELF_SIGNED

    def for_ocsp(self, issuer: Issuer, certificate: CertId, now: int) -> StatusKey:
        """The key that answers about this one, of this issuer. Raises `NotDelegatedError`, `NoStatusKeyError`."""
        if issuer == SELF_SIGNED:
            return self._own.signer(now)
        return self._choose(self.named(certificate), DelegationKind.OCSP_SIGNING, now)

    def named(self, certificate: CertId) -> list[AuthorityRecord]:
        """Certificates on the list of the CA that a CertID names."""
        if not certificate.is_understood:
            return []
        found = self._authorities.of_key(certificate.key_hash)
        return [each for each in found if is_about(certificate, each.subject)]

    def below(self, authorities: Iterable[AuthorityRecord]) -> list[AuthorityRecord]:
        """CAs whose certificates these signed."""
        above = {each.id for each in authorities}
        return [each for each in self._authorities.authorities() if each.parent in above]

    def for_list(self, authority: AuthorityRecord, now: int) -> StatusKey:
        """The key that signs a CA's lists. Raises `NotDelegatedError`."""
        return self._choose(self.same_issuer(authority), DelegationKind.CRL_SIGNING, now)

    def same_issuer(self, authority: AuthorityRecord) -> list[AuthorityRecord]:
        """All certificates on the list of this CA's name and key, its own among them."""
        issuer = issuer_of(authority)
        return [each for each in self._authorities.of_key(authority.key_sha256) if issuer_of(each) == issuer]

    def _choose(self, authorities: Iterable[AuthorityRecord], kind: DelegationKind, now: int) -> StatusKey:
        """The delegation that ends last of those that count now and whose key is here.

        That a CA was withdrawn does not end what says so: who still trusts it must hear of it.
        """
        delegations = [each for authority in authorities for each in self._authorities.delegations(authority.id, kind)]
        able = sorted((each for each in delegations if each.is_live(now)), key=lambda each: -each.not_after)
        key = None
        if self._delegated is not None:
            key = self._delegated.signer((each.spki_sha256, each.der) for each in able)
        if key is None:
            raise NotDelegatedError(
                "This CA has delegated nothing of the kind to a key of this gateway. Ask a gateway of the CA's member;"
                " its operator runs `tally gateway delegation-key` and has the CA certify it."
            )
        return key
