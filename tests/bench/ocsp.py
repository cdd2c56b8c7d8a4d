"""OCSP over HTTP at a thousand and at a million certificates, beside `openssl ocsp`, `cfssl ocspserve` and nginx.

Ours is the gateway's front over a read model that was written without a ledger. Each figure is the median of rounds.
cfssl gives answers that were signed before, and takes no notice of a nonce: it stands beside ours that are kept.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from pki_chain.chain.signer import create_passphrase
from pki_chain.demo.processes import free_port, wait_until
from pki_chain.status.status_key import StatusKeys
from tests.bench import ocsp_server
from tests.bench.figures import MISSING, Figure
from tests.bench.relying import _ask, _asked, _beside_openssl, _fill, _openssl, _Responder
from tests.bench.serving import _cpu_s, _nginx, _wrk

_CFSSL: str = "github.com/cloudflare/cfssl/cmd/cfssl@v1.6.5"
_ASKED = 1_000
_ROUNDS = 3
_BLOCK_S = 4
_NONCE = b"0123456789abcdef"
_SCRIPT = """
local head = {["Content-Type"] = "application/ocsp-request"}
local asked = {ASKED}
local NONCE = NONCED
request = function()
  local body = asked[math.random(#asked)]
  if NONCE then
    local nonce = {}
    for place = 1, 16 do nonce[place] = string.char(math.random(0, 255)) end
    body = body .. table.concat(nonce)
  end
  return wrk.format("POST", "PATH", head, body)
end
"""


def measure() -> Iterator[Figure]:
    """All figures of this section."""
    if shutil.which("wrk") is None:
        yield Figure("ocsp", "OCSP over HTTP (needs wrk)", 0, "/s", "", None, "wrk not installed")
        return
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        certificate, key = _authority()
        cfssl, nginx = _cfssl(root, certificate, key), _nginx()
        with _openssl(root, certificate.public_bytes(Encoding.DER)) as openssl:
            for count in (1_000, 1_000_000):
                yield from _ours(root / str(count), count, openssl, cfssl)
        name = f"nginx, a file of 900 bytes{'' if nginx else f': {MISSING}'}"
        yield Figure("ocsp", name, nginx or 0, "/s")


def _ours(root: Path, count: int, openssl: _Responder | None, cfssl: tuple[float, float] | None) -> Iterator[Figure]:
    root.mkdir()
    _fill(root / ocsp_server.DATABASE, count)
    create_passphrase(root / ocsp_server.PASSPHRASE)
    keys = StatusKeys(root / ocsp_server.KEYS, (root / ocsp_server.PASSPHRASE).read_bytes)
    keys.create("Bench", int(time.time()) - 60)
    numbers = [secrets.randbelow(count) for _ in range(_ASKED)]
    command = [sys.executable, "-m", "tests.bench.ocsp_server", str(root)]
    beside_cfssl = "cfssl ocspserve" if cfssl else f"cfssl: {MISSING}"
    with _server(command) as (pid, port), _blocks(root / ocsp_server.DATABASE):
        of = f"of {count:,} certificates"
        ours = _Responder(port, pid, lambda: _asked(secrets.choice(numbers), secrets.token_bytes(16)))
        yield from _beside_openssl(of, ours, openssl)
        for what, nonce in (("with nonce", _NONCE), ("kept", None)):
            script = _script(root, "/ocsp", [_asked(number, nonce) for number in numbers], is_nonced=nonce is not None)
            rate, cpu = _driven(pid, port, script)
            _ask(port, [_asked(numbers[0], nonce)])  # still an answer, and no tryLater
            beside = cfssl if nonce is None else None
            name = beside_cfssl if nonce is None else ""
            aim = "cfssl" if nonce is None else ""
            yield Figure("ocsp", f"{what}, 32 connections, {of}", rate, "/s", aim, beside and beside[0], name)
            yield Figure("ocsp", f"CPU, {what}, 32 connections, {of}", cpu, "ms", "", beside and beside[1], name)


@contextmanager
def _blocks(database: Path) -> Iterator[None]:
    """A block every few seconds, as from a ledger: about an old one a gateway says nothing."""
    ended = threading.Event()

    def mine() -> None:
        while True:
            with closing(sqlite3.connect(database)) as connection, connection:
                connection.execute(
                    "UPDATE head SET number = number + 1, hash = randomblob(32), time = ?", (int(time.time()),)
                )
            if ended.wait(_BLOCK_S):
                return

    mining = threading.Thread(target=mine)
    mining.start()
    try:
        yield
    finally:
        ended.set()
        mining.join()


def _driven(pid: int, port: int, script: Path) -> tuple[float, float]:
    """Answers a second and CPU ms an answer, by wrk."""
    rounds = []
    for _ in range(_ROUNDS):
        before = _cpu_s(pid)
        rate, answered, _ = _wrk(f"http://127.0.0.1:{port}", "-s", str(script))
        rounds.append((rate, (_cpu_s(pid) - before) / max(answered, 1) * 1e3))
    rate, cpu = (statistics.median(each) for each in zip(*rounds, strict=True))
    return rate, cpu


def _script(root: Path, path: str, asked: Sequence[bytes], *, is_nonced: bool) -> Path:
    """wrk's script: any of these requests, their last octets another nonce each time."""
    bodies = [each.removesuffix(_NONCE) if is_nonced else each for each in asked]
    table = ",".join('"' + "".join(f"\\{octet:03}" for octet in body) + '"' for body in bodies)
    target = root / f"{is_nonced}.lua"
    text = _SCRIPT.replace("ASKED", table).replace("NONCED", str(is_nonced).lower()).replace("PATH", path)
    target.write_text(text, encoding="ascii")
    return target


@contextmanager
def _server(command: Sequence[str]) -> Iterator[tuple[int, int]]:
    """A server that takes its port as last argument, until it listens: its process id and port."""
    port = free_port()
    with subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL, process_group=0) as process:
        try:
            listening = f":{port:04X} "
            wait_until("it listens", lambda: listening in _listeners())
            yield process.pid, port
        finally:
            process.terminate()


def _listeners() -> str:
    return Path("/proc/net/tcp6").read_text() + Path("/proc/net/tcp").read_text()


def _cfssl(root: Path, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[float, float] | None:
    """Rate and CPU of `cfssl ocspserve` with a thousand answers; None where there is neither cfssl nor Go."""
    program = _find_cfssl(root)
    if program is None:
        return None
    responses, asked = [], []
    now = datetime.now(UTC).replace(tzinfo=None)
    for _ in range(_ASKED):
        certificate = _certify(issuer, key)
        built = ocsp.OCSPResponseBuilder().add_response(
            certificate,
            issuer,
            hashes.SHA1(),  # noqa: S303 - as requests name it
            ocsp.OCSPCertStatus.GOOD,
            now,
            now + timedelta(days=1),
            None,
            None,
        )
        signed = built.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer).sign(key, hashes.SHA256())
        responses.append(base64.b64encode(signed.public_bytes(Encoding.DER)).decode())
        request = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1()).build()  # noqa: S303
        asked.append(request.public_bytes(Encoding.DER))
    source = root / "responses"
    source.write_text("\n".join(responses) + "\n", encoding="ascii")
    command = [str(program), "ocspserve", "-loglevel=5", "-address=127.0.0.1", f"-responses={source}", "-port"]
    with _server(command) as (pid, port):
        return _driven(pid, port, _script(root, "/", asked, is_nonced=False))


def _find_cfssl(root: Path) -> Path | None:
    """Debian's, or one that Go builds into a directory of this run."""
    found = shutil.which("cfssl")
    if found:
        return Path(found)
    go = shutil.which("go")
    if go is None:
        print("cfssl is neither installed nor can Go build it: ours stands without it", file=sys.stderr)
        return None
    built = subprocess.run(
        [go, "install", _CFSSL],
        check=False,
        capture_output=True,
        env={**os.environ, "GOBIN": str(root), "GOFLAGS": "-modcacherw"},
    )
    if built.returncode:
        print(f"Go could not build {_CFSSL}: {built.stderr.decode()[-300:]}", file=sys.stderr)
        return None
    return root / "cfssl"


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Bench CA")])
    return _build(name, name, key.public_key(), key), key


def _certify(issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return _build(x509.Name([]), issuer.subject, key.public_key(), key)


def _build(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
