"""Signed transactions as they come in: form and limits, before the child sees them.

The child takes a transaction of another chain into its pool and drops it in silence when it makes a block, and it
does not hold the gas limit of a transaction: both are refused here, so that what is acknowledged can be put into a
block.
"""

from __future__ import annotations

from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]  # the library has no types
from eth_hash.auto import keccak

from pki_chain.errors import InputError

MAX_TRANSACTION_BYTES = 128 * 1024
"""Limit of transaction pools; Besu refuses more since 26.8.1."""

MAX_TRANSACTION_GAS = 1 << 24
"""Source: EIP-7825."""

_ACCESS_LIST, _DYNAMIC_FEE = 1, 2
_FIELDS = {None: 9, _ACCESS_LIST: 11, _DYNAMIC_FEE: 12}
_CHAIN_ID = {_ACCESS_LIST: 0, _DYNAMIC_FEE: 0}
_GAS = {None: 2, _ACCESS_LIST: 3, _DYNAMIC_FEE: 4}


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """What the engine needs to know of a transaction."""

    raw: bytes
    hash: bytes
    chain_id: int
    gas: int


def parse_transaction(raw: bytes, chain_id: int) -> SignedTransaction:
    """A signed transaction (legacy with EIP-155, EIP-2930 or EIP-1559) for this chain. Raises `InputError`."""
    if not 1 <= len(raw) <= MAX_TRANSACTION_BYTES:
        raise InputError(f"The transaction has {len(raw)} bytes; at most {MAX_TRANSACTION_BYTES} are taken. Split it.")
    kind = None if raw[0] >= 0xC0 else raw[0]
    if kind not in _FIELDS:
        raise InputError("The transaction is of a type not taken here. Send a legacy, EIP-2930 or EIP-1559 one.")
    try:
        fields = rlp.decode(raw if kind is None else raw[1:], strict=True)
    except (rlp.DecodingError, RecursionError) as error:
        raise InputError("The transaction is not well-formed RLP. Send it as it was signed.") from error
    if not isinstance(fields, list) or len(fields) != _FIELDS[kind] or not all(_is_short(fields, kind)):
        raise InputError("The transaction does not have the fields of its type. Send it as it was signed.")
    found = _chain_id(fields, kind)
    if found != chain_id:
        raise InputError(
            f"The transaction was signed for chain {found or 'any'}, not for chain {chain_id}. Sign again."
        )
    gas = int.from_bytes(fields[_GAS[kind]])
    if gas > MAX_TRANSACTION_GAS:
        raise InputError(f"The transaction's gas limit {gas} is over {MAX_TRANSACTION_GAS} (EIP-7825). Split it.")
    return SignedTransaction(raw, keccak(raw), found, gas)


def _is_short(fields: list[object], kind: int | None) -> list[bool]:
    """Whether the numbers that are read here are byte strings of at most 32 bytes."""
    places = [_GAS[kind], 6 if kind is None else _CHAIN_ID[kind]]
    return [isinstance(fields[place], bytes) and len(fields[place]) <= 32 for place in places]  # type: ignore[arg-type]


def _chain_id(fields: list[bytes], kind: int | None) -> int:
    """The chain that a transaction names; 0 for a legacy one that names none. Source: EIP-155."""
    if kind is not None:
        return int.from_bytes(fields[_CHAIN_ID[kind]])
    v = int.from_bytes(fields[6])
    return (v - 35) // 2 if v >= 35 else 0
