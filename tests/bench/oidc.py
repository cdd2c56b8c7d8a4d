"""Logins at the provider as `tally oidc serve` serves it, beside node-oidc-provider in the same run; then what waiting
pages, many logins and many grants cost (`oidc_load`).

A login is authorize (code, PKCE S256, nonce), page, consent, code, token, ID Token check by python-jose, UserInfo. Ours
is durable and has an agent with an emulated card, whose time is taken out; the peer keeps all in memory, logs in by a
form and takes nine requests to our seven. Both are asked by the same clients over connections that stay, without TLS.
The gateway that answers for the ledger is in this process, so that its CPU is not the provider's.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec

from identity_oidc.config import KeySettings, ProviderConfig
from identity_oidc.provider import Provider
from identity_oidc.service.assembly import assemble
from identity_oidc.subscribers.demo import assign_identities, create_demo_people
from identity_oidc.tokens.key_ring import rotate
from pki_chain.demo.processes import free_port
from tests.bench import oidc_load
from tests.bench.figures import MISSING, Figure
from tests.bench.oidc_clients import OURS, PEER, STAGES, Sample, run
from tests.bench.serving import _cpu_s
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import add_client, members
from tests.oidc.test_service import Service, gateway_of

_AT_ONCE = 8
_EACH = {1: 30, _AT_ONCE: 8}  # logins of each client in a turn, by how many there are
_TURNS = 4
_TOGETHER = 60
_TRACED = 25
_WARM_S = 5.0
_BUILD = Path("build/oidc-peer")
_PEER_PACKAGE = "oidc-provider@9"
_SCRIPT = Path(__file__).with_name("oidc_peer.mjs")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of logins gave; CPU is the server's process tree's."""

    rate: float
    median_ms: float
    tail_ms: float
    whole_ms: float
    card_ms: float
    cpu_ms: float

    @classmethod
    def of(cls, samples: Sequence[Sample], cpu_s: float, at_once: int) -> Self:
        """The rate is that of clients who do nothing between logins, and wait for no card."""
        waits = sorted(sample.awaited_s for sample in samples)
        whole_s = statistics.mean(sample.login_s for sample in samples)
        return cls(
            at_once / whole_s,
            statistics.median(waits) * 1e3,
            waits[len(waits) * 99 // 100] * 1e3,
            whole_s * 1e3,
            statistics.mean(sample.card_s for sample in samples) * 1e3,
            cpu_s / len(samples) * 1e3,
        )


@dataclass(slots=True)
class _Kept:
    samples: list[Sample] = field(default_factory=list)
    cpu_s: float = 0.0


class Crowd:
    """Clients in processes of their own."""

    def __init__(self, kind: str, issuer: str, secret: str, ledger: LedgerInMemory | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.kind = kind
        self._clients: list[tuple[SpawnProcess, Connection]] = []
        for number in range(_AT_ONCE):
            here, there = context.Pipe()
            process = context.Process(target=run, args=(kind, there, issuer, secret, _identity(number)), daemon=True)
            process.start()
            self._clients.append((process, here))
        for number, (_, pipe) in enumerate(self._clients):
            if ledger is not None:
                ledger.register(_identity(number), _key(pipe.recv()))
                pipe.send("registered")
        for _, pipe in self._clients:
            assert pipe.recv() == "ready"

    def stage_waits(self, name: str, count: int) -> list[float]:
        """Seconds that the answers of one stage are awaited, `count` logins going through it one after the other."""
        pipe = self._clients[0][1]
        pipe.send(("begin", count))
        assert pipe.recv() == "begun"
        for each in STAGES[self.kind]:
            pipe.send(("stage", 0))
            waits: list[float] = pipe.recv()
            if each == name:
                return waits
        raise ValueError(name)

    def logins(self, each: int, at_once: int) -> list[Sample]:
        """`each` by as many clients at once."""
        chosen = [pipe for _, pipe in self._clients[:at_once]]
        for pipe in chosen:
            pipe.send(("logins", each))
        return [sample for pipe in chosen for sample in pipe.recv()]

    def warm_up(self) -> None:
        end = time.monotonic() + _WARM_S
        while time.monotonic() < end:
            self.logins(5, _AT_ONCE)

    def round(self, pid: int, each: int, at_once: int) -> Round:
        before = _cpu_s(pid)
        samples = self.logins(each, at_once)
        return Round.of(samples, _cpu_s(pid) - before, at_once)

    def stages(self, pid: int, count: int) -> list[float]:
        """Server CPU in ms of each stage, `count` logins going through it one after the other."""
        pipe = self._clients[0][1]
        pipe.send(("begin", count))
        assert pipe.recv() == "begun"
        spent = []
        for _ in STAGES[self.kind]:
            before = _cpu_s(pid)
            pipe.send(("stage", 0))
            pipe.recv()
            spent.append((_cpu_s(pid) - before) / count * 1e3)
        return spent

    def end(self) -> None:
        for process, pipe in self._clients:
            with suppress(OSError):
                pipe.send(("end", 0))
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


@dataclass(frozen=True, slots=True)
class Ours:
    """The provider that serves: the process id of its group, its parts in this process, and warm clients."""

    pid: int
    parts: Provider
    crowd: Crowd


def measure() -> Iterator[Figure]:
    """Figures of logins at ours and at the peer, of our stages, of what we sync, and of ours under load."""
    yield Figure("oidc", "load of the machine before (1 min)", os.getloadavg()[0], "")
    with tempfile.TemporaryDirectory() as directory:
        with serving(Path(directory)) as served:
            with _peer() as found:
                ours, *rest = _in_turns([(served.pid, served.crowd), *([found] if found else [])])
            theirs = rest[0] if rest else None
            stages = served.crowd.stages(served.pid, _TOGETHER)
            syncs = _syncs(served.pid, lambda: len(served.crowd.logins(_TRACED, 1)))
            load = list(oidc_load.measure(served))
        yield from _compared(ours, theirs)
        for name, spent in zip(STAGES[OURS], stages, strict=True):
            yield Figure("oidc", f"server CPU, {name}", spent, "ms each")
        what = "fsync and fdatasync a login, process tree, by strace"
        if syncs is None:
            yield Figure("oidc", f"{what}: strace cannot be used here", 0, "")
        else:
            yield Figure("oidc", what, syncs, "each", "", 0.0, "in memory:")
    yield from load
    yield Figure("oidc", "load of the machine after (1 min)", os.getloadavg()[0], "")


def _in_turns(crowds: Sequence[tuple[int, Crowd]]) -> list[dict[int, Round]]:
    """Rounds of each in turns, so that other load of the machine meets all of them alike."""
    for _, crowd in crowds:
        crowd.warm_up()
    found = [{at_once: _Kept() for at_once in _EACH} for _ in crowds]
    for _ in range(_TURNS):
        for at_once, each in _EACH.items():
            for (pid, crowd), kept in zip(crowds, found, strict=True):
                before = _cpu_s(pid)
                kept[at_once].samples += crowd.logins(each, at_once)
                kept[at_once].cpu_s += _cpu_s(pid) - before
    return [{at_once: Round.of(it.samples, it.cpu_s, at_once) for at_once, it in kept.items()} for kept in found]


def _compared(ours: dict[int, Round], theirs: dict[int, Round] | None) -> Iterator[Figure]:
    name = "oidc-provider" if theirs else f"oidc-provider: {MISSING}"

    def figure(at_once: int, what: str, value: Callable[[Round], float], unit: str, aim: str = "") -> Figure:
        beside = value(theirs[at_once]) if theirs else None
        return Figure("oidc", f"{what}, {at_once} at once", value(ours[at_once]), unit, aim, beside, name)

    for at_once, own in ours.items():
        alone = at_once == 1
        yield figure(at_once, "full logins", lambda it: it.rate, "/s")
        yield figure(at_once, "answers awaited in a login, p50", lambda it: it.median_ms, "ms", "< 12" if alone else "")
        yield figure(at_once, "answers awaited in a login, p99", lambda it: it.tail_ms, "ms")
        yield figure(at_once, "login with all that app and agent do, mean", lambda it: it.whole_ms, "ms")
        yield figure(at_once, "server CPU a login, process tree", lambda it: it.cpu_ms, "ms", "<= 1.5 times")
        yield Figure("oidc", f"emulated card, taken out, {at_once} at once", own.card_ms, "ms a login")


@contextmanager
def serving(directory: Path) -> Iterator[Ours]:
    """`tally oidc serve` with as many workers as processors."""
    ledger, port = LedgerInMemory(), free_port()
    for algorithm in ("ES256", "RS256"):
        rotate(KeySettings(directory=directory / "keys"), time.time, algorithm)
    people = f"sqlite:///{directory}/people.sqlite"
    create_demo_people(people)
    assign_identities(people, [bytes.fromhex(_identity(number)[2:]) for number in range(_AT_ONCE)])
    (directory / "members.json").write_text(json.dumps(members()))
    path = directory / "oidc.toml"
    with gateway_of(ledger) as gateway:
        path.write_text(
            f'[provider]\nissuer = "http://127.0.0.1:{port}"\nport = {port}\nmembers = "members.json"\n'
            f'workers = {len(os.sched_getaffinity(0))}\ndatabase = "sqlite:///{directory}/oidc.sqlite"\n'
            f'subscribers = "{people}"\n[ledger]\ngateways = ["{gateway}"]\n[limits]\nrate = 1e6\nburst = 1_000_000\n'
        )
        service = Service(path, f"http://127.0.0.1:{port}")
        service.start()
        try:
            parts = assemble(ProviderConfig.load(path))
            with _crowd(OURS, service.issuer, add_client(parts).secret, ledger) as crowd:
                assert service._process is not None
                yield Ours(service._process.pid, parts, crowd)
            parts.database.close()
        finally:
            service.kill()


@contextmanager
def _peer() -> Iterator[tuple[int, Crowd] | None]:
    """The peer; None, with the reason on standard error, where it cannot be had."""
    if not _is_installed():
        yield None
        return
    shutil.copy(_SCRIPT, _BUILD / "server.mjs")
    issuer, secret = f"http://127.0.0.1:{free_port()}", secrets.token_urlsafe(32)
    with (_BUILD / "log").open("w") as log:
        command = ["node", "server.mjs", issuer, secret]
        server = subprocess.Popen(command, cwd=_BUILD, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        try:
            assert server.stdout is not None
            assert server.stdout.readline(), (_BUILD / "log").read_text()
            with _crowd(PEER, issuer, secret, None) as crowd:
                yield server.pid, crowd
        finally:
            server.kill()
            server.communicate()


def _is_installed() -> bool:
    if (_BUILD / "node_modules" / "oidc-provider").exists():
        return True
    if shutil.which("npm") is None or shutil.which("node") is None:
        print(f"{_PEER_PACKAGE}: no npm and node here, so there is no peer", file=sys.stderr)
        return False
    _BUILD.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(_BUILD), _PEER_PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        print(
            f"{_PEER_PACKAGE} cannot be installed, so there is no peer: {done.stderr.strip()[-300:]}", file=sys.stderr
        )
    return done.returncode == 0


@contextmanager
def _crowd(kind: str, issuer: str, secret: str, ledger: LedgerInMemory | None) -> Iterator[Crowd]:
    crowd = Crowd(kind, issuer, secret, ledger)
    try:
        yield crowd
    finally:
        crowd.end()


def _syncs(group: int, act: Callable[[], int]) -> float | None:
    """Calls of fsync and fdatasync for each of what `act` does, by all processes of the group; None without strace."""
    if shutil.which("strace") is None:
        return None
    with tempfile.NamedTemporaryFile() as output:
        command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", output.name]
        tracer = subprocess.Popen(
            [*command, *(f"--attach={pid}" for pid in _group(group))], stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        if "attached" not in tracer.stderr.readline():
            tracer.kill()
            tracer.communicate()
            return None
        done = act()
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        lines = Path(output.name).read_text().splitlines()
    return sum("fsync(" in line or "fdatasync(" in line for line in lines) / done


def _group(group: int) -> Sequence[int]:
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _group_of(pid) == group]  # noqa: PTH208


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _identity(number: int) -> str:
    return "0x" + f"{number + 1:02x}" * 32


def _key(point: bytes) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(part, "big") for part in (point[:32], point[32:]))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
