"""What a worker process of the HTTP server loads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.app import create_front
from pki_chain.gateway.front import Front
from pki_chain.gateway.logs import configure_logs
from tally_service.parent import end_with_server

CONFIG_VARIABLE: Final = "TIGER_TALLY_GATEWAY_CONFIG"


def create() -> Front:
    """The application by the configuration file that the server process named. Raises `ConfigurationError`."""
    configure_logs("gateway")
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigurationError(f"{CONFIG_VARIABLE} is not set. Start the gateway with `tally gateway run`.")
    end_with_server()
    return create_front(MemberConfig.load(Path(path)))
