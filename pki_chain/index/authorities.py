"""Questions about the trust list, answered from the read model. Raises as `ReadModel` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pki_chain.index.authority_records import AuthorityRecord, DelegationRecord
from pki_chain.index.queries import ReadModel
from pki_chain.ports import CertificateId, DelegationKind, TrustScope
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.trust_chain import ListedAuthority

LONGEST_CHAIN: Final = 8
"""More certificates than any chain has."""

_AUTHORITY: Final = (
    "SELECT id, member, parent, scope, trusted_from, trusted_until, path_length, der, sha256, subject, key_identifier,"
    " spki_sha256, key_sha1, key_sha256, published_at, withdrawn_at, reason FROM authorities"
)
_DELEGATION: Final = (
    "SELECT id, authority, kind, der, sha256, spki_sha256, not_before, not_after, published_at, withdrawn_at, reason"
    " FROM delegations"
)
LISTED: Final = (
    "SELECT a.id, a.parent, a.scope, a.trusted_from, a.trusted_until, a.withdrawn_at,"
    " CASE m.state WHEN 1 THEN 0 ELSE m.changed_at END, a.der"
    " FROM authorities a JOIN members m ON m.id = a.member WHERE a.published_at <= ? ORDER BY a.number"
)
"""Columns that `listed_authority` takes, of what was on the list at a time, parents before their children."""


def listed_authority(row: Sequence[Any]) -> ListedAuthority:
    """An entry as `pki_chain.x509.trust_chain` takes it."""
    identity, parent, scope, trusted_from, trusted_until, withdrawn_at, barred_at, der = row
    return ListedAuthority(
        id=CertificateId(identity),
        parent=None if parent is None else CertificateId(parent),
        scope=TrustScope(scope),
        trusted_from=trusted_from,
        trusted_until=trusted_until,
        ended_at=min(time for time in (withdrawn_at, barred_at) if time) if withdrawn_at or barred_at else 0,
        der=der,
    )


class Authorities:
    """Reads the tables that `AuthorityProjection` writes, through a read model."""

    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    def authority(self, identity: bytes) -> AuthorityRecord | None:
        """The root or issuing CA with this id (32 bytes)."""
        return self._first(f"{_AUTHORITY} WHERE id = ?", (identity,))

    def authorities(self, member: int | None = None) -> tuple[AuthorityRecord, ...]:
        """All roots and issuing CAs, of one member or of all, in the order of their publication; ended ones too."""
        rows = self._read_model.rows(f"{_AUTHORITY} WHERE ? IS NULL OR member = ? ORDER BY number", (member, member))
        return tuple(_authority(row) for row in rows)

    def listed(self, block_time: int) -> tuple[ListedAuthority, ...]:
        """Entries that were on the list at a block's time, as the builder of chains takes them."""
        return tuple(listed_authority(row) for row in self._read_model.rows(LISTED, (block_time,)))

    def chain(self, identity: bytes) -> tuple[AuthorityRecord, ...]:
        """A CA, its parent, and so on up to its root; empty for an unknown id."""
        found: list[AuthorityRecord] = []
        following: bytes | None = identity
        while following is not None and len(found) < LONGEST_CHAIN:
            record = self.authority(following)
            if record is None:
                break
            found.append(record)
            following = record.parent
        return tuple(found)

    def issuer_of(self, der: bytes) -> AuthorityRecord | None:
        """The CA on the list, live or not, of a certificate: the one that stood when the ledger took it in, else
        the one that it names now by Name and AKI keyIdentifier.

        None for a self-signed certificate and for an unknown issuer. The signature is not looked at: what is on the
        ledger was verified. Raises `CertificateRefusedError` for bytes that are no certificate of a device.
        """
        certificate = parse_certificate(der)
        known = self.issuer_of_entry(certificate.sha256)
        if known is not None:
            return self.authority(known)
        if certificate.issuer == certificate.subject:
            return None
        return self.named(certificate.issuer, certificate.extensions.authority_key_identifier or b"")

    def named(self, subject: bytes, key_identifier: bytes) -> AuthorityRecord | None:
        """The CA that issues under this Name (DER) and key identifier now: the one that was published last."""
        return self._first(
            f"{_AUTHORITY} WHERE subject = ? AND key_identifier = ? ORDER BY number DESC LIMIT 1",
            (subject, key_identifier),
        )

    def of_key(self, key_digest: bytes) -> tuple[AuthorityRecord, ...]:
        """CAs whose key bits have this SHA-1 (20 octets) or SHA-256, as an OCSP CertID names an issuer's key."""
        column = "key_sha1" if len(key_digest) == 20 else "key_sha256"
        rows = self._read_model.rows(f"{_AUTHORITY} WHERE {column} = ? ORDER BY number", (key_digest,))
        return tuple(_authority(row) for row in rows)

    def issuer_of_entry(self, sha256: bytes) -> CertificateId | None:
        """The id of the CA of a certificate on the ledger (SHA-256 of its DER); None for a self-signed one."""
        rows = self._read_model.rows("SELECT authority FROM certificates WHERE sha256 = ?", (sha256,))
        return CertificateId(rows[0][0]) if rows and rows[0][0] is not None else None

    def delegations(self, authority: bytes, kind: DelegationKind | None = None) -> tuple[DelegationRecord, ...]:
        """Delegations of a CA, of one kind or of all, the one that ends last first; ended and withdrawn ones too."""
        number = None if kind is None else int(kind)
        rows = self._read_model.rows(
            f"{_DELEGATION} WHERE authority = ? AND (? IS NULL OR kind = ?) ORDER BY not_after DESC, id",
            (authority, number, number),
        )
        return tuple(_delegation(row) for row in rows)

    def delegation(self, identity: bytes) -> DelegationRecord | None:
        """The delegation with this id (32 bytes)."""
        rows = self._read_model.rows(f"{_DELEGATION} WHERE id = ?", (identity,))
        return _delegation(rows[0]) if rows else None

    def _first(self, statement: str, values: Sequence[object]) -> AuthorityRecord | None:
        rows = self._read_model.rows(statement, values)
        return _authority(rows[0]) if rows else None


def _authority(row: tuple[Any, ...]) -> AuthorityRecord:
    identity, member, parent, scope, *rest = row
    above = None if parent is None else CertificateId(parent)
    return AuthorityRecord(CertificateId(identity), member, above, TrustScope(scope), *rest)


def _delegation(row: tuple[Any, ...]) -> DelegationRecord:
    identity, authority, kind, *rest = row
    return DelegationRecord(CertificateId(identity), CertificateId(authority), DelegationKind(kind), *rest)
