"""Questions to the change feed, and those that lists for relying parties are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pki_chain.index.change_writer import POSITIONS_A_BLOCK
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Status
from pki_chain.status.list_address import EVERY_PART

LISTED: Final = (int(Status.HELD), int(Status.REVOKED), int(Status.SUPERSEDED))
"""States that a revocation list lists."""

_CHANGE: Final = (
    "SELECT x.position, x.kind, x.reason, c.id, c.sha256, c.spki_sha256, c.profile, b.lot_owner, b.station_member,"
    " c.lot, c.not_before, c.not_after, c.emergency_until, coalesce(k.time, 0)"
    " FROM changes x JOIN certificates c ON c.id = x.certificate JOIN batches b ON b.id = c.batch"
    " LEFT JOIN blocks k ON k.number = x.position >> 20"
)
_CHANGED: Final = "SELECT 1 FROM changes x JOIN certificates c ON c.id = x.certificate JOIN batches b ON b.id = c.batch"
_LISTED: Final = (
    "SELECT c.issuer, c.serial, c.told, c.reason, c.changed_at, coalesce(k.reason, 0), coalesce(k.blocked_at, 0),"
    " c.state, c.spki_sha256, c.list_part, coalesce(a.reason, 0), coalesce(a.withdrawn_at, 0)"
    " FROM certificates c LEFT JOIN key_blocks k ON k.spki_sha256 = c.spki_sha256"
    " LEFT JOIN authorities a ON a.id = c.authority"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `position` orders it among all; `kind` is published, held, released, revoked, superseded or expired.

    `until` is the end of an emergency hold that is in force, else 0. Times are seconds since 1970.
    """

    position: int
    kind: str
    reason: int
    certificate: bytes
    sha256: bytes
    spki_sha256: bytes | None
    profile: int
    owner: int
    station_member: int
    lot: int
    not_before: int
    not_after: int
    until: int
    time: int
    names: tuple[tuple[str, str], ...]

    @property
    def block(self) -> int:
        return self.position // POSITIONS_A_BLOCK


@dataclass(frozen=True, slots=True)
class Listing:
    """A certificate as a revocation list names it: `is_listed` is False for one that left the list.

    `part` is that of its CA's list, None where it names none.
    """

    issuer: bytes
    serial: str
    spki_sha256: bytes
    is_listed: bool
    reason: int
    since: int
    part: int | None


@dataclass(frozen=True, slots=True)
class LiveCertificate:
    """A valid certificate, for a trust bundle or a warning that it ends."""

    sha256: bytes
    spki_sha256: bytes
    der: bytes
    profile: int
    owner: int
    not_after: int
    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BundleScope:
    """What a bundle is about; None and "" do not restrict. `suffix` is a DNS name space."""

    profile: int | None = None
    owner: int | None = None
    suffix: str = ""


class ChangeLog:
    """Reads what `ChangeWriter` wrote, through a read model. Raises as `ReadModel` does."""

    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    def position(self) -> int:
        """The last change's position; 0 where there is none."""
        row = self._read_model.rows("SELECT coalesce(max(position), 0) FROM changes")
        return int(row[0][0])

    def end(self, block: int) -> int:
        """The greatest position that a block can have: everything up to and with it lies at or before."""
        return (block + 1) * POSITIONS_A_BLOCK - 1

    def changes(self, after: int, limit: int) -> tuple[Change, ...]:
        """The next changes after a position, in order."""
        rows = self._read_model.rows(f"{_CHANGE} WHERE x.position > ? ORDER BY x.position LIMIT ?", (after, limit))
        return tuple(Change(*(*row, self._names(row[3]))) for row in rows)

    def changed_keys(self, after: int, limit: int) -> list[bytes]:
        """SHA-1 and SHA-256 of the key bits, as OCSP has them, of certificates that changed after a position.

        Fewer than `limit` are all; no more are given.
        """
        rows = self._read_model.rows(
            "SELECT c.key_sha1, c.key_sha256 FROM changes x JOIN certificates c ON c.id = x.certificate"
            " WHERE x.position > ? ORDER BY x.position LIMIT ?",
            (after, limit // 2),
        )
        return [digest for row in rows for digest in row]

    def has_changed(self, scope: BundleScope, after: int) -> bool:
        """Whether a certificate of this profile and owner changed after a position."""
        where, values = _scope(scope)
        rows = self._read_model.rows(
            f"{_CHANGED} WHERE x.position > ?{where} LIMIT 1",
            (after, *values),
        )
        return bool(rows)

    def published(self, profile: int) -> int:
        """How many certificates of a profile were ever published: it only grows."""
        rows = self._read_model.rows(
            "SELECT count(*) FROM certificates WHERE told IN (2, 3, 4, 5, 6) AND profile = ?", (profile,)
        )
        return int(rows[0][0])

    def profiles(self) -> tuple[int, ...]:
        """Numbers of all profiles."""
        return tuple(row[0] for row in self._read_model.rows("SELECT id FROM profiles ORDER BY id"))

    def listed(self, profile: int) -> Iterator[Listing]:
        """Held, revoked and superseded certificates of a profile."""
        for state in LISTED:
            for row in self._read_model.rows(
                f"{_LISTED} WHERE c.told = ? AND c.profile = ? AND c.issuer IS NOT NULL", (state, profile)
            ):
                yield _listing(row)

    def listed_since(self, profile: int, after: int) -> Iterator[Listing]:
        """Certificates of a profile that changed after a position and are, or were, on the list."""
        rows = self._read_model.rows(
            f"{_LISTED} WHERE c.profile = ? AND c.issuer IS NOT NULL"  # noqa: S608 - constants
            " AND c.id IN (SELECT certificate FROM changes WHERE position > ? AND kind <> 'published')",
            (profile, after),
        )
        for row in rows:
            yield _listing(row)

    def listed_under(self, authority: bytes, part: int | None = None) -> Iterator[Listing]:
        """Held, revoked and superseded ones that a CA issued, of every profile: all, or those of a part of its list."""
        under = f"{_LISTED} WHERE c.authority = ? AND c.told = ?"
        for state in LISTED:
            if part is None:
                rows = self._read_model.rows(under, (authority, state))
            else:
                places = (authority, state, part, EVERY_PART)
                rows = self._read_model.rows(f"{under} AND c.list_part IN (?, ?)", places)
            for row in rows:
                yield _listing(row)

    def listed_under_since(self, authority: bytes, after: int) -> Iterator[Listing]:
        """Certificates that a CA issued, changed after a position, that are or were on its list."""
        rows = self._read_model.rows(
            # The plus: begin with what changed, and not with all that the CA issued.
            f"{_LISTED} WHERE +c.authority = ?"  # noqa: S608 - constants
            " AND c.id IN (SELECT certificate FROM changes WHERE position > ? AND kind <> 'published')",
            (authority, after),
        )
        for row in rows:
            yield _listing(row)

    def live(self, scope: BundleScope, limit: int) -> tuple[LiveCertificate, ...]:
        """Valid certificates of a scope in the order of their SHA-256, at most so many."""
        where, values = _scope(scope)
        rows = self._read_model.rows(
            "SELECT c.id, c.sha256, c.spki_sha256, c.der, c.profile, b.lot_owner, c.not_after"  # noqa: S608 - our own
            f" FROM certificates c JOIN batches b ON b.id = c.batch WHERE c.told = ?{where} ORDER BY c.sha256 LIMIT ?",
            (int(Status.VALID), *values, limit),
        )
        return tuple(LiveCertificate(*(*row[1:], self._names(row[0]))) for row in rows)

    def ending(self, owner: int, before: int, limit: int) -> tuple[LiveCertificate, ...]:
        """A member's certificates, valid or held, that end before a time, the first first."""
        rows = self._read_model.rows(
            "SELECT c.id, c.sha256, c.spki_sha256, c.der, c.profile, b.lot_owner, c.not_after"
            " FROM certificates c JOIN batches b ON b.id = c.batch"
            " WHERE c.not_after >= (SELECT time FROM head) AND c.not_after < ? AND c.told IN (?, ?) AND b.lot_owner = ?"
            " ORDER BY c.not_after LIMIT ?",
            (before, int(Status.VALID), int(Status.HELD), owner, limit),
        )
        return tuple(LiveCertificate(*(*row[1:], self._names(row[0]))) for row in rows)

    def _names(self, identity: bytes) -> tuple[tuple[str, str], ...]:
        rows = self._read_model.rows(
            "SELECT kind, value FROM names WHERE certificate = ? ORDER BY kind, value", (identity,)
        )
        return tuple((kind, value) for kind, value in rows)


def _scope(scope: BundleScope) -> tuple[str, tuple[object, ...]]:
    where, values = "", list[object]()
    if scope.profile is not None:
        where += " AND c.profile = ?"
        values.append(scope.profile)
    if scope.owner is not None:
        where += " AND b.lot_owner = ?"
        values.append(scope.owner)
    if scope.suffix:
        where += (
            " AND EXISTS (SELECT 1 FROM names n WHERE n.certificate = c.id AND n.kind = 'dns'"
            " AND (n.value = ? OR substr(n.value, -length(?)) = ?))"
        )
        values += [scope.suffix, "." + scope.suffix, "." + scope.suffix]
    return where, tuple(values)


def _listing(row: tuple[Any, ...]) -> Listing:
    """Reason and time as `derive_status` has them: the certificate's own revocation, its key's, its CA's withdrawal,
    a hold."""
    issuer, serial, told, reason, changed_at, key_reason, blocked_at, state, spki_sha256, part, *withdrawal = row
    if told == Status.REVOKED and state != Status.REVOKED:
        reason, changed_at = (key_reason, blocked_at) if blocked_at else withdrawal
    return Listing(issuer, serial, spki_sha256, told in LISTED, reason if told != Status.HELD else 6, changed_at, part)
