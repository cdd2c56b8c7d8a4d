"""What events of the identity registry do to the tables of the read model. The ledger has judged them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from pki_chain import ports
from pki_chain.index.change_writer import POSITIONS_A_BLOCK
from pki_chain.index.errors import MissingEventsError
from pki_chain.index.identity_records import spki_hash
from pki_chain.ports import Block, CardKey, LoggedEvent

_NO_REPLACEMENT: Final = (
    "next_x = NULL, next_y = NULL, next_attestation = 0, next_card_enforced = 0, next_emulator = 0,"
    " next_by = '', next_at = 0"
)


class IdentityProjection:
    """Applies events to the tables `identities`, `identity_keys` and `identity_changes`.

    The caller holds the transaction. Raises `MissingEventsError` for an identity that was never registered.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.handlers: Final[dict[type, Callable[[Any, Block, LoggedEvent], None]]] = {
            ports.IdentityRegistered: self._registered,
            ports.IdentityEntryRefused: self._refused,
            ports.IdentityActivated: self._activated,
            ports.IdentityHeld: self._held,
            ports.IdentityReleased: self._released,
            ports.IdentityRevoked: self._revoked,
            ports.ReplacementStarted: self._replacement_started,
            ports.ReplacementCancelled: self._replacement_cancelled,
            ports.IdentityKeyReplaced: self._key_replaced,
        }

    def key_blocked(self, blocked: bytes, block: Block) -> None:
        """Tell it of identities whose current key this is (SHA-256 of its SubjectPublicKeyInfo)."""
        rows = self._connection.execute("SELECT id FROM identities WHERE spki_sha256 = ?", (blocked,)).fetchall()
        for (identity,) in rows:
            self._tell("key-blocked", identity, block)

    def _registered(self, content: ports.IdentityRegistered, block: Block, _: LoggedEvent) -> None:
        key = content.key
        self._connection.execute(
            "INSERT INTO identities (id, operator, x, y, spki_sha256, attestation, card_enforced, emulator, held,"
            " revoked, reason, counter, key_count, registered_at, key_since, activated_at, changed_at,"
            " next_attestation, next_card_enforced, next_emulator, next_by, next_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 1, ?, ?, 0, ?, 0, 0, 0, '', 0)",
            (
                content.identity,
                content.operator,
                key.x,
                key.y,
                spki_hash(key.x, key.y),
                *_origin(key),
                block.time,
                block.time,
                block.time,
            ),
        )
        self._add_key(content.identity, 0, key, block, by_old_key=False)
        self._tell("registered", content.identity, block)

    def _refused(self, content: ports.IdentityEntryRefused, block: Block, event: LoggedEvent) -> None:
        """Nothing changed; who sent it reads the reason from its transaction."""

    def _activated(self, content: ports.IdentityActivated, block: Block, _: LoggedEvent) -> None:
        self._change("activated", content.identity, block, "activated_at = ?", block.time)

    def _held(self, content: ports.IdentityHeld, block: Block, _: LoggedEvent) -> None:
        assignments = f"held = 1, counter = ?, {_NO_REPLACEMENT}"
        self._change("held", content.identity, block, assignments, content.counter)

    def _released(self, content: ports.IdentityReleased, block: Block, _: LoggedEvent) -> None:
        self._change("released", content.identity, block, "held = 0, counter = ?", content.counter)

    def _revoked(self, content: ports.IdentityRevoked, block: Block, _: LoggedEvent) -> None:
        assignments = f"revoked = 1, reason = ?, {_NO_REPLACEMENT}"
        self._change("revoked", content.identity, block, assignments, content.reason)

    def _replacement_started(self, content: ports.ReplacementStarted, block: Block, _: LoggedEvent) -> None:
        key = content.key
        self._change(
            "replacement-started",
            content.identity,
            block,
            "next_x = ?, next_y = ?, next_attestation = ?, next_card_enforced = ?, next_emulator = ?, next_by = ?,"
            " next_at = ?, counter = ?",
            key.x,
            key.y,
            *_origin(key),
            str(content.by),
            content.executable_at,
            content.counter,
        )

    def _replacement_cancelled(self, content: ports.ReplacementCancelled, block: Block, _: LoggedEvent) -> None:
        assignments = f"counter = ?, {_NO_REPLACEMENT}"
        self._change("replacement-cancelled", content.identity, block, assignments, content.counter)

    def _key_replaced(self, content: ports.IdentityKeyReplaced, block: Block, _: LoggedEvent) -> None:
        key = content.key
        self._change(
            "key-replaced",
            content.identity,
            block,
            "x = ?, y = ?, spki_sha256 = ?, attestation = ?, card_enforced = ?, emulator = ?, counter = ?,"
            f" key_count = ?, key_since = ?, activated_at = 0, {_NO_REPLACEMENT}",
            key.x,
            key.y,
            spki_hash(key.x, key.y),
            *_origin(key),
            content.counter,
            content.index + 1,
            block.time,
        )
        ended = self._connection.execute(
            "UPDATE identity_keys SET until = ? WHERE identity = ? AND number = ?",
            (block.time, content.identity, content.index - 1),
        )
        if ended.rowcount != 1:
            raise MissingEventsError(
                f"key {content.index} of identity 0x{content.identity.hex()} came without the one before it"
            )
        self._add_key(content.identity, content.index, key, block, by_old_key=content.by_old_key)

    def _change(self, kind: str, identity: bytes, block: Block, assignments: str, *values: object) -> None:
        changed = self._connection.execute(
            f"UPDATE identities SET {assignments}, changed_at = ? WHERE id = ?",  # noqa: S608 - our own texts
            (*values, block.time, identity),
        )
        if changed.rowcount != 1:
            raise MissingEventsError(f"an event speaks of identity 0x{identity.hex()}, which was never given")
        self._tell(kind, identity, block)

    def _add_key(self, identity: bytes, number: int, key: CardKey, block: Block, *, by_old_key: bool) -> None:
        self._connection.execute(
            "INSERT INTO identity_keys (identity, number, x, y, attestation, card_enforced, emulator, since, until,"
            " by_old_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
            (identity, number, key.x, key.y, *_origin(key), block.time, int(by_old_key)),
        )

    def _tell(self, kind: str, identity: bytes, block: Block) -> None:
        """A row of the feed, at the next position of this block: the same at every gateway."""
        first = block.number * POSITIONS_A_BLOCK
        (last,) = self._connection.execute("SELECT coalesce(max(position), -1) FROM identity_changes").fetchone()
        self._connection.execute(
            "INSERT INTO identity_changes (position, kind, identity, time) VALUES (?, ?, ?, ?)",
            (max(first, last + 1), kind, identity, block.time),
        )


def _origin(key: CardKey) -> tuple[int, int, int]:
    return int(key.attestation), int(key.card_enforced), int(key.emulator)
