"""The provider as operators run it: https by nginx with `deploy/nginx/oidc.conf`, on ports of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from identity_oidc.config import LimitSettings
from identity_oidc.provider import Provider
from identity_oidc.subscribers.sql import SqlSubscriberBase
from tests.oidc.conftest import TestClock, listening, make_config, serving
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.tls import Loopback

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "oidc.conf"
BOUND_S = 30.0


def free_port() -> int:
    with listening() as (_, port):
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until somebody listens there; what the process said is the failure's text."""
    end, pause = time.monotonic() + BOUND_S, threading.Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            pause.wait(0.05)
        else:
            return


@contextmanager
def program(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A server in the foreground, ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for_port(port, process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(BOUND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def nginx(
    directory: Path, port: int, upstreams: list[int], loopback: Loopback, *changes: tuple[str, str]
) -> Iterator[None]:
    """nginx with the configuration that is delivered; only names, files, ports and `changes` are the test's."""
    servers = "\n".join(f"    server 127.0.0.1:{each};" for each in upstreams)
    text = CONFIGURATION.read_text()
    for old, new in (
        ("    server 127.0.0.1:8443;", servers),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("server_name login.operator.example;", "server_name 127.0.0.1;"),
        ("/etc/tally/tls/login.pem", str(loopback.certificate)),
        ("/etc/tally/tls/login.key", str(loopback.key)),
        ("/var/log/nginx", str(directory)),
        *changes,
    ):
        assert old in text
        text = text.replace(old, new)
    (directory / "oidc.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"    {kind}_temp_path {directory}/{kind};" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"{user}daemon off;\npid {directory}/nginx.pid;\nworker_processes 1;\nerror_log {directory}/main.log warn;\n"
        f"events {{ worker_connections 256; }}\nhttp {{\n{paths}\n    include {directory}/oidc.conf;\n}}\n"
    )
    command = ["/usr/sbin/nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")]
    with program([*command, "-e", str(directory / "main.log")], port, directory / "nginx.out"):
        yield


@contextmanager
def deployed(  # noqa: PLR0917  its parts
    directory: Path,
    keys: Path,
    ledger: LedgerInMemory,
    subscribers: SqlSubscriberBase,
    loopback: Loopback,
    limits: LimitSettings | None = None,
) -> Iterator[Provider]:
    """A provider whose issuer is https, behind nginx."""
    tls_port = free_port()
    with listening() as (listener, port):
        config = make_config(directory, port)
        settings = replace(config.provider, issuer=f"https://127.0.0.1:{tls_port}", trusted_proxies=("127.0.0.1/32",))
        config = replace(config, provider=settings, keys=replace(config.keys, directory=keys))
        config = replace(config, limits=limits or config.limits)
        parts = Provider.open(config, TestClock(), ledger, subscribers)
        with serving(parts, listener), nginx(directory, tls_port, [port], loopback):
            yield parts
        parts.database.close()
