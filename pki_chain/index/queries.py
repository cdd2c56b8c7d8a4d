"""Questions to the read model. Every method answers from what is committed now; `snapshot` holds that still."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pki_chain.index import schema
from pki_chain.index.errors import IndexFaultError, NotReadyError
from pki_chain.index.records import (
    AccountRecord,
    BatchRecord,
    CertificateRecord,
    EndorsementRecord,
    EntryRecord,
    LotRecord,
    MemberRecord,
    ProposalRecord,
)
from pki_chain.ports import (
    Address,
    Block,
    CertificateId,
    LotTerms,
    MemberKind,
    MemberState,
    NameKind,
    NameRange,
    NameSpace,
    ParametersChanged,
    RangeKind,
    Role,
    Status,
    Submission,
)
from pki_chain.status.certificate_status import CertificateFacts, derive_status

MAX_FOUND: Final = 100
"""Most certificates that a look-up returns."""

FACTS: Final = (
    "c.state, c.flags, c.hold_counter, c.reason, c.changed_at, c.emergency_until, c.not_after, c.profile, c.lot,"
    " c.batch, c.entry, b.accepted, b.rejected, b.submitted_at, b.window_end, b.decided_at,"
    " coalesce(k.reason, 0), coalesce(k.blocked_at, 0), coalesce(a.reason, 0), coalesce(a.withdrawn_at, 0)"
)
FACTS_FROM: Final = (
    " FROM certificates c JOIN batches b ON b.id = c.batch LEFT JOIN key_blocks k ON k.spki_sha256 = c.spki_sha256"
    " LEFT JOIN authorities a ON a.id = c.authority"
)
_STATUS: Final = (
    f"SELECT h.number, h.time, h.hash, h.fault, p.age_bound_s, p.cut_off_s, found.*"  # noqa: S608 - constants only
    " FROM head h LEFT JOIN parameters p"
    f" LEFT JOIN (SELECT c.id, {FACTS}{FACTS_FROM} WHERE c.sha256 = ?) found"
)
_CERTIFICATE: Final = (
    "SELECT c.id, c.sha256, c.der, c.spki_sha256, c.issuer, c.serial, c.not_before, b.lot_owner, c.authority,"
    f" {FACTS}{FACTS_FROM}"
)
_BATCH: Final = (
    "SELECT id, digest, station, profile, lot, nonce, deadline, station_member, lot_owner, electorate, k, n, count,"
    " present, accepted, rejected, submitted_at, window_end, settled_at, transaction_hash FROM batches"
)

_LOT: Final = (
    "SELECT * FROM (SELECT l.id, l.owner, l.profile, l.maximum, l.closes_at, l.stations, l.ranges, l.used,"
    " l.closed OR m.state <> 1 OR m.changed_at > l.opened_at, l.opened_at, l.opened_by"
    " FROM lots l JOIN members m ON m.id = l.owner)"
)
"""A lot ends with its owner's rights, and does not come back with them."""

_PROPOSAL: Final = (
    "SELECT id, member, kind, content_hash, content, made_at, expires_at, executable_at, executed_at FROM proposals"
)


class ReadModel:
    """Reads a read model that an `Indexer` writes; safe for threads, each with a connection of its own.

    Every method raises `NotReadyError` while there is no database, and `IndexFaultError` when it cannot be read.
    """

    def __init__(self, database: Path) -> None:
        self._path = database
        self._connections = threading.local()

    def head(self) -> Block:
        """The last block taken in. Raises `NotReadyError` when there is none, `IndexFaultError` after a fork."""
        row = self._one("SELECT number, hash, parent_hash, time, fault FROM head")
        if row is None:
            raise NotReadyError("The read model holds no block yet. Wait until it has read the ledger.")
        check_fault(row[4])
        return Block(*row[:4])

    def parameters(self) -> ParametersChanged:
        """The consortium's parameters. Raises `NotReadyError` before the founding was read."""
        row = self._one("SELECT age_bound_s, cut_off_s, emergency_hold_h, delay_s, governance_window_s FROM parameters")
        if row is None:
            raise NotReadyError("The read model has not come to the founding yet. Wait until it has read the ledger.")
        return ParametersChanged(*row)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within this, all questions of this thread are answered from one and the same block."""
        connection = self._connection()
        if connection.in_transaction:
            yield
            return
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def status_row(self, sha256: bytes) -> tuple[Any, ...] | None:
        """The hot path: head, bounds and facts in one statement, so of one block.

        Columns: number, time, hash, fault, age_bound_s, cut_off_s, the certificate's id (None for an unknown one), then
        those that `facts_of` takes. None when there is no block.
        """
        return self._one(_STATUS, (sha256,))

    def cert_id_rows(self, key_digest: bytes, serial: str) -> list[tuple[Any, ...]]:
        """Certificates as OCSP names them: by SHA-1 (20 octets) or SHA-256 of the issuer's key bits, and the serial
        number in hexadecimal. A self-signed certificate's issuer is itself; `Authorities.of_key` has the CAs.

        Columns: issuer (DER of the Name), SHA-256 of the DER, then those that `facts_of` takes.
        """
        column = "key_sha1" if len(key_digest) == 20 else "key_sha256"
        return self._all(
            f"SELECT c.issuer, c.sha256, {FACTS}{FACTS_FROM} WHERE c.{column} = ? AND c.serial = ? LIMIT ?",
            (key_digest, serial, MAX_FOUND),
        )

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Answers to a question that this class does not know; only this package has statements."""
        return self._all(statement, values)

    def version(self) -> int:
        """A number that changes with every commit of the indexer, for this thread's connection; it costs nothing."""
        return int(self._all("PRAGMA data_version")[0][0])

    def facts(self, digests: Sequence[bytes]) -> dict[bytes, tuple[CertificateId, CertificateFacts]]:
        """Id and facts of those certificates among these SHA-256 that are known."""
        marks = ", ".join("?" for _ in digests)
        rows = self._all(f"SELECT c.sha256, c.id, {FACTS}{FACTS_FROM} WHERE c.sha256 IN ({marks})", digests)
        return {row[0]: (CertificateId(row[1]), facts_of(row[2:])) for row in rows}

    def certificate(self, sha256: bytes) -> CertificateRecord | None:
        """The certificate whose DER has this SHA-256."""
        return self._certificate(self._one(f"{_CERTIFICATE} WHERE c.sha256 = ?", (sha256,)))

    def certificate_by_id(self, certificate: bytes) -> CertificateRecord | None:
        """The certificate with this id."""
        return self._certificate(self._one(f"{_CERTIFICATE} WHERE c.id = ?", (certificate,)))

    def by_key(self, spki_sha256: bytes, limit: int = MAX_FOUND) -> tuple[CertificateRecord, ...]:
        """Certificates of a key, by SHA-256 of its SubjectPublicKeyInfo, the latest first."""
        rows = self._all(f"{_CERTIFICATE} WHERE c.spki_sha256 = ? ORDER BY c.batch DESC LIMIT ?", (spki_sha256, limit))
        return tuple(record for row in rows if (record := self._certificate(row)))

    def by_issuer_serial(
        self, issuer: bytes, serial_number: int, limit: int = MAX_FOUND
    ) -> tuple[CertificateRecord, ...]:
        """Certificates with this issuer (DER of the Name) and serial number, the latest first."""
        rows = self._all(
            f"{_CERTIFICATE} WHERE c.issuer = ? AND c.serial = ? ORDER BY c.batch DESC LIMIT ?",
            (issuer, format(serial_number, "x"), limit),
        )
        return tuple(record for row in rows if (record := self._certificate(row)))

    def by_name(self, name: str, kind: str = "dns", limit: int = MAX_FOUND) -> tuple[CertificateRecord, ...]:
        """Certificates that carry this subjectAltName (kind "dns", "uri" or "ip"; text as `SubjectAltName.text`).

        In whatever state: whether a name is live is for the caller's rule to say.
        """
        rows = self._all(
            f"{_CERTIFICATE} WHERE c.id IN (SELECT certificate FROM names WHERE value = ? AND kind = ?)"  # noqa: S608
            " ORDER BY c.batch DESC LIMIT ?",
            (name, kind, limit),
        )
        return tuple(record for row in rows if (record := self._certificate(row)))

    def live_names(self, name: str, block_time: int | None = None, kind: str = "dns") -> tuple[CertificateRecord, ...]:
        """Certificates that hold this name at a block's time (the head's if not given): submitted, valid or held."""
        time = self.head().time if block_time is None else block_time
        live = {Status.SUBMITTED, Status.VALID, Status.HELD}
        found = self.by_name(name, kind, limit=10 * MAX_FOUND)
        return tuple(record for record in found if derive_status(record.facts, time).state in live)

    def key_block(self, spki_sha256: bytes) -> tuple[int, int] | None:
        """Reason and time of a key's block for everybody."""
        return self._one("SELECT reason, blocked_at FROM key_blocks WHERE spki_sha256 = ?", (spki_sha256,))

    def batch(self, batch: int) -> BatchRecord | None:
        """The batch of this number."""
        return _batch(self._one(f"{_BATCH} WHERE id = ?", (batch,)))

    def submission(self, digest: bytes) -> BatchRecord | None:
        """The latest batch with this digest: one that lapsed may have come again."""
        return _batch(self._one(f"{_BATCH} WHERE digest = ? ORDER BY id DESC LIMIT 1", (digest,)))

    def submission_of_nonce(self, station: Address, nonce: int) -> BatchRecord | None:
        """The batch for which this station used this nonce."""
        row = self._one(
            f"{_BATCH} WHERE nonce = ? AND station = ? COLLATE NOCASE", (nonce.to_bytes(32, "big"), str(station))
        )
        return _batch(row)

    def batches_awaiting(self, member: int, limit: int = MAX_FOUND) -> tuple[BatchRecord, ...]:
        """Batches that this member may endorse and has not: of its electorate, not its own, undecided, in time."""
        rows = self._all(
            f"{_BATCH} WHERE settled_at = 0 AND window_end >= (SELECT time FROM head)"  # noqa: S608 - constants
            " AND station_member <> ? AND lot_owner <> ?"
            " AND EXISTS (SELECT 1 FROM electorates e, json_each(e.members) j"
            " WHERE e.number = batches.electorate AND j.value = ?)"
            " AND NOT EXISTS (SELECT 1 FROM endorsements d WHERE d.batch = batches.id AND d.member = ?)"
            " ORDER BY id LIMIT ?",
            (member, member, member, member, limit),
        )
        return tuple(record for row in rows if (record := _batch(row)))

    def entries(self, batch: int) -> tuple[EntryRecord, ...]:
        """Entries of a batch, in order."""
        rows = self._all(
            "SELECT e.entry, e.refused, e.entry_hash, e.certificate, c.sha256 FROM entries e"
            " LEFT JOIN certificates c ON c.id = e.certificate WHERE e.batch = ? ORDER BY e.entry",
            (batch,),
        )
        return tuple(EntryRecord(*row) for row in rows)

    def taken_under(self, digest: bytes) -> dict[int, CertificateId]:
        """By entry, the certificates that batches with this digest were taken in with: their bytes are the same."""
        rows = self._all(
            "SELECT e.entry, e.certificate FROM batches b JOIN entries e ON e.batch = b.id"
            " WHERE b.digest = ? AND e.certificate IS NOT NULL",
            (digest,),
        )
        return dict(rows)

    def certificates_of(self, batch: int) -> tuple[CertificateRecord, ...]:
        """Certificates whose latest submission is this batch, in the order of its entries."""
        rows = self._all(
            f"{_CERTIFICATE} JOIN entries e ON e.certificate = c.id AND e.batch = c.batch AND e.entry = c.entry"
            " WHERE e.batch = ? ORDER BY c.entry",
            (batch,),
        )
        return tuple(record for row in rows if (record := self._certificate(row)))

    def endorsements(self, batch: int) -> tuple[EndorsementRecord, ...]:
        """Verdicts on a batch, in the order of time."""
        rows = self._all(
            "SELECT member, endorser, accepts, abstains, reasons, endorsed_at FROM endorsements WHERE batch = ?"
            " ORDER BY endorsed_at, member",
            (batch,),
        )
        return tuple(
            EndorsementRecord(
                member=row[0],
                endorser=Address(row[1]),
                accepts=_map(row[2]),
                abstains=_map(row[3]),
                reasons={int(entry): reason for entry, reason in json.loads(row[4]).items()},
                endorsed_at=row[5],
            )
            for row in rows
        )

    def lot(self, lot: int) -> LotRecord | None:
        """The lot of this number."""
        row = self._one(
            f"{_LOT} WHERE id = ?",
            (lot,),
        )
        return None if row is None else _lot(row)

    def lots(self, owner: int | None = None, limit: int = MAX_FOUND) -> tuple[LotRecord, ...]:
        """Lots, of one owner or of all, the latest first."""
        rows = self._all(
            f"{_LOT} WHERE ? IS NULL OR owner = ? ORDER BY id DESC LIMIT ?",
            (owner, owner, limit),
        )
        return tuple(_lot(row) for row in rows)

    def account(self, address: Address | str) -> AccountRecord | None:
        """The account with this address, whatever its letter case."""
        row = self._one(
            "SELECT address, member, role, active FROM accounts WHERE address = ? COLLATE NOCASE", (str(address),)
        )
        return None if row is None else _account(row)

    def accounts(self, member: int) -> tuple[AccountRecord, ...]:
        """Accounts of a member."""
        rows = self._all(
            "SELECT address, member, role, active FROM accounts WHERE member = ? ORDER BY role, address", (member,)
        )
        return tuple(_account(row) for row in rows)

    def acting_member(self, address: Address | str, role: Role) -> int:
        """The member for whom the account may act in this role now; 0 when it may not."""
        row = self._one(
            "SELECT a.member FROM accounts a JOIN members m ON m.id = a.member"
            " WHERE a.address = ? COLLATE NOCASE AND a.role = ? AND a.active AND m.state = ?",
            (str(address), int(role), int(MemberState.ACTIVE)),
        )
        return 0 if row is None else int(row[0])

    def member(self, member: int) -> MemberRecord | None:
        """The member of this number."""
        row = self._one("SELECT id, kind, state, name, changed_at FROM members WHERE id = ?", (member,))
        return None if row is None else self._member(row)

    def members(self) -> tuple[MemberRecord, ...]:
        """All members, in the order of their numbers."""
        rows = self._all("SELECT id, kind, state, name, changed_at FROM members ORDER BY id")
        return tuple(self._member(row) for row in rows)

    def profile(self, profile: int) -> dict[str, str | int | bool] | None:
        """A profile's content by its Solidity names."""
        row = self._one("SELECT content FROM profiles WHERE id = ?", (profile,))
        return None if row is None else dict(json.loads(row[0]))

    def electorate(self, number: int) -> tuple[tuple[int, ...], int] | None:
        """Members and quorum of an electorate."""
        row = self._one("SELECT members, quorum FROM electorates WHERE number = ?", (number,))
        return None if row is None else (tuple(json.loads(row[0])), row[1])

    def proposal(self, proposal: int) -> ProposalRecord | None:
        """The proposal of this number."""
        row = self._one(f"{_PROPOSAL} WHERE id = ?", (proposal,))
        return None if row is None else self._proposal(row)

    def proposals(self, limit: int = MAX_FOUND) -> tuple[ProposalRecord, ...]:
        """Proposals, the latest first."""
        return tuple(self._proposal(row) for row in self._all(f"{_PROPOSAL} ORDER BY id DESC LIMIT ?", (limit,)))

    def close(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._connections, "connection", None)
        if connection is not None:
            connection.close()
            self._connections.connection = None

    def _proposal(self, row: tuple[Any, ...]) -> ProposalRecord:
        votes = self._all("SELECT member, support FROM votes WHERE proposal = ? ORDER BY member", (row[0],))
        return ProposalRecord(*(*row, {member: bool(support) for member, support in votes}))

    def _member(self, row: tuple[Any, ...]) -> MemberRecord:
        spaces = self._all(
            "SELECT kind, bits, value FROM name_spaces WHERE member = ? ORDER BY kind, value, bits", (row[0],)
        )
        return MemberRecord(
            id=row[0],
            kind=MemberKind(row[1]),
            state=MemberState(row[2]),
            name=row[3],
            changed_at=row[4],
            spaces=tuple(NameSpace(NameKind(kind), bits, value) for kind, bits, value in spaces),
        )

    def _certificate(self, row: tuple[Any, ...] | None) -> CertificateRecord | None:
        if row is None:
            return None
        names = self._all("SELECT kind, value FROM names WHERE certificate = ? ORDER BY kind, value", (row[0],))
        return CertificateRecord(
            id=CertificateId(row[0]),
            sha256=row[1],
            der=row[2],
            spki_sha256=row[3],
            issuer=row[4],
            serial=row[5],
            not_before=row[6],
            owner=row[7],
            names=tuple((kind, value) for kind, value in names),
            authority=None if row[8] is None else CertificateId(row[8]),
            facts=facts_of(row[9:]),
        )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._connections, "connection", None)
        if connection is None:
            try:
                connection = schema.open_reader(self._path)
            except sqlite3.OperationalError as error:
                raise NotReadyError(
                    f"There is no read model {self._path.name} yet. Start the process that follows the ledger."
                ) from error
            except sqlite3.Error as error:
                raise self._unreadable(error) from error
            self._connections.connection = connection
        return connection

    def _one(self, statement: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection().execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        return row

    def _all(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> NotReadyError | IndexFaultError:
        if "no such table" in str(error):  # the writer is just making it
            return NotReadyError(f"The read model {self._path.name} has no tables yet. Wait for its writer.")
        return IndexFaultError(
            "The read model cannot be read, and nothing is answered. Rebuild it from the ledger if that lasts.",
            detail=f"{self._path.name}: {error}",
        )


def check_fault(fault: str) -> None:
    """Raises `IndexFaultError` when the indexer put a contradiction on record."""
    if fault:
        raise IndexFaultError(
            "The read model is at odds with the ledger and answers nothing until it is rebuilt.", detail=fault
        )


def facts_of(row: Sequence[Any]) -> CertificateFacts:
    """Facts from the columns that `ReadModel.status_row` describes."""
    bit = 1 << row[10]
    return CertificateFacts(*(*row[:11], bool(_map(row[11]) & bit), bool(_map(row[12]) & bit), *row[13:]))


def _map(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _batch(row: tuple[Any, ...] | None) -> BatchRecord | None:
    if row is None:
        return None
    return BatchRecord(
        id=row[0],
        digest=row[1],
        submission=Submission(Address(row[2]), row[3], row[4], _map(row[5]), row[6]),
        station_member=row[7],
        lot_owner=row[8],
        electorate=row[9],
        k=row[10],
        n=row[11],
        count=row[12],
        present=_map(row[13]),
        accepted=_map(row[14]),
        rejected=_map(row[15]),
        submitted_at=row[16],
        window_end=row[17],
        settled_at=row[18],
        transaction_hash=row[19],
    )


def _lot(row: tuple[Any, ...]) -> LotRecord:
    terms = LotTerms(
        owner=row[1],
        profile=row[2],
        maximum=row[3],
        closes_at=row[4],
        stations=tuple(Address(station) for station in json.loads(row[5])),
        ranges=tuple(
            NameRange(
                RangeKind(allowed["kind"]),
                allowed["bits"],
                allowed["first"],
                allowed["last"],
                bytes.fromhex(allowed["value"]),
            )
            for allowed in json.loads(row[6])
        ),
    )
    return LotRecord(row[0], terms, used=row[7], closed=bool(row[8]), opened_at=row[9], opened_by=Address(row[10]))


def _account(row: tuple[Any, ...]) -> AccountRecord:
    return AccountRecord(Address(row[0]), row[1], Role(row[2]), active=bool(row[3]))
