"""A service's processes: started, restarted when they end, and stopped together.

Only the supervisor starts them, from one thread: a server that forks beside a thread that starts a process would
inherit that thread's pipes, and the thread would wait for ever.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

STOP_TIMEOUT_S: Final = 15.0
LOOK_EVERY_S: Final = 0.2
WRONG_CONFIGURATION: Final = 78
"""The exit status of a process whose settings are wrong (EX_CONFIG of sysexits.h)."""

_FIRST_START_S: Final = 20.0
"""A process that ends by itself within this time of its first start cannot work here: keys and databases are opened."""

_SHORTEST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0

log = logging.getLogger(__name__)


class ChildError(Exception):
    """A process cannot work here; its own log line says why."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(name, status)
        self.message = f"The {name} process cannot start (status {status}). Its message stands above: mend that."


class Child:
    """One process; started again when it ends, after a pause that grows until it has lasted a while."""

    def __init__(
        self,
        name: str,
        module: str,
        config_path: str,
        *,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        """`python -m module config_path` and this process's id; it keeps `descriptors` open as long as it lives."""
        self._name = name
        self._command = (sys.executable, "-m", module, config_path, str(os.getpid()))
        self._environment = {**os.environ, **(environment or {})}
        self._descriptors = tuple(descriptors)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._starts = 0
        self._pause_s = _SHORTEST_PAUSE_S
        self._due_at = 0.0

    def start(self) -> None:
        """Start it now."""
        self._process = subprocess.Popen(  # noqa: S603  our own modules
            self._command, env=self._environment, pass_fds=self._descriptors
        )
        self._started_at = time.monotonic()
        self._starts += 1

    def look(self) -> None:
        """Start it again if it ended and its pause is over.

        Raises `ChildError` when it says that its configuration is wrong, or ended as soon as it was first started.
        """
        now = time.monotonic()
        if self._process is None:
            if now >= self._due_at:
                self.start()
            return
        status = self._process.poll()
        if status is None:
            return
        lasted_s = now - self._started_at
        if status == WRONG_CONFIGURATION or (self._starts == 1 and status > 0 and lasted_s < _FIRST_START_S):
            raise ChildError(self._name, status)
        self._pause_s = _SHORTEST_PAUSE_S if lasted_s > _LONGEST_PAUSE_S else min(self._pause_s * 2, _LONGEST_PAUSE_S)
        log.error("the %s process ended with status %d; next start in %.1f s", self._name, status, self._pause_s)
        self._process, self._due_at = None, now + self._pause_s

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Until it has ended; it is killed when that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            log.error("the %s process does not end and is killed", self._name)  # noqa: TRY400  no defect of ours
            self._process.kill()
            self._process.wait()


def supervise(children: Sequence[Child]) -> None:
    """Until SIGTERM or SIGINT; from the main thread. Raises `ChildError`."""
    stop = threading.Event()
    with _signals_set(stop):
        try:
            for child in children:
                child.start()
            while not stop.wait(LOOK_EVERY_S):
                for child in children:
                    child.look()
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()


def check_port(host: str, port: int, patience_s: float) -> None:
    """A server shares its port between its workers, and so would with a stranger: make sure that nobody has it.

    Workers of one that was killed are given a moment to go. Raises `OSError`.
    """
    end = time.monotonic() + patience_s
    while True:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                if time.monotonic() > end:
                    raise
            else:
                return
        time.sleep(LOOK_EVERY_S)


@contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    """Within this, SIGTERM and SIGINT set the event."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
