"""A call of a contract: the value that everything else makes or sends."""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.ports import Address

TRANSACTION_GAS = 1 << 24
"""A transaction's limit since Osaka (EIP-7825)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction to be: target, data, gas limit."""

    to: Address
    data: bytes
    gas: int
