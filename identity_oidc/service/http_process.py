"""The HTTP server and its workers. `python -m` this module FILE SUPERVISOR."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from identity_oidc.config import ProviderConfig
from identity_oidc.front import MAX_BODY_BYTES, MOST_REQUESTS
from identity_oidc.service.logs import configure_logs, server_logs
from identity_oidc.service.stop_notice import give_notice
from identity_oidc.service.worker import CONFIG_VARIABLE
from identity_oidc.streams import MOST_STREAMS
from tally_service.parent import end_with_parent

MOST_CONNECTIONS_A_WORKER: Final = MOST_REQUESTS + MOST_STREAMS
HEADER_TIMEOUT_MS: Final = 10_000
WORKER_STOP_TIMEOUT_S: Final = 10


def serve(config: ProviderConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    os.environ[CONFIG_VARIABLE] = str(config.path.absolute())
    server = Granian(
        "identity_oidc.service.worker:create",
        address=config.provider.host,
        port=config.provider.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,  # TLS and HTTP/2 belong to the proxy in front
        factory=True,
        workers=config.provider.workers,
        websockets=False,
        backpressure=MOST_CONNECTIONS_A_WORKER,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=2 * MAX_BODY_BYTES),
        respawn_failed_workers=True,
        workers_kill_timeout=WORKER_STOP_TIMEOUT_S,
        log_dictconfig=server_logs(),
    )
    server.on_startup(give_notice)
    server.serve()


def _allow_files() -> None:
    """Every waiting page is a connection: as many as may be had, where fewer are given by default."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(arguments: list[str]) -> None:
    """Serve by this configuration file."""
    configure_logs("server")
    end_with_parent(int(arguments[1]))
    _allow_files()
    serve(ProviderConfig.load(Path(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
