"""A pcscd of one's own: with its own configuration, socket and network, away from the host's.

It runs in its own mount and network name spaces, its reader driver listens there, so nothing listens on the host, cards
come and go without taking pcscd down, and programs reach it by `PCSCLITE_CSOCK_NAME`. Linux; root, or user name spaces.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sim_applet_tools.emulator.vpcd import serve_card
from sim_applet_tools.errors import ConfigurationError, ReaderError
from sim_applet_tools.transport.loopback import RawCard

DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
VPCD_PORT = 0x7C8C
SLOTS = 2
START_TIMEOUT_S = 30.0
SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
READER_NAME = "Tiger Tally Emulator"
_DIAL = (
    "import socket,sys;"
    "s=socket.create_connection(('127.0.0.1',int(sys.argv[1])),10);"
    "socket.send_fds(socket.socket(fileno=0),[b'x'],[s.fileno()])"
)
_SETUP = (
    'mkdir -p /run/pcscd && mount --bind "$1" /run/pcscd && (ip link set lo up || true) && '
    'exec setpriv --pdeathsig KILL pcscd --foreground --config "$2"'
)


def reader_configuration(device: str, channel: int) -> str:
    """The reader.conf of vpcd's driver. Source: pcscd's reader.conf(5)."""
    return f'FRIENDLYNAME "{READER_NAME}"\nDEVICENAME {device}\nLIBPATH {DRIVER}\nCHANNELID 0x{channel:X}\n'


class PrivatePcscd:
    """Context manager; `socket_path` is where clients find it.

    With `server_port` its driver dials a `CardServer` of this machine instead of listening: then it shares the host's
    network, and cards cannot come and go.
    """

    def __init__(self, server_port: int | None = None) -> None:
        self._server_port = server_port
        self._folder = Path(tempfile.mkdtemp(prefix="tally-pcscd-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._connections: dict[int, socket.socket] = {}
        self._threads: dict[int, threading.Thread] = {}

    @property
    def socket_path(self) -> Path:
        return self._folder / "run" / "pcscd.comm"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with the way to this pcscd."""
        return {**os.environ, SOCKET_VARIABLE: str(self.socket_path)}

    def __enter__(self) -> PrivatePcscd:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def insert(self, card: RawCard, slot: int = 0) -> None:
        """Put a card into a reader's slot; it is served in a thread."""
        connection = self._dial(VPCD_PORT + slot)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[slot] = connection
        self._threads[slot] = threading.Thread(target=serve_card, args=(connection, card), daemon=True)
        self._threads[slot].start()

    def pull(self, slot: int = 0) -> None:
        """Take the card out."""
        connection = self._connections.pop(slot, None)
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                connection.close()
            self._threads.pop(slot).join(START_TIMEOUT_S)

    def close(self) -> None:
        """Stop pcscd, then the cards: the other order would take it down."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for slot in list(self._connections):
            self.pull(slot)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        missing = [name for name in ("pcscd", "unshare", "nsenter", "setpriv", "mount", "ip") if not _program(name)]
        if missing or not DRIVER.exists():
            raise ConfigurationError(
                f"a pcscd of one's own needs {', '.join(missing) or DRIVER}: apt-get install pcscd vsmartcard-vpcd "
                "util-linux iproute2"
            )
        for name in ("run", "conf"):
            (self._folder / name).mkdir()
        (self._folder / "conf" / "reader.conf").write_text(
            reader_configuration(f"/dev/null:0x{VPCD_PORT:X}", VPCD_PORT)
            if self._server_port is None
            else reader_configuration(f"127.0.0.1:{self._server_port}", self._server_port)
        )
        log = (self._folder / "log").open("wb")
        with log:
            self._process = subprocess.Popen(  # noqa: S603
                [
                    *_unshare(with_network=self._server_port is not None),
                    "sh",
                    "-c",
                    _SETUP,
                    "sh",
                    str(self._folder / "run"),
                    str(self._folder / "conf"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait(self.socket_path.exists)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace")[-500:]
                raise ReaderError(
                    "pcscd did not start in name spaces of its own (root or user name spaces are needed): "
                    f"{text.strip() or 'it said nothing'}"
                )
            time.sleep(0.01)

    def _dial(self, port: int) -> socket.socket:
        """A connection made inside the name space, handed out of it."""
        if self._process is None:
            raise ReaderError("this pcscd does not run")
        ours, theirs = socket.socketpair()
        deadline = time.monotonic() + START_TIMEOUT_S
        with ours, theirs:
            while True:
                done = subprocess.run(  # noqa: S603
                    [*_nsenter(self._process.pid), sys.executable, "-I", "-c", _DIAL, str(port)],
                    stdin=theirs.fileno(),
                    capture_output=True,
                    timeout=START_TIMEOUT_S,
                    check=False,
                )
                if done.returncode == 0:
                    _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
                    connection = socket.socket(fileno=descriptors[0])
                    connection.settimeout(None)  # the other process's time-out is a flag of the shared description
                    return connection
                if time.monotonic() > deadline:
                    raise ReaderError(f"the reader of pcscd took no card: {done.stderr.decode()[-300:]}")
                time.sleep(0.02)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _unshare(*, with_network: bool) -> list[str]:
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [_program("unshare") or "unshare", *rights, "--mount", *([] if with_network else ["--net"])]


def _nsenter(pid: int) -> list[str]:
    rights = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return [_program("nsenter") or "nsenter", "--target", str(pid), *rights, "--net"]
