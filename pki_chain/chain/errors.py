"""Errors of the ledger adapter beyond those of `pki_chain.errors`."""

from __future__ import annotations

from typing import ClassVar

from pki_chain.errors import LedgerUnavailableError, StorageError, TallyError


class RpcError(TallyError):
    """An endpoint answered a request with a JSON-RPC error that is not a contract's revert."""

    code: ClassVar[str] = "ledger-error"
    http_status: ClassVar[int] = 502
    exit_code: ClassVar[int] = 69

    def __init__(self, message: str, *, rpc_code: int = 0, data: str = "", detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.rpc_code = rpc_code
        self.data = data


class AnswerTooLargeError(LedgerUnavailableError):
    """An endpoint's answer is over the limit: ask for less at a time."""


class JournalCorruptError(StorageError):
    """The embedded engine's journal was damaged before its end; the text names file and place."""

    code: ClassVar[str] = "journal-corrupt"


class EngineStoppedError(LedgerUnavailableError):
    """The embedded engine stopped itself, because what it saw was not made by it or its child would not run."""

    code: ClassVar[str] = "engine-stopped"
