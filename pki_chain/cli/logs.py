"""Logs of long-running commands: lines on standard error, for a supervisor such as systemd to keep."""

from __future__ import annotations

import logging
import os

from tally_service.log_limit import LogLimit


def configure_logs() -> None:
    """Log from INFO on; time, level, logger and text. Set the level with TALLY_LOG_LEVEL."""
    level = os.environ.get("TALLY_LOG_LEVEL", "INFO").upper()
    known = logging.getLevelNamesMapping()
    logging.basicConfig(
        level=known.get(level, logging.INFO),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogLimit())
