"""What a worker process of the HTTP server loads."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Final

from identity_oidc.app import create_app
from identity_oidc.config import ProviderConfig
from identity_oidc.errors import ConfigurationError
from identity_oidc.front import Front
from identity_oidc.service.assembly import assemble
from identity_oidc.service.logs import configure_logs
from identity_oidc.service.stop_notice import follow_stop
from identity_oidc.streams import WaitingStreams
from tally_service.parent import end_with_server

CONFIG_VARIABLE: Final = "TALLY_OIDC_CONFIG_FILE"
COUNTERS_VARIABLE: Final = "TALLY_OIDC_COUNTERS_DIRECTORY"
"""Where all workers count; without it each counts for itself."""


def create() -> Front:
    """The application by the configuration file that the server process named. Raises `ConfigurationError`."""
    configure_logs("oidc")
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigurationError(f"{CONFIG_VARIABLE} is not set. Start the provider with `tally oidc serve`.")
    end_with_server()
    provider = assemble(ProviderConfig.load(Path(path)))
    counters = os.environ.get(COUNTERS_VARIABLE)
    app = create_app(provider, Path(counters) if counters else None)
    gc.collect()
    gc.freeze()  # what is loaded stays: collections need not walk it again and again
    streams = WaitingStreams(provider.news_of)
    return Front(app.answer, streams, in_loop=provider.database.is_embedded, begin=follow_stop(streams.close))
