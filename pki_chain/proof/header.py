"""Block headers, as RLP and as a node's JSON answers them, and the hash of one that carries no seals.

Source: Ethereum Yellow Paper §4.4; EIP-1559, 4895, 4844, 4788, 7685 for the later fields, which end at the first
that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eth_hash.auto import keccak

from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.recursive_length_prefix import encode, encode_integer, parse_integer, parse_list

MAX_HEADER_BYTES: Final = 32_768
"""255 sealers and as many seals take 22 KB."""

_INTEGER: Final = -1
_ANY: Final = -2
_FIELDS: Final = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", _INTEGER),
    ("number", _INTEGER),
    ("gasLimit", _INTEGER),
    ("gasUsed", _INTEGER),
    ("timestamp", _INTEGER),
    ("extraData", _ANY),
    ("mixHash", 32),
    ("nonce", 8),
    ("baseFeePerGas", _INTEGER),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", _INTEGER),
    ("excessBlobGas", _INTEGER),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
"""Name in a node's JSON, and length in bytes."""

_ALWAYS: Final = 15
_PARENT_HASH, _MINER, _STATE_ROOT, _DIFFICULTY, _NUMBER, _TIMESTAMP, _EXTRA_DATA, _MIX_HASH = 0, 2, 3, 7, 8, 11, 12, 13
_LONGEST_INTEGER: Final = {"difficulty": 32, "baseFeePerGas": 32}
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*")
_QUANTITY: Final = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})")


@dataclass(frozen=True, slots=True)
class Header:
    """A header's fields, each as the string that RLP encodes."""

    fields: tuple[bytes, ...]

    @property
    def parent_hash(self) -> bytes:
        return self.fields[_PARENT_HASH]

    @property
    def proposer(self) -> bytes:
        """Address of who made the block, 20 bytes; the JSON calls it `miner`."""
        return self.fields[_MINER]

    @property
    def state_root(self) -> bytes:
        return self.fields[_STATE_ROOT]

    @property
    def difficulty(self) -> int:
        return int.from_bytes(self.fields[_DIFFICULTY])

    @property
    def number(self) -> int:
        return int.from_bytes(self.fields[_NUMBER])

    @property
    def time(self) -> int:
        """Seconds since 1970."""
        return int.from_bytes(self.fields[_TIMESTAMP])

    @property
    def extra_data(self) -> bytes:
        return self.fields[_EXTRA_DATA]

    @property
    def mix_hash(self) -> bytes:
        return self.fields[_MIX_HASH]

    def encoded(self) -> bytes:
        """The RLP."""
        return encode(self.fields)

    def hash_with(self, extra_data: bytes) -> bytes:
        """keccak256 of the RLP with another `extraData`, 32 bytes."""
        return keccak(encode((*self.fields[:_EXTRA_DATA], extra_data, *self.fields[_EXTRA_DATA + 1 :])))

    def plain_hash(self) -> bytes:
        """keccak256 of the RLP as it is: the block hash where extraData holds no seals."""
        return keccak(self.encoded())


def parse_header(encoded: bytes) -> Header:
    """A header from its RLP. Raises `ProofRefusedError` (malformed-header)."""
    if len(encoded) > MAX_HEADER_BYTES:
        raise _malformed(f"has {len(encoded)} bytes, more than {MAX_HEADER_BYTES}")
    items = parse_list(encoded, Refusal.MALFORMED_HEADER, "the header")
    if not _ALWAYS <= len(items) <= len(_FIELDS):
        raise _malformed(f"has {len(items)} fields, not {_ALWAYS} to {len(_FIELDS)}")
    fields: list[bytes] = []
    for (name, length), item in zip(_FIELDS, items, strict=False):
        if not isinstance(item, bytes):
            raise _malformed(f"has a list for {name}")
        if length == _INTEGER:
            parse_integer(item, _LONGEST_INTEGER.get(name, 8), Refusal.MALFORMED_HEADER, f"the header's {name}")
        elif length not in {_ANY, len(item)}:
            raise _malformed(f"has {len(item)} bytes for {name}, not {length}")
        fields.append(item)
    return Header(tuple(fields))


def parse_block(block: Mapping[str, Any]) -> Header:
    """A header from a node's JSON (`eth_getBlockByNumber`), whose claimed `hash` the caller compares.

    A later field that is null counts as missing. Raises `ProofRefusedError` (malformed-header).
    """
    present = [name for name, _ in _FIELDS if block.get(name) is not None]
    if present != [name for name, _ in _FIELDS[: max(len(present), _ALWAYS)]]:
        raise _malformed("lacks a field, or has a later one without one before it")
    fields = [_field(name, length, block[name]) for name, length in _FIELDS[: len(present)]]
    return parse_header(encode(fields))


def _field(name: str, length: int, value: object) -> bytes:
    if length == _INTEGER:
        if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
            raise _malformed(f"has no hexadecimal number for {name}")
        return encode_integer(int(value, 16))
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise _malformed(f"has no lower-case hexadecimal for {name}")
    return bytes.fromhex(value[2:])


def _malformed(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.MALFORMED_HEADER, f"the header {what}. Ask for the proof again, elsewhere.")
