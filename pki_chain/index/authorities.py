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

AUTHORITY: Final = (
    "SELECT * FROM (SELECT a.id, a.member, a.parent, a.scope, a.trusted_from, a.trusted_until, a.path_length, a.der,"
    " a.sha256, a.subject, a.key_identifier, a.spki_sha256, a.key_sha1, a.key_sha256, a.published_at, a.withdrawn_at,"
    " a.reason, (WITH RECURSIVE above (parent, member) AS (SELECT a.parent, a.member"
    " UNION ALL SELECT p.parent, p.member FROM authorities p JOIN above ON p.id = above.parent)"
    " SELECT coalesce(min(m.changed_at), 0) FROM above JOIN members m ON m.id = above.member WHERE m.state <> 1),"
    " a.number FROM authorities a)"
)
"""Columns that `authority_record` takes; to be ordered by `number`, which puts parents before their children."""

_DELEGATION: Final = (
    "SELECT id, authority, kind, der, sha256, spki_sha256, not_before, not_after, published_at, withdrawn_at, reason"
    " FROM delegations"
)


def authority_record(row: Sequence[Any]) -> AuthorityRecord:
    """A row of `AUTHORITY`."""
    identity, member, parent, scope, *rest, _ = row
    above = None if parent is None else CertificateId(parent)
    return AuthorityRecord(CertificateId(identity), member, above, TrustScope(scope), *rest)


def listed_authority(record: AuthorityRecord) -> ListedAuthority:
    """An entry as `pki_chain.x509.trust_chain` takes it."""
    return ListedAuthority(
        id=record.id,
        parent=record.parent,
        scope=record.scope,
        trusted_from=record.trusted_from,
        trusted_until=record.trusted_until,
        ended_at=record.ended_at,
        der=record.der,
    )


class Authorities:
    """Reads the tables that `AuthorityProjection` writes, through a read model."""

    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    def version(self) -> tuple[int, int]:
        """Another one when the list of authorities changed: how many were published, and how many were withdrawn."""
        ((published, withdrawn),) = self._read_model.rows(
            "SELECT count(*), coalesce(sum(withdrawn_at > 0), 0) FROM authorities"
        )
        return published, withdrawn

    def authority(self, identity: bytes) -> AuthorityRecord | None:
        """The root or issuing CA with this id (32 bytes)."""
        return self._first(f"{AUTHORITY} WHERE id = ?", (identity,))

    def authorities(self, member: int | None = None) -> tuple[AuthorityRecord, ...]:
        """All roots and issuing CAs, of one member or of all, in the order of their publication; ended ones too."""
        rows = self._read_model.rows(f"{AUTHORITY} WHERE ? IS NULL OR member = ? ORDER BY number", (member, member))
        return tuple(authority_record(row) for row in rows)

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
            f"{AUTHORITY} WHERE subject = ? AND key_identifier = ? ORDER BY number DESC LIMIT 1",
            (subject, key_identifier),
        )

    def of_key(self, key_digest: bytes) -> tuple[AuthorityRecord, ...]:
        """CAs whose key bits have this SHA-1 (20 octets) or SHA-256, as an OCSP CertID names an issuer's key."""
        column = "key_sha1" if len(key_digest) == 20 else "key_sha256"
        rows = self._read_model.rows(f"{AUTHORITY} WHERE {column} = ? ORDER BY number", (key_digest,))
        return tuple(authority_record(row) for row in rows)

    def issuer_of_entry(self, sha256: bytes) -> CertificateId | None:
        """The id of the CA of a certificate on the ledger (SHA-256 of its DER); None for a self-signed one."""
        rows = self._read_model.rows("SELECT authority FROM certificates WHERE sha256 = ?", (sha256,))
        return CertificateId(rows[0][0]) if rows and rows[0][0] is not None else None

    def list_addresses(self, authority: bytes, part: int) -> tuple[str, ...]:
        """What certificates of a CA have as addresses of this part of its list; empty where none names it."""
        rows = self._read_model.rows(
            "SELECT address FROM list_addresses WHERE authority = ? AND part = ? ORDER BY address", (authority, part)
        )
        return tuple(address for (address,) in rows)

    def list_parts(self, authority: bytes) -> tuple[tuple[int, int], ...]:
        """Parts of a CA's list that certificates name, in order, and how many do."""
        rows = self._read_model.rows(
            "SELECT part, certificates FROM list_parts WHERE authority = ? ORDER BY part", (authority,)
        )
        return tuple((part, count) for part, count in rows)

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
        return authority_record(rows[0]) if rows else None


def _delegation(row: tuple[Any, ...]) -> DelegationRecord:
    identity, authority, kind, *rest = row
    return DelegationRecord(CertificateId(identity), CertificateId(authority), DelegationKind(kind), *rest)
