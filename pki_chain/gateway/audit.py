"""Who wrote what through this gateway: one JSON line for each write, before it is answered."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from pki_chain.errors import StorageError
from pki_chain.gateway.freshness import Clock


class AuditLog:
    """Appends lines; several processes may share the file, as each line is one append.

    The file is opened for each line, so that it can be renamed at any time: the next line begins another.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def record(self, act: str, client: str, outcome: str, **facts: Any) -> None:
        """Add a line. `facts` are public values only: no signature and no certificate. Raises `StorageError`."""
        line = {"time": round(self._clock(), 3), "act": act, "client": client, "outcome": outcome, **facts}
        content = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if os.write(descriptor, content) != len(content):
                    os.write(descriptor, b"\n")  # the next line is to be whole again
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                "The gateway cannot write its audit log now. Send again, or try another gateway.",
                detail=f"{self._path.name}: {error.strerror}",
            ) from error
