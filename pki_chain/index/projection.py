"""What each event of the ledger does to the tables of the read model. No event is judged: the ledger has decided."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from pki_chain import ports
from pki_chain.index.authority_projection import AuthorityProjection
from pki_chain.index.certificate_row import CertificateRow, read_certificate
from pki_chain.index.errors import MissingEventsError
from pki_chain.index.identity_projection import IdentityProjection
from pki_chain.ports import Block, HoldFlag, HoldKind, LoggedEvent
from pki_chain.status.certificate_status import HOLD_REASON, HOLDS, STORED_REVOKED, effective_flags
from pki_chain.status.list_address import part_named_by_all

RECORDED: Final = 1
"""State of a slot that was neither superseded nor revoked."""

FLAG_OF: Final = {
    HoldKind.OWNER: HoldFlag.OWNER,
    HoldKind.CONSORTIUM: HoldFlag.CONSORTIUM,
    HoldKind.EMERGENCY: HoldFlag.EMERGENCY,
}


def map_bytes(bit_map: int) -> bytes:
    """A map of entries, or a nonce, as the tables keep it: 32 octets, big endian."""
    return bit_map.to_bytes(32, "big")


def in_order(events: Sequence[LoggedEvent]) -> Iterable[LoggedEvent]:
    """Events of one block in ledger order, except that a batch comes before the entries of its own transaction."""
    transactions: dict[bytes, int] = {}
    for event in events:
        transactions.setdefault(event.transaction_hash, len(transactions))
    return sorted(
        events,
        key=lambda event: (
            transactions[event.transaction_hash],
            not isinstance(event.content, ports.BatchSubmitted),
            event.log_index,
        ),
    )


def check_whole(events: Sequence[LoggedEvent]) -> None:
    """Each batch of these events has the entries that its header tells of. Raises `MissingEventsError`."""
    given: dict[int, list[int]] = {}
    for event in events:
        match event.content:
            case ports.CertificateSubmitted(batch=batch, entry=entry):
                given.setdefault(batch, []).append(entry)
            case ports.EntryRefused(batch=batch, entry=entry):
                given.setdefault(batch, []).append(-1 - entry)
            case _:
                pass
    for event in events:
        if isinstance(event.content, ports.BatchSubmitted):
            present = event.content.present
            due = [entry if present >> entry & 1 else -1 - entry for entry in range(event.content.count)]
            if sorted(given.pop(event.content.batch, [])) != sorted(due):
                raise MissingEventsError(f"the entries of batch {event.content.batch} are not those that it has")
    if given:
        raise MissingEventsError(f"entries of batch {min(given)} came without it")


class Projection:
    """Applies events to the tables. The caller holds the transaction.

    Raises `MissingEventsError` where the ledger must have said something before that it did not say here.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._identities = IdentityProjection(connection)
        self._authorities = AuthorityProjection(connection)
        self._handlers: Final[dict[type, Callable[[Any, Block, LoggedEvent], None]]] = {
            ports.MemberChanged: self._member,
            ports.AccountChanged: self._account,
            ports.NameSpaceChanged: self._name_space,
            ports.ProfileChanged: self._profile,
            ports.ElectorateChanged: self._electorate,
            ports.ParametersChanged: self._parameters,
            ports.ProposalMade: self._proposal,
            ports.VoteCast: self._vote,
            ports.ProposalAdopted: self._adopted,
            ports.ProposalExecuted: self._executed,
            ports.LotOpened: self._lot,
            ports.LotClosed: self._lot_closed,
            ports.BatchSubmitted: self._batch,
            ports.CertificateSubmitted: self._certificate,
            ports.EntryRefused: self._refused,
            ports.BatchEndorsed: self._endorsed,
            ports.CertificateHeld: self._held,
            ports.CertificateReleased: self._released,
            ports.CertificateRevoked: self._revoked,
            ports.KeyBlocked: self._key_blocked,
            **self._identities.handlers,
            **self._authorities.handlers,
        }

    def apply(self, event: LoggedEvent, block: Block) -> None:
        """Carry one event into the tables."""
        self._handlers[type(event.content)](event.content, block, event)

    def _put(self, table: str, row: dict[str, object]) -> None:
        columns = ", ".join(row)
        marks = ", ".join("?" for _ in row)
        self._connection.execute(
            f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - our own names
            tuple(row.values()),
        )

    def _row(self, named: str, statement: str, key: int | bytes) -> tuple[Any, ...]:
        """What an event speaks of and an earlier one must have brought. Raises `MissingEventsError`."""
        row: tuple[Any, ...] | None = self._connection.execute(statement, (key,)).fetchone()
        if row is None:
            raise MissingEventsError(f"an event speaks of {named}, which was never given")
        return row

    def _member(self, content: ports.MemberChanged, block: Block, _: LoggedEvent) -> None:
        row = {"id": content.member, "kind": int(content.kind), "state": int(content.state), "name": content.name}
        self._put("members", {**row, "changed_at": block.time})

    def _account(self, content: ports.AccountChanged, block: Block, _: LoggedEvent) -> None:
        row = {"address": str(content.account), "member": content.member, "role": int(content.role)}
        self._put("accounts", {**row, "active": int(content.active), "changed_at": block.time})

    def _name_space(self, content: ports.NameSpaceChanged, block: Block, _: LoggedEvent) -> None:
        row = {
            "member": content.member,
            "kind": int(content.space.kind),
            "bits": content.space.bits,
            "value": content.space.value,
        }
        if content.added:
            self._put("name_spaces", row)
        else:
            self._connection.execute(
                "DELETE FROM name_spaces WHERE member = ? AND kind = ? AND bits = ? AND value = ?", tuple(row.values())
            )
            # As the contract has it: the member's open lots end, also those opened in this block.
            self._connection.execute("UPDATE members SET changed_at = ? WHERE id = ?", (block.time + 1, content.member))

    def _profile(self, content: ports.ProfileChanged, _: Block, __: LoggedEvent) -> None:
        self._put("profiles", {"id": content.profile, "content": json.dumps(content.content, sort_keys=True)})

    def _electorate(self, content: ports.ElectorateChanged, _: Block, __: LoggedEvent) -> None:
        members = json.dumps(list(content.members))
        self._put("electorates", {"number": content.electorate, "members": members, "quorum": content.quorum})

    def _parameters(self, content: ports.ParametersChanged, _: Block, __: LoggedEvent) -> None:
        self._put("parameters", {"id": 1, **asdict(content)})

    def _proposal(self, content: ports.ProposalMade, block: Block, _: LoggedEvent) -> None:
        row: dict[str, object] = {
            "id": content.proposal,
            "member": content.member,
            "kind": content.kind,
            "content_hash": content.content_hash,
            "content": content.content,
            "made_at": block.time,
            "expires_at": content.expires_at,
            "executable_at": 0,
            "executed_at": 0,
        }
        self._put("proposals", row)

    def _vote(self, content: ports.VoteCast, block: Block, _: LoggedEvent) -> None:
        row = {"proposal": content.proposal, "member": content.member, "support": int(content.support)}
        self._put("votes", {**row, "cast_at": block.time})

    def _adopted(self, content: ports.ProposalAdopted, _: Block, __: LoggedEvent) -> None:
        self._connection.execute(
            "UPDATE proposals SET executable_at = ?, expires_at = ? WHERE id = ?",
            (content.executable_at, content.expires_at, content.proposal),
        )

    def _executed(self, content: ports.ProposalExecuted, block: Block, _: LoggedEvent) -> None:
        self._connection.execute("UPDATE proposals SET executed_at = ? WHERE id = ?", (block.time, content.proposal))

    def _lot(self, content: ports.LotOpened, block: Block, _: LoggedEvent) -> None:
        terms = content.terms
        ranges = [
            {
                "kind": int(allowed.kind),
                "bits": allowed.bits,
                "first": allowed.first,
                "last": allowed.last,
                "value": allowed.value.hex(),
            }
            for allowed in terms.ranges
        ]
        row: dict[str, object] = {
            "id": content.lot,
            "owner": content.owner,
            "profile": terms.profile,
            "maximum": terms.maximum,
            "used": 0,
            "closes_at": terms.closes_at,
            "closed": 0,
            "opened_at": block.time,
            "opened_by": str(content.by),
            "stations": json.dumps([str(station) for station in terms.stations]),
            "ranges": json.dumps(ranges),
        }
        self._put("lots", row)

    def _lot_closed(self, content: ports.LotClosed, _: Block, __: LoggedEvent) -> None:
        self._row(f"lot {content.lot}", "SELECT 1 FROM lots WHERE id = ?", content.lot)
        self._connection.execute("UPDATE lots SET closed = 1 WHERE id = ?", (content.lot,))

    def _batch(self, content: ports.BatchSubmitted, block: Block, event: LoggedEvent) -> None:
        submission = content.submission
        row: dict[str, object] = {
            "id": content.batch,
            "digest": content.digest,
            "station": str(submission.station),
            "profile": submission.profile,
            "lot": submission.lot,
            "nonce": map_bytes(submission.nonce),
            "deadline": submission.deadline,
            "station_member": content.station_member,
            "lot_owner": content.lot_owner,
            "electorate": content.electorate,
            "k": content.k,
            "n": content.n,
            "count": content.count,
            "present": map_bytes(content.present),
            "accepted": map_bytes(0),
            "rejected": map_bytes(0),
            "submitted_at": block.time,
            "window_end": content.window_end,
            "decided_at": 0 if content.present else block.time,
            "settled_at": 0 if content.present else block.time,
            "transaction_hash": event.transaction_hash,
        }
        self._put("batches", row)

    def _certificate(self, content: ports.CertificateSubmitted, block: Block, _: LoggedEvent) -> None:
        entry: dict[str, object] = {"batch": content.batch, "entry": content.entry}
        self._put("entries", {**entry, "certificate": content.certificate, "entry_hash": None, "refused": None})
        profile, lot = self._row(
            f"batch {content.batch}", "SELECT profile, lot FROM batches WHERE id = ?", content.batch
        )
        before = self._connection.execute(
            "SELECT lot, flags, hold_counter, reason, emergency_until, told FROM certificates WHERE id = ?",
            (content.certificate,),
        ).fetchone()
        # One that lapsed in this lot has its place in it already; its holds outlive the lapse.
        if before is None or before[0] != lot:
            self._connection.execute("UPDATE lots SET used = used + 1 WHERE id = ?", (lot,))
        flags, hold_counter, reason, emergency_until, told = (0, 0, 0, 0, 0) if before is None else before[1:]
        read = read_certificate(content.der)
        issuer = None
        if read.authority_key_identifier is not None:
            issuer = self._authorities.issuer_of(read.issuer or b"", read.authority_key_identifier)
            flags |= HoldFlag.CA_ISSUED
            if issuer is None:  # a CA that our reader refused: nobody would hear of its withdrawal, so never good
                read = replace(read, not_before=0, not_after=0)
        authority, key_sha1, key_sha256 = issuer or (None, read.key_sha1, read.key_sha256)
        row: dict[str, object] = {
            "id": content.certificate,
            "sha256": read.sha256,
            "spki_sha256": read.spki_sha256,
            "authority": authority,
            "list_part": None if authority is None else part_named_by_all(read.list_addresses),
            "key_sha1": key_sha1,
            "key_sha256": key_sha256,
            "issuer": read.issuer,
            "serial": read.serial,
            "not_before": read.not_before,
            "not_after": read.not_after,
            "profile": profile,
            "lot": lot,
            **entry,
            "state": RECORDED,
            "flags": flags,
            "hold_counter": hold_counter,
            "reason": reason,
            "changed_at": block.time,
            "emergency_until": emergency_until,
            "told": told,
            "der": content.der,
        }
        self._put("certificates", row)
        self._names(content.certificate, read)
        if authority is not None:
            self._authorities.keep_addresses(authority, read.list_addresses, is_new=before is None)

    def _names(self, certificate: bytes, read: CertificateRow) -> None:
        self._connection.execute("DELETE FROM names WHERE certificate = ?", (certificate,))
        for kind, value in read.names:
            self._put("names", {"certificate": certificate, "kind": kind, "value": value})

    def _refused(self, content: ports.EntryRefused, _: Block, __: LoggedEvent) -> None:
        row: dict[str, object] = {"batch": content.batch, "entry": content.entry, "certificate": None}
        self._put("entries", {**row, "entry_hash": content.entry_hash, "refused": content.reason})

    def _endorsed(self, content: ports.BatchEndorsed, block: Block, _: LoggedEvent) -> None:
        row: dict[str, object] = {
            "batch": content.batch,
            "member": content.member,
            "endorser": str(content.endorser),
            "accepts": map_bytes(content.accepts),
            "abstains": map_bytes(content.abstains),
            "reasons": json.dumps(dict(content.reasons)),
            "endorsed_at": block.time,
        }
        self._put("endorsements", row)
        accepted, rejected, decided_at, settled_at = self._row(
            f"batch {content.batch}",
            "SELECT accepted, rejected, decided_at, settled_at FROM batches WHERE id = ?",
            content.batch,
        )
        now = (map_bytes(content.accepted_now), map_bytes(content.rejected_now))
        if now != (accepted, rejected):
            decided_at = block.time
        self._connection.execute(
            "UPDATE batches SET accepted = ?, rejected = ?, decided_at = ?, settled_at = ? WHERE id = ?",
            (*now, decided_at, settled_at or (decided_at if content.settled else 0), content.batch),
        )

    def _held(self, content: ports.CertificateHeld, block: Block, _: LoggedEvent) -> None:
        until = content.until if content.kind == HoldKind.EMERGENCY else None
        self._set_flags(content.certificate, FLAG_OF[content.kind], content.counter, until, block, held=True)

    def _released(self, content: ports.CertificateReleased, block: Block, _: LoggedEvent) -> None:
        until = 0 if content.kind == HoldKind.EMERGENCY else None
        self._set_flags(content.certificate, FLAG_OF[content.kind], content.counter, until, block, held=False)

    def _set_flags(
        self, certificate: bytes, flag: HoldFlag, counter: int, until: int | None, block: Block, *, held: bool
    ) -> None:
        """As the contract writes the slot: an emergency hold that ended by itself is gone with the next change."""
        before, emergency_until = self._row(
            f"certificate 0x{certificate.hex()}",
            "SELECT flags, emergency_until FROM certificates WHERE id = ?",
            certificate,
        )
        effective = effective_flags(before, emergency_until, block.time)
        flags = effective | flag if held else effective & ~flag
        self._connection.execute(
            "UPDATE certificates SET flags = ?, hold_counter = ?, reason = ?, changed_at = ?, emergency_until = ?"
            " WHERE id = ?",
            (
                int(flags),
                counter,
                HOLD_REASON if flags & HOLDS else 0,
                block.time,
                emergency_until if until is None else until,
                certificate,
            ),
        )

    def _revoked(self, content: ports.CertificateRevoked, block: Block, _: LoggedEvent) -> None:
        named = f"certificate 0x{content.certificate.hex()}"
        self._row(named, "SELECT 1 FROM certificates WHERE id = ?", content.certificate)
        self._connection.execute(
            "UPDATE certificates SET state = ?, reason = ?, changed_at = ? WHERE id = ?",
            (STORED_REVOKED, content.reason, block.time, content.certificate),
        )

    def _key_blocked(self, content: ports.KeyBlocked, block: Block, _: LoggedEvent) -> None:
        row: dict[str, object] = {"spki_sha256": content.spki_hash, "reason": content.reason}
        self._put("key_blocks", {**row, "by_proof": int(content.by_proof), "blocked_at": block.time})
        self._identities.key_blocked(content.spki_hash, block)
