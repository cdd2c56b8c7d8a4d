"""What a worker process of the HTTP server loads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from identity_oidc.app import create_app
from identity_oidc.config import ProviderConfig
from identity_oidc.errors import ConfigurationError
from identity_oidc.front import Front
from identity_oidc.service.assembly import assemble
from identity_oidc.service.logs import configure_logs
from identity_oidc.streams import WaitingStreams

CONFIG_VARIABLE: Final = "TALLY_OIDC_CONFIG_FILE"


def create() -> Front:
    """The application by the configuration file that the server process named. Raises `ConfigurationError`."""
    configure_logs("oidc")
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigurationError(f"{CONFIG_VARIABLE} is not set. Start the provider with `tally oidc serve`.")
    provider = assemble(ProviderConfig.load(Path(path)))
    return Front(create_app(provider).wsgi_app, WaitingStreams(provider.news_of))
