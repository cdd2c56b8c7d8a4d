"""One gateway a data directory: its processes hold a lock together, from the first to the last of them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pki_chain.errors import ConfigurationError, StorageError

LOCK_FILE: Final = "gateway.lock"
_LOOK_EVERY_S: Final = 0.1


@contextmanager
def lock_data(directory: Path, patience_s: float = 0.0) -> Iterator[int]:
    """Hold the directory; yields the lock's descriptor, for children to hold it too.

    Raises `ConfigurationError` when a gateway has it for longer than `patience_s`, `StorageError`.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"Cannot write {directory}: {error.strerror}. Free space or choose another place."
        ) from error
    try:
        end = time.monotonic() + patience_s
        while not _try_lock(descriptor):
            if time.monotonic() >= end:
                raise ConfigurationError(
                    f"A gateway runs on {directory}. Stop it first, or give this one its own gateway.data."
                )
            time.sleep(_LOOK_EVERY_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
