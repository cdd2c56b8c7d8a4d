"""Checkpoints: a child's whole state at one block, so that a start need not replay from the genesis.

A checkpoint saves time and is never needed: the journal stays the record. It is a state file and, written after it, a
description with its SHA-256, the block that it stands for and the place in the journal from which to go on. One that
is missing, damaged or of another journal is left aside.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.journal import BlockRecord, Journal
from pki_chain.chain.engine.replay import Head, Replayed
from pki_chain.chain.errors import JournalCorruptError
from pki_chain.errors import StorageError

_DESCRIPTION = "checkpoint.json"
_CHUNK_BYTES = 1 << 20
_WITH_CODE = re.compile(rb'"(0x[0-9a-f]{40})":\{"nonce":[^{}]*?"code":"0x[0-9a-f]+"')

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`state` is a file that a child can load; it is then at `head`. `contracts` are the accounts that have code in it,
    in hexadecimal."""

    state: Path
    head: Head
    head_at: int
    resume_at: int
    journal_size: int
    contracts: tuple[str, ...]


class Checkpoints:
    """The checkpoints beside one journal; only the last is kept."""

    def __init__(self, directory: Path, journal: Journal) -> None:
        self._directory = directory
        self._journal = journal

    def load(self) -> Checkpoint | None:
        """The last checkpoint when it is whole and of this journal, else None."""
        path = self._directory / _DESCRIPTION
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            checkpoint = Checkpoint(
                state=self._directory / f"state-{int(content['number'])}.json",
                head=Head(int(content["number"]), bytes.fromhex(content["hash"]), int(content["time"])),
                head_at=int(content["head_at"]),
                resume_at=int(content["resume_at"]),
                journal_size=int(content["journal_size"]),
                contracts=tuple(str(each) for each in content["contracts"]),
            )
            whole = _sha256(checkpoint.state) == content["sha256"] and self._is_of_journal(checkpoint)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, JournalCorruptError) as error:
            log.warning("checkpoint %s cannot be read: %r", path, error)
            return None
        if not whole:
            log.warning("checkpoint %s is damaged or of another journal", path)
        return checkpoint if whole else None

    def store(self, child: Child, replayed: Replayed, journal_size: int) -> None:
        """Keep the state of a child that was brought to where it is by replaying. Raises `StorageError`."""
        state = gzip.decompress(bytes.fromhex(child.request("anvil_dumpState")[2:]))
        head = replayed.head
        description = {
            "number": head.number,
            "hash": head.hash.hex(),
            "time": head.time,
            "head_at": replayed.head_at,
            "resume_at": replayed.resume_at,
            "journal_size": journal_size,
            "contracts": _accounts_with_code(state),
            "sha256": hashlib.sha256(state).hexdigest(),
        }
        path = self._directory / f"state-{head.number}.json"
        try:
            _write(path, state)
            _write(self._directory / _DESCRIPTION, json.dumps(description).encode())
            for other in self._directory.glob("state-*"):
                if other != path:
                    other.unlink()
        except OSError as error:
            raise StorageError(
                f"Cannot write a checkpoint to {self._directory}: {error.strerror}. Free space."
            ) from error

    def _is_of_journal(self, checkpoint: Checkpoint) -> bool:
        """Whether the journal has the checkpoint's block where it should be."""
        _, end, record = next(self._journal.entries(checkpoint.head_at), (0, 0, None))
        found = isinstance(record, BlockRecord) and Head(record.number, record.hash, record.timestamp)
        return found == checkpoint.head and checkpoint.resume_at <= end


def _accounts_with_code(state: bytes) -> list[str]:
    """Found in the text, which is too long to be parsed beside a running engine. Raises `StorageError`."""
    found = [each.decode() for each in _WITH_CODE.findall(state)]
    if len(found) != state.count(b'"code":"0x') - state.count(b'"code":"0x"'):
        raise StorageError("The state that anvil gave is of another form. Use the version of package.json.")
    return sorted(set(found))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write in one step: temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
