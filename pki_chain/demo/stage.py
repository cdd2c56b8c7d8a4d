"""The demonstration's stage: a ledger, four members with their processes, and what each of them can be told to do."""

from __future__ import annotations

import itertools
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import requests

from pki_chain.demo.bad_certificates import Line
from pki_chain.demo.processes import Daemon, DemoFailedError, Processes, Result, free_port, is_ready, wait_until

OPERATOR, VENDOR, OEM, AUTHORITY = "operator", "vendor", "oem", "authority"
MEMBERS = (OPERATOR, VENDOR, OEM, AUTHORITY)
ORGANISATION = "Acme Cells"
REALM = "cells.acme.example"
FIRST_EUI = 0x02A0F2000001
LAST_EUI = 0x02A0F2FFFFFF
_BAD_EUI = 0x02A0F2800000
"""Numbers of devices made by hand for the bad kinds and their mates begin here."""


Outcomes = dict[str, dict[str, Any]]
"""What `tally station submit` says of each certificate, by the name that the demonstration gave it."""


def require(holds: bool, text: str) -> None:
    """Raises `DemoFailedError` with the text when it does not hold."""
    if not holds:
        raise DemoFailedError(text)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission of a few certificates: the line's directory, the lot, names by file, and what is known so far."""

    line: Path
    lot: int
    names: dict[str, str]
    home: Path
    exit_code: int
    outcomes: Outcomes


@dataclass(slots=True)
class Stage:
    """Everything that steps share. `figures` collects what the last table shows."""

    root: Path
    processes: Processes
    count: int
    ledger: str = ""
    gateways: dict[str, str] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)
    validators: dict[str, Daemon] = field(default_factory=dict)
    lot: int = 0
    identity: str = ""
    has_reader: bool = False
    login: dict[str, str] = field(default_factory=dict)
    figures: list[tuple[str, str, str]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(_BAD_EUI))
    _session: requests.Session = field(default_factory=requests.Session)

    def home(self, member: str) -> Path:
        """A member's own directory."""
        return self.root / "consortium" / member

    def devices(self) -> list[Path]:
        """The certificates of the small cells, in order of their numbers."""
        return sorted((self.root / "devices").glob("*.cer"))

    def tally(self, member: str, *arguments: str, expected: tuple[int, ...] = (0,)) -> Result:
        """Run a command as a member, in the member's directory."""
        return self.processes.run(arguments, self.home(member), expected=expected)

    def line(self) -> Line:
        """The vendor's production line."""
        return Line(
            organisation=ORGANISATION,
            realm=REALM,
            foreign_organisation="Nordlicht Mobil",
            foreign_realm="nordlicht.example",
            now=int(time.time()),
            next_name=lambda: f"{next(self._numbers):012x}.{REALM}",
        )

    def ask(self, path: str, member: str = OPERATOR) -> requests.Response:
        """Ask a member's gateway, whatever it answers."""
        return self._session.get(self.gateways[member] + path, timeout=10)

    def get(self, path: str, member: str = OPERATOR) -> dict[str, Any]:
        """Ask a member's gateway; 200 and a JSON object, or `DemoFailedError`."""
        response = self.ask(path, member)
        if response.status_code != 200:
            raise DemoFailedError(f"GET {path}: status {response.status_code}: {response.text[:300]}")
        content: dict[str, Any] = response.json()
        return content

    def state(self, sha256: str, member: str = OPERATOR) -> str:
        """A certificate's state as a member's gateway answers it."""
        return str(self.get(f"/v1/certificates/{sha256}/status", member)["state"])

    def wait_for_state(self, sha256: str, state: str) -> float:
        """Ask the operator's gateway until it answers this state; returns seconds."""
        begun = time.monotonic()
        wait_until(f"status {state} of {sha256}", lambda: self.state(sha256) == state)
        return time.monotonic() - begun

    @contextmanager
    def timed(self, what: str, count: int = 0) -> Iterator[None]:
        """Note how long a piece of work took, and how many a second."""
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        speed = f"{count / seconds:,.0f}/s" if count else ""
        self.figures.append((what, f"{seconds:.1f} s", speed))

    def submit(self, lot: int, certificates: Sequence[tuple[str, bytes]], home: Path | None = None) -> Outcomes:
        """Submit these (name, DER) as the vendor's line, without its local check; outcomes by name.

        `home` is another directory with a tally.toml, such as a thief's.
        """
        submitted = self.begin_submit(lot, certificates, home, wait_s=60)
        require(submitted.exit_code != 75, "certificates are undecided after a minute")
        return submitted.outcomes

    def begin_submit(
        self, lot: int, certificates: Sequence[tuple[str, bytes]], home: Path | None = None, *, wait_s: int
    ) -> Submitted:
        """As `submit`, but wait at most so long; `continue_submit` goes on."""
        line = self.root / "lines" / f"{next(self._numbers):x}"
        line.mkdir(parents=True)
        names = {}
        for number, (name, der) in enumerate(certificates):
            path = line / f"{number:03}.cer"
            path.write_bytes(der)
            names[path.name] = name
        return self._submit(Submitted(line, lot, names, home or self.home(VENDOR), 0, {}), str(line), wait_s)

    def continue_submit(self, submitted: Submitted) -> Outcomes:
        """Wait for what is undecided, as the same line's next process does."""
        finished = self._submit(submitted, "", 60)
        require(finished.exit_code != 75, "certificates are undecided after a minute")
        return finished.outcomes

    def _submit(self, submitted: Submitted, source: str, wait_s: int) -> Submitted:
        arguments = ["station", "submit", *([source] if source else []), "--lot", str(submitted.lot)]
        result = self.processes.run(
            [*arguments, "--no-check", "--wait", str(wait_s)],
            submitted.home,
            expected=(0, 75, 77),
            settings={"TALLY_STATION_DATA": str(submitted.line / "outbox")},
        )
        outcomes = {submitted.names[each["source"]]: each for each in result.content["certificates"]}
        return replace(submitted, exit_code=result.exit_code, outcomes=outcomes)


def raise_stage(stage: Stage) -> None:
    """Start ledger, consortium, validators and gateways, and wait until the gateways can answer."""
    port = free_port()
    stage.ledger = f"http://127.0.0.1:{port}"
    ledger = stage.processes.daemon(
        "ledger", ("chain", "run", str(stage.root / "ledger"), "--port", str(port)), stage.root
    )
    wait_until("the ledger answers", lambda: ledger.log_has(stage.ledger))
    ports = {member: free_port() for member in (OPERATOR, VENDOR)}
    stage.gateways = {member: f"http://127.0.0.1:{port}" for member, port in ports.items()}
    arguments = ["consortium", "init", str(stage.root / "consortium"), "--rpc", stage.ledger]
    for member, port in ports.items():
        arguments += ["--port", f"{member}={port}"]
    stage.processes.run(arguments, stage.root)
    for member in ports:
        stage.streams[member] = f"http://127.0.0.1:{_set_stream_port(stage.home(member) / 'tally.toml')}"
    # One member's validator is careless: it has no rules of its own beside the check of the certificate.
    (stage.home(OEM) / "rules.toml").write_text("[rules]\n", encoding="utf-8")
    for member in MEMBERS:
        start_validator(stage, member)
    for member in stage.gateways:
        stage.processes.daemon(f"gateway {member}", ("gateway", "run"), stage.home(member))
    wait_for_gateways(stage)


def _set_stream_port(settings: Path) -> int:
    port = free_port()
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("[gateway]\n", f"[gateway]\nstream_port = {port}\n"), encoding="utf-8")
    return port


def wait_for_gateways(stage: Stage) -> None:
    """Wait until all gateways can answer."""
    for address in stage.gateways.values():
        wait_until(f"gateway {address} is ready", partial(_ready, stage, address))


def _ready(stage: Stage, address: str) -> bool:
    stage.processes.require_running()
    return is_ready(address)


def start_validator(stage: Stage, member: str) -> None:
    """Start a member's validator in the member's directory."""
    stage.validators[member] = stage.processes.daemon(
        f"validator {member}", ("validator", "run", "--poll", "0.3"), stage.home(member)
    )


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def engine_text() -> str:
    """Which engine on which machine: what every figure is about."""
    return (
        f"embedded (anvil with a journal of its own), one process, on {platform.system()} {platform.machine()} with "
        f"{processors()} processors, Python {platform.python_version()}"
    )
