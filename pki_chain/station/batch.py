"""How many certificates fit one transaction: 128 KiB of bytes, 2^24 gas, 200 entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pki_chain.station.outbox import Entry

MAXIMUM_ENTRIES: Final = 200
MAXIMUM_TRANSACTION_BYTES: Final = 128 * 1024
MAXIMUM_GAS: Final = 1 << 24

_ENVELOPE_BYTES: Final = 1_024
"""Everything of a transaction that is not a certificate: RLP, signature of the relayer, selector, submission, its
signature and the heads of the ABI's arrays; about 600 octets, rounded up."""

_ENVELOPE_GAS: Final = 400_000
_ENTRY_GAS: Final = 62_000
_BYTE_GAS: Final = 40
"""Upper estimates, above what `make bench` measures: parsing, signature, slot and event of one entry, and its bytes."""


def encoded_bytes(der: bytes) -> int:
    """Octets that a certificate adds to a transaction: ABI offset, length, and the padded bytes."""
    return 64 + (len(der) + 31) // 32 * 32


def estimated_gas(der: bytes) -> int:
    """Gas that a certificate adds to a transaction, at most."""
    return _ENTRY_GAS + _BYTE_GAS * len(der)


def split(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into batches, in order, each as full as the limits allow; one that alone is too large goes alone."""
    batch: list[Entry] = []
    size, gas = _ENVELOPE_BYTES, _ENVELOPE_GAS
    for entry in entries:
        more_size, more_gas = encoded_bytes(entry.der), estimated_gas(entry.der)
        full = (
            len(batch) == MAXIMUM_ENTRIES
            or size + more_size > MAXIMUM_TRANSACTION_BYTES
            or gas + more_gas > MAXIMUM_GAS
        )
        if batch and full:
            yield batch
            batch, size, gas = [], _ENVELOPE_BYTES, _ENVELOPE_GAS
        batch.append(entry)
        size, gas = size + more_size, gas + more_gas
    if batch:
        yield batch
