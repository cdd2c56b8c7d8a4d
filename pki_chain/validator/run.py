"""The validator's process: follow the ledger, judge what awaits this member, endorse, again and again.

Everything that it knows comes from its own read model; everything that it sends goes through its own durable outbox.
Killed at any moment it goes on where it was: transactions that were stored are sent, and no batch is judged while one
of them may still be on its way, so that a batch is endorsed once. What the ledger refused is judged anew after a
pause, as long as the batch still awaits this member: the account may have been suspended and restored meanwhile.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, Self

from pki_chain.chain.calls import Calls
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.outbox import Outbox
from pki_chain.chain.signer import Keystore
from pki_chain.config import MemberConfig
from pki_chain.errors import LedgerUnavailableError
from pki_chain.index.indexer import Indexer
from pki_chain.index.schema import open_reader
from pki_chain.policy.context import EvidenceMissingError
from pki_chain.policy.rules import RuleBook, load_rules
from pki_chain.ports import Address
from pki_chain.validator.evidence import Evidence
from pki_chain.validator.verdict import BatchMismatchError, Verdict, judge_batch

_LONGEST_PAUSE_S: Final = 15.0
_FIRST_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How often in a row the ledger refused a batch's endorsement, and the tick (s) from which it is due again."""

    count: int
    again_at: float


@dataclass(slots=True)
class Validator:
    """One member's validator; `step` does what there is to do now."""

    member: int
    rules: RuleBook
    calls: Calls
    indexer: Indexer
    outbox: Outbox
    evidence: Evidence
    clock: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
    _sent: dict[int, bytes] = field(default_factory=dict)
    _mismatched: set[int] = field(default_factory=set)
    _refused: dict[int, Refusal] = field(default_factory=dict)
    _is_barred: bool = False

    @classmethod
    def open(cls, config: MemberConfig) -> Self:
        """Open read model, outbox, key and rules. Raises `ConfigurationError` when another process has them."""
        rules = load_rules(config.validator.rules)
        consortium = config.load_consortium()
        keystore = Keystore.open(config.keystore.directory, config.keystore.passphrase_file)
        signer = keystore.load(config.validator.endorser)
        ledger = LedgerClient(consortium, config.ledger.timeout_s)
        data = config.validator.data
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        indexer = Indexer(data / "read-model.sqlite", ledger, consortium.founding_block)
        try:
            outbox = Outbox(data / "outbox.sqlite", signer, ledger.connection, consortium.chain_id)
        except BaseException:
            indexer.close()
            raise
        return cls(
            member=config.member.id,
            rules=rules,
            calls=Calls(consortium),
            indexer=indexer,
            outbox=outbox,
            evidence=Evidence(open_reader(data / "read-model.sqlite"), config.member.id),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the databases; what was enqueued is sent at the next start."""
        self.outbox.close()
        self.evidence.close()
        self.indexer.close()

    @property
    def endorser(self) -> Address:
        """The account that endorses."""
        return self.outbox.address

    @property
    def rule_names(self) -> tuple[str, ...]:
        """The rules in force, in their order, without the check of the certificate itself."""
        return tuple(rule.name for rule in self.rules.rules)

    def step(self) -> int:
        """Read up to the head and endorse what awaits this member; returns how many batches were judged.

        Raises `LedgerUnavailableError`, `IndexFaultError`, `StorageError`.
        """
        self.outbox.pump()
        in_flight = self.outbox.pending() > 0
        head = self.indexer.advance()
        self._collect(head.number)
        if in_flight and not self._sent:
            return 0  # sent by an earlier process: wait until the read model shows what became of it
        if not self._may_endorse():
            return 0
        awaiting = self.evidence.awaiting(head.time)
        self._refused = {batch: refusal for batch, refusal in self._refused.items() if batch in awaiting}
        judged = 0
        for batch in awaiting:
            if self._is_due(batch):
                self._endorse(batch)
                judged += 1
        if judged:
            self.outbox.pump()
        return judged

    def _may_endorse(self) -> bool:
        """Whether the ledger would take this account's word. What was refused is due at once when it is restored."""
        if not self.evidence.may_endorse(self.endorser):
            if not self._is_barred:
                log.warning(
                    "account %s may not endorse for member %d: nothing is endorsed until the ledger says that it may",
                    self.endorser,
                    self.member,
                )
            self._is_barred = True
            return False
        if self._is_barred:
            log.info("account %s may endorse for member %d", self.endorser, self.member)
            self._is_barred = False
            self._refused.clear()
        return True

    def _is_due(self, batch: int) -> bool:
        if batch in self._sent or batch in self._mismatched:
            return False
        refusal = self._refused.get(batch)
        return refusal is None or self.ticks() >= refusal.again_at

    def _endorse(self, number: int) -> None:
        try:
            batch = self.evidence.batch(number)
            verdict = judge_batch(
                batch, self.rules, lambda entry: self.evidence.of_entry(batch, entry), int(self.clock())
            )
        except EvidenceMissingError as missing:
            log.warning("batch %d waits: %s", number, missing)
            return
        except BatchMismatchError as mismatch:
            log.critical("%s", mismatch)
            self._mismatched.add(number)
            return
        call = self.calls.endorse(number, verdict.digest, verdict.accepts, verdict.abstains, _numbers(verdict))
        self._sent[number] = self.outbox.enqueue(call.to, call.data, gas=call.gas)
        log.info(
            "batch %d: accepts %d, rejects %d, abstains from %d",
            number,
            verdict.accepts.bit_count(),
            len(verdict.reasons) - verdict.abstains.bit_count(),
            verdict.abstains.bit_count(),
        )

    def _collect(self, read_up_to: int) -> None:
        """Forget what the ledger took in; what it refused, or what lost its nonce, is due again after a pause."""
        for number, transaction in list(self._sent.items()):
            receipt = self.outbox.receipt(transaction)
            if receipt is None or receipt.block_number > read_up_to:
                continue  # not in the read model yet: it would look as if the batch still awaited us
            del self._sent[number]
            if receipt.succeeded:
                self._refused.pop(number, None)
                continue
            count = self._refused[number].count + 1 if number in self._refused else 1
            pause_s = min(_FIRST_RETRY_S * 2.0 ** min(count - 1, 10), _LONGEST_RETRY_S)
            self._refused[number] = Refusal(count, self.ticks() + pause_s)
            log.warning(
                "batch %d: the ledger refused the endorsement: %s; judged again in %g s if it still awaits us",
                number,
                receipt.revert,
                pause_s,
            )


def _numbers(verdict: Verdict) -> dict[int, int]:
    return {entry: int(reason) for entry, reason in verdict.reasons.items()}


def serve(validator: Validator, poll_s: float) -> None:
    """Step until SIGTERM or SIGINT. A ledger that does not answer is waited for, with growing pauses."""
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    pause_s = poll_s
    try:
        while not stop.is_set():
            try:
                validator.step()
                pause_s = poll_s
            except LedgerUnavailableError as error:
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                log.warning("%s; trying again in %.1f s", error.message, pause_s)
            stop.wait(pause_s)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
