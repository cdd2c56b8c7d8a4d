"""Structured logs: one JSON object a line on standard error. Nothing personal and no secret gets here."""

from __future__ import annotations

import json
import logging
import sys


class JsonFormatter(logging.Formatter):
    """time, level, process, logger, message. No traceback: its lines could hold what was in a request."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage()[:2_000],
        }
        return json.dumps(content, ensure_ascii=False)


def configure_logs(process: str) -> None:
    """Log to standard error: our own from INFO, libraries from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("identity_oidc").setLevel(logging.INFO)
