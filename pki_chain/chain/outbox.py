"""One account's durable single writer of transactions."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from pki_chain.chain.connection import Connection
from pki_chain.chain.signer import Signer
from pki_chain.ports import Address, Receipt


class Outbox:
    """Implements `pki_chain.ports.TransactionWriter`. Holds locks from construction to `close`.

    Raises `ConfigurationError` when another process writes with this key or database, or when the database belongs to
    another key or chain; `StorageError` when the database cannot be written.
    """

    def __init__(self, database: Path, signer: Signer, connection: Connection, chain_id: int) -> None:
        raise NotImplementedError

    @property
    def address(self) -> Address:
        raise NotImplementedError

    def enqueue(self, to: Address, data: bytes, *, gas: int) -> bytes:
        """Give a transaction a nonce, sign it, store it (fsync), and return its hash (32 bytes)."""
        raise NotImplementedError

    def pump(self) -> None:
        """Send what is unsent, re-send what is unseen, and collect receipts. Idempotent; called in a loop."""
        raise NotImplementedError

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The outcome, or None while it is pending."""
        raise NotImplementedError

    def pending(self) -> int:
        """How many transactions have no outcome yet."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
