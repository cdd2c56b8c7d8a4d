"""The audit: now and then the journal is replayed beside the running engine, and a checkpoint is made of that.

The state of the running child is not what is kept: any process of this machine can write to its port, also without
making a block. A second child is brought from the last checkpoint to the journal's end. If that gives other hashes
than the running child gave, somebody tampered with it, and the engine has to stop.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress

from pki_chain.chain.engine.checkpoint import Checkpoint, Checkpoints
from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.journal import Journal
from pki_chain.chain.engine.replay import Replayed
from pki_chain.chain.engine.restore import restore
from pki_chain.chain.errors import EngineStoppedError, JournalCorruptError
from pki_chain.errors import LedgerUnavailableError, TallyError

EVERY_BLOCKS = 240
"""An hour of heartbeats."""

EVERY_BYTES = 4 << 20
"""About 8,000 certificates."""

_NICENESS = 10

log = logging.getLogger(__name__)


class Audit:
    """Replays in a thread of its own, one at a time."""

    def __init__(self, checkpoints: Checkpoints, journal: Journal) -> None:
        self._checkpoints = checkpoints
        self._journal = journal
        last = checkpoints.load()
        self._audited = (last.head.number, last.journal_size) if last else (0, 0)
        self._thread: threading.Thread | None = None
        self._child: Child | None = None
        self._stopping = False
        self._failure: TallyError | None = None

    def advance(self, head_number: int) -> None:
        """Start an audit when one is due. Raises `EngineStoppedError` when the last one found tampering."""
        if self._failure is not None:
            raise self._failure
        blocks, size = self._audited
        due = head_number - blocks >= EVERY_BLOCKS or self._journal.size - size >= EVERY_BYTES
        if due and not self._stopping and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="audit")
            self._thread.start()

    def stop(self) -> None:
        """End an audit that runs; its work is lost, and the next start does it again."""
        self._stopping = True
        child = self._child
        if child is not None:
            child.kill()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        size = self._journal.size
        checkpoint = self._checkpoints.load()
        try:
            try:
                child, replayed = self._restored(checkpoint)
            except JournalCorruptError as error:
                if checkpoint is None:
                    raise
                log.warning("checkpoint %s is of no use, replaying everything: %s", checkpoint.state, error)
                child, replayed = self._restored(None)
            if replayed.head_at:
                self._checkpoints.store(child, replayed, size)
            self._audited = (replayed.head.number, size)
            log.info("audited to block %d", replayed.head.number)
        except JournalCorruptError as error:
            self._failure = EngineStoppedError(
                "Replaying the journal gives other blocks than the running child gave: somebody else wrote to it. "
                "Find out who, then start again.",
                detail=str(error),
            )
            log.exception("the audit found tampering")
        except TallyError as error:
            if not self._stopping:
                log.warning("no checkpoint was made: %s", error)
                self._audited = (self._audited[0], size)
        finally:
            self._end_child()

    def _restored(self, checkpoint: Checkpoint | None) -> tuple[Child, Replayed]:
        """A second child at the journal's end. Raises as `restore`."""
        self._end_child()
        self._child = child = Child(self._journal.genesis)
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, child.pid, _NICENESS)
        if self._stopping:
            raise LedgerUnavailableError("The engine stops.")
        return child, restore(child, self._journal, checkpoint)

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.stop()
        self._child = None
