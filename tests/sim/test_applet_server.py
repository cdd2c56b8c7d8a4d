"""The applet's server in the way that reader.conf describes: pcscd dials both of its ports, comes and goes.

pcscd and server share a network name space of their own, so that nothing of this listens on the host.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sim_applet_tools.emulator.image import luhn_digit
from sim_applet_tools.emulator.pcscd import DRIVER, SOCKET_VARIABLE
from sim_applet_tools.transport.loopback import LoopbackTransport
from sim_applet_tools.uicc import read_iccid
from tests.sim.applet_server import JAR, applet_server, build
from tests.sim.card_targets import RemoteCard

PORT = 20_500
TIMEOUT_S = 60

# $1 folder, $2 jar, $3 port. Server first, then pcscd, twice: it finds the same cards, and ends before the server.
_SPACE = """
set -eu
mkdir -p /run/pcscd
mount --bind "$1/run" /run/pcscd
ip link set lo up
mkfifo "$1/ready"
java -jar "$2" "$3" --state "$1/card" > "$1/ready" 2> "$1/server.log" &
server=$!
read -r line < "$1/ready"
for time in 1 2; do
  setpriv --pdeathsig KILL pcscd --foreground --config "$1/conf" > "$1/pcscd.log" 2>&1 &
  echo up
  read -r line
  kill %% && wait $! || true
done
kill -0 $server && kill $server
echo through
"""

_CARDS = """
import json
from sim_applet_tools.apdu import parse_command
from sim_applet_tools.transport.base import exchange
from sim_applet_tools.transport.pcsc import connect

answers = []
for slot in ("00", "01"):
    transport = connect(f"Tally applet 00 {slot}", wait_s=20)
    for command in %r:
        answers.append(exchange(transport, parse_command(bytes.fromhex(command))).encode().hex())
    transport.close()
print(json.dumps(answers))
"""


@contextmanager
def _space(folder: Path) -> Iterator[subprocess.Popen[str]]:
    for name in ("run", "conf"):
        (folder / name).mkdir()
    (folder / "conf" / "reader.conf").write_text(
        f'FRIENDLYNAME "Tally applet"\nDEVICENAME 127.0.0.1:{PORT}\nLIBPATH {DRIVER}\nCHANNELID 0x8C82\n'
    )
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    process = subprocess.Popen(
        [
            *("unshare", *rights, "--mount", "--net", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", _SPACE, "sh", str(folder), str(JAR), str(PORT)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def _ask(folder: Path, commands: list[str]) -> list[str]:
    """Answers of both cards, from a process of its own: pcsc-lite's client remembers the first pcscd it found."""
    done = subprocess.run(
        [sys.executable, "-c", _CARDS % (commands,)],
        env={**os.environ, SOCKET_VARIABLE: str(folder / "run" / "pcscd.comm")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert isinstance(answers, list)
    return answers


@pytest.mark.pcsc
@pytest.mark.xdist_group("pcsc")
def test_pcscd_dials_two_cards_and_may_be_started_again(tmp_path: Path) -> None:
    build()
    select, generate, read = "00A4040008F054414C4C590101", "80B900000384010100", "80CD00000385010100"
    with _space(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "up\n"
        first = _ask(tmp_path, [select, generate])
        assert first[0] == first[2] == "9000"
        assert first[1] != first[3]
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "up\n"
        again = _ask(tmp_path, [select, read])
        assert [first[1][12:], first[3][12:]] == [again[1], again[3]]
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "through\n"
    assert (tmp_path / "card").stat().st_mode & 0o777 == 0o600


def test_each_card_has_a_number_of_its_own_for_life(tmp_path: Path) -> None:
    states = ("--state", str(tmp_path / "one"), "--second-state", str(tmp_path / "two"))

    def numbers() -> list[str | None]:
        with applet_server("--protocol", "T=1", *states) as port:
            found = []
            for slot in range(2):
                with closing(RemoteCard(port + slot)) as card:
                    found.append(read_iccid(LoopbackTransport(card)))
            return found

    first = numbers()
    assert numbers() == first
    assert len(set(first)) == 2
    assert all(number is not None and luhn_digit(number[:-1]) == number[-1] for number in first)
