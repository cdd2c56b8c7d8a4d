"""Relying parties: OCSP beside openssl, lists at a million certificates, and from a hold to refusal at each channel.

`openssl ocsp` hangs after one empty connection, so its port is never probed and it is asked by raw sockets, a new
connection each; our gateway is asked in the same way beside it, and by wrk over connections that stay.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import select
import shutil
import socket
import sqlite3
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki_chain.chain.signer import Keystore, create_passphrase
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.config import MemberConfig
from pki_chain.demo.processes import Processes, free_port, wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, raise_stage
from pki_chain.demo.steps import make_devices, open_lot
from pki_chain.gateway.crl_answers import CrlAnswers
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.ocsp_answers import OcspAnswers
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.index import schema
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.queries import ReadModel
from pki_chain.monitor.bundle_directory import load_signers
from pki_chain.ports import HoldKind, Status
from pki_chain.relying_party import NotTrustedError, OcspSource, RelyingParty
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.station.orders import Orders
from pki_chain.status import encoding
from pki_chain.status.crl import CrlScope, load_revocation_list
from pki_chain.status.ocsp_request import NONCE, SHA1
from pki_chain.status.status_key import StatusKeys
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.pem import encode_pem
from tests.bench.figures import MISSING, Figure
from tests.bench.serving import _cpu_s, _nginx, _wrk
from tests.index.recorded_ledger import SMALL_CELL
from tests.relying.ocsp_requests import each_response, request

_COUNT = 200
_HOLDS = 40
_RAW_REQUESTS = 6_000
_RAW_ROUNDS = 6
_AT_ONCE = (1, 8)
_SUCCESSFUL = encoding.enumerated(0)
_FOLLOWERS = 1_000
_MILLION = 1_000_000
_REVOKED = 20_000
_NONCE_SCRIPT = """
local before, after = {before}, {after}
request = function()
  local nonce = {{}}
  for place = 1, 16 do nonce[place] = string.char(math.random(0, 255)) end
  local headers = {{["Content-Type"] = "application/ocsp-request"}}
  return wrk.format("POST", "/ocsp", headers, before .. table.concat(nonce) .. after)
end
"""


def measure() -> Iterator[Figure]:
    """All figures of this section."""
    with tempfile.TemporaryDirectory() as directory:
        yield from _million(Path(directory))
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        processes = Processes(root, quiet=True)
        stage = Stage(root, processes, _COUNT)
        try:
            raise_stage(stage)
            make_devices(stage, lambda _: None)
            open_lot(stage, lambda _: None)
            arguments = ("station", "submit", str(root / "devices"), "--lot", str(stage.lot))
            processes.run(arguments, stage.home(VENDOR))
            last = hashlib.sha256(stage.devices()[-1].read_bytes()).hexdigest()
            stage.wait_for_state(last, "valid")
            yield from _ocsp(stage)
            yield from _refusal(stage)
            yield from _feed(stage)
        finally:
            processes.stop()


# OCSP over HTTP


def _ocsp(stage: Stage) -> Iterator[Figure]:
    der = stage.devices()[0].read_bytes()
    gateway = next(each for each in stage.processes.daemons if each.name == f"gateway {OPERATOR}")
    assert gateway.process is not None
    tree = gateway.process.pid
    address = stage.gateways[OPERATOR]
    port = int(address.rpartition(":")[2])
    ours = _Responder(port, tree, lambda: request([der], nonce=secrets.token_bytes(16)))
    with _openssl(stage.root, der) as peer:
        yield from _beside_openssl("of a whole gateway", ours, peer)
    if shutil.which("wrk") is None:
        yield Figure("ocsp", "kept-alive connections (needs wrk)", 0, "/s", "", None, "wrk not installed")
        return
    nginx = _nginx()
    name = "nginx, static file of 900 bytes" if nginx else f"nginx: {MISSING}"
    path = base64.b64encode(request([der])).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    for what, url, script in (
        ("cached, GET", f"{address}/ocsp/{path}", ()),
        ("with nonce, POST", address, ("-s", str(_script(stage.root, der)))),
    ):
        before = _cpu_s(tree)
        rate, answered, tail = _wrk(url, *script)
        cpu_ms = (_cpu_s(tree) - before) / max(answered, 1) * 1e3
        yield Figure("ocsp", f"{what}, 32 connections", rate, "/s", "", nginx, name)
        yield Figure("ocsp", f"CPU an answer, {what}", cpu_ms, "ms")
        yield Figure("ocsp", f"time of the 99th of 100, {what}", tail, "ms")


def _script(root: Path, der: bytes) -> Path:
    """wrk's script: one request with another nonce each time."""
    nonce = b"0123456789abcdef"
    before, _, after = request([der], nonce=nonce).partition(nonce)
    target = root / "nonce.lua"
    quoted = {
        name: '"' + "".join(f"\\{octet}" if octet > 99 else f"\\{octet:03}" for octet in part) + '"'
        for name, part in (("before", before), ("after", after))
    }
    target.write_text(_NONCE_SCRIPT.format(**quoted), encoding="ascii")
    return target


Answered = dict[int, tuple[float, float]]
"""By how many were asked at once: answers a second, and CPU ms an answer."""


@dataclass(frozen=True, slots=True)
class _Responder:
    """Where it is asked, the process group that answers, and what makes a request."""

    port: int
    pid: int
    make: Callable[[], bytes]


def _beside_openssl(what: str, ours: _Responder, openssl: _Responder | None) -> Iterator[Figure]:
    name = "openssl ocsp" if openssl else f"openssl: {MISSING}"
    answered, *rest = _in_turns([ours, *([openssl] if openssl else [])])
    peer = rest[0] if rest else None
    for at_once, (rate, cpu_ms) in answered.items():
        how = f"with nonce, a new connection each, {at_once} at once, {what}"
        peer_rate, peer_cpu_ms = peer[at_once] if peer else (None, None)
        yield Figure("ocsp", how, rate, "/s", "", peer_rate, name)
        yield Figure("ocsp", f"CPU, {how}", cpu_ms, "ms", "2 x openssl", peer_cpu_ms, name)


def _in_turns(responders: Sequence[_Responder], count: int = _RAW_REQUESTS) -> list[Answered]:
    """Over new connections, CPU of the process group; medians of rounds, in turns, so that other load of the machine
    meets all of them alike."""
    for each in responders:
        _ask(each.port, [each.make()])
    rounds: list[dict[int, list[tuple[float, float]]]] = [{at_once: [] for at_once in _AT_ONCE} for _ in responders]
    for at_once in _AT_ONCE:
        for _ in range(_RAW_ROUNDS):
            for each, found in zip(responders, rounds, strict=True):
                found[at_once].append(_round(each, at_once, count // _RAW_ROUNDS))
    return [{at_once: _medians(them) for at_once, them in found.items()} for found in rounds]


def _round(responder: _Responder, at_once: int, count: int) -> tuple[float, float]:
    """Answers a second, and CPU ms an answer."""
    bodies = [responder.make() for _ in range(count)]
    before, begun = _cpu_s(responder.pid), time.monotonic()
    for first in range(0, len(bodies), at_once):
        _ask(responder.port, bodies[first : first + at_once])
    return len(bodies) / (time.monotonic() - begun), (_cpu_s(responder.pid) - before) / len(bodies) * 1e3


def _medians(rounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    rate, cpu_ms = (statistics.median(each) for each in zip(*rounds, strict=True))
    return rate, cpu_ms


def _ask(port: int, bodies: Sequence[bytes]) -> None:
    """Each over a connection of its own, all before the first answer is read."""
    with ExitStack() as stack:
        asked = []
        for body in bodies:
            head = (
                "POST /ocsp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Content-Type: application/ocsp-request\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            asked.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)))
            asked[-1].sendall(head.encode() + body)
        for connection in asked:
            answer = bytearray()
            while part := connection.recv(65_536):
                answer += part
            assert answer.split(b" ", 2)[1] == b"200", answer[:200]
            assert _SUCCESSFUL in answer.partition(b"\r\n\r\n")[2][:8], "the responder refuses to answer"


@contextmanager
def _openssl(root: Path, der: bytes) -> Iterator[_Responder | None]:
    """`openssl ocsp` with a P-256 key and one certificate in its index; None where it is not installed."""
    if shutil.which("openssl") is None:
        yield None
        return
    home = root / "openssl"
    home.mkdir()
    loaded = x509.load_der_x509_certificate(der)
    (home / "ca.pem").write_bytes(loaded.public_bytes(Encoding.PEM))
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=r",
            "-keyout",
            home / "r.key",
            "-out",
            home / "r.pem",
            "-days",
            "9",
        ],
        check=True,
        capture_output=True,
    )
    (home / "index.txt").write_text(f"V\t391231235959Z\t\t{loaded.serial_number:X}\tunknown\t/O=x\n")
    port = free_port()
    command = [
        "openssl",
        "ocsp",
        "-index",
        "index.txt",
        "-port",
        str(port),
        "-CA",
        "ca.pem",
        "-rsigner",
        "r.pem",
        "-rkey",
        "r.key",
    ]
    with subprocess.Popen(
        command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    ) as server:
        try:
            listening = f":{port:04X} "
            wait_until(
                "openssl listens",
                lambda: listening in Path("/proc/net/tcp6").read_text() + Path("/proc/net/tcp").read_text(),
            )
            yield _Responder(port, server.pid, lambda: request([der], nonce=secrets.token_bytes(16)))
        finally:
            server.terminate()


# From a hold to its refusal


@dataclass
class _Channel:
    """One way to learn of a hold; `refuses` is asked again and again."""

    name: str
    refuses: Callable[[], bool]
    times: list[float]


def _refusal(stage: Stage) -> Iterator[Figure]:
    signers_file = stage.root / "signers.pem"
    signers_file.write_bytes(requests.get(stage.gateways[OPERATOR] + "/bundles/signers.pem", timeout=10).content)
    signers = load_signers(signers_file)
    trusted = stage.root / "trusted"
    stage.processes.daemon(
        "bundle",
        (
            "bundle",
            "sync",
            str(trusted),
            "--gateway",
            stage.gateways[OPERATOR],
            "--signers",
            str(signers_file),
            "--stream",
            stage.streams[OPERATOR],
        ),
        stage.root,
    )
    files = trusted / "current" / "certificates"
    wait_until("the directory is full", lambda: files.exists() and len(list(files.iterdir())) == _COUNT)
    config = MemberConfig.load(stage.home(VENDOR) / "tally.toml")
    key = Keystore.open(config.keystore.directory, config.keystore.passphrase_file).load("duty")
    orders = Orders(TypedTexts(config.load_consortium()), key, GatewayClient([stage.gateways[OPERATOR]]))
    times: dict[str, list[float]] = {}
    everybody = stage.root / "everybody.pem"  # of before the holds: what refuses is the call at the handshake
    everybody.write_bytes((trusted / "current" / "certificates.pem").read_bytes())
    for path in stage.devices()[:_HOLDS]:
        for channel in _hold(stage, orders, signers, files, path):
            times.setdefault(channel.name, []).extend(channel.times)
    for name, found in times.items():
        found.sort()
        yield Figure(
            "refusal", f"from posting a hold to refusal by {name}, p50 of {_HOLDS}", found[len(found) // 2], "s", "2"
        )
        yield Figure(
            "refusal", f"from posting a hold to refusal by {name}, p99", found[len(found) * 99 // 100], "s", "60"
        )


def _hold(
    stage: Stage, orders: Orders, signers: Sequence[x509.Certificate], files: Path, path: Path
) -> Sequence[_Channel]:
    der = path.read_bytes()
    certificate = parse_certificate(der)
    address, sha256 = stage.gateways[OPERATOR], certificate.sha256.hex()
    session = requests.Session()
    party = RelyingParty([OcspSource(address, signers)], max_age_s=0.0)
    body = request([der])

    def rest() -> bool:
        return bool(session.get(f"{address}/v1/certificates/{sha256}/status", timeout=10).json()["state"] == "held")

    def ocsp() -> bool:
        headers = {"Content-Type": "application/ocsp-request"}
        content = session.post(f"{address}/ocsp", data=body, headers=headers, timeout=10).content
        return each_response(content)[0].revocation_reason is x509.ReasonFlags.certificate_hold

    def crl() -> bool:
        content = session.get(f"{address}/crl/{SMALL_CELL}/0-of-1.crl", timeout=10).content
        return load_revocation_list(content, signers).find(certificate.issuer, certificate.serial_number) is not None

    def handshake() -> bool:
        return _meet(stage, path, party) == "held"

    channels = [
        _Channel("REST", rest, []),
        _Channel("OCSP", ocsp, []),
        _Channel("CRL", crl, []),
        _Channel("TLS handshake with check_peer", handshake, []),
        _Channel("bundle sync with stream", lambda: not (files / f"{sha256}.pem").exists(), []),
    ]
    begun = time.monotonic()

    def watch(channel: _Channel) -> None:
        wait_until(channel.name, channel.refuses)
        channel.times.append(time.monotonic() - begun)

    watching = [threading.Thread(target=watch, args=(channel,)) for channel in channels]
    for each in watching:
        each.start()
    orders.hold(certificate.certificate_id, HoldKind.OWNER, 6, 0)
    for each in watching:
        each.join()
    return channels


def _meet(stage: Stage, path: Path, party: RelyingParty) -> str:
    """Mutual TLS between the device at `path` and another; why the other refuses it, "" where it does not."""
    here, there = socket.socketpair()
    with here, there:
        client = threading.Thread(target=_connect, args=(_context(stage, path, ssl.PROTOCOL_TLS_CLIENT), there))
        client.start()
        try:
            own = _context(stage, stage.devices()[-1], ssl.PROTOCOL_TLS_SERVER)
            with own.wrap_socket(here, server_side=True) as connection:
                party.check_peer(connection)
        except NotTrustedError as error:
            return error.reason
        finally:
            here.close()
            client.join()
    return ""


def _connect(context: ssl.SSLContext, there: socket.socket) -> None:
    with suppress(OSError), context.wrap_socket(there) as connection:
        connection.recv(1)


def _context(stage: Stage, path: Path, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    pem = stage.root / f"{path.stem}.chain.pem"
    pem.write_text(encode_pem("CERTIFICATE", path.read_bytes()), encoding="ascii")
    context.load_cert_chain(pem, path.with_suffix(".key"))
    context.load_verify_locations(stage.root / "everybody.pem")
    return context


def _feed(stage: Stage) -> Iterator[Figure]:
    """A thousand follow the stream, and one certificate is held."""
    host, _, port = stage.streams[OPERATOR].removeprefix("http://").rpartition(":")
    with ExitStack() as stack:
        followers = [stack.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(_FOLLOWERS)]
        for each in followers:
            each.sendall(b"GET /v1/changes?after=now HTTP/1.1\r\nHost: x\r\n\r\n")
        for each in followers:
            while b"event: head" not in each.recv(65_536):
                pass
        sha256 = hashlib.sha256(stage.devices()[-1].read_bytes()).hexdigest()
        holding = threading.Thread(target=stage.tally, args=(VENDOR, "certificate", "hold", sha256))
        holding.start()
        heard: list[float] = []
        poller = select.poll()
        waiting = {each.fileno(): each for each in followers}
        for descriptor in waiting:
            poller.register(descriptor, select.POLLIN)
        while waiting:
            for descriptor, _ in poller.poll(60_000):
                if b"event: change" in waiting[descriptor].recv(65_536):
                    heard.append(time.monotonic())
                    poller.unregister(descriptor)
                    del waiting[descriptor]
        holding.join()
    yield Figure(
        "feed", f"{_FOLLOWERS:,} followers, from the first that hears of a hold to the last", heard[-1] - heard[0], "s"
    )


# A million certificates


def _million(root: Path) -> Iterator[Figure]:
    database = root / "index.sqlite"
    _fill(database, _MILLION)
    create_passphrase(root / "passphrase")
    keys = StatusKeys(root / "keys", (root / "passphrase").read_bytes)
    keys.create("Bench", int(time.time()) - 60)
    model = ReadModel(database)
    log, freshness = ChangeLog(model), Freshness(model)
    lists = CrlAnswers(model, log, freshness, keys)
    _, (scope,) = lists.scopes()
    with _timed() as full:
        contents = [lists.answer(CrlScope(SMALL_CELL, part, scope.parts), None) for part in range(scope.parts)]
    yield Figure(
        "crl", f"full, {_MILLION:,} certificates, {_REVOKED:,} revoked, all {scope.parts} parts", full[0], "s", "10"
    )
    yield Figure("crl", "the largest part", max(map(len, contents)) / 1e3, "kB", "1,000")
    base = model.head().number - 100
    with _timed() as delta:
        for part in range(scope.parts):
            lists.answer(CrlScope(SMALL_CELL, part, scope.parts), base)
    yield Figure("crl", f"delta of 100 blocks with a change each, all {scope.parts} parts", delta[0], "s", "0.5")
    answers = OcspAnswers(model, freshness, keys)
    cache = OcspCache(answers, model, log, freshness)
    for what, nonce in (("with nonce", b"n" * 16), ("cached", None)):
        asked = [_asked(secrets.randbelow(_MILLION), nonce) for _ in range(2_000)]
        for content in asked:
            cache.answer(content)
        with _timed() as spent:
            for content in asked:
                cache.answer(content)
        yield Figure("ocsp", f"{what}, of {_MILLION:,} certificates, without HTTP", len(asked) / spent[0], "/s")


@contextmanager
def _timed() -> Iterator[list[float]]:
    spent: list[float] = []
    begun = time.perf_counter()
    yield spent
    spent.append(time.perf_counter() - begun)


_ISSUER = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Acme Cells")]).public_bytes()


def _key(number: int) -> bytes:
    return hashlib.sha256(b"key" + number.to_bytes(4)).digest()


def _asked(number: int, nonce: bytes | None) -> bytes:
    cert_id = encoding.sequence(
        encoding.sequence(encoding.object_identifier(SHA1), b"\x05\x00"),
        encoding.octet_string(hashlib.sha1(_ISSUER, usedforsecurity=False).digest()),
        encoding.octet_string(_key(number)[:20]),
        encoding.integer((1 << 126) + number),
    )
    extensions = b""
    if nonce is not None:
        extensions = encoding.explicit(2, encoding.sequence(encoding.extension(NONCE, encoding.octet_string(nonce))))
    entries = encoding.sequence(encoding.sequence(cert_id))
    return encoding.sequence(encoding.sequence(entries, extensions))


def _fill(database: Path, count: int) -> None:
    """A read model as so many certificates leave it, written without a ledger: only what lists and OCSP read."""
    writer = schema.open_writer(database)
    connection: sqlite3.Connection = writer.conn
    now, first = int(time.time()), 1_000
    connection.execute("PRAGMA synchronous=OFF")
    with writer.atomic():
        connection.execute("INSERT INTO head VALUES (1, ?, x'00', x'00', ?, '')", (first + count // 50, now + 10))
        connection.execute("INSERT INTO parameters VALUES (1, 30, 60, 72, 172800, 2592000)")
        connection.execute("INSERT INTO profiles VALUES (?, '{}')", (SMALL_CELL,))
        _rows(
            connection,
            "batches",
            (
                {
                    "id": 1,
                    "accepted": b"\xff" * 32,
                    "rejected": bytes(32),
                    "submitted_at": 0,
                    "window_end": 0,
                    "decided_at": 1,
                }
                for _ in range(1)
            ),
        )
        _rows(connection, "certificates", (_certificate(number, now, count // 50) for number in range(count)))
        _rows(
            connection,
            "changes",
            (
                {"position": (first + number) << 20, "kind": "revoked", "reason": 1, "certificate": _key(number)}
                for number in range(count // 50)
            ),
        )
        connection.execute("UPDATE head SET time = ?", (int(time.time()) + 10,))
    writer.close()


def _certificate(number: int, now: int, revoked_before: int) -> dict[str, object]:
    key, revoked = _key(number), number < revoked_before
    return {
        "id": key,
        "sha256": key,
        "spki_sha256": key,
        "key_sha1": key[:20],
        "key_sha256": key,
        "issuer": _ISSUER,
        "serial": format((1 << 126) + number, "x"),
        "not_before": 0,
        "not_after": now + 10**7,
        "profile": SMALL_CELL,
        "lot": 1,
        "batch": 1,
        "entry": number % 200,
        "state": 5 if revoked else 1,
        "flags": 0,
        "hold_counter": 0,
        "reason": 1 if revoked else 0,
        "changed_at": now,
        "emergency_until": 0,
        "told": int(Status.REVOKED if revoked else Status.VALID),
        "der": b"",
    }


def _rows(connection: sqlite3.Connection, table: str, rows: Iterator[dict[str, object]]) -> None:
    first = next(rows)
    statement = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({', '.join('?' for _ in first)})"  # noqa: S608
    connection.execute(statement, tuple(first.values()))
    connection.executemany(statement, (tuple(row.values()) for row in rows))
