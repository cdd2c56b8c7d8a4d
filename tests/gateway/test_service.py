"""The whole gateway as a service on the real ledger, and what is left when its processes are killed."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.x509.certificate import parse_certificate
from tests.gateway.conftest import problem_code_of
from tests.gateway.posting import envelope_content, order_content
from tests.ledger import (
    OEM,
    OPERATOR,
    VENDOR,
    Consortium,
    consortium,
    found_consortium,
    issue_certificates,
    ledger_engine,
)

__all__ = ["consortium", "ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.e2e]

PATIENCE_S = 60.0
TALLY = str(Path(sys.executable).with_name("tally"))


@dataclass
class Service:
    """A running gateway of the vendor."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def config(self) -> Path:
        return self.directory / "tally.toml"

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [TALLY, "gateway", "run", "--config", str(self.config)],
                stdout=log,
                stderr=log,
            )
        self.wait_for(lambda: self.get("/readyz").status_code == 200)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        self.session.close()
        return status

    def get(self, path: str) -> requests.Response:
        return self.session.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def post(self, path: str, content: Any) -> requests.Response:
        return self.session.post(f"http://127.0.0.1:{self.port}{path}", json=content, timeout=30)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until the condition holds; a gateway that does not answer yet is waited for too."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                if condition():
                    return
            except requests.ConnectionError:
                pass
            assert time.monotonic() < end, (self.directory / "log").read_text()[-4_000:]
            assert self.process is None or self.process.poll() is None, (self.directory / "log").read_text()[-4_000:]
            time.sleep(0.05)

    def state_of(self, der: bytes) -> str:
        return str(self.get(f"/v1/certificates/{hashlib.sha256(der).hexdigest()}/status").json()["state"])

    def relayer(self) -> int:
        """Process id of the relayer, 0 while there is none."""
        return self.child("relayer_process")

    def child(self, module: str) -> int:
        """Process id of a child that runs this module, 0 while there is none."""
        return next(iter(self.all_of(module)), 0)

    def all_of(self, module: str) -> list[int]:
        """Process ids of the children that run this module."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        tasks = [
            child
            for task in Path(f"/proc/{self.process.pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        found = {*children, *tasks}
        return [int(each) for each in found if module.encode() in Path(f"/proc/{each}/cmdline").read_bytes()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prepare(consortium: Consortium, directory: Path) -> Service:
    """A gateway of the vendor, with a relayer key of its own, not started yet."""
    port = free_port()
    home = consortium.directory / f"member-{VENDOR}"
    relayer = f"relayer-{secrets.token_hex(8)}"
    consortium.members[VENDOR].keystore.create(relayer)
    (directory / "tally.toml").write_text(
        f"""
[member]
id = {VENDOR}
name = "{consortium.members[VENDOR].name}"
[ledger]
consortium = "{consortium.directory / "consortium.json"}"
[keystore]
directory = "{home / "keystore"}"
passphrase_file = "{home / "passphrase"}"
[gateway]
port = {port}
data = "data"
relayer = "{relayer}"
workers = 2
"""
    )
    return Service(directory, port)


def run_to_its_end(config: Path) -> subprocess.CompletedProcess[bytes]:
    """A gateway that is expected to give up by itself."""
    command = [TALLY, "gateway", "run", "--config", str(config)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


@pytest.fixture
def service(consortium: Consortium, tmp_path: Path) -> Iterator[Service]:
    made = prepare(consortium, tmp_path)
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        assert made.stop() == 0


def test_from_submission_to_status_and_back(service: Service, consortium: Consortium) -> None:
    lot = consortium.open_lot()
    ders = issue_certificates(consortium.members[VENDOR], 4, now=consortium.now())
    batch = [*ders, ders[0][:-1]]
    service.wait_for(lambda: service.get(f"/v1/lots/{lot}").status_code == 200)
    response = service.post("/v1/submissions", envelope_content(consortium, batch, lot))
    assert response.status_code == 202, response.text
    location = response.headers["Location"]
    service.wait_for(lambda: service.get(location).json()["state"] == "on_ledger")
    answer = service.get(location).json()
    assert [each["state"] for each in answer["entries"]] == ["submitted"] * 4 + ["refused"]
    assert answer["entries"][4]["reason"]["name"] == "malformed_der"
    for member in (OPERATOR, OEM):
        assert consortium.endorse(answer["batch"], member).succeeded
    service.wait_for(lambda: service.get(location).json()["state"] == "settled")
    assert {service.state_of(der) for der in ders} == {"valid"}

    identity = parse_certificate(ders[0]).certificate_id
    for order, label, counter, expected in (
        ("hold", "duty", 0, "held"),
        ("release", "administrator", 1, "valid"),
        ("revoke", "administrator", 2, "revoked"),
    ):
        content = order_content(consortium, order, label, identity, counter)
        accepted = service.post("/v1/orders", content)
        assert accepted.status_code == 202, accepted.text
        path = accepted.headers["Location"]
        service.wait_for(lambda path=path: service.get(path).json()["state"] == "done")
        service.wait_for(lambda expected=expected: service.state_of(ders[0]) == expected)
    refused = service.post("/v1/orders", order_content(consortium, "hold", "duty", identity, 2))
    assert problem_code_of(refused, 409) == "refused"
    assert "RegistryRevoked" in refused.json()["detail"]


def test_nothing_acknowledged_is_lost_when_everything_is_killed(service: Service, consortium: Consortium) -> None:
    """The supervisor is killed right after the acknowledgement; its children end; the next start goes on."""
    lot = consortium.open_lot()
    service.wait_for(lambda: service.get(f"/v1/lots/{lot}").status_code == 200)
    locations = []
    for _ in range(3):
        ders = issue_certificates(consortium.members[VENDOR], 2, now=consortium.now())
        response = service.post("/v1/submissions", envelope_content(consortium, ders, lot))
        assert response.status_code == 202, response.text
        locations.append(response.headers["Location"])
    relayer = service.relayer()
    assert relayer
    os.kill(relayer, signal.SIGKILL)
    service.stop(signal.SIGKILL)
    service.process = None
    service.session = requests.Session()
    _wait_for_port(service.port)
    service.start()
    for location in locations:
        service.wait_for(lambda location=location: service.get(location).json()["state"] == "on_ledger")


def test_a_start_right_after_a_kill(service: Service) -> None:
    """As a service manager does it: what the killed one left behind is waited for."""
    for _ in range(3):
        service.stop(signal.SIGKILL)
        service.session = requests.Session()
        service.start()
        service.wait_for(lambda: service.child("http_process") != 0 and service.relayer() != 0)


def test_rebuild(service: Service, consortium: Consortium) -> None:
    """A damaged read model is said, and made anew from the ledger while the gateway is stopped."""
    command = [TALLY, "gateway", "rebuild", "--config", str(service.config), "--json"]
    busy = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert busy.returncode == 78
    assert b"A gateway runs on" in busy.stderr
    assert service.stop() == 0
    service.session = requests.Session()
    index = service.directory / "data" / "index.sqlite"
    index.write_bytes(b"rubbish" * 1_000)
    index.with_name("index.sqlite-wal").unlink(missing_ok=True)  # it may hold every page
    refused = run_to_its_end(service.config)
    assert refused.returncode == 78
    assert b"Rebuild it" in refused.stderr
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout)["block"]["number"] >= consortium.file.founding_block
    service.start()


def test_rebuild_keeps_what_is_there_while_the_ledger_is_away(service: Service, tmp_path: Path) -> None:
    assert service.stop() == 0
    index = service.directory / "data" / "index.sqlite"
    before = index.read_bytes()
    text = service.config.read_text().replace("[ledger]", f'[ledger]\nendpoints = ["http://127.0.0.1:{free_port()}"]')
    (tmp_path / "away.toml").write_text(text)
    command = [TALLY, "gateway", "rebuild", "--config", str(tmp_path / "away.toml")]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 69
    assert index.read_bytes() == before


def test_the_relayer_is_started_again(service: Service, consortium: Consortium) -> None:
    first = service.relayer()
    os.kill(first, signal.SIGKILL)
    service.wait_for(lambda: service.relayer() not in {0, first})
    lot = consortium.open_lot()
    service.wait_for(lambda: service.get(f"/v1/lots/{lot}").status_code == 200)


def test_workers_are_started_again(service: Service, consortium: Consortium) -> None:
    """Also when all that serve HTTP are killed."""
    killed = service.all_of("http_process")
    assert len(killed) == 2
    for each in killed:
        os.kill(each, signal.SIGKILL)
    service.wait_for(lambda: len({*service.all_of("http_process")} - {*killed}) == len(killed))
    service.wait_for(lambda: service.get("/healthz").status_code == 200)
    lot = consortium.open_lot()
    service.wait_for(lambda: service.get(f"/v1/lots/{lot}").status_code == 200)


def test_a_port_in_use_is_said(service: Service, consortium: Consortium, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    second = prepare(consortium, other)
    second.config.write_text(second.config.read_text().replace(f"port = {second.port}", f"port = {service.port}"))
    done = subprocess.run(
        [TALLY, "gateway", "run", "--config", str(second.config)], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 78, done.stderr.decode()
    assert b"gateway.port" in done.stderr
    assert service.get("/healthz").status_code == 200


def test_a_second_gateway_on_the_same_data_is_refused(service: Service, tmp_path: Path) -> None:
    """One writer of a read model, and one of a relayer key."""
    text = service.config.read_text().replace(f"port = {service.port}", f"port = {free_port()}")
    second = tmp_path / "second.toml"
    second.write_text(text)
    done = subprocess.run(
        [TALLY, "gateway", "run", "--config", str(second)], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 78, done.stderr.decode()
    assert b"A gateway runs on" in done.stderr
    assert service.get("/readyz").status_code == 200


def test_signature_of_another_key(service: Service, consortium: Consortium) -> None:
    lot = consortium.open_lot()
    service.wait_for(lambda: service.get(f"/v1/lots/{lot}").status_code == 200)
    ders = issue_certificates(consortium.members[VENDOR], 1, now=consortium.now())
    content = envelope_content(consortium, ders, lot, signer=consortium.members[OEM].keys["station"])
    assert problem_code_of(service.post("/v1/submissions", content), 403) == "bad-signature"


def test_ledger_down_and_back(tmp_path: Path) -> None:
    """While the ledger is away a fresh gateway still takes in; what it took reaches the ledger once that is back."""
    port = free_port()
    with EmbeddedEngine(tmp_path / "chain", port=port) as engine:
        consortium = found_consortium([engine.endpoint], tmp_path / "consortium")
        lot = consortium.open_lot()
        ders = issue_certificates(consortium.members[VENDOR], 2, now=consortium.now())
        content = envelope_content(consortium, ders, lot)
        service = prepare(consortium, tmp_path)
        service.start()
        service.wait_for(lambda: service.get(f"/v1/lots/{lot}").status_code == 200)
    try:
        response = service.post("/v1/submissions", content)
        assert response.status_code == 202, response.text
        location = response.headers["Location"]
        assert service.get(location).json()["state"] in {"stored", "sent"}
        with EmbeddedEngine(tmp_path / "chain", port=port):
            service.wait_for(lambda: service.get(location).json().get("state") == "on_ledger")
            assert [each["state"] for each in service.get(location).json()["entries"]] == ["submitted"] * 2
    finally:
        consortium.close()
        assert service.stop() == 0


def _wait_for_port(port: int) -> None:
    """Until nobody listens there."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.1)
    raise AssertionError("workers outlived their supervisor")
