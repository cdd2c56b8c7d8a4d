"""The embedded engine: an EVM ledger of one process, durable by its own journal.

A transaction is acknowledged once the child has it in its pool and the journal has it on disk. A block is seen by
nobody before the journal has it: requests wait while one is made. So whatever somebody was told is made again, with
the same hashes, by replaying the journal into a fresh child. A block that the engine did not make means that somebody
else writes to the child: the engine stops.
"""

from __future__ import annotations

import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from pki_chain.chain.engine.audit import Audit
from pki_chain.chain.engine.checkpoint import Checkpoints
from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.front import Front
from pki_chain.chain.engine.gate import Gate
from pki_chain.chain.engine.journal import BlockRecord, Genesis, Journal, TransactionRecord
from pki_chain.chain.engine.replay import Head, Replayed, read_block, read_head
from pki_chain.chain.engine.restore import restore
from pki_chain.chain.engine.transaction import SignedTransaction
from pki_chain.chain.errors import EngineStoppedError, JournalCorruptError, RpcError
from pki_chain.errors import ConfigurationError, LedgerUnavailableError, StorageError, TallyError

BLOCK_GAS_LIMIT = 120_000_000
"""Seven full batches of 2^24 gas."""

MAX_WAITING = 4096
"""Transactions acknowledged and not yet in a block."""

_LEAST_INTERVAL_S = 0.2
_WATCH_INTERVAL_S = 1.0
_GATE_TIMEOUT_S = 30.0
_START_TIMEOUT_S = 3600.0

log = logging.getLogger(__name__)


class EmbeddedEngine:
    """A supervised anvil behind our JSON-RPC front on `host`:`port` (0 chooses a free one).

    `chain_id` None or 0 chooses one at random on the first start; later starts read it from the journal.
    """

    def __init__(
        self,
        directory: Path,
        host: str = "127.0.0.1",
        port: int = 8545,
        chain_id: int | None = None,
        heartbeat_s: float = 15.0,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._host, self._port = host, port
        self._wanted_chain_id = chain_id or 0
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._gate = Gate()
        self._wake = threading.Condition()
        self._waiting: dict[bytes, bytes] = {}
        self._stopping = False
        self._failure: TallyError | None = None
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._journal: Journal | None = None
        self._checkpoints: Checkpoints | None = None
        self._audit: Audit | None = None
        self._child: Child | None = None
        self._front: Front | None = None
        self._head = Head(0, b"", 0)
        self._made_at = self._looked_at = 0.0
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """`http://host:port` of the front, once started."""
        return f"http://{self._host}:{self._require_front().port}"

    @property
    def chain_id(self) -> int:
        return self._require_journal().genesis.chain_id

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, for monitoring."""
        return self._child.pid if self._child is not None else None

    @property
    def failure(self) -> TallyError | None:
        """Why the engine stopped itself, else None."""
        return self._failure

    def start(self) -> None:
        """Recover the journal, start child and front; returns when the front answers.

        Raises `ConfigurationError`, `StorageError`, `JournalCorruptError`, `EngineStoppedError`.
        """
        genesis = Genesis(self._wanted_chain_id or _random_chain_id(), int(self._clock()), BLOCK_GAS_LIMIT)
        self._journal = Journal(self._directory / "journal", genesis)
        self._checkpoints = Checkpoints(self._directory, self._journal)
        self._audit = Audit(self._checkpoints, self._journal)
        try:
            self._require_wanted_chain()
            self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()
            self._ready.wait(_START_TIMEOUT_S)
            self._require_running()
            self._front = Front(self._host, self._port, self)
            self._front.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Take nothing more in, put what was acknowledged into a block, and end the child."""
        if self._front is not None:
            self._front.stop()
            self._front = None
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._audit is not None:
            self._audit.stop()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def serve_forever(self) -> None:
        """Start, and serve until SIGTERM or SIGINT; raises `EngineStoppedError` when the engine stopped itself."""

        def end(_signal: int, _frame: FrameType | None) -> None:
            self._ended.set()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, end)
        with self:
            self._ended.wait()
            self._require_running()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # What the front asks for, in its threads.

    def forward(self, body: bytes) -> bytes:
        """The child's answer to a JSON-RPC body of reading requests. Raises `LedgerUnavailableError`."""
        with self._gate.together(_GATE_TIMEOUT_S):
            return self._require_child().post(body)

    def take(self, transactions: Sequence[SignedTransaction]) -> list[dict[str, Any]]:
        """Take transactions in; an answer, "result" or "error", for each. When this returns, those that were
        accepted are on disk. Raises `LedgerUnavailableError`."""
        if len(self._waiting) + len(transactions) > MAX_WAITING:
            raise LedgerUnavailableError("The engine holds as many transactions as it can. Try again in a moment.")
        with self._gate.together(_GATE_TIMEOUT_S):
            child = self._require_child()
            answers = child.batch([("eth_sendRawTransaction", ["0x" + each.raw.hex()]) for each in transactions])
            accepted = [
                each for each, answer in zip(transactions, answers, strict=True) if self._is_accepted(each, answer)
            ]
            if accepted:
                self._record(child, accepted)
        with self._wake:
            self._wake.notify_all()
        return answers

    def disconnect(self) -> None:
        """A thread of the front is about to end."""
        child = self._child
        if child is not None:
            child.disconnect()

    def _is_accepted(self, transaction: SignedTransaction, answer: dict[str, Any]) -> bool:
        """Whether the child has it in its pool now and the journal may not have it yet."""
        if "error" not in answer:
            return True
        known = "already" in str(answer["error"].get("message")) and transaction.hash not in self._waiting
        if known:
            # Another request sent the same and is still writing it down: write it down here too before answering.
            del answer["error"]
            answer["result"] = "0x" + transaction.hash.hex()
        return known

    def _record(self, child: Child, accepted: Sequence[SignedTransaction]) -> None:
        try:
            self._require_journal().append([TransactionRecord(each.raw) for each in accepted])
        except StorageError:
            # What is not on disk must not get into a block. If it cannot be dropped, the block's check will tell.
            for each in accepted:
                if each.hash not in self._waiting:
                    child.request("anvil_dropTransaction", "0x" + each.hash.hex())
            raise
        self._waiting.update((each.hash, each.raw) for each in accepted)

    # The engine's own thread: recovers, makes blocks, watches the child, which lives and dies with this thread.

    def _run(self) -> None:
        try:
            with self._gate.alone():
                self._recover()
            self._ready.set()
            while not self._stopping:
                self._step()
            if self._waiting:
                self._make_block()
        except TallyError as error:
            log.exception("the engine stops")
            self._failure = error
        except Exception as error:
            log.exception("the engine stops")
            self._failure = EngineStoppedError(
                "The engine stopped for a reason that it does not know. See its log.", detail=repr(error)
            )
        finally:
            if self._child is not None:
                self._child.stop()
            self._child = None
            self._ready.set()
            self._ended.set()

    def _step(self) -> None:
        """Wait until something is due, at most a second, and do it."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or self._waiting, self._pause())
            if self._stopping:
                return
        remaining = max(self._made_at, self._looked_at) + _LEAST_INTERVAL_S - time.monotonic()
        if self._waiting and remaining > 0:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping, remaining)
        self._require_audit().advance(self._head.number)
        try:
            if self._waiting or self._until_heartbeat() <= 0:
                self._make_block()
            else:
                self._check_head()
        except LedgerUnavailableError as error:
            if isinstance(error, EngineStoppedError) or (self._child is not None and self._child.is_alive()):
                raise
            log.warning("anvil ended: starting it again from the journal")
            with self._gate.alone():
                self._recover()

    def _pause(self) -> float:
        return min(_WATCH_INTERVAL_S, max(self._until_heartbeat(), _LEAST_INTERVAL_S))

    def _until_heartbeat(self) -> float:
        """Seconds until an idle ledger makes a block: by the clock, or by what cannot be set back with it."""
        by_clock = self._head.time + self._heartbeat_s - self._clock()
        return min(by_clock, self._made_at + self._heartbeat_s - time.monotonic())

    def _recover(self) -> None:
        """Start a child and bring it to where the journal is; what was acknowledged but is in no block goes into its
        pool again."""
        if self._child is not None:
            self._child.stop()
        started = time.monotonic()
        replayed = self._replay()
        self._head, self._waiting, self._made_at = replayed.head, {}, time.monotonic()
        child = self._require_child()
        for each, raw in replayed.waiting.items():
            try:
                child.request("eth_sendRawTransaction", "0x" + raw.hex())
                self._waiting[each] = raw
            except RpcError as error:
                log.warning("transaction %s can no longer get into a block: %s", each.hex(), error)
        log.info("replayed to block %d in %.1f s", self._head.number, time.monotonic() - started)

    def _replay(self) -> Replayed:
        """A child at the journal's end: from the last checkpoint where that works, else from the genesis."""
        journal = self._require_journal()
        checkpoint = self._require_checkpoints().load()
        if checkpoint is not None:
            try:
                self._child = Child(journal.genesis)
                return restore(self._child, journal, checkpoint)
            except (EngineStoppedError, JournalCorruptError) as error:
                log.warning("checkpoint %s is of no use, replaying everything: %s", checkpoint.state, error)
                if self._child is not None:
                    self._child.stop()
        self._child = Child(journal.genesis)
        return restore(self._child, journal, None)

    def _check_head(self) -> None:
        """Raises `EngineStoppedError` when the child's head is not the block that was made last."""
        found = read_head(self._require_child())
        if found != self._head:
            raise EngineStoppedError(
                f"The child's head is block {found.number}, 0x{found.hash.hex()}, not the engine's own block "
                f"{self._head.number}. Somebody else wrote to it. Find out who, then start again: the journal is whole."
            )

    def _make_block(self) -> None:
        """Make a block of what waits (or none), record it, and only then let readers see it."""
        with self._gate.alone():
            child = self._require_child()
            self._check_head()
            if self._waiting and self._until_heartbeat() > 0 and not self._has_ready(child):
                self._looked_at = time.monotonic()
                return
            timestamp = max(self._head.time, int(self._clock()))
            child.request("evm_mine", timestamp)
            block = read_block(child)
            head = Head.parse(block)
            hashes = tuple(bytes.fromhex(each[2:]) for each in block["transactions"])
            ours = all(each in self._waiting for each in hashes)
            parent = bytes.fromhex(block["parentHash"][2:])
            if parent != self._head.hash or head.time != timestamp or not ours:
                raise EngineStoppedError(
                    f"Block {head.number} is not the one that the engine asked for. Somebody else wrote to the child. "
                    "Find out who, then start again: the journal is whole."
                )
            self._require_journal().append([BlockRecord(head.number, head.time, head.hash, hashes)])
            for each in hashes:
                del self._waiting[each]
            self._head = head
            self._made_at = time.monotonic()

    def _has_ready(self, child: Child) -> bool:
        """Whether the pool holds a transaction whose turn has come; others wait for one with a lower nonce."""
        status = child.request("txpool_status")
        ready, queued = int(status["pending"], 16), int(status["queued"], 16)
        if not ready and not queued:
            log.warning("%d transactions can no longer get into a block", len(self._waiting))
            self._waiting.clear()
        return ready > 0

    def _require_wanted_chain(self) -> None:
        found = self._require_journal().genesis.chain_id
        if self._wanted_chain_id not in {0, found}:
            raise ConfigurationError(
                f"{self._directory} holds chain {found}, not chain.chain_id = {self._wanted_chain_id}. "
                "Correct that setting, or choose another chain.data."
            )

    def _require_running(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _require_child(self) -> Child:
        if self._failure is not None:
            raise LedgerUnavailableError(f"The engine stopped: {self._failure}")
        if self._child is None:
            raise LedgerUnavailableError("The engine does not run. Start it.")
        return self._child

    def _require_journal(self) -> Journal:
        if self._journal is None:
            raise LedgerUnavailableError("The engine does not run. Start it.")
        return self._journal

    def _require_checkpoints(self) -> Checkpoints:
        if self._checkpoints is None:
            raise LedgerUnavailableError("The engine does not run. Start it.")
        return self._checkpoints

    def _require_audit(self) -> Audit:
        if self._audit is None:
            raise LedgerUnavailableError("The engine does not run. Start it.")
        return self._audit

    def _require_front(self) -> Front:
        if self._front is None:
            raise LedgerUnavailableError("The engine does not run. Start it.")
        return self._front


def _random_chain_id() -> int:
    """53 bits: numbers that JSON readers in other languages keep whole."""
    return secrets.randbelow((1 << 53) - (1 << 32)) + (1 << 32)
