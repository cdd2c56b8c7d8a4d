"""Carries what the gateway acknowledged to the ledger, and sees each to its end.

The relayer's account has no right of its own: what it carries is signed by those who have. A submission that is sent
twice is a no-op of the contract; an order that is sent twice fails the second time. So a relayer that was stopped
between two steps loses nothing and doubles nothing; only of an order caught in the moment of being handed on may it
have to say that the ledger knows better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from pki_chain.chain.calls import Call, Calls
from pki_chain.errors import InputError
from pki_chain.gateway.inbox import Inbox, InboxState, StoredOrder, StoredSubmission
from pki_chain.ports import Receipt, TransactionWriter

log = logging.getLogger(__name__)

KEPT_S: Final = 30 * 86_400
"""How long the inbox remembers what came to an end; the ledger remembers for good."""

_FORGET_EVERY_S: Final = 3_600
_INTERRUPTED: Final = (
    " This gateway was stopped while it sent the order, so an earlier sending may have been carried out:"
    " look at what it was to change."
)


class _Item(Protocol):
    @property
    def transaction_hash(self) -> bytes | None: ...


class Relayer:
    """Moves an inbox's items through a transaction writer. One a process, and one process a relayer key."""

    def __init__(self, inbox: Inbox, writer: TransactionWriter, calls: Calls, ledger_time: Callable[[], float]) -> None:
        """`ledger_time` tells the time that deadlines are judged by, in seconds since 1970."""
        self._inbox = inbox
        self._writer = writer
        self._calls = calls
        self._ledger_time = ledger_time
        self._forgot_at = 0.0
        inbox.resume()

    def step(self) -> bool:
        """Hand on what is stored, send, and collect outcomes. Returns whether anything is still on its way.

        Raises `LedgerUnavailableError` (nothing is lost, call again), `StorageError`.
        """
        for submission in self._inbox.submissions_in(InboxState.STORED):
            self._relay_submission(submission)
        for order in self._inbox.orders_in(InboxState.STORED):
            self._relay_order(order)
        self._writer.pump()
        waiting = self._collect()
        self._forget()
        return waiting

    def _forget(self) -> None:
        now = self._ledger_time()
        if now - self._forgot_at >= _FORGET_EVERY_S:
            self._inbox.forget(int(now) - KEPT_S)
            self._forgot_at = now

    def _relay_submission(self, stored: StoredSubmission) -> None:
        if stored.submission.deadline < self._ledger_time():
            failure = f"The deadline {stored.submission.deadline} passed before the ledger took it."
            self._inbox.mark_submission(stored.number, InboxState.FAILED, failure=failure)
            return
        self._inbox.mark_submission(stored.number, InboxState.SENDING)
        call = self._calls.submit(stored.submission, stored.certificates, stored.signature)
        try:
            digest = self._enqueue(call)
        except InputError as error:
            self._inbox.mark_submission(stored.number, InboxState.FAILED, failure=error.message)
            return
        self._inbox.mark_submission(stored.number, InboxState.SENT, transaction_hash=digest)
        log.info("submission 0x%s is sent as 0x%s", stored.digest.hex(), digest.hex())

    def _relay_order(self, stored: StoredOrder) -> None:
        self._inbox.mark_order(stored.id, InboxState.SENDING)
        try:
            digest = self._enqueue(Call(stored.target, stored.data, stored.gas))
        except InputError as error:
            self._inbox.mark_order(stored.id, InboxState.FAILED, failure=error.message)
            return
        self._inbox.mark_order(stored.id, InboxState.SENT, transaction_hash=digest)
        log.info("order %s (%s) is sent as 0x%s", stored.id, stored.kind, digest.hex())

    def _enqueue(self, call: Call) -> bytes:
        return self._writer.enqueue(call.to, call.data, gas=call.gas)

    def _collect(self) -> bool:
        """Record outcomes. Returns whether any is still missing."""
        waiting = False
        for submission in self._inbox.submissions_in(InboxState.SENT, limit=1_000):
            receipt = self._receipt(submission)
            if receipt is None:
                waiting = True
                continue
            state = InboxState.DONE if receipt.succeeded else InboxState.FAILED
            self._inbox.mark_submission(submission.number, state, failure=receipt.revert)
        for order in self._inbox.orders_in(InboxState.SENT, limit=1_000):
            receipt = self._receipt(order)
            if receipt is None:
                waiting = True
                continue
            state = InboxState.DONE if receipt.succeeded else InboxState.FAILED
            failure = receipt.revert
            if not receipt.succeeded and order.interrupted:
                failure += _INTERRUPTED
            self._inbox.mark_order(order.id, state, failure=failure, block_number=receipt.block_number)
        return waiting

    def _receipt(self, item: _Item) -> Receipt | None:
        return None if item.transaction_hash is None else self._writer.receipt(item.transaction_hash)
