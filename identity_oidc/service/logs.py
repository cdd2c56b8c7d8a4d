"""The provider's logs. Nothing personal gets here: no traceback, whose lines could hold what was in a request, and no
access log, which would hold addresses with codes in them."""

from __future__ import annotations

from tally_service import logs


def configure_logs(process: str) -> None:
    """Log to standard error: our own from INFO, libraries from WARNING."""
    logs.configure_logs(process, "identity_oidc", with_traceback=False)
