"""Transactions for tests: from one key, to addresses without code, in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pki_chain.chain.connection import Connection
from pki_chain.chain.signer import Signer
from pki_chain.ports import Address


class Wallet:
    """Signs transfers of nothing with nonces 0, 1, 2..."""

    def __init__(self, chain_id: int) -> None:
        self.signer = Signer.ephemeral()
        self.chain_id = chain_id
        self.nonce = 0

    def next(
        self, data: bytes = b"", *, nonce: int | None = None, gas: int = 100_000, to: str | None = None
    ) -> tuple[str, str]:
        """The next transaction, raw and its hash, as JSON-RPC writes them."""
        if nonce is None:
            nonce, self.nonce = self.nonce, self.nonce + 1
        return self._signed(Address(to or f"0x{nonce + 0x1000:040x}"), data, nonce, gas)

    def create(self, code: bytes) -> tuple[str, str]:
        """The next transaction, which creates a contract."""
        nonce, self.nonce = self.nonce, self.nonce + 1
        return self._signed(None, code, nonce, 1_000_000)

    def _signed(self, to: Address | None, data: bytes, nonce: int, gas: int) -> tuple[str, str]:
        raw, digest = self.signer.sign_transaction(to, data, nonce=nonce, gas=gas, chain_id=self.chain_id)
        return "0x" + raw.hex(), "0x" + digest.hex()


def wait_for(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """What `condition` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return found


def await_receipt(connection: Connection, digest: str) -> dict[str, Any]:
    receipt: dict[str, Any] = wait_for(lambda: connection.request("eth_getTransactionReceipt", [digest]))
    return receipt
