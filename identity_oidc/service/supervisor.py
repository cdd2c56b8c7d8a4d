"""Both processes started, restarted when they end, and stopped together."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from tempfile import TemporaryDirectory
from typing import Final

from identity_oidc.config import ProviderConfig
from identity_oidc.errors import ConfigurationError
from identity_oidc.service.assembly import assemble
from identity_oidc.service.logs import configure_logs
from identity_oidc.service.worker import COUNTERS_VARIABLE

STOP_TIMEOUT_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.2
_SHORTEST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0

log = logging.getLogger(__name__)


def run(config: ProviderConfig) -> None:
    """Serve until SIGTERM or SIGINT; from the main thread. Raises `ConfigurationError`, `StorageError` at the start."""
    configure_logs("supervisor")
    assemble(config).database.close()  # what would stop the processes is said here, once
    _check_port(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with TemporaryDirectory(prefix="tally-oidc-") as counters:
        os.environ[COUNTERS_VARIABLE] = counters
        children = [Child("http", config), Child("housekeeper", config)]
        try:
            for child in children:
                child.start()
            while not stop.wait(_LOOK_EVERY_S):
                for child in children:
                    child.look()
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()


class Child:
    """One process; started again when it ends, after a pause that grows until it has lasted a while."""

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self._name = name
        path = str(config.path.absolute())
        self._command = (sys.executable, "-m", f"identity_oidc.service.{name}_process", path, str(os.getpid()))
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._due_at = 0.0
        self._pause_s = _SHORTEST_PAUSE_S

    def start(self) -> None:
        """Start it now."""
        self._process = subprocess.Popen(self._command)  # noqa: S603  our own modules
        self._started_at = time.monotonic()

    def look(self) -> None:
        """Start it again if it ended and its pause is over."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due_at:
                self.start()
            return
        status = self._process.poll()
        if status is None:
            return
        lasted_s = now - self._started_at
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
            self._process.kill()
            self._process.wait()


def _check_port(config: ProviderConfig) -> None:
    """The server shares its port between its workers, and so would with a stranger: make sure that nobody has it."""
    host, port = config.provider.host, config.provider.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"{config.path}: provider.host {host} and provider.port {port} cannot be used: {error.strerror}"
            ) from error
