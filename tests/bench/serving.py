"""Enrolment and status through real processes: CPU of every stage, and GET requests a second beside nginx.

CPU is user and system time of each process and its children, from /proc, so that it holds on a noisy machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pki_chain.demo.processes import Daemon, Processes, free_port, wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, raise_stage
from pki_chain.demo.steps import make_devices, open_lot
from tests.bench.figures import MISSING, Figure

_COUNT = 1_000
_WRK_S = 6
_CONNECTIONS = 32
_NGINX_BYTES = 900


def _cpu_s(pid: int) -> float:
    """User and system seconds of a process and all its children, ended ones too."""
    total = 0.0
    for candidate in Path("/proc").iterdir():
        if not candidate.name.isdigit():
            continue
        try:
            fields = (candidate / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(candidate.name) == pid or int(fields[2]) == pid:  # itself, or in its process group
            total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def _stage_of(daemon: Daemon) -> str:
    return "validator" if daemon.name.startswith("validator") else daemon.name.split()[0]


def measure() -> Iterator[Figure]:
    """Figures of enrolment and of status requests."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        processes = Processes(root, quiet=True)
        stage = Stage(root, processes, _COUNT)
        try:
            raise_stage(stage)
            make_devices(stage, lambda _: None)
            open_lot(stage, lambda _: None)
            yield from _enrol(stage)
            yield from _status(stage)
        finally:
            processes.stop()


def _enrol(stage: Stage) -> Iterator[Figure]:
    before = {each.name: _cpu_s(each.process.pid) for each in stage.processes.daemons if each.process}
    station_before = os.times()
    begun = time.monotonic()
    stage.processes.run(("station", "submit", str(stage.root / "devices"), "--lot", str(stage.lot)), stage.home(VENDOR))
    seconds = time.monotonic() - begun
    station_after = os.times()
    yield Figure("enrolment", f"{_COUNT} certificates, from file to valid", _COUNT / seconds, "/s")
    spent: dict[str, list[float]] = {}
    for each in stage.processes.daemons:
        if each.process:
            spent.setdefault(_stage_of(each), []).append(_cpu_s(each.process.pid) - before[each.name])
    station = (station_after.children_user + station_after.children_system) - (
        station_before.children_user + station_before.children_system
    )
    yield Figure("enrolment", "CPU, station (parse, check, sign, post, poll)", station / _COUNT * 1e3, "ms each")
    for name, values in spent.items():
        several = f" (mean of {len(values)})" if len(values) > 1 else ""
        yield Figure("enrolment", f"CPU, {name}{several}", sum(values) / len(values) / _COUNT * 1e3, "ms each")


def _status(stage: Stage) -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        yield Figure("status", "GET /status (needs wrk)", 0, "/s", "", None, "wrk not installed")
        return
    sha256 = hashlib.sha256(stage.devices()[0].read_bytes()).hexdigest()
    stage.wait_for_state(sha256, "valid")
    gateway = next(each for each in stage.processes.daemons if each.name == f"gateway {OPERATOR}")
    assert gateway.process is not None
    before = _cpu_s(gateway.process.pid)
    address = f"{stage.gateways[OPERATOR]}/v1/certificates/{sha256}/status"
    rate, answered, tail = _wrk(address)
    cpu_ms = (_cpu_s(gateway.process.pid) - before) / max(answered, 1) * 1e3
    peer = _nginx()
    name = "nginx, static file" if peer else f"nginx: {MISSING}"
    yield Figure("status", f"GET status, {_CONNECTIONS} connections, one certificate", rate, "/s", "", peer, name)
    yield Figure("status", "CPU of the gateway's process tree", cpu_ms, "ms each")
    yield Figure("status", "time of the 99th of 100 requests", tail, "ms")


def _wrk(address: str, *more: str) -> tuple[float, int, float]:
    """Requests a second, requests, 99th percentile in ms; an answer other than 2xx is an error."""
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{_WRK_S}s", "--latency", *more, address]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert "Non-2xx" not in text, text
    assert "Socket errors" not in text, text
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in", text)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if not (rate and count and tail):
        raise AssertionError(text)
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}[tail[2]]
    return float(rate[1]), int(count[1]), float(tail[1]) * unit


def _nginx() -> float | None:
    """Requests a second for a static file of 900 bytes, or None where nginx is not installed."""
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if nginx is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        root, port = Path(directory), free_port()
        root.chmod(0o755)  # its workers run as another user
        (root / "file").write_bytes(bytes(_NGINX_BYTES))
        (root / "nginx.conf").write_text(
            f"pid {root}/pid; error_log {root}/error.log; daemon off; worker_processes 1; events {{}}\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
        )
        server = subprocess.Popen([nginx, "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")])
        try:
            wait_until("nginx is up", (root / "pid").exists)
            return _wrk(f"http://127.0.0.1:{port}/file")[0]
        finally:
            server.terminate()
            server.wait()
