"""A worker: serves HTTP, beside others on the same port. `python -m` this module FILE SUPERVISOR."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Final

from identity_oidc.app import create_app
from identity_oidc.config import ProviderConfig
from identity_oidc.front import MOST_REQUESTS, Front
from identity_oidc.service.assembly import assemble
from identity_oidc.service.logs import configure_logs
from identity_oidc.streams import MOST_STREAMS, WaitingStreams
from tally_service.http_listener import serve
from tally_service.parent import end_with_parent

COUNTERS_VARIABLE: Final = "TALLY_OIDC_COUNTERS_DIRECTORY"
"""Where all of them count; without it each counts for itself."""

MOST_CONNECTIONS: Final = MOST_REQUESTS + MOST_STREAMS


def main(arguments: list[str]) -> None:
    """Serve by this configuration file until SIGTERM or SIGINT. Raises `ConfigurationError`."""
    configure_logs("oidc")
    end_with_parent(int(arguments[1]))
    config = ProviderConfig.load(Path(arguments[0]))
    front = _create_front(config)
    serve(front, config.provider.host, config.provider.port, MOST_CONNECTIONS, on_stop=front.close)


def _create_front(config: ProviderConfig) -> Front:
    provider = assemble(config)
    counters = os.environ.get(COUNTERS_VARIABLE)
    app = create_app(provider, Path(counters) if counters else None)
    gc.collect()
    gc.freeze()  # what is loaded stays: collections need not walk it again and again
    return Front(app.answer, WaitingStreams(provider.news_of), in_loop=provider.database.is_embedded)


if __name__ == "__main__":
    main(sys.argv[1:])
