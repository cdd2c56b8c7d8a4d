"""The gateway's process for streams. `python -m` this module FILE SUPERVISOR."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

from pki_chain.config import MemberConfig
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.logs import configure_logs
from pki_chain.gateway.services import INDEX_FILE, load_token
from pki_chain.gateway.stream import MAX_STREAMS, ChangeStream
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.queries import ReadModel
from tally_service.http_listener import serve
from tally_service.parent import end_with_parent

_MOST_CONNECTIONS: Final = MAX_STREAMS + 100
_STOP_TIMEOUT_S: Final = 2.0
"""Streams do not end by themselves; their clients go on elsewhere, or here again."""


def main(arguments: list[str]) -> None:
    """Serve by this configuration file until SIGTERM or SIGINT. Raises `ConfigurationError`."""
    configure_logs("stream")
    end_with_parent(int(arguments[1]))
    config = MemberConfig.load(Path(arguments[0]))
    read_model = ReadModel(config.gateway.data / INDEX_FILE)
    stream = ChangeStream(read_model, ChangeLog(read_model), Freshness(read_model, time.time), load_token(config))
    host, port = config.gateway.host, config.gateway.stream_port
    serve(stream, host, port, _MOST_CONNECTIONS, stop_timeout_s=_STOP_TIMEOUT_S)


if __name__ == "__main__":
    main(sys.argv[1:])
