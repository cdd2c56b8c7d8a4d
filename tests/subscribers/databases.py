"""Databases that subscriber bases are tested on: SQLite, and a PostgreSQL of our own on a unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
_PORT = 5432  # of the socket's name; nothing listens on the network


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of an empty PostgreSQL; it runs as another user where we are root, as it asks for."""
    if not _PROGRAMS:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    programs = _PROGRAMS[-1].parent
    user = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    directory = Path(tempfile.mkdtemp(prefix="tally-pg-"))  # short: a socket's path has at most 107 octets
    os.chown(directory, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, *arguments],
            check=True,
            user=user.pw_uid if os.geteuid() == 0 else None,
            group=user.pw_gid if os.geteuid() == 0 else None,
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )

    data = str(directory / "data")
    try:
        run("initdb", "-D", data, "-U", "tally", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        settings = f"-k {directory} -p {_PORT} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "start", "-w", "-D", data, "-l", str(directory / "log"), "-o", settings)
        try:
            yield f"postgresql+pg8000://tally@/postgres?unix_sock={directory}/.s.PGSQL.{_PORT}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
    finally:
        shutil.rmtree(directory)
