"""What a gateway counts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tally_service import counters

ROUTES: Final = (
    "status",
    "bulk_status",
    "certificate",
    "lookup",
    "proof",
    "submit",
    "submission",
    "order",
    "order_state",
    "ocsp",
    "crl",
    "bundle",
    "changes",
    "list",
    "operation",
    "other",
)


class Counters(counters.Counters):
    """Requests by these routes, of all processes that count in the directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(ROUTES, directory)
