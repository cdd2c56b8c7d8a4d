"""Signed transactions as they come in: form and limits, before the child sees them.

The child takes into its pool what it then drops in silence when it makes a block: transactions of another chain, and
those with too little gas for their own bytes. Nor does it hold the gas limit of a transaction. All that is refused
here, so that what is acknowledged gets into a block as soon as its nonce's turn has come.
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

_MAX_NONCE = (1 << 64) - 2
"""Source: EIP-2681."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Where the fields of a type of transaction are; `chain_id` None for a legacy one, which has it in `v`."""

    count: int
    chain_id: int | None
    nonce: int
    gas: int
    to: int
    data: int
    access_list: int | None


_LEGACY = _Form(count=9, chain_id=None, nonce=0, gas=2, to=3, data=5, access_list=None)
_TYPED = {
    1: _Form(count=11, chain_id=0, nonce=1, gas=3, to=4, data=6, access_list=7),
    2: _Form(count=12, chain_id=0, nonce=1, gas=4, to=5, data=7, access_list=8),
}
"""Source: EIP-2930, EIP-1559."""

_LEGACY_V = 6


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """What the engine needs to know of a transaction."""

    raw: bytes
    hash: bytes


def parse_transaction(raw: bytes, chain_id: int) -> SignedTransaction:
    """A signed transaction (legacy with EIP-155, EIP-2930 or EIP-1559) for this chain. Raises `InputError`."""
    if not 1 <= len(raw) <= MAX_TRANSACTION_BYTES:
        raise InputError(f"The transaction has {len(raw)} bytes; at most {MAX_TRANSACTION_BYTES} are taken. Split it.")
    form = _LEGACY if raw[0] >= 0xC0 else _TYPED.get(raw[0])
    if form is None:
        raise InputError("The transaction is of a type not taken here. Send a legacy, EIP-2930 or EIP-1559 one.")
    try:
        fields = rlp.decode(raw if form is _LEGACY else raw[1:], strict=True)
    except (rlp.DecodingError, RecursionError) as error:
        raise InputError("The transaction is not well-formed RLP. Send it as it was signed.") from error
    if not isinstance(fields, list) or len(fields) != form.count:
        raise InputError("The transaction does not have the fields of its type. Send it as it was signed.")
    found = _chain_id(fields, form)
    if found != chain_id:
        raise InputError(
            f"The transaction was signed for chain {found or 'any'}, not for chain {chain_id}. Sign it for this one."
        )
    if _number(fields[form.nonce]) > _MAX_NONCE:
        raise InputError("The transaction's nonce is out of range (EIP-2681). Take the account's next one.")
    gas, least = _number(fields[form.gas]), _least_gas(fields, form)
    if not least <= gas <= MAX_TRANSACTION_GAS:
        raise InputError(
            f"The transaction's gas limit {gas} is not between what its bytes alone take, {least}, and "
            f"{MAX_TRANSACTION_GAS} (EIP-7825). Correct the limit, or split it."
        )
    return SignedTransaction(raw, keccak(raw))


def _number(field: object) -> int:
    if not isinstance(field, bytes) or len(field) > 32:
        raise InputError("A number of the transaction is too long. Send it as it was signed.")
    return int.from_bytes(field)


def _bytes(field: object) -> bytes:
    if not isinstance(field, bytes):
        raise InputError("A field of the transaction is a list. Send it as it was signed.")
    return field


def _chain_id(fields: list[object], form: _Form) -> int:
    """The chain that a transaction names; 0 for a legacy one that names none. Source: EIP-155."""
    if form.chain_id is not None:
        return _number(fields[form.chain_id])
    v = _number(fields[_LEGACY_V])
    return (v - 35) // 2 if v >= 35 else 0


def _least_gas(fields: list[object], form: _Form) -> int:
    """Gas for a transaction's own bytes. Source: EIP-7623 (floor), EIP-2028, EIP-3860, EIP-2930."""
    data = _bytes(fields[form.data])
    zeros = data.count(0)
    tokens = zeros + 4 * (len(data) - zeros)
    gas = 21_000 + 4 * tokens
    if not _bytes(fields[form.to]):
        gas += 32_000 + 2 * -(-len(data) // 32)
    if form.access_list is not None:
        gas += sum(2_400 + 1_900 * keys for keys in _access_list(fields[form.access_list]))
    return max(gas, 21_000 + 10 * tokens)


def _access_list(field: object) -> list[int]:
    """How many storage keys each entry has."""
    if not isinstance(field, list):
        raise InputError("The transaction's access list is none. Send it as it was signed.")
    counts = []
    for entry in field:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], list):
            raise InputError("The transaction's access list is not well formed. Send it as it was signed.")
        counts.append(len(entry[1]))
    return counts
