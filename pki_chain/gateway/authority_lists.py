"""Revocation lists of CAs over the read model: all that a CA issued, signed by a key that it delegated.

Like the lists of self-signed certificates they are cut at a block, signed on demand, and given while the gateway lags.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pki_chain.errors import NotFoundError
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.gateway.signers import Signers, serial_of
from pki_chain.index.authorities import Authorities
from pki_chain.index.authority_records import AuthorityRecord
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Block
from pki_chain.status.crl import REMOVE_FROM_CRL, CrlEntry, encode_authority_crl
from pki_chain.status.status_key import StatusKey

MAX_KEPT = 256


@dataclass(slots=True)
class _Signed:
    """What was made for one block, by CA, base and key."""

    block: int = -1
    lists: dict[tuple[bytes, int | None, bytes], bytes] = field(default_factory=dict)


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

    def answer(self, identity: bytes, base: int | None) -> bytes:
        """The list of the CA with this id, full or from a base's number.

        Raises `NotFoundError`, `NotDelegatedError`, `EnvelopeError`.
        """
        with self._lock, self._read_model.snapshot():
            block = self._read_model.head()
            authority = self._authorities.authority(identity)
            if authority is None:
                raise NotFoundError(f"No CA with the id {identity.hex()} is on the trust list. GET /v1/authorities.")
            if base is not None and base > block.number:
                raise EnvelopeError(
                    400, "base-from-the-future", f"base {base} lies ahead of block {block.number}. Fetch a full list."
                )
            key = self._signers.for_list(authority, int(self._freshness.now()))
            if self._signed.block != block.number or len(self._signed.lists) >= MAX_KEPT:
                self._signed = _Signed(block.number)
            place = (identity, base, key.certificate)
            if place not in self._signed.lists:
                self._signed.lists[place] = self._make(authority, base, key, block)
            return self._signed.lists[place]

    def _make(self, authority: AuthorityRecord, base: int | None, key: StatusKey, block: Block) -> bytes:
        return encode_authority_crl(
            key,
            number=block.number,
            base=base,
            this_update=block.time,
            next_update=block.time + self._read_model.parameters().cut_off_s,
            entries=self._entries(authority, base, block),
        )

    def _entries(self, authority: AuthorityRecord, base: int | None, block: Block) -> list[CrlEntry]:
        """Devices' certificates, and those of CAs below that are withdrawn."""
        same = self._signers.same_issuer(authority)
        found = []
        for each in same:
            if base is None:
                listings = self._change_log.listed_under(each.id)
            else:
                listings = self._change_log.listed_under_since(each.id, self._change_log.end(base))
            found += [
                CrlEntry(
                    listing.issuer,
                    int(listing.serial, 16),
                    listing.reason if listing.is_listed else REMOVE_FROM_CRL,
                    listing.since,
                )
                for listing in listings
            ]
        found += [
            CrlEntry(authority.subject, int(serial_of(each), 16), each.reason, each.withdrawn_at)
            for each in self._signers.below(same)
            if 0 < each.withdrawn_at <= block.time
        ]
        return found
