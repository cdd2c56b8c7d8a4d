"""The gateway as one service: the HTTP server and the relayer, each a process, supervised and stopped together.

Only this process starts them, from one thread: a server that forks beside a thread that starts a process would inherit
that thread's pipes, and the thread would wait for ever.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.data_lock import lock_data
from pki_chain.gateway.inbox import Inbox
from pki_chain.gateway.logs import configure_logs
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.services import INBOX_FILE, Services, open_status_keys

STOP_TIMEOUT_S: Final = 15.0
LOOK_EVERY_S: Final = 0.2
_EARLY_S: Final = 3.0
_FIRST_START_S: Final = 20.0
"""A process that ends by itself within this time of its first start cannot work here: keys and databases are opened."""

_SHORTEST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0

log = logging.getLogger(__name__)


def run(config: MemberConfig) -> None:
    """Serve until SIGTERM or SIGINT; call it from the main thread.

    Raises `ConfigurationError`, `StorageError`, `NoStatusKeyError` before anything is started, and `ConfigurationError`
    when a process cannot work with this configuration; its own log line, right above, says why.
    """
    configure_logs("supervisor")
    check_exposure(config)
    with lock_data(config.gateway.data, _EARLY_S) as lock:
        _check_port(config, "port", config.gateway.port)
        if config.gateway.stream_port:
            _check_port(config, "stream_port", config.gateway.stream_port)
        status_keys = open_status_keys(config)
        status_keys.renew(config.member.name, int(time.time()))
        status_keys.check(time.time())
        Services.build(config, time.time)  # what would stop the workers is said here, once
        Inbox(config.gateway.data / INBOX_FILE).close()
        Counters(config.gateway.data / "counters").clear()
        path = str(config.path.absolute())
        names = ("relayer", "http", "stream") if config.gateway.stream_port else ("relayer", "http")
        _supervise([Child(name, path, lock) for name in names])


def _supervise(children: Sequence[Child]) -> None:
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


def check_exposure(config: MemberConfig) -> None:
    """Beyond loopback only with a member token, so that lists are not open by accident. Raises `ConfigurationError`."""
    gateway = config.gateway
    if gateway.port == 0:
        raise ConfigurationError(f"{config.path}: gateway.port must be given: clients have to know it.")
    try:
        is_loopback = gateway.host == "localhost" or ipaddress.ip_address(gateway.host).is_loopback
    except ValueError as error:
        raise ConfigurationError(f"{config.path}: gateway.host must be an IP address or localhost.") from error
    if not is_loopback and gateway.token_file is None:
        raise ConfigurationError(
            f"{config.path}: gateway.host {gateway.host} is open to other machines. Set gateway.token_file as well, so"
            " that lists are for members, and put a TLS proxy before it; or use 127.0.0.1."
        )


def _check_port(config: MemberConfig, key: str, port: int) -> None:
    """The server shares its port between its workers, and so would with a stranger: make sure that nobody has it.

    Workers of a gateway that was killed are given a moment to go. Raises `ConfigurationError`.
    """
    gateway = config.gateway
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    end = time.monotonic() + _EARLY_S
    while True:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((gateway.host, port))
            except OSError as error:
                if time.monotonic() > end:
                    raise ConfigurationError(
                        f"{config.path}: gateway.host {gateway.host} and gateway.{key} {port} cannot be used:"
                        f" {error.strerror}. Choose others, or stop what uses them."
                    ) from error
            else:
                return
        time.sleep(LOOK_EVERY_S)


class Child:
    """One process; started again when it ends, after a pause that grows until it has lasted a while."""

    def __init__(self, name: str, config_path: str, lock: int) -> None:
        """`lock` is a descriptor that the process keeps open as long as it lives."""
        self._name = name
        self._lock = lock
        self._command = (sys.executable, "-m", f"pki_chain.gateway.{name}_process", config_path, str(os.getpid()))
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._starts = 0
        self._pause_s = _SHORTEST_PAUSE_S
        self._due_at = 0.0

    def start(self) -> None:
        """Start it now."""
        self._process = subprocess.Popen(self._command, pass_fds=(self._lock,))  # noqa: S603 - our own modules
        self._started_at = time.monotonic()
        self._starts += 1

    def look(self) -> None:
        """Start it again if it ended and its pause is over.

        Raises `ConfigurationError` when it says that its configuration is wrong, or ended as soon as it was first
        started.
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
        if status == ConfigurationError.exit_code or (self._starts == 1 and status > 0 and lasted_s < _FIRST_START_S):
            raise ConfigurationError(
                f"The gateway's {self._name} process cannot start (status {status})."
                " Its message stands above: mend that."
            )
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
            log.error("the %s process does not end and is killed", self._name)  # noqa: TRY400 - no defect of ours
            self._process.kill()
            self._process.wait()


@contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    """Within this, SIGTERM and SIGINT set the event."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
