"""The gateway as one service: HTTP workers and the relayer, supervised, stopped together."""

from __future__ import annotations

import ipaddress
import logging
import os
import subprocess
import sys
import threading
from typing import Final

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.front import MAX_BODY_BYTES
from pki_chain.gateway.inbox import Inbox
from pki_chain.gateway.logs import JsonFormatter, configure_logs
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.services import INBOX_FILE, Services
from pki_chain.gateway.worker import CONFIG_VARIABLE

MOST_REQUESTS_A_WORKER: Final = 256
HEADER_TIMEOUT_MS: Final = 10_000
STOP_TIMEOUT_S: Final = 15.0
_SHORTEST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0

log = logging.getLogger(__name__)


def run(config: MemberConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises `ConfigurationError`, `StorageError` before anything is started."""
    configure_logs("supervisor")
    check_exposure(config)
    Services.build(config, lambda: 0.0)  # what would stop the workers is said here, once
    Inbox(config.gateway.data / INBOX_FILE).close()
    Counters(config.gateway.data / "counters").clear()
    os.environ[CONFIG_VARIABLE] = str(config.path.absolute())
    server = Granian(
        "pki_chain.gateway.worker:create",
        address=config.gateway.host,
        port=config.gateway.port,
        interface=Interfaces.ASGINL,
        factory=True,
        workers=config.gateway.workers,
        websockets=False,
        backpressure=MOST_REQUESTS_A_WORKER,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=2 * MAX_BODY_BYTES),
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        log_dictconfig=_granian_logs(),
    )
    relayer = RelayerProcess(config)
    server.on_startup(relayer.start)
    try:
        server.serve()
    finally:
        relayer.stop()


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


class RelayerProcess:
    """Keeps one relayer process alive: one that ends is started again, after a pause that grows."""

    def __init__(self, config: MemberConfig) -> None:
        self._command = (sys.executable, "-m", "pki_chain.gateway.relayer_process", str(config.path.absolute()))
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name="relayer-supervisor", daemon=True)

    def start(self) -> None:
        """Start it, and watch it from a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it: by SIGTERM, and by SIGKILL when it does not end in time."""
        with self._lock:
            self._stop.set()
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._thread.is_alive():
            self._thread.join()

    def _supervise(self) -> None:
        pause_s = _SHORTEST_PAUSE_S
        while True:
            with self._lock:
                if self._stop.is_set():
                    return
                self._process = subprocess.Popen(self._command)  # noqa: S603 - our own module
            status = self._process.wait()
            if self._stop.is_set():
                return
            log.error("the relayer ended with status %d and is started again in %.1f s", status, pause_s)
            self._stop.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _granian_logs() -> dict[str, object]:
    """Granian's own messages in our form."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter, "process": "server"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "loggers": {
            "_granian": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "granian.access": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        },
    }
