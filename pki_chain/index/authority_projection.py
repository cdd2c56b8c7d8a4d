"""What the events of the trust list do to the tables of the read model. No event is judged: the ledger has decided."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pki_chain import ports
from pki_chain.index.certificate_row import read_key_bits
from pki_chain.index.errors import MissingEventsError
from pki_chain.ports import Block, LoggedEvent
from pki_chain.status.list_address import part_named_by
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.delegation import parse_delegation
from pki_chain.x509.errors import AuthorityRefusedError

KEY_COMPROMISE: Final = 1
CA_COMPROMISE: Final = 2
MOST_ADDRESSES: Final = 16
"""A part's list names so many; for certificates with others no validator takes it."""
_NO_PARENT: Final = bytes(32)
BELOW: Final = (
    "WITH RECURSIVE below (id) AS (SELECT ? UNION SELECT a.id FROM authorities a JOIN below b ON a.parent = b.id)"
    " SELECT id FROM below"
)
"""Ids of an authority and of all below it."""


class AuthorityProjection:
    """Applies events of the trust list. The caller holds the transaction. Raises `MissingEventsError`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def handlers(self) -> Mapping[type, Callable[[Any, Block, LoggedEvent], None]]:
        """By the type of an event's content."""
        return {
            ports.AuthorityPublished: self._published,
            ports.DelegationPublished: self._delegated,
            ports.AuthorityWithdrawn: self._withdrawn,
            ports.DelegationWithdrawn: self._delegation_withdrawn,
        }

    def issuer_of(self, issuer: bytes, key_identifier: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Id, and SHA-1 and SHA-256 of the key's bits, of the CA that issues under this name and key identifier now."""
        row: tuple[bytes, bytes, bytes] | None = self._connection.execute(
            "SELECT id, key_sha1, key_sha256 FROM authorities WHERE subject = ? AND key_identifier = ?"
            " ORDER BY number DESC LIMIT 1",
            (issuer, key_identifier),
        ).fetchone()
        return row

    def keep_addresses(self, authority: bytes, addresses: Iterable[bytes], *, is_new: bool) -> None:
        """Of these, a certificate's cRLDistributionPoints, those that name a part of this CA's list; and that one more
        certificate names it, if it is a new one."""
        parts = {address: part for address in addresses if (part := part_named_by(address)) is not None}
        for address, part in parts.items():
            self._connection.execute(
                "INSERT OR IGNORE INTO list_addresses (authority, part, address) SELECT ?1, ?2, ?3"
                " WHERE (SELECT count(*) FROM list_addresses WHERE authority = ?1 AND part = ?2) < ?4",
                (authority, part, address.decode("ascii"), MOST_ADDRESSES),
            )
        for part in set(parts.values()):
            self._connection.execute(
                "INSERT INTO list_parts (authority, part, certificates) VALUES (?, ?, ?)"
                " ON CONFLICT (authority, part) DO UPDATE SET certificates = certificates + excluded.certificates",
                (authority, part, int(is_new)),
            )

    def _published(self, content: ports.AuthorityPublished, block: Block, _: LoggedEvent) -> None:
        row = {
            "id": content.authority,
            "number": self._connection.execute("SELECT count(*) + 1 FROM authorities").fetchone()[0],
            "member": content.member,
            "parent": None if content.parent == _NO_PARENT else content.parent,
            "scope": int(content.scope),
            "trusted_from": content.trusted_from,
            "trusted_until": content.trusted_until,
            "path_length": content.path_length,
            "der": content.der,
            "sha256": hashlib.sha256(content.der).digest(),
            **_read_authority(content.der),
            "published_at": block.time,
            "withdrawn_at": 0,
            "reason": 0,
        }
        if row["parent"] is not None:
            self._require("authorities", content.parent)
        self._put("authorities", row)

    def _delegated(self, content: ports.DelegationPublished, block: Block, _: LoggedEvent) -> None:
        self._require("authorities", content.authority)
        row = {
            "id": content.delegation,
            "authority": content.authority,
            "kind": int(content.kind),
            "der": content.der,
            "sha256": hashlib.sha256(content.der).digest(),
            "spki_sha256": _read_delegated_key(content.der),
            "not_before": content.valid_from,
            "not_after": content.valid_until,
            "published_at": block.time,
            "withdrawn_at": 0,
            "reason": 0,
        }
        self._put("delegations", row)

    def _withdrawn(self, content: ports.AuthorityWithdrawn, block: Block, _: LoggedEvent) -> None:
        """It and all below it that no earlier withdrawal ended."""
        self._require("authorities", content.authority)
        reason = CA_COMPROMISE if content.reason == KEY_COMPROMISE else content.reason
        self._connection.execute(
            f"UPDATE authorities SET withdrawn_at = ?, reason = ?"  # noqa: S608 - a constant
            f" WHERE withdrawn_at = 0 AND id IN ({BELOW})",
            (block.time, reason, content.authority),
        )

    def _delegation_withdrawn(self, content: ports.DelegationWithdrawn, block: Block, _: LoggedEvent) -> None:
        self._require("delegations", content.delegation)
        self._connection.execute(
            "UPDATE delegations SET withdrawn_at = ?, reason = ? WHERE id = ?",
            (block.time, content.reason, content.delegation),
        )

    def _require(self, table: str, identity: bytes) -> None:
        found = self._connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (identity,)).fetchone()  # noqa: S608
        if found is None:
            raise MissingEventsError(f"an event speaks of 0x{identity.hex()}, which was never put on the trust list")

    def _put(self, table: str, row: Mapping[str, object]) -> None:
        columns, marks = ", ".join(row), ", ".join("?" for _ in row)
        self._connection.execute(
            f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - our own names
            tuple(row.values()),
        )


def _read_authority(der: bytes) -> dict[str, object]:
    """Look-up values. Bytes that the contract took and our reader refuses get none: nothing is found under them."""
    names = ("subject", "key_identifier", "spki_sha256", "key_sha1", "key_sha256")
    try:
        certificate = parse_authority(der)
    except AuthorityRefusedError:
        return dict.fromkeys(names, b"")
    key = read_key_bits(certificate.spki)
    values = (
        certificate.subject,
        certificate.key_identifier,
        hashlib.sha256(certificate.spki).digest(),
        hashlib.sha1(key, usedforsecurity=False).digest(),
        hashlib.sha256(key).digest(),
    )
    return dict(zip(names, values, strict=True))


def _read_delegated_key(der: bytes) -> bytes:
    try:
        return hashlib.sha256(parse_delegation(der).spki).digest()
    except AuthorityRefusedError:
        return b""
