"""kill -9 of everything, one after the other, at random moments of submissions: nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from pki_chain.chain.ledger import LedgerClient
from pki_chain.config import ConsortiumFile
from pki_chain.demo.bad_certificates import certificate
from pki_chain.demo.processes import Daemon, wait_until
from pki_chain.demo.stage import AUTHORITY, FIRST_EUI, LAST_EUI, OEM, OPERATOR, REALM, VENDOR, Stage, wait_for_gateways
from pki_chain.errors import LedgerUnavailableError
from pki_chain.ports import CertificateSubmitted

TALLY = (sys.executable, "-m", "pki_chain.cli.main")
A_WAVE = 50
STATION = "station"

pytestmark = [pytest.mark.e2e, pytest.mark.chain, pytest.mark.timeout(600)]


def open_lot(stage: Stage, maximum: int) -> int:
    allowed = f"eui:{FIRST_EUI:012x}-{LAST_EUI:012x}.{REALM}"
    arguments = ("lot", "open", "--profile", "small-cell", "--maximum", str(maximum), "--range", allowed)
    return int(stage.tally(VENDOR, *arguments).content["lot"])


def begin_wave(stage: Stage, lot: int, directory: Path) -> subprocess.Popen[bytes]:
    """Write a wave of certificates and start the station on them."""
    directory.mkdir(parents=True)
    line = stage.line()
    for number in range(A_WAVE):
        (directory / f"{number:03}.cer").write_bytes(certificate(line))
    return start_station(stage, lot, [str(directory)])


def start_station(stage: Stage, lot: int, sources: list[str]) -> subprocess.Popen[bytes]:
    arguments = ["station", "submit", *sources, "--lot", str(lot), "--copies", "2", "--wait", "120", "--json"]
    return subprocess.Popen(
        [*TALLY, *arguments], cwd=stage.home(VENDOR), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def kill(daemon: Daemon) -> None:
    """SIGKILL to the process alone: its children must notice by themselves."""
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait(15)


def daemons(stage: Stage) -> dict[str, Daemon]:
    return {daemon.name: daemon for daemon in stage.processes.daemons}


def head(stage: Stage) -> tuple[LedgerClient, int, bytes]:
    """Once the ledger answers: a station may be told that all is valid while a killed one still reads its journal."""
    file = ConsortiumFile.load(stage.root / "consortium" / "consortium.json")
    ledger = LedgerClient(file)
    wait_until("the ledger answers", lambda: answers(ledger))
    block = ledger.head()
    return ledger, block.number, block.hash


def answers(ledger: LedgerClient) -> bool:
    try:
        ledger.head()
    except LedgerUnavailableError:
        return False
    return True


def test_everything_acknowledged_ends_valid_and_nothing_twice(stage: Stage, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311 - chooses moments, not keys
    victims = [
        "ledger",
        f"gateway {OPERATOR}",
        f"gateway {VENDOR}",
        f"validator {OPERATOR}",
        f"validator {OEM}",
        f"validator {AUTHORITY}",
        STATION,
    ]
    chance.shuffle(victims)
    lot = open_lot(stage, A_WAVE * len(victims))
    by_name = daemons(stage)
    moment = threading.Event()
    for wave, victim in enumerate(victims):
        _, number, block_hash = head(stage)
        station = begin_wave(stage, lot, tmp_path / "waves" / str(wave))
        moment.wait(chance.uniform(0.3, 2.5))
        print(f"wave {wave}: kill -9 of {victim}")
        if victim == STATION:
            station.kill()
            station.communicate()
            sources = str(tmp_path / "waves" / str(wave))  # where it was killed before it took them in
            station = start_station(stage, lot, [sources])
        else:
            kill(by_name[victim])
            by_name[victim].start()
        output, error = station.communicate(timeout=180)
        assert station.returncode == 0, (victim, error.decode(), output.decode())
        ledger, _, _ = head(stage)
        assert ledger.block(number).hash == block_hash, "an earlier block is another one now"
    wait_for_gateways(stage)
    result = stage.tally(VENDOR, "station", "submit", "--lot", str(lot))
    assert result.content["counts"] == {"valid": A_WAVE * len(victims)}

    file = ConsortiumFile.load(stage.root / "consortium" / "consortium.json")
    ledger = LedgerClient(file)
    events = ledger.events(file.founding_block, ledger.head().number)
    submitted = Counter(
        event.content.certificate for event in events if isinstance(event.content, CertificateSubmitted)
    )
    assert set(submitted.values()) == {1}
    assert len(submitted) == A_WAVE * len(victims) == ledger.lot(lot).used
    hashes = [each["sha256"] for each in result.content["certificates"]]
    for member in (OPERATOR, VENDOR):
        wait_until(
            f"the gateway of {member} has read everything", lambda m=member: stage.state(hashes[-1], m) == "valid"
        )
        assert {stage.state(each, member) for each in hashes} == {"valid"}


def test_validators_that_are_away_lose_nothing(stage: Stage, tmp_path: Path) -> None:
    """With two of three away a batch stays undecided; it is decided when one of them comes back."""
    lot = open_lot(stage, A_WAVE)
    by_name = daemons(stage)
    for member in (OEM, AUTHORITY):
        kill(by_name[f"validator {member}"])
    line = stage.line()
    batch = [("one", certificate(line))]
    submitted = stage.begin_submit(lot, batch, wait_s=2)
    assert submitted.exit_code == 75
    assert {each["state"] for each in submitted.outcomes.values()} == {"sent"}
    by_name[f"validator {OEM}"].start()
    assert stage.continue_submit(submitted)["one"]["state"] == "valid"
    by_name[f"validator {AUTHORITY}"].start()
    assert json.dumps(stage.continue_submit(submitted)["one"]["state"]) == '"valid"'


def test_a_station_begun_while_the_ledger_is_down_waits_for_it_within_its_time(stage: Stage, tmp_path: Path) -> None:
    lot = open_lot(stage, A_WAVE)
    ledger = daemons(stage)["ledger"]
    kill(ledger)
    hasty = (*TALLY, "station", "submit", str(tmp_path), "--lot", str(lot), "--wait", "1", "--json")
    refused = subprocess.run(hasty, cwd=stage.home(VENDOR), capture_output=True, check=False)
    assert refused.returncode == 69, refused.stderr.decode()
    station = begin_wave(stage, lot, tmp_path / "wave")
    threading.Event().wait(1.5)  # it reads the lot by now, and in vain
    ledger.start()
    output, error = station.communicate(timeout=180)
    assert station.returncode == 0, (error.decode(), output.decode())
    assert json.loads(output)["counts"] == {"valid": A_WAVE}
