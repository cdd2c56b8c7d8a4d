"""Revocation lists over the read model: cut at a block, signed on demand, with the true next update.

A list is given also while the gateway lags: it says itself until when it may be relied on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pki_chain.errors import NotFoundError
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.index.change_log import ChangeLog, Listing
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Block
from pki_chain.status.crl import REMOVE_FROM_CRL, CrlEntry, CrlScope, encode_crl, part_of, parts_of
from pki_chain.status.status_key import StatusKeys

MEDIA_TYPE: Final = "application/pkix-crl"
MAX_KEPT: Final = 512


@dataclass(frozen=True, slots=True)
class _Cut:
    """A profile's list as it was after a change: until the next one only its number and times grow."""

    position: int
    parts: int
    entries: dict[int, list[CrlEntry]]


@dataclass(slots=True)
class _Signed:
    """What was made for one block."""

    block: int = -1
    deltas: dict[tuple[int, int, int], dict[int, list[CrlEntry]]] = field(default_factory=dict)
    lists: dict[tuple[CrlScope, int | None, bytes], bytes] = field(default_factory=dict)


class CrlAnswers:
    """Lists from one read model. Safe for threads."""

    def __init__(self, read_model: ReadModel, change_log: ChangeLog, freshness: Freshness, keys: StatusKeys) -> None:
        self._read_model = read_model
        self._change_log = change_log
        self._freshness = freshness
        self._keys = keys
        self._lock = threading.Lock()
        self._cuts: dict[int, _Cut] = {}
        self._signed = _Signed()

    def scopes(self) -> tuple[Block, tuple[CrlScope, ...]]:
        """The block, and one scope a profile, of part 0: parts are numbered from there."""
        with self._read_model.snapshot():
            block = self._read_model.head()
            profiles = self._change_log.profiles()
            found = tuple(CrlScope(each, 0, parts_of(self._change_log.published(each))) for each in profiles)
        return block, found

    def answer(self, scope: CrlScope, base: int | None) -> bytes:
        """The list, full or from a base's number. Raises `NotFoundError`, `EnvelopeError`, `NoStatusKeyError`."""
        key = self._keys.signer(self._freshness.now())
        with self._lock, self._read_model.snapshot():
            block = self._read_model.head()
            cut = self._cut(scope.profile)
            if cut is None or scope.parts != cut.parts or not 0 <= scope.part < cut.parts:
                raise NotFoundError(f"There is no list {scope.name}. GET /crl tells profiles and their parts.")
            if base is not None and base > block.number:
                raise EnvelopeError(
                    400, "base-from-the-future", f"base {base} lies ahead of block {block.number}. Fetch a full list."
                )
            if self._signed.block != block.number or len(self._signed.lists) >= MAX_KEPT:
                self._signed = _Signed(block.number)
            place = (scope, base, key.key_sha1)
            if place not in self._signed.lists:
                self._signed.lists[place] = encode_crl(
                    key,
                    scope,
                    number=block.number,
                    base=base,
                    this_update=block.time,
                    next_update=block.time + self._read_model.parameters().cut_off_s,
                    entries=cut.entries.get(scope.part, []) if base is None else self._since(scope, base),
                )
            return self._signed.lists[place]

    def _cut(self, profile: int) -> _Cut | None:
        position = self._change_log.position()
        cut = self._cuts.get(profile)
        if cut is None or cut.position != position:
            if self._read_model.profile(profile) is None:
                return None
            parts = parts_of(self._change_log.published(profile))
            cut = _Cut(position, parts, _by_part(self._change_log.listed(profile), parts))
            self._cuts[profile] = cut
        return cut

    def _since(self, scope: CrlScope, base: int) -> list[CrlEntry]:
        """What changed since a base, read once for all parts."""
        place = (scope.profile, scope.parts, base)
        if place not in self._signed.deltas:
            listings = self._change_log.listed_since(scope.profile, self._change_log.end(base))
            self._signed.deltas[place] = _by_part(listings, scope.parts)
        return self._signed.deltas[place].get(scope.part, [])


def _by_part(listings: Iterable[Listing], parts: int) -> dict[int, list[CrlEntry]]:
    entries: dict[int, list[CrlEntry]] = {}
    for each in listings:
        reason = each.reason if each.is_listed else REMOVE_FROM_CRL
        entry = CrlEntry(each.issuer, int(each.serial, 16), reason, each.since)
        entries.setdefault(part_of(each.spki_sha256, parts), []).append(entry)
    return entries
