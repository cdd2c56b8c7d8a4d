"""A gateway's logs; they show a defect's traceback."""

from __future__ import annotations

from tally_service import logs


def configure_logs(process: str) -> None:
    """Log to standard error: our own from INFO, libraries from WARNING."""
    logs.configure_logs(process, "pki_chain", with_traceback=True)
