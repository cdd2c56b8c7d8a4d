"""`tally sim agent` as a process of its own on a terminal of its own, and a person who answers it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

WAIT_S = 60.0


class PersonAtTerminal:
    """Reads what the program shows, and types."""

    def __init__(self, terminal: int, process: subprocess.Popen[bytes]) -> None:
        self._terminal = terminal
        self.process = process
        self.shown = ""
        self._read_to = 0

    def wait_for(self, text: str) -> None:
        """Return once `text` was shown after what was waited for before; `AssertionError` when the program ended."""
        deadline = time.monotonic() + WAIT_S
        while (found := self.shown.find(text, self._read_to)) < 0:
            assert time.monotonic() < deadline, f"{text!r} was not shown, but {self.shown!r}"
            if not select.select([self._terminal], [], [], 0.5)[0]:
                continue
            try:
                self.shown += os.read(self._terminal, 65_536).decode(errors="replace")
            except OSError as error:  # the other end was closed
                raise AssertionError(f"the program ended, without {text!r}: {self.shown!r}") from error
        self._read_to = found + len(text)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode() + b"\n")

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(WAIT_S)


@contextmanager
def person_at(arguments: list[str], environment: Mapping[str, str]) -> Iterator[PersonAtTerminal]:
    """Runs `tally` with these arguments. Its standard output stays out of the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pki_chain.cli.main", *arguments],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, **environment, "TERM": "dumb", "COLUMNS": "200"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield PersonAtTerminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
