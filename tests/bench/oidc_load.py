"""The provider under load: 1,000 pages that wait, memory over many logins, and a million grants in its database."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import create_connection
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from identity_oidc.authentication.session import COOKIE
from identity_oidc.provider import Provider
from identity_oidc.store.schema import GRANTS, REQUESTS
from tests.bench.figures import Figure
from tests.oidc.test_waiting import until, waiting_pages

if TYPE_CHECKING:
    from tests.bench.oidc import Ours

_PAGES = 1_000
_TOKENS = 60
_ROUNDS = 4
_MEMORY_S = 60.0
_LONG_RUN = "TALLY_BENCH_LOGINS"
"""How many logins the long run makes; as many as the aim says without it."""
_SAMPLES_FILE = Path("build/oidc-memory.csv")
_AT_ONCE = 8
_LOGINS_OF_THE_AIM = 100_000
_FEW, _MANY = 1_000, 1_000_000
_COUNTED = 100
_BOUND_S = 60.0


def measure(served: Ours) -> Iterator[Figure]:
    """All figures of this kind."""
    yield from _waiting(served)
    yield from _memory(served)
    yield from _grants(served)


def _waiting(served: Ours) -> Iterator[Figure]:
    """In turns, so that other load of the machine meets both alike."""
    alone, beside = [], []
    for _ in range(_ROUNDS):
        alone += served.crowd.stage_waits("token", _TOKENS)
        with _pages(served.parts):
            beside += served.crowd.stage_waits("token", _TOKENS)
    for name, rank in (("p50", 0.5), ("p99", 0.99)):
        without, with_them = (sorted(waits)[int(len(waits) * rank)] * 1e3 for waits in (alone, beside))
        aim = "<= 1.2 times" if name == "p99" else ""
        yield Figure("oidc", f"token with {_PAGES:,} waiting pages, {name}", with_them, "ms", aim, without, "without")


@contextmanager
def _pages(parts: Provider) -> Iterator[None]:
    """So many pages that were told to wait, each on a connection of its own."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with parts.database.reading() as connection:
        parameters = connection.execute(select(REQUESTS.c.parameters).limit(1)).scalar_one()
    port = int(parts.config.issuer.rpartition(":")[2])
    with ExitStack() as stack:
        opened = []
        for request_id, secret in waiting_pages(parts, _PAGES, parameters):
            page = stack.enter_context(create_connection(("127.0.0.1", port), timeout=_BOUND_S))
            request = f"GET /login/{request_id}/events HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={secret}\r\n\r\n"
            page.sendall(request.encode())
            opened.append(page)
        for page in opened:
            until(page, b"data: waiting\n\n")
        yield


def long_run() -> Iterator[Figure]:
    """Memory over as many logins as the aim says, at one provider that is not restarted: minutes to hours.

    Each hundredth part's reading is in build/oidc-memory.csv as it comes: logins, seconds, MiB of all processes.
    """
    from tests.bench.oidc import serving  # noqa: PLC0415  which needs this module for its other figures

    count = int(os.environ.get(_LONG_RUN, _LOGINS_OF_THE_AIM))
    begun, samples = time.monotonic(), []
    _SAMPLES_FILE.parent.mkdir(exist_ok=True)
    with TemporaryDirectory() as directory, serving(Path(directory)) as served, _SAMPLES_FILE.open("w") as file:
        done = 0
        while True:
            samples.append((done, _resident_mib(served.pid)))
            print(done, f"{time.monotonic() - begun:.0f},{samples[-1][1]:.1f}", sep=",", file=file, flush=True)
            if done >= count:
                break
            wanted = done + max(count // 100, _AT_ONCE)
            while done < wanted:
                done += len(served.crowd.logins(max(1, min(20, (wanted - done) // _AT_ONCE)), _AT_ONCE))
        rate = done / (time.monotonic() - begun)
        size = sum(each.stat().st_size for each in Path(directory).glob("oidc.sqlite*")) / (1 << 20)
    yield Figure("oidc", f"logins of the long run, {_AT_ONCE} at once on whatever else runs here", rate, "/s")
    for part in (10, 25, 50, 75, 100):
        at, mib = samples[(len(samples) - 1) * part // 100]
        yield Figure(
            "oidc", f"memory after {at:,} logins, all processes", mib, "MiB", "flat", samples[0][1], "at first"
        )
    late = samples[len(samples) // 2 :]
    slope, _ = statistics.linear_regression([at for at, _ in late], [mib for _, mib in late])
    yield Figure(
        "oidc", f"growth for each 100,000 logins, over the last {late[-1][0] - late[0][0]:,}", slope * 1e5, "MiB"
    )
    yield Figure("oidc", "database after them", size, "MiB")


def _memory(served: Ours) -> Iterator[Figure]:
    """Resident memory of all processes while logins go on; its growth after the first half, by least squares."""
    samples, done, end = [(0, _resident_mib(served.pid))], 0, time.monotonic() + _MEMORY_S
    while time.monotonic() < end:
        done += len(served.crowd.logins(10, _AT_ONCE))
        samples.append((done, _resident_mib(served.pid)))
    late = samples[len(samples) // 2 :]
    slope, _ = statistics.linear_regression([count for count, _ in late], [size for _, size in late])
    yield Figure(
        "oidc", f"memory after {done:,} logins, all processes", samples[-1][1], "MiB", "", samples[0][1], "at first"
    )
    what = f"growth over {_LOGINS_OF_THE_AIM:,} logins, extrapolated from the last {late[-1][0] - late[0][0]:,}"
    yield Figure("oidc", what, slope * _LOGINS_OF_THE_AIM, "MiB", "flat")


def _grants(served: Ours) -> Iterator[Figure]:
    """One after the other at both sizes; the second time every page of the database is another."""
    found = []
    for count in (_FEW, _MANY):
        _fill(served.parts, count)
        served.crowd.logins(_COUNTED // 2, 1)  # what was read last is the database's pages, not its filling
        found.append(served.crowd.round(served.pid, _COUNTED, 1))
    few, many = found
    name = f"at {_FEW:,}"
    yield Figure("oidc", f"server CPU a login at {_MANY:,} grants", many.cpu_ms, "ms", "the same", few.cpu_ms, name)
    yield Figure("oidc", f"p50 of a login at {_MANY:,} grants", many.median_ms, "ms", "the same", few.median_ms, name)


def _fill(parts: Provider, count: int) -> None:
    """As many grants as are missing: of invented persons, copied from one that is there."""
    columns = [column.key for column in GRANTS.c]
    made = {"grant_id": "lower(hex(randomblob(12)))", "person": "'invented-' || number"}
    with parts.database.writing() as connection:
        connection.exec_driver_sql("PRAGMA cache_size = -262144")
        there = connection.execute(select(func.count()).select_from(GRANTS)).scalar_one()
        connection.execute(
            text(
                "WITH RECURSIVE numbers(number) AS"  # noqa: S608  the names are our own columns
                " (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :missing)"
                f" INSERT INTO consent_grant ({', '.join(columns)})"
                f" SELECT {', '.join(made.get(name, f'one.{name}') for name in columns)}"
                " FROM numbers, (SELECT * FROM consent_grant LIMIT 1) AS one WHERE :missing > 0"
            ),
            {"missing": count - there},
        )
    with parts.database.reading() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # or the first logins would pay for it


def _resident_mib(group: int) -> float:
    """Of the processes of a group. Source: proc(5), statm, field 2."""
    pages = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(int(pid)) == group:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
