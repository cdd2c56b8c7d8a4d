"""A file of JSON lines that is only ever appended to, each line durable before anything relies on it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sim_applet_tools.errors import ReaderBusyError, StorageError

MAX_FILE_BYTES = 1 << 30


class DurableLines:
    """Mode 0600, locked as long as it is open; `found` is what it held when opened.

    A last line cut off by a crash was never relied on and is removed. Anything else that is no JSON object is a
    `StorageError`: such a file was edited or damaged, and what it no longer says might be which identity a card has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from error
        try:
            self._lock()
            os.fchmod(self._descriptor, 0o600)
            self.found = self._load()
            fsync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, line: Mapping[str, Any]) -> None:
        """Returns once `line` is on the disk; a `StorageError` else."""
        raw = json.dumps(line, sort_keys=True).encode() + b"\n"
        before = os.fstat(self._descriptor).st_size
        try:
            written = 0
            while written < len(raw):
                written += os.write(self._descriptor, raw[written:])
            os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise StorageError(f"cannot write {self._path}: {error.strerror}: make room and start again") from error

    def close(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # also where a child being started has a copy of it
        os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReaderBusyError(f"another process works with {self._path}: wait for it, or stop it") from error

    def _load(self) -> list[dict[str, Any]]:
        size = os.fstat(self._descriptor).st_size
        if size > MAX_FILE_BYTES:
            raise StorageError(f"{self._path} is longer than {MAX_FILE_BYTES} bytes: start another batch")
        with self._path.open("rb") as file:
            raw = file.read(size)
        whole = raw.rfind(b"\n") + 1
        if whole < len(raw):
            os.ftruncate(self._descriptor, whole)
            os.fsync(self._descriptor)
        return [self._parse(number, line) for number, line in enumerate(raw[:whole].splitlines(), 1)]

    def _parse(self, number: int, raw: bytes) -> dict[str, Any]:
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise StorageError(f"{self._path}, line {number}, is damaged: restore the file from a copy")
        return line


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` in the place of `path`, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
