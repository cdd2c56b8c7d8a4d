"""Whose program is at the other end of a connection: loopback addresses are open to every user of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
MAX_TABLE_BYTES = 16 << 20


def is_own_peer(peer_port: int, own_port: int) -> bool:
    """Whether the connection from `peer_port` to `own_port`, both on 127.0.0.1, was opened by this very user.

    Linux only; elsewhere there is no table to look it up in, and True is the answer (docs/sim.md says so).
    """
    if sys.platform != "linux":
        return True
    return any(_owner(table, peer_port, own_port) == os.getuid() for table in TABLES)


def _owner(table: Path, peer_port: int, own_port: int) -> int | None:
    """User id in the line of the peer's end; addresses end in 127.0.0.1, also where they are mapped into IPv6."""
    try:
        with table.open("rb") as file:
            lines = file.read(MAX_TABLE_BYTES).splitlines()
    except OSError:
        return None
    here, there = f"0100007F:{peer_port:04X}".encode(), f"0100007F:{own_port:04X}".encode()
    for line in lines[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1].endswith(here) and fields[2].endswith(there):
            return int(fields[7])
    return None
