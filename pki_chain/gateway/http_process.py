"""The gateway's first process: the HTTP server and its workers. `python -m` this module FILE SUPERVISOR."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings

from pki_chain.config import MemberConfig
from pki_chain.gateway.front import MAX_BODY_BYTES
from pki_chain.gateway.logs import configure_logs, server_logs
from pki_chain.gateway.worker import CONFIG_VARIABLE
from tally_service.parent import end_with_parent

MOST_REQUESTS_A_WORKER: Final = 256
HEADER_TIMEOUT_MS: Final = 10_000
WORKER_STOP_TIMEOUT_S: Final = 10


def serve(config: MemberConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    os.environ[CONFIG_VARIABLE] = str(config.path.absolute())
    gateway = config.gateway
    serve_application("pki_chain.gateway.worker:create", gateway.host, gateway.port, gateway.workers)


def serve_application(factory: str, host: str, port: int, workers: int) -> None:
    """Serve what `module:function` makes in each worker, until SIGTERM or SIGINT."""
    Granian(
        factory,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,  # HTTP/2 belongs to the proxy in front, with its limits on streams
        factory=True,
        workers=workers,
        runtime_mode=RuntimeModes.st,
        websockets=False,
        backpressure=MOST_REQUESTS_A_WORKER,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=2 * MAX_BODY_BYTES),
        respawn_failed_workers=True,
        workers_kill_timeout=WORKER_STOP_TIMEOUT_S,
        log_dictconfig=server_logs(),
    ).serve()


def main(arguments: list[str]) -> None:
    """Serve by this configuration file."""
    configure_logs("server")
    end_with_parent(int(arguments[1]))
    serve(MemberConfig.load(Path(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
