"""A whole gateway on a real ledger, and strangers' software: openssl, curl, Go, ssl. R-DEV-4, R-DEV-8, R-DEV-9."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.ports import HoldKind
from pki_chain.x509.certificate import SubjectAltName, parse_certificate
from pki_chain.x509.pem import encode_pem
from pki_chain.x509.profile import SMALL_CELL, TLS_DEVICE, Profile, SanType
from pki_chain.x509.self_signed import create_key, issue
from tests.gateway.test_service import Service, free_port, prepare
from tests.ledger import AUTHORITY, OEM, OPERATOR, VENDOR, Consortium, consortium, ledger_engine
from tests.relying.ocsp_requests import each_response, request

__all__ = ["consortium", "ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.e2e, pytest.mark.openssl, pytest.mark.xdist_group("relying-site")]

PATIENCE_S = 60.0
TALLY = str(Path(sys.executable).with_name("tally"))
PEER = Path(__file__).resolve().parents[2] / "examples" / "mutual-tls" / "peer.py"
STRANGER = Path(__file__).parent / "stranger"


@dataclass
class Device:
    """A device's key and certificate, in files."""

    name: str
    der: bytes
    key: Path
    pem: Path

    @property
    def id(self) -> bytes:
        return parse_certificate(self.der).certificate_id


@dataclass
class Site:
    """The gateway, two vendors' devices, and what the consortium publishes about them."""

    service: Service
    consortium: Consortium
    cell: Device
    meter: Device
    unpublished: Device
    directory: Path
    stream: str
    counter: dict[bytes, int]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"

    @property
    def signers(self) -> Path:
        return self.directory / "signers.pem"

    @property
    def trusted(self) -> Path:
        return self.directory / "trusted" / "current"

    def hold(self, device: Device, member: int) -> None:
        counter = self.counter.get(device.id, 0)
        signer, deadline = self.consortium.members[member].keys["duty"], self.consortium.deadline()
        typed = self.consortium.texts.hold(device.id, HoldKind.OWNER, 6, counter, deadline)
        call = self.consortium.calls.hold(
            device.id,
            HoldKind.OWNER,
            6,
            counter,
            deadline=deadline,
            signer=signer.address,
            signature=signer.sign(typed),
        )
        assert self.consortium.send(call).succeeded
        self.counter[device.id] = counter + 1
        self.service.wait_for(lambda: self.service.state_of(device.der) == "held")

    def release(self, device: Device, member: int) -> None:
        counter = self.counter[device.id]
        signer, deadline = self.consortium.members[member].keys["administrator"], self.consortium.deadline()
        typed = self.consortium.texts.release(device.id, HoldKind.OWNER, 0, counter, deadline)
        call = self.consortium.calls.release(
            device.id,
            HoldKind.OWNER,
            0,
            counter,
            deadline=deadline,
            signer=signer.address,
            signature=signer.sign(typed),
        )
        assert self.consortium.send(call).succeeded
        self.counter[device.id] = counter + 1
        self.service.wait_for(lambda: self.service.state_of(device.der) == "valid")

    def sync(self) -> dict[str, object]:
        done = run(
            TALLY,
            "bundle",
            "sync",
            str(self.directory / "trusted"),
            "--gateway",
            self.address,
            "--signers",
            str(self.signers),
            "--once",
            "--json",
        )
        content: dict[str, object] = json.loads(done.stdout)
        return content


def run(*command: str, status: int = 0, text: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, input=text)
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def make_device(directory: Path, organisation: str, profile: Profile, realm: str, now: int) -> Device:
    key, name = create_key(), f"{secrets.token_hex(6)}.{realm}"
    names = [SubjectAltName(SanType.DNS, name.encode())]
    der = issue(key, profile=profile, organisation=organisation, names=names, not_before=now - 60, lifetime_days=30)
    files = Device(name, der, directory / f"{name}.key", directory / f"{name}.pem")
    files.key.write_bytes(_private(key))
    files.pem.write_text(encode_pem("CERTIFICATE", der), encoding="ascii")
    return files


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def site(consortium: Consortium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("relying")
    service = prepare(consortium, directory)
    port = free_port()
    with service.config.open("a") as settings:
        settings.write(f"stream_port = {port}\n")
    service.start()
    now = consortium.now()
    vendor, oem = consortium.members[VENDOR], consortium.members[OEM]
    cell = make_device(directory, vendor.name, SMALL_CELL, vendor.space, now)
    meter = make_device(directory, oem.name, TLS_DEVICE, oem.space, now)
    unpublished = make_device(directory, oem.name, TLS_DEVICE, oem.space, now)
    for device, member, profile in ((cell, VENDOR, SMALL_CELL), (meter, OEM, TLS_DEVICE)):
        lot = consortium.open_lot(member, profile=profile.profile_id)
        batch = consortium.submit([device.der], lot, station=member, profile=profile.profile_id)
        for endorser in (OPERATOR, AUTHORITY):
            assert consortium.endorse(batch, endorser).succeeded
        service.wait_for(lambda device=device: service.state_of(device.der) == "valid")
    made = Site(service, consortium, cell, meter, unpublished, directory, f"http://127.0.0.1:{port}", {})
    made.signers.write_bytes(service.get("/bundles/signers.pem").content)
    yield made
    assert service.stop() == 0


# OCSP


@pytest.mark.parametrize("options", [(), ("-no_nonce",), ("-sha256",), ("-sha256", "-no_nonce")], ids=" ".join)
def test_openssl_asks(site: Site, options: tuple[str, ...]) -> None:
    def ask(device: Device) -> str:
        pem = str(device.pem)
        done = run(
            "openssl",
            "ocsp",
            *options,
            "-issuer",
            pem,
            "-cert",
            pem,
            "-url",
            site.address + "/ocsp",
            "-VAfile",
            str(site.signers),
            "-header",
            "Connection=close",
        )
        assert "Response verify OK" in done.stderr
        return done.stdout.partition(": ")[2].split("\n")[0]

    assert ask(site.cell) == "good"
    assert ask(site.unpublished) == "unknown"
    site.hold(site.cell, VENDOR)
    assert ask(site.cell) == "revoked"
    assert ask(site.meter) == "good"
    site.release(site.cell, VENDOR)
    assert ask(site.cell) == "good"


def test_curl_gets(site: Site) -> None:
    encoded = base64.b64encode(request([site.cell.der])).decode()
    target = site.directory / "answer"
    for path in (encoded, encoded.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")):
        done = run("curl", "-sS", "-D", "-", "-o", str(target), f"{site.address}/ocsp/{path}")
        assert "cache-control: max-age=" in done.stdout.lower()
        assert [each.serial_number for each in each_response(target.read_bytes())]
    run(
        "curl",
        "-sS",
        "--data-binary",
        f"@{PEER}",
        "-H",
        "Content-Type: application/ocsp-request",
        "-o",
        str(target),
        f"{site.address}/ocsp",
    )
    assert target.read_bytes() == bytes.fromhex("30030a0101")
    (site.directory / "megabyte").write_bytes(bytes(1 << 20))
    done = run(
        "curl",
        "-sS",
        "-o",
        os.devnull,
        "-w",
        "%{http_code}",
        "--data-binary",
        f"@{site.directory}/megabyte",
        "-H",
        "Content-Type: application/ocsp-request",
        "-H",
        "Expect:",
        f"{site.address}/ocsp",
    )
    assert done.stdout == "413"


@pytest.mark.go
@pytest.mark.skipif(shutil.which("go") is None, reason="no Go tool chain")
def test_go_reads_ocsp_and_the_list(site: Site) -> None:
    program = str(site.directory / "stranger")
    done = subprocess.run(
        ["go", "build", "-o", program, "."], cwd=STRANGER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    asked = (program, "ocsp", str(site.signers), str(site.meter.pem), site.address + "/ocsp")
    assert run(*asked).stdout == "good\ngood\n"
    site.hold(site.meter, OEM)
    assert run(*asked).stdout == "revoked 6\nrevoked 6\n"
    listed = site.directory / "list.crl"
    listed.write_bytes(site.service.get(f"/crl/{TLS_DEVICE.profile_id}/0-of-1.crl").content)
    serial = parse_certificate(site.meter.der).serial_number
    assert run(program, "crl", str(site.signers), str(listed)).stdout == f"{serial}\n"
    site.release(site.meter, OEM)
    stranger = (program, "ocsp", str(site.cell.pem), str(site.meter.pem), site.address + "/ocsp")
    assert "bad OCSP signature" in run(*stranger, status=1).stderr


# The feed


def test_curl_follows_the_stream(site: Site) -> None:
    everything = site.service.get("/v1/changes").json()
    with subprocess.Popen(
        ["curl", "-sSN", f"{site.stream}/v1/changes?after=0"], stdout=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        try:
            cursors = _cursors(follower.stdout.readline, len(everything["changes"]))
            assert cursors == [change["cursor"] for change in everything["changes"]]
            site.hold(site.cell, VENDOR)
            (held,) = _cursors(follower.stdout.readline, 1)
        finally:
            follower.send_signal(signal.SIGTERM)
    site.release(site.cell, VENDOR)
    after = site.service.get(f"/v1/changes?after={cursors[-1]}").json()["changes"]
    assert [change["kind"] for change in after] == ["held", "released"]
    assert after[0]["cursor"] == held
    refused = run("curl", "-sS", f"{site.stream}/v1/changes?after=900000000000000000").stdout
    assert json.loads(refused)["code"] == "cursor-from-the-future"


def _cursors(read: Callable[[], str], count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        line = read()
        assert line, "the stream ended"
        if line.startswith("id: "):
            found.append(line[4:].strip())
    return found


def test_the_monitor_tells_of_what_another_made(site: Site) -> None:
    command = (TALLY, "monitor", "--config", str(site.service.config), "--gateway", site.address)
    assert run(*command, "--expires-within", "0").stdout == ""
    expected = site.directory / "expected"
    expected.write_text("# none\n")
    done = run(*command, "--expected", str(expected), status=77)
    assert f"unexpected: {parse_certificate(site.cell.der).sha256.hex()}" in done.stdout
    assert "expiring: " in done.stdout


# Mutual TLS


def test_status_keys_are_listed_and_added(site: Site) -> None:
    command = (TALLY, "gateway", "status-key", "--config", str(site.service.config), "--json")
    assert len(json.loads(run(*command).stdout)["keys"]) == 1
    assert len(json.loads(run(*command, "--new").stdout)["keys"]) == 2
    site.service.wait_for(lambda: site.service.get("/bundles/signers.pem").text.count("BEGIN") == 2)


@dataclass
class Listener:
    """A server, its port and what it prints."""

    process: subprocess.Popen[str]
    port: int

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def peer_arguments(site: Site, device: Device) -> list[str]:
    return [
        "--key",
        str(device.key),
        "--certificate",
        str(device.pem),
        "--trusted",
        str(site.trusted),
        "--gateway",
        site.address,
        "--signers",
        str(site.signers),
    ]


@pytest.fixture
def listener(site: Site) -> Iterator[Listener]:
    """The cell's Python server."""
    site.sync()
    command = [sys.executable, str(PEER), "listen", "0", *peer_arguments(site, site.cell)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        made = Listener(process, 0)
        made.port = int(made.line().rpartition(" ")[2])
        yield made
        process.terminate()


def s_client(site: Site, port: int, device: Device) -> str:
    """What an openssl client reads."""
    done = subprocess.run(
        [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{port}",
            "-cert",
            device.pem,
            "-key",
            device.key,
            "-CAfile",
            site.trusted / "certificates.pem",
            "-verify_return_error",
            "-quiet",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.PIPE,
    )
    return done.stdout


def connect(site: Site, port: int, device: Device, *more: str, status: int = 0) -> str:
    command = (sys.executable, str(PEER), "connect", "127.0.0.1", str(port), *peer_arguments(site, device), *more)
    return run(*command, status=status).stdout.strip()


def test_devices_of_two_vendors_speak_and_a_held_one_is_cut_off(site: Site, listener: Listener) -> None:
    assert connect(site, listener.port, site.meter, "--name", site.cell.name) == f"accepted {site.cell.name}"
    assert listener.line() == f"accepted {site.meter.name}"
    assert connect(site, listener.port, site.meter, "--name", "other.example", status=1) == "refused: name"
    assert listener.line()  # the client hung up: the server may have been done by then, or not
    # Not published: TLS itself refuses it.
    connect(site, listener.port, site.unpublished, status=1)
    assert listener.line().startswith("refused: ")
    # Held, and the directory not yet renewed: the one call refuses it.
    site.hold(site.meter, OEM)
    time_of_check = time.monotonic()
    while (said := _try(site, listener)) != "refused: held":
        assert said == f"accepted {site.meter.name}"  # an answer of at most five seconds ago
        assert time.monotonic() < time_of_check + PATIENCE_S
    assert site.sync()["certificates"] == 1
    connect(site, listener.port, site.meter, status=1)
    assert listener.line().startswith("refused: ")
    site.release(site.meter, OEM)
    assert site.sync()["certificates"] == 2
    assert connect(site, listener.port, site.meter) == f"accepted {site.cell.name}"


def _try(site: Site, listener: Listener) -> str:
    subprocess.run(
        [sys.executable, PEER, "connect", "127.0.0.1", str(listener.port), *peer_arguments(site, site.meter)],
        check=False,
        capture_output=True,
        timeout=30,
    )
    return listener.line()


def test_openssl_s_client_and_python(site: Site, listener: Listener) -> None:
    assert "welcome" in s_client(site, listener.port, site.meter)
    assert listener.line() == f"accepted {site.meter.name}"
    assert "welcome" not in s_client(site, listener.port, site.unpublished)
    assert listener.line().startswith("refused: ")


def test_python_and_openssl_s_server(site: Site) -> None:
    site.sync()
    port = free_port()
    command = [
        "openssl",
        "s_server",
        "-accept",
        str(port),
        "-cert",
        site.meter.pem,
        "-key",
        site.meter.key,
        "-CAfile",
        site.trusted / "certificates.pem",
        "-Verify",
        "1",
        "-verify_return_error",
        "-rev",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        try:
            while server.stdout.readline().strip() != "ACCEPT":
                assert server.poll() is None
            assert connect(site, port, site.cell, "--name", site.meter.name) == f"accepted {site.meter.name}"
            connect(site, port, site.unpublished, status=1)
            site.hold(site.meter, OEM)
            assert connect(site, port, site.cell, status=1) == "refused: held"
            site.release(site.meter, OEM)
        finally:
            server.terminate()
