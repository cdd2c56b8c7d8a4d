"""The Java Card applet in its simulator, as a program that serves two cards on two TCP ports.

Built with Maven where the jar is older than a source; a lock keeps two test processes from building at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import pytest

APPLET = Path(__file__).parents[2] / "sim_applet_tools" / "applet"
JAR = APPLET / "target" / "card-server.jar"
BUILD_TIMEOUT_S = 600
STOP_TIMEOUT_S = 20
ATTEMPTS = 5
LOWEST_PORT, HIGHEST_PORT = 20_000, 32_000

T = TypeVar("T")


def build() -> None:
    """Build the server unless it is up to date; tests of its own are `mvn verify`'s."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("the applet needs Maven and a JDK: apt-get install maven openjdk-17-jdk-headless")
    JAR.parent.mkdir(exist_ok=True)
    with (JAR.parent / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = [APPLET / "pom.xml", *(APPLET / "src" / "main").rglob("*.java")]
        if JAR.exists() and JAR.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
            return
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(APPLET / "pom.xml"), "package", "-DskipTests"],
            check=True,
            timeout=BUILD_TIMEOUT_S,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def applet_server(*arguments: str) -> Iterator[int]:
    """Start it with two new cards (or those of `--state`); yields the first port, the second card is on the next."""
    build()
    with ExitStack() as stack:
        yield at_free_ports(lambda port: stack.enter_context(_listening(port, arguments)))


def at_free_ports(start: Callable[[int], T]) -> T:
    """What `start` gives at two free neighbouring ports; where another program took them meanwhile, at the next."""
    for attempt, port in enumerate(_free_ports()):
        try:
            return start(port)
        except OSError:
            if attempt == ATTEMPTS:
                raise
    raise OSError(f"no two neighbouring free ports between {LOWEST_PORT} and {HIGHEST_PORT}")


@contextmanager
def _listening(port: int, arguments: Sequence[str]) -> Iterator[int]:
    """Raises OSError where it ends instead, with what it said."""
    with TemporaryFile() as log:
        process = subprocess.Popen(
            ["java", "-jar", str(JAR), str(port), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            # It says so once both ports are open, or ends.
            if str(port) not in process.stdout.readline():
                log.seek(0)
                raise OSError(f"the card server did not start: {log.read().decode(errors='replace')[-2_000:]}")
            yield port
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            finally:
                process.kill()
                process.communicate()


def _free_ports() -> Iterator[int]:
    """The first of two neighbours that nobody listens on now, below the range that the system hands out by itself."""
    span = (HIGHEST_PORT - LOWEST_PORT) // 2
    for attempt in range(span):
        port = LOWEST_PORT + 2 * ((os.getpid() + attempt) % span)
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                pass
        except OSError:
            continue
        yield port
