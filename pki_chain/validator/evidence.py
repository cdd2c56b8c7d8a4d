"""What a validator's own read model knows: batches that await it, and who has a name or a serial number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from pki_chain.index.authorities import AUTHORITY, authority_record, listed_authority
from pki_chain.policy.context import EvidenceMissingError
from pki_chain.ports import Address, CertificateId, MemberState, NameRange, RangeKind, Role
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import Profile
from pki_chain.x509.rules import Issuer
from pki_chain.x509.trust_chain import build_issuers

_SUPERSEDED = 4
_REVOKED = 5


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """One entry of a batch. A refused one has `entry_hash` and no `der`; the others the reverse."""

    number: int
    certificate: CertificateId | None
    der: bytes
    entry_hash: bytes


@dataclass(frozen=True, slots=True)
class AwaitingBatch:
    """A batch that this member may judge. Everything here is as the ledger's events say it: not yet believed."""

    id: int
    digest: bytes
    count: int
    present: int
    submitted_at: int
    window_end: int
    profile: Profile
    organisation: str
    ranges: tuple[NameRange, ...]
    entries: tuple[BatchEntry, ...]
    issuers: tuple[Issuer, ...] = ()


class Evidence:
    """Questions to the read model, all through one read-only connection."""

    def __init__(self, connection: sqlite3.Connection, member: int) -> None:
        self._connection = connection
        self._member = member

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def awaiting(self, now: int) -> list[int]:
        """Batches, oldest first, whose electorate has this member, undecided, in their window, not endorsed by it.

        None that the contract takes no word on, since the lot's owner or the station's member lost its rights.
        """
        found = self._connection.execute(
            "SELECT b.id, e.members FROM batches b JOIN electorates e ON e.number = b.electorate "
            "JOIN lots l ON l.id = b.lot JOIN members o ON o.id = l.owner JOIN members s ON s.id = b.station_member "
            "WHERE o.state = 1 AND o.changed_at <= l.opened_at AND s.state = 1 "
            "AND b.settled_at = 0 AND b.window_end >= ? AND b.station_member <> ? AND b.lot_owner <> ? "
            "AND NOT EXISTS (SELECT 1 FROM endorsements d WHERE d.batch = b.id AND d.member = ?) ORDER BY b.id",
            (now, self._member, self._member, self._member),
        )
        return [batch for batch, members in found if self._member in json.loads(members)]

    def may_endorse(self, account: Address) -> bool:
        """Whether this account endorses for this member now: neither of them suspended, nor it another's."""
        found = self._connection.execute(
            "SELECT 1 FROM accounts a JOIN members m ON m.id = a.member "
            "WHERE a.address = ? AND a.member = ? AND a.role = ? AND a.active = 1 AND m.state = ?",
            (account, self._member, int(Role.ENDORSER), int(MemberState.ACTIVE)),
        ).fetchone()
        return found is not None

    def batch(self, batch: int) -> AwaitingBatch:
        """Everything that is said about a batch. Raises `EvidenceMissingError` when a part of it is not known."""
        row = self._connection.execute(
            "SELECT b.digest, b.count, b.present, b.submitted_at, b.window_end, b.profile, p.content, m.name, l.ranges "
            "FROM batches b JOIN profiles p ON p.id = b.profile JOIN lots l ON l.id = b.lot "
            "JOIN members m ON m.id = l.owner WHERE b.id = ?",
            (batch,),
        ).fetchone()
        if row is None:
            raise EvidenceMissingError(f"batch {batch}: its lot, profile or owner is not in the read model")
        digest, count, present, submitted_at, window_end, profile, listed_content, organisation, ranges = row
        content = json.loads(listed_content)
        return AwaitingBatch(
            id=batch,
            digest=digest,
            count=count,
            present=int.from_bytes(present, "big"),
            submitted_at=submitted_at,
            window_end=window_end,
            profile=Profile.from_content(content, profile),
            organisation=organisation,
            ranges=tuple(
                NameRange(
                    RangeKind(each["kind"]), each["bits"], each["first"], each["last"], bytes.fromhex(each["value"])
                )
                for each in json.loads(ranges)
            ),
            entries=tuple(self._entries(batch)),
            issuers=self._issuers(submitted_at) if content["caIssued"] else (),
        )

    def _issuers(self, submitted_at: int) -> tuple[Issuer, ...]:
        """CAs that had begun to issue then, and whose chains hold by our own reckoning."""
        rows = self._connection.execute(f"{AUTHORITY} WHERE trusted_from <= ? ORDER BY number", (submitted_at,))
        return build_issuers(listed_authority(authority_record(row)) for row in rows)

    def _entries(self, batch: int) -> list[BatchEntry]:
        found = self._connection.execute(
            "SELECT e.entry, e.certificate, e.entry_hash, c.der, c.batch FROM entries e "
            "LEFT JOIN certificates c ON c.id = e.certificate WHERE e.batch = ? ORDER BY e.entry",
            (batch,),
        ).fetchall()
        entries = []
        for number, certificate, entry_hash, der, certificate_batch in found:
            if certificate is not None and (der is None or certificate_batch != batch):
                raise EvidenceMissingError(f"batch {batch}, entry {number}: its bytes are not in the read model")
            entries.append(
                BatchEntry(
                    number=number,
                    certificate=None if certificate is None else CertificateId(certificate),
                    der=der or b"",
                    entry_hash=entry_hash or b"",
                )
            )
        return entries

    def of_entry(self, batch: AwaitingBatch, entry: BatchEntry) -> EntryEvidence:
        """What rules may ask about one entry: only what is accepted, or came before it, counts."""
        return EntryEvidence(self._connection, batch, entry)


class EntryEvidence:
    """Implements `NamesInUse` and `SerialsInUse` for one entry."""

    def __init__(self, connection: sqlite3.Connection, batch: AwaitingBatch, entry: BatchEntry) -> None:
        self._connection = connection
        self._batch = batch
        self._entry = entry

    def keys_with_name(self, name: SubjectAltName) -> Collection[bytes]:
        """SPKI hashes of live certificates with this name, and of undecided entries that came earlier."""
        found = self._connection.execute(
            "SELECT c.spki_sha256, c.batch, c.entry, b.accepted, b.rejected, b.window_end FROM names n "
            "JOIN certificates c ON c.id = n.certificate JOIN batches b ON b.id = c.batch "
            "WHERE n.value = ? AND n.kind = ? AND c.state NOT IN (?, ?) AND c.not_after >= ? "
            "AND NOT EXISTS (SELECT 1 FROM key_blocks k WHERE k.spki_sha256 = c.spki_sha256)",
            (name.text, (name.kind.name or "").lower(), _SUPERSEDED, _REVOKED, self._batch.submitted_at),
        )
        return {spki for spki, *place in found if self._counts(*place)}

    def certificates_with_serial(self, issuer: bytes, serial_number: int) -> Collection[CertificateId]:
        """Ids of certificates accepted, or submitted earlier and undecided, with this issuer and serial number."""
        found = self._connection.execute(
            "SELECT c.id, c.batch, c.entry, b.accepted, b.rejected, b.window_end FROM certificates c "
            "JOIN batches b ON b.id = c.batch WHERE c.issuer = ? AND c.serial = ?",
            (issuer, format(serial_number, "x")),
        )
        return {CertificateId(identifier) for identifier, *place in found if self._counts(*place)}

    def _counts(self, batch: int, entry: int, accepted: bytes, rejected: bytes, window_end: int) -> bool:
        bit = 1 << entry
        if int.from_bytes(accepted, "big") & bit:
            return True
        if int.from_bytes(rejected, "big") & bit or window_end < self._batch.submitted_at:
            return False
        return (batch, entry) < (self._batch.id, self._entry.number)
