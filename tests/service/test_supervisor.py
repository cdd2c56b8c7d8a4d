"""Processes that end are started again, unless they cannot work; all are stopped together, and go with their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tally_service.supervisor import Child, ChildError, check_port

BOUND_S = 30.0
PROGRAM = """
import os, sys, threading
from pathlib import Path
from tally_service.parent import end_with_parent
end_with_parent(int(sys.argv[2]))
if os.environ.get("STATUS"):
    sys.exit(int(os.environ["STATUS"]))
place = Path(sys.argv[1]) / "pids"
with place.open("a") as stream:
    stream.write(f"{os.getpid()}\\n")
threading.Event().wait()
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end, pause = time.monotonic() + BOUND_S, threading.Event()
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {BOUND_S:g} s"
        pause.wait(0.02)


def make_child(directory: Path, **environment: str) -> Child:
    (directory / "program.py").write_text(PROGRAM)
    path = os.pathsep.join((str(directory), str(Path(__file__).parents[2])))
    return Child("test", "program", str(directory), environment={"PYTHONPATH": path, **environment})


def pids(directory: Path) -> list[int]:
    place = directory / "pids"
    return [int(line) for line in place.read_text().split()] if place.exists() else []


def is_alive(pid: int) -> bool:
    """Whether it runs; one that ended and that nobody waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_process_that_was_killed_is_started_again(tmp_path: Path) -> None:
    child = make_child(tmp_path)
    child.start()
    try:
        wait_for(lambda: len(pids(tmp_path)) == 1, "the first start")
        os.kill(pids(tmp_path)[0], signal.SIGKILL)

        def is_back() -> bool:
            child.look()
            return len(pids(tmp_path)) == 2

        wait_for(is_back, "the second start")
    finally:
        child.terminate()
        child.wait()
    assert not any(map(is_alive, pids(tmp_path)))


@pytest.mark.parametrize("status", [1, 78])
def test_a_process_that_cannot_work_is_said(tmp_path: Path, status: int) -> None:
    child = make_child(tmp_path, STATUS=str(status))
    child.start()

    def is_said() -> bool:
        try:
            child.look()
        except ChildError as error:
            return f"status {status}" in error.message
        return False

    wait_for(is_said, "the end")
    child.terminate()
    child.wait()


SUPERVISOR = """
import sys
from tally_service.supervisor import Child, supervise
print("supervising", flush=True)
supervise([Child("test", "program", sys.argv[1])])
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_all_end_with_their_supervisor(tmp_path: Path, number: signal.Signals, status: int) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    with subprocess.Popen(
        (sys.executable, "-c", SUPERVISOR, str(tmp_path)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        wait_for(lambda: len(pids(tmp_path)) == 1, "the child")
        process.send_signal(number)
        assert process.wait(BOUND_S) == status
    wait_for(lambda: not is_alive(pids(tmp_path)[0]), "the child's end")


def test_a_port_in_use_is_found(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            check_port("127.0.0.1", port, 0.0)
    check_port("127.0.0.1", port, BOUND_S)
