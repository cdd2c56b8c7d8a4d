"""Self-issued certificates a second: keys and certificates in memory, on all processors, and as `tally device new`.

Beside it: the least that any program on the same library does (make a key, sign one digest), and openssl's own command.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.ports import NameRange, RangeKind
from pki_chain.x509.certificate import SubjectAltName
from pki_chain.x509.profile import SMALL_CELL, SanType
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.self_signed import create_key, issue
from pki_chain.x509.verify import check_certificate
from tests.bench.figures import Figure, machine, median_rate

_COUNT = 4_000
_BY_OPENSSL = 20
_REALM = "cells.bench.example"


def _issue(count: int) -> int:
    now = int(time.time())
    for number in range(count):
        names = [SubjectAltName(SanType.DNS, f"{number:012x}.{_REALM}".encode())]
        issue(
            create_key(), profile=SMALL_CELL, organisation="Bench Cells", names=names, not_before=now, lifetime_days=365
        )
    return count


def _least(count: int) -> int:
    """A key and one signature each: what no issuer on this library can go below."""
    for _ in range(count):
        create_key().sign(b"", ec.ECDSA(hashes.SHA256()))
    return count


def _openssl(count: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        for number in range(count):
            certificate = f"{directory}/{number}"
            command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {directory}/key"
            subprocess.run(
                [*command.split(), "-out", certificate, "-subj", "/O=Bench Cells"], check=True, capture_output=True
            )
    return count


def _check(count: int) -> int:
    now = int(time.time())
    name = b"000000000000." + _REALM.encode()
    der = issue(
        create_key(),
        profile=SMALL_CELL,
        organisation="Bench Cells",
        names=[SubjectAltName(SanType.DNS, name)],
        not_before=now,
        lifetime_days=365,
    )
    rules = CertificateRules(
        SMALL_CELL, "Bench Cells", (NameRange(RangeKind.DNS, 0, 0, 0, _REALM.encode()),), block_time=now
    )
    for _ in range(count):
        check_certificate(der, rules)
    return count


def measure() -> Iterator[Figure]:
    """Figures of issuing and of the independent check."""
    processors = int(machine()["processors"])
    least = median_rate(lambda: _least(_COUNT // 2), time.perf_counter)
    one = median_rate(lambda: _issue(_COUNT // 2), time.perf_counter)
    yield Figure("issue", "key and certificate, one process", one, "/s", "", least, "key and one signature")
    with ProcessPoolExecutor(processors) as pool:

        def together() -> int:
            return sum(pool.map(_issue, [_COUNT // processors] * processors))

        def least_together() -> int:
            return sum(pool.map(_least, [_COUNT // processors] * processors))

        rate, bound = median_rate(together, time.perf_counter), median_rate(least_together, time.perf_counter)
    yield Figure(
        "issue", f"key and certificate, {processors} processes", rate, "/s", "2,500", bound, "key and one signature"
    )
    openssl = median_rate(lambda: _openssl(_BY_OPENSSL), time.perf_counter)
    yield Figure("issue", "key and certificate, one process", one, "/s", "", openssl, "openssl req, a process each")
    checked = median_rate(lambda: _check(_COUNT // 4), time.perf_counter)
    yield Figure("check", "strict check in Python, one process", checked, "/s")


def files(directory: Path) -> Figure:
    """`tally device new`: with keys and certificates in files."""
    command = [".venv/bin/tally", "device", "new", str(directory), "--organisation", "Bench Cells", "--realm", _REALM]
    begun = time.perf_counter()
    subprocess.run(
        [*command, "--first-eui", "000000000001", "--count", str(_COUNT), "--json"], check=True, capture_output=True
    )
    seconds = time.perf_counter() - begun
    return Figure("issue", "tally device new, keys and certificates in files", _COUNT / seconds, "/s", "2,500")
