"""The demonstration's processes: each is a real `tally` command with a directory, log and environment of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from pki_chain.errors import TallyError

_TALLY = (sys.executable, "-m", "pki_chain.cli.main")
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_LOG_TAIL_BYTES = 2_000


class DemoFailedError(TallyError):
    """A step did not give what it should; the text says which."""

    code = "demo-failed"
    exit_code = 1


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, condition: Callable[[], bool], timeout_s: float = _START_TIMEOUT_S) -> None:
    """Ask until it holds. Raises `DemoFailedError` when the time is up."""
    end = time.monotonic() + timeout_s
    pause_s = 0.02
    while not condition():
        if time.monotonic() > end:
            raise DemoFailedError(f"{what}: not so after {timeout_s:g} s")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.4)


def _environment() -> dict[str, str]:
    """Ours without settings of another consortium, which would override those of the files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


@dataclass(slots=True)
class Daemon:
    """A long-running command, of `tally` or of another program; its output goes to `log`."""

    name: str
    arguments: tuple[str, ...]
    directory: Path
    log: Path
    program: tuple[str, ...] = _TALLY
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a process group of its own, so that the keyboard's interrupt reaches it through us only."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [*self.program, *self.arguments],
                cwd=self.directory,
                env={**_environment(), **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def require_running(self) -> None:
        """Raises `DemoFailedError` with the end of its log when it ended."""
        if self.process is None or self.process.poll() is not None:
            tail = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""
            raise DemoFailedError(f"{self.name} ended by itself; the end of its log {self.log}:\n{tail}")

    def stop(self, *, kill: bool = False) -> None:
        """End it: SIGTERM and wait, or at once with SIGKILL to it and its children."""
        if self.process is None or self.process.poll() is not None:
            return
        if kill:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(_STOP_TIMEOUT_S)

    def log_has(self, text: str) -> bool:
        """Whether it said this; raises `DemoFailedError` when it ended."""
        self.require_running()
        return text.encode() in self.log.read_bytes()


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished command gave: exit code, the JSON object it printed (or {}), and its standard error."""

    exit_code: int
    content: dict[str, Any]
    error: str


@dataclass(slots=True)
class Processes:
    """All processes of one demonstration, ended in the reverse order of their start."""

    root: Path
    quiet: bool = False
    daemons: list[Daemon] = field(default_factory=list)

    def daemon(
        self,
        name: str,
        arguments: Sequence[str],
        directory: Path,
        *,
        program: tuple[str, ...] = _TALLY,
        settings: Mapping[str, str] | None = None,
    ) -> Daemon:
        """Start a long-running command; `settings` are variables for it alone."""
        logs = self.root / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{name.replace(' ', '-')}.log"
        daemon = Daemon(name, tuple(arguments), directory, log, program, settings or {})
        self.daemons.append(daemon)
        daemon.start()
        return daemon

    def run(
        self,
        arguments: Sequence[str],
        directory: Path,
        *,
        show_progress: bool = False,
        expected: tuple[int, ...] = (0,),
        settings: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command to its end with `--json`; `settings` are TALLY_... variables for it alone.

        Raises `DemoFailedError` for an exit code not expected.
        """
        show_progress = show_progress and not self.quiet
        finished = subprocess.run(  # noqa: S603 - our own command
            [*_TALLY, *arguments, *(() if show_progress else ("--json",))],
            cwd=directory,
            env={**_environment(), **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=None if show_progress else subprocess.PIPE,
            stderr=None if show_progress else subprocess.PIPE,
            check=False,
        )
        error = (finished.stderr or b"").decode(errors="replace").strip()
        if finished.returncode not in expected:
            raise DemoFailedError(f"tally {' '.join(arguments)}: exit code {finished.returncode}: {error}")
        try:
            content = json.loads(finished.stdout or b"{}")
        except ValueError:
            content = {}
        return Result(finished.returncode, content, error)

    def require_running(self) -> None:
        """Raises `DemoFailedError` when one of them ended by itself."""
        for daemon in self.daemons:
            daemon.require_running()

    def stop(self) -> None:
        """End them all: first those that depend on others."""
        for daemon in reversed(self.daemons):
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.terminate()
        for daemon in reversed(self.daemons):
            daemon.stop()


def is_ready(address: str) -> bool:
    """Whether a gateway says that it can answer."""
    try:
        return requests.get(f"{address}/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False
