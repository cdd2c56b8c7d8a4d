"""A QBFT header's extra data: sealers, vote, round and seals, and what each of the two hashes is made over.

Source: the QBFT specification of the Enterprise Ethereum Alliance; tests/vectors/qbft/README.md, Encodings seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.recursive_length_prefix import Item, encode, encode_integer, parse_integer, parse_list

SEAL_BYTES: Final = 65
_ADD, _DROP = b"\xff", b""
_ITEMS: Final = 5
_VANITY_BYTES: Final = 32
_ADDRESS_BYTES: Final = 20
_ROUND_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Vote:
    """A proposer's vote to add a sealer, or to drop one."""

    candidate: bytes
    add: bool


@dataclass(frozen=True, slots=True)
class ExtraData:
    """`sealers` is what the header says of itself, which proves nothing; seals are r, s, v, 65 bytes each."""

    vanity: bytes
    sealers: tuple[bytes, ...]
    vote: Vote | None
    round: int
    seals: tuple[bytes, ...]

    def for_seal_hash(self) -> bytes:
        """Extra data as it stands in what sealers sign: with the round, without seals."""
        return self._encoded(self.round)

    def for_block_hash(self) -> bytes:
        """Extra data as it stands in what the block hash is made over: round 0, no seals."""
        return self._encoded(0)

    def _encoded(self, round_: int) -> bytes:
        vote: Item = () if self.vote is None else (self.vote.candidate, _ADD if self.vote.add else _DROP)
        return encode((self.vanity, self.sealers, vote, encode_integer(round_), ()))


def parse_extra_data(content: bytes) -> ExtraData:
    """Raises `ProofRefusedError`: malformed-extra-data, and malformed-seal for a seal of another length."""
    items = parse_list(content, Refusal.MALFORMED_EXTRA_DATA, "extraData")
    if len(items) != _ITEMS:
        raise _malformed(f"has {len(items)} items, not {_ITEMS}")
    vanity, sealers, vote, round_, seals = items
    if not isinstance(vanity, bytes) or len(vanity) != _VANITY_BYTES:
        raise _malformed(f"has no vanity of {_VANITY_BYTES} bytes")
    return ExtraData(
        vanity=vanity,
        sealers=_strings(sealers, _ADDRESS_BYTES, Refusal.MALFORMED_EXTRA_DATA, "sealer"),
        vote=_vote(vote),
        round=parse_integer(round_, _ROUND_BYTES, Refusal.MALFORMED_EXTRA_DATA, "extraData's round"),
        seals=_strings(seals, SEAL_BYTES, Refusal.MALFORMED_SEAL, "seal"),
    )


def _vote(item: Item) -> Vote | None:
    if isinstance(item, Sequence) and not isinstance(item, bytes):
        if not item:
            return None
        if len(item) == 2:
            candidate, kind = item
            if isinstance(candidate, bytes) and len(candidate) == _ADDRESS_BYTES and kind in {_ADD, _DROP}:
                return Vote(candidate, kind == _ADD)
    raise _malformed("has a vote that is neither empty nor an address and ff (add) or nothing (drop)")


def _strings(item: Item, length: int, refusal: Refusal, what: str) -> tuple[bytes, ...]:
    if isinstance(item, bytes):
        raise _malformed(f"has no list of {what}s")
    strings = tuple(each for each in item if isinstance(each, bytes) and len(each) == length)
    if len(strings) != len(item):
        raise ProofRefusedError(refusal, f"extraData has a {what} that is not {length} bytes.")
    return strings


def _malformed(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.MALFORMED_EXTRA_DATA, f"extraData {what}. Ask for the proof again, elsewhere.")
