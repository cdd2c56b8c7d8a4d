"""RLP, canonical form only: one value has one encoding, so that what is hashed again is what came.

Source: Ethereum Yellow Paper, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import rlp  # type: ignore[import-untyped]

from pki_chain.proof.errors import ProofRefusedError, Refusal

Item: TypeAlias = "bytes | Sequence[Item]"


def parse_item(encoded: bytes, refusal: Refusal, what: str) -> Item:
    """The one item that `encoded` is. Raises `ProofRefusedError` with `refusal` for anything else or left over."""
    try:
        item: Item = rlp.decode(encoded, strict=True)
    except (rlp.DecodingError, RecursionError) as error:  # the library recurses as deep as lists nest
        raise ProofRefusedError(refusal, f"{what} is not canonical RLP: {error}.") from error
    return item


def parse_list(encoded: bytes, refusal: Refusal, what: str) -> Sequence[Item]:
    """As `parse_item`, of a list."""
    item = parse_item(encoded, refusal, what)
    if isinstance(item, bytes):
        raise ProofRefusedError(refusal, f"{what} is not an RLP list.")
    return item


def parse_integer(item: Item, longest: int, refusal: Refusal, what: str) -> int:
    """An integer of at most `longest` bytes: a string without leading zeros."""
    if not isinstance(item, bytes) or len(item) > longest or item[:1] == b"\x00":
        raise ProofRefusedError(refusal, f"{what} is not an RLP integer of at most {longest} bytes.")
    return int.from_bytes(item)


def encode_integer(value: int) -> bytes:
    """The string of an integer: big endian without leading zeros, empty for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8)


def encode(item: Item) -> bytes:
    """The canonical encoding."""
    encoded: bytes = rlp.encode(item)
    return encoded
