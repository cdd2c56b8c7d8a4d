"""The gateway's process for streams. `python -m` this module FILE SUPERVISOR."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings

from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.http_process import HEADER_TIMEOUT_MS
from pki_chain.gateway.logs import configure_logs, server_logs
from pki_chain.gateway.services import INDEX_FILE, load_token
from pki_chain.gateway.stream import MAX_STREAMS, ChangeStream
from pki_chain.gateway.worker import CONFIG_VARIABLE
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.queries import ReadModel
from tally_service.parent import end_with_parent, end_with_server

_STOP_TIMEOUT_S: Final = 2
"""Streams do not end by themselves; their clients go on elsewhere, or here again."""


def create() -> ChangeStream:
    """What a worker loads. Raises `ConfigurationError`."""
    configure_logs("stream")
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigurationError(f"{CONFIG_VARIABLE} is not set. Start the gateway with `tally gateway run`.")
    end_with_server()
    config = MemberConfig.load(Path(path))
    read_model = ReadModel(config.gateway.data / INDEX_FILE)
    return ChangeStream(read_model, ChangeLog(read_model), Freshness(read_model, time.time), load_token(config))


def main(arguments: list[str]) -> None:
    """Serve by this configuration file until SIGTERM or SIGINT."""
    configure_logs("stream")
    end_with_parent(int(arguments[1]))
    config = MemberConfig.load(Path(arguments[0]))
    os.environ[CONFIG_VARIABLE] = str(config.path.absolute())
    Granian(
        "pki_chain.gateway.stream_process:create",
        address=config.gateway.host,
        port=config.gateway.stream_port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        factory=True,
        workers=1,
        runtime_mode=RuntimeModes.mt,
        websockets=False,
        backpressure=MAX_STREAMS + 100,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS),
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_TIMEOUT_S,
        log_dictconfig=server_logs(),
    ).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
