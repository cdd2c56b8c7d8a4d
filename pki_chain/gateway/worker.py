"""What a worker process of the HTTP server loads."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Final

from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.app import create_front
from pki_chain.gateway.front import Front
from pki_chain.gateway.logs import configure_logs

CONFIG_VARIABLE: Final = "TIGER_TALLY_GATEWAY_CONFIG"


def create() -> Front:
    """The application by the configuration file that the supervisor named. Raises `ConfigurationError`."""
    configure_logs("gateway")
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigurationError(f"{CONFIG_VARIABLE} is not set. Start the gateway with `tally gateway run`.")
    _stop_with_parent()
    return create_front(MemberConfig.load(Path(path)))


def _stop_with_parent() -> None:
    """A worker must not keep the port after its supervisor was killed."""
    parent = os.getppid()
    never = threading.Event()

    def watch() -> None:
        while not never.wait(1.0):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
