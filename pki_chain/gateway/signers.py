"""Whose key signs: the gateway's own about self-signed certificates, one that the CA delegated about those it issued."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from pki_chain.index.authorities import Authorities
from pki_chain.index.authority_records import AuthorityRecord
from pki_chain.ports import DelegationKind
from pki_chain.status.delegated_key import DelegatedKeys, NotDelegatedError
from pki_chain.status.ocsp import is_about
from pki_chain.status.ocsp_request import CertId
from pki_chain.status.status_key import StatusKey, StatusKeys

Issuer = bytes
"""SHA-256 of a CA's name and key: a CA that renewed its own certificate is the same issuer."""

SELF_SIGNED: Final = b""


def issuer_of(authority: AuthorityRecord) -> Issuer:
    """The issuer that a CA's certificate is of."""
    return hashlib.sha256(authority.subject + authority.spki_sha256).digest()


class Signers:
    """Chooses keys by the trust list of the read model. Safe for threads; raises as `ReadModel` does."""

    def __init__(self, authorities: Authorities, own: StatusKeys, delegated: DelegatedKeys) -> None:
        self._authorities = authorities
        self._own = own
        self._delegated = delegated

    def issuer(self, certificate: CertId) -> Issuer:
        """The CA that a CertID names; `SELF_SIGNED` where it is none on the list."""
        if not certificate.is_understood:
            return SELF_SIGNED
        found = [each for each in self._authorities.of_key(certificate.key_hash) if is_about(certificate, each.subject)]
        return issuer_of(found[0]) if found else SELF_SIGNED

    def for_ocsp(self, certificates: Iterable[CertId], now: int) -> StatusKey:
        """The key that answers about these, all of one issuer. Raises `NotDelegatedError`, `NoStatusKeyError`."""
        by_issuer = {self.issuer(each): each for each in certificates}
        if len(by_issuer) > 1:
            raise NotDelegatedError("Nobody may answer for several CAs at once. Ask about each CA's on their own.")
        ((issuer, certificate),) = by_issuer.items()
        if issuer == SELF_SIGNED:
            return self._own.signer(now)
        named = self._authorities.of_key(certificate.key_hash)
        return self._choose([each for each in named if issuer_of(each) == issuer], DelegationKind.OCSP_SIGNING, now)

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
        key = self._delegated.signer((each.spki_sha256, each.der) for each in able)
        if key is None:
            raise NotDelegatedError(
                "This CA has delegated nothing of the kind to a key of this gateway. Ask a gateway of the CA's member;"
                " its operator runs `tally gateway delegation-key` and has the CA certify it."
            )
        return key
