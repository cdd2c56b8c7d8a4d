"""Revocation lists of CAs over the read model: all that a CA issued, or a part, signed by a key that it delegated.

Like the lists of self-signed certificates they are cut at a block, signed on demand, and given while the gateway lags.
A part is for the certificates whose own distribution points name it, and says so by naming these addresses. The list of
all names none, and is complete, parts or not: whoever takes that for a certificate must find it there.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pki_chain.errors import NotFoundError
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.signers import Signers, serial_of
from pki_chain.index.authorities import Authorities
from pki_chain.index.authority_records import AuthorityRecord
from pki_chain.index.change_log import ChangeLog, Listing
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Block
from pki_chain.status.crl import REMOVE_FROM_CRL, CrlEntry, encode_authority_crl
from pki_chain.status.list_address import EVERY_PART

log = logging.getLogger(__name__)

LARGEST_PART_BYTES: Final = 1_000_000
"""A part beyond it is still given whole: one cut short would say of certificates that they are good."""

MAX_KEPT_BYTES: Final = 64_000_000
_KEPT_ENTRY_BYTES: Final = 300

_Changes = dict[int | None, list[CrlEntry]]


@dataclass(slots=True)
class _Signed:
    """What was made for one block: lists by CA, part, base and key; what changed since a base, by CA."""

    block: int = -1
    size: int = 0
    lists: dict[tuple[bytes, int | None, int | None, bytes], bytes] = field(default_factory=dict)
    deltas: dict[tuple[bytes, int], _Changes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListPart:
    """A part of a CA's list: its number, and how many certificates name it."""

    number: int
    certificates: int


class AuthorityLists:
    """Lists from one read model. Safe for threads."""

    def __init__(self, read_model: ReadModel, change_log: ChangeLog, freshness: Freshness, signers: Signers) -> None:
        self._read_model = read_model
        self._authorities = Authorities(read_model)
        self._change_log = change_log
        self._freshness = freshness
        self._signers = signers
        self._lock = threading.Lock()
        self._signed = _Signed()

    def answer(self, identity: bytes, part: int | None, base: int | None) -> bytes:
        """The list of the CA with this id, whole or a part; full, or from a base's number.

        Raises `NotFoundError`, `NotDelegatedError`, `EnvelopeError`, `RejectedError` for an unknown part.
        """
        with self._lock, self._read_model.snapshot():
            block = self._read_model.head()
            authority = self._authority(identity)
            addresses = () if part is None else self._addresses(authority, part)
            if base is not None and base > block.number:
                raise EnvelopeError(
                    400, "base-from-the-future", f"base {base} lies ahead of block {block.number}. Fetch a full list."
                )
            key = self._signers.for_list(authority, int(self._freshness.now()))
            if self._signed.block != block.number or self._signed.size > MAX_KEPT_BYTES:
                self._signed = _Signed(block.number)
            place = (identity, part, base, key.certificate)
            if place not in self._signed.lists:
                content = encode_authority_crl(
                    key,
                    number=block.number,
                    base=base,
                    this_update=block.time,
                    next_update=block.time + self._read_model.parameters().cut_off_s,
                    entries=self._entries(authority, part, base, block),
                    addresses=addresses,
                )
                if part is not None and len(content) > LARGEST_PART_BYTES:
                    log.warning("part %d of CA %s: %d bytes; it is too full", part, identity.hex(), len(content))
                self._signed.lists[place] = content
                self._signed.size += len(content)
            return self._signed.lists[place]

    def parts(self, identity: bytes) -> tuple[Block, tuple[ListPart, ...]]:
        """The block, and the parts of a CA's list as of it, in order. Raises `NotFoundError`."""
        with self._read_model.snapshot():
            block, counts = self._read_model.head(), Counter[int]()
            for each in self._signers.same_issuer(self._authority(identity)):
                counts.update(dict(self._authorities.list_parts(each.id)))
        return block, tuple(ListPart(*each) for each in sorted(counts.items()))

    def _authority(self, identity: bytes) -> AuthorityRecord:
        authority = self._authorities.authority(identity)
        if authority is None:
            raise NotFoundError(f"No CA with the id {identity.hex()} is on the trust list. GET /v1/authorities.")
        return authority

    def _addresses(self, authority: AuthorityRecord, part: int) -> tuple[str, ...]:
        """What certificates have as addresses of this part. Raises `RejectedError` where none names it."""
        same = self._signers.same_issuer(authority)
        found = {address for each in same for address in self._authorities.list_addresses(each.id, part)}
        if not found:
            raise RejectedError(
                404,
                "unknown-part",
                f"No certificate of this CA names part {part} of its list."
                f" GET /crl/{authority.id.hex()} tells which there are.",
            )
        return tuple(sorted(found))

    def _entries(
        self, authority: AuthorityRecord, part: int | None, base: int | None, block: Block
    ) -> Iterator[CrlEntry]:
        """Devices' certificates, and, in every part, those of CAs below that are withdrawn."""
        same = self._signers.same_issuer(authority)
        if base is None:
            for each in same:
                yield from map(_entry, self._change_log.listed_under(each.id, part))
        else:
            for each in same:
                changes = self._changes(each.id, base)
                places = changes if part is None else (part, EVERY_PART)
                for place in places:
                    yield from changes.get(place, ())
        for each in self._signers.below(same):
            if 0 < each.withdrawn_at <= block.time:
                yield CrlEntry(authority.subject, int(serial_of(each), 16), each.reason, each.withdrawn_at)

    def _changes(self, identity: bytes, base: int) -> _Changes:
        """What changed since a base, by part, read once for all parts."""
        if (identity, base) not in self._signed.deltas:
            changes: _Changes = {}
            for each in self._change_log.listed_under_since(identity, self._change_log.end(base)):
                changes.setdefault(each.part, []).append(_entry(each))
                self._signed.size += _KEPT_ENTRY_BYTES
            self._signed.deltas[identity, base] = changes
        return self._signed.deltas[identity, base]


def _entry(listing: Listing) -> CrlEntry:
    reason = listing.reason if listing.is_listed else REMOVE_FROM_CRL
    return CrlEntry(listing.issuer, int(listing.serial, 16), reason, listing.since)
