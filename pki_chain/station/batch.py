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
_ENTRY_GAS: Final = 55_000
_BYTE_GAS: Final = 40
_NAME_BYTE_GAS: Final = 190
"""Upper estimates: what an entry costs beside its bytes, an octet of the certificate, and an octet of its names, which
are compared with the ranges of the lot and with the other names. Measured, gas of a submission for an entry in a
batch of 8 to 30, with one range in the lot and with eight: 70,200 and 73,200 at 604 octets with one name of 31; 85,400
and 91,000 at 833, with another of 219; 113,800 and 124,600 at 1,278, with three more of these; 169,200 and 188,700 at
1,824, with six more of 199; 129,600 and 151,600 at 969, with seven more of 49, the most for an octet. How many labels a
name has makes no difference. Where a CA issued it, in a batch of 30 (names of 33): 69,500 at 428 octets by a P-256 key,
105,500 at 623 by RSA of 2,048 bits, 211,400 at 879 by RSA of 4,096 bits. An estimate that is wrong costs a try, not a
certificate: what runs out of gas is sent again in halves (`pki_chain.station.submit`)."""

_RSA_SIGNATURE: Final = bytes.fromhex("300d06092a864886f70d01010b05000382")
"""sha256WithRSAEncryption and the head of the signature behind it, which has 256 octets or more."""

_SUBJECT_ALT_NAME: Final = bytes.fromhex("0603551d11")


def encoded_bytes(der: bytes) -> int:
    """Octets that a certificate adds to a transaction: ABI offset, length, and the padded bytes."""
    return 64 + (len(der) + 31) // 32 * 32


def estimated_gas(der: bytes) -> int:
    """Gas that a certificate adds to a transaction, at most."""
    names = _names_bytes(der)
    return _ENTRY_GAS + _BYTE_GAS * (len(der) - names) + _NAME_BYTE_GAS * names + _rsa_gas(der)


def _rsa_gas(der: bytes) -> int:
    """The modular exponentiation that verifies an RSA signature of n octets: n * n / 2. Source: EIP-7883."""
    start = der.rfind(_RSA_SIGNATURE)
    if start < 0:
        return 0
    octets = min(len(der) - start - len(_RSA_SIGNATURE) - 3, 512)
    return octets * octets // 2


def _names_bytes(der: bytes) -> int:
    """Octets of subjectAltName, found by its OBJECT IDENTIFIER: an estimate only, the bytes are read by others."""
    start = der.find(_SUBJECT_ALT_NAME) + len(_SUBJECT_ALT_NAME)
    head = der[start : start + 4]
    if start < len(_SUBJECT_ALT_NAME) or len(head) < 4 or head[0] != 0x04:
        return 0
    octets = head[1] & 0x7F if head[1] & 0x80 else 0
    length = int.from_bytes(head[2 : 2 + octets]) if octets else head[1]
    return min(length, len(der) - start)


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
