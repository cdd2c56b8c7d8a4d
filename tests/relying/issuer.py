"""CAs of now on a recorded ledger, with a gateway's delegated keys, and devices that they issued certificates to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography import x509

from pki_chain import ports
from pki_chain.gateway.services import open_delegated_keys
from pki_chain.ports import Address, DelegationKind, TrustScope
from pki_chain.x509.authority import AuthorityCertificate, parse_authority
from pki_chain.x509.delegation import parse_delegation
from pki_chain.x509.delegation_issue import issue_delegation
from pki_chain.x509.pem import encode_pem
from tests.authorities import issued, issuing, root
from tests.certificates import DAY_S, REALM, Draft, extension, integer, key, sequence, tlv, validity
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import AUTHORITY

BY = Address("0x" + "0a" * 20)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA that is on the trust list."""

    gateway: Gateway
    draft: Draft
    authority: AuthorityCertificate
    list_addresses: tuple[str, ...] = ()
    devices: dict[int, bytes] = field(default_factory=dict)

    def at(self, *addresses: str) -> Issuer:
        """The same, for devices whose certificates have these distribution points."""
        return replace(self, list_addresses=addresses)

    @property
    def name(self) -> str:
        """As paths name its list."""
        return self.authority.id.hex()

    def device(self, number: int) -> bytes:
        """A cell's certificate, always the same."""
        if number not in self.devices:
            self.devices[number] = self._issue(number)
        return self.devices[number]

    def _issue(self, number: int) -> bytes:
        at_list = () if not self.list_addresses else (distribution_point(*self.list_addresses),)
        draft = issued(self.draft, f"{number:012x}.{REALM}").replace(
            key=key(number), serial_number=integer(1_000 + number)
        )
        draft = draft.replace(extensions=(*draft.extensions, *at_list))
        return current(draft, self.gateway.ledger.time, 30).encode()

    def delegate(self, kind: DelegationKind, *, days: int = 20) -> bytes:
        """Have the gateway make a key, certify it and publish that."""
        der = self.certify(kind, days=days)
        self.publish(der)
        return der

    def certify(self, kind: DelegationKind, *, days: int = 20) -> bytes:
        request = open_delegated_keys(self.gateway.config).create(kind, self.authority.der)
        loaded = x509.load_der_x509_csr(request)
        assert loaded.is_signature_valid
        at = self.gateway.ledger.time
        return issue_delegation(
            self.draft.key,  # type: ignore[arg-type]  # a P-256 key here
            self.authority,
            loaded,
            kind,
            not_before=at,
            lifetime_days=days,
        )

    def publish(self, der: bytes) -> None:
        read = parse_delegation(der)
        event = ports.DelegationPublished(read.id, self.authority.id, read.kind, read.not_before, read.not_after, der)
        self.gateway.ledger.mine([event])

    def withdraw(self, reason: int = 1) -> None:
        self.gateway.ledger.mine([ports.AuthorityWithdrawn(self.authority.id, AUTHORITY, BY, reason)])

    def withdraw_delegation(self, der: bytes) -> None:
        self.gateway.ledger.mine([ports.DelegationWithdrawn(parse_delegation(der).id, AUTHORITY, BY, 0)])


def distribution_point(*addresses: str) -> bytes:
    """cRLDistributionPoints with one point of these addresses. Source: RFC 5280 §4.2.1.13."""
    names = b"".join(tlv(0x86, address.encode()) for address in addresses)
    return extension("2.5.29.31", sequence(sequence(tlv(0xA0, tlv(0xA0, names)))))


def current(draft: Draft, now: int, days: int) -> Draft:
    """The same, of now."""
    return draft.replace(validity=validity(now - 3_600, now + days * DAY_S))


def publish_root(gateway: Gateway, subject: str = "Root", scope: TrustScope = TrustScope.IKE) -> Issuer:
    """A root on the list."""
    return publish(gateway, current(root(subject), gateway.ledger.time, 900), None, scope)


def publish_below(gateway: Gateway, parent: Issuer, scope: TrustScope = TrustScope.IKE) -> Issuer:
    """An issuing CA on the list."""
    draft = current(issuing(parent.draft).replace(serial_number=integer(77)), gateway.ledger.time, 800)
    return publish(gateway, draft, parent, scope)


def publish(gateway: Gateway, draft: Draft, parent: Issuer | None, scope: TrustScope) -> Issuer:
    """A CA of this draft on the list."""
    read = parse_authority(draft.encode())
    event = ports.AuthorityPublished(
        authority=read.id,
        member=AUTHORITY,
        parent=ports.CertificateId(bytes(32)) if parent is None else parent.authority.id,
        scope=scope,
        path_length=3,
        trusted_from=read.not_before,
        trusted_until=read.not_after,
        subject_hash=hashlib.sha256(read.subject).digest(),
        key_identifier_hash=hashlib.sha256(read.key_identifier).digest(),
        by=BY,
        der=read.der,
    )
    gateway.ledger.mine([event])
    return Issuer(gateway, draft, read)


def store_pem(path: Path, *certificates: bytes) -> Path:
    """Certificates in a file."""
    path.write_text("".join(encode_pem("CERTIFICATE", der) for der in certificates), encoding="ascii")
    return path
