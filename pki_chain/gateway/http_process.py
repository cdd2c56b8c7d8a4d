"""A worker: serves HTTP, beside others on the same port. `python -m` this module FILE SUPERVISOR."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from pki_chain.config import MemberConfig
from pki_chain.gateway.app import create_front
from pki_chain.gateway.logs import configure_logs
from tally_service.http_listener import serve
from tally_service.parent import end_with_parent

MOST_CONNECTIONS: Final = 1_024


def main(arguments: list[str]) -> None:
    """Serve by this configuration file until SIGTERM or SIGINT. Raises `ConfigurationError`."""
    configure_logs("gateway")
    end_with_parent(int(arguments[1]))
    config = MemberConfig.load(Path(arguments[0]))
    serve(create_front(config), config.gateway.host, config.gateway.port, MOST_CONNECTIONS)


if __name__ == "__main__":
    main(sys.argv[1:])
