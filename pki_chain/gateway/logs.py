"""Structured logs: one JSON object a line on standard error. Values that are secret never get here."""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

from pki_chain.log_limit import LogLimit

_OUR_PACKAGE: Final = "pki_chain"


class JsonFormatter(logging.Formatter):
    """time, level, process, logger, message, and a defect's traceback."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False)


def configure_logs(process: str) -> None:
    """Log to standard error: our own from INFO, libraries from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    handler.addFilter(LogLimit())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_OUR_PACKAGE).setLevel(logging.INFO)
