"""Structured logs: one JSON object a line on standard error. Values that are secret never get here."""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

from tally_service.log_limit import LogLimit

_MOST_CHARACTERS: Final = 2_000


class JsonFormatter(logging.Formatter):
    """time, level, process, logger, message, and a defect's traceback where its lines may be shown."""

    def __init__(self, process: str, *, with_traceback: bool) -> None:
        super().__init__()
        self._process = process
        self._with_traceback = with_traceback

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage()[:_MOST_CHARACTERS],
        }
        if record.exc_info and self._with_traceback:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False)


def configure_logs(process: str, package: str, *, with_traceback: bool) -> None:
    """Log to standard error: the package's own from INFO, others from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process, with_traceback=with_traceback))
    handler.addFilter(LogLimit())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(package).setLevel(logging.INFO)
