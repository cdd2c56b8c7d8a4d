"""Carries what the gateway acknowledged to the ledger, and sees each to its end.

The relayer's account has no right of its own: what it carries is signed by those who have. What is handed to the outbox
is named there by the inbox's own reference, and the outbox takes a reference once. So a relayer that was stopped
between two steps loses nothing and sends nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from pki_chain.chain.calls import Call, Calls
from pki_chain.errors import InputError
from pki_chain.gateway.inbox import Inbox, InboxState, StoredOrder, StoredSubmission
from pki_chain.ports import TransactionWriter

log = logging.getLogger(__name__)

KEPT_S: Final = 30 * 86_400
"""How long the inbox remembers what came to an end; the ledger remembers for good."""

_FORGET_EVERY_S: Final = 3_600


class Relayer:
    """Moves an inbox's items through a transaction writer. One a process, and one process a relayer key."""

    def __init__(self, inbox: Inbox, writer: TransactionWriter, calls: Calls, ledger_time: Callable[[], float]) -> None:
        """`ledger_time` tells the time that deadlines are judged by, in seconds since 1970."""
        self._inbox = inbox
        self._writer = writer
        self._calls = calls
        self._ledger_time = ledger_time
        self._forgot_at = 0.0

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
        call = self._calls.submit(stored.submission, stored.certificates, stored.signature)
        try:
            digest = self._enqueue(call, stored.reference)
        except InputError as error:
            self._inbox.mark_submission(stored.number, InboxState.FAILED, failure=error.message)
            return
        self._inbox.mark_submission(stored.number, InboxState.SENT, transaction_hash=digest)
        log.info("submission 0x%s is sent as 0x%s", stored.digest.hex(), digest.hex())

    def _relay_order(self, stored: StoredOrder) -> None:
        try:
            digest = self._enqueue(Call(stored.target, stored.data, stored.gas), stored.reference)
        except InputError as error:
            self._inbox.mark_order(stored.id, InboxState.FAILED, failure=error.message)
            return
        self._inbox.mark_order(stored.id, InboxState.SENT, transaction_hash=digest)
        log.info("order %s (%s) is sent as 0x%s", stored.id, stored.kind, digest.hex())

    def _enqueue(self, call: Call, reference: bytes) -> bytes:
        return self._writer.enqueue(call.to, call.data, gas=call.gas, reference=reference)

    def _collect(self) -> bool:
        """Record outcomes. Returns whether any is still missing."""
        waiting = False
        for number, transaction_hash in self._inbox.sent_submissions():
            receipt = self._writer.receipt(transaction_hash)
            if receipt is None:
                waiting = True
                continue
            state = InboxState.DONE if receipt.succeeded else InboxState.FAILED
            self._inbox.mark_submission(number, state, failure=receipt.revert)
        for order in self._inbox.orders_in(InboxState.SENT, limit=1_000):
            receipt = None if order.transaction_hash is None else self._writer.receipt(order.transaction_hash)
            if receipt is None:
                waiting = True
                continue
            state = InboxState.DONE if receipt.succeeded else InboxState.FAILED
            self._inbox.mark_order(order.id, state, failure=receipt.revert, block_number=receipt.block_number)
        return waiting
