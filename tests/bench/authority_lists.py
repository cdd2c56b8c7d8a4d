"""Lists of one CA that issued a million certificates, as a gateway makes them from its read model."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from pki_chain.chain.signer import create_passphrase
from pki_chain.gateway.authority_lists import AuthorityLists
from pki_chain.gateway.services import INDEX_FILE
from pki_chain.index.change_writer import POSITIONS_A_BLOCK
from pki_chain.ports import DelegationKind, Status
from pki_chain.status.list_address import FULL_PART
from tests.bench.figures import Figure
from tests.gateway.conftest import Gateway, opened
from tests.index.recorded_ledger import SMALL_CELL, RecordedLedger
from tests.relying.issuer import Issuer, publish_root

_COUNT: Final = 1_000_000
_REVOKED: Final = 20_000
_BLOCKS: Final = 100
_PARTS: Final = -(-_COUNT // FULL_PART)
_EVERY: Final = _COUNT // _REVOKED
_SERIAL: Final = 1 << 158
"""Serial numbers as long as they may be."""

_T = TypeVar("_T")


def measure() -> Iterator[Figure]:
    """All figures of this section."""
    with tempfile.TemporaryDirectory() as directory, opened(Path(directory), RecordedLedger(int(time.time()))) as found:
        create_passphrase(found.config.keystore.passphrase_file)
        authority = publish_root(found)
        authority.delegate(DelegationKind.CRL_SIGNING)
        found.catch_up()
        _fill(found, authority)
        lists, of = found.services.authority_lists, authority.authority.id
        two_percent = f"{_COUNT:,} certificates of a CA, {_REVOKED:,} revoked"
        yield from _figures(lists, of, two_percent, "10", "0.5")
        with _connected(found) as connection:
            connection.execute("UPDATE certificates SET told = ?, state = 5, reason = 4", (int(Status.REVOKED),))
            connection.execute("UPDATE head SET number = number + 1")
        yield from _figures(lists, of, f"{_COUNT:,} certificates of a CA, all revoked", "", "")


def _figures(lists: AuthorityLists, of: bytes, what: str, full_aim: str, delta_aim: str) -> Iterator[Figure]:
    base = lists.parts(of)[0].number - _BLOCKS
    spent, contents = _timed(lambda: [lists.answer(of, part, None) for part in range(_PARTS)])
    yield Figure("CA lists", f"{what}: full, all {_PARTS} parts", spent, "s", full_aim)
    yield Figure("CA lists", f"{what}: the largest part", max(map(len, contents)) / 1e3, "kB", "1,000")
    spent, contents = _timed(lambda: [lists.answer(of, part, base) for part in range(_PARTS)])
    yield Figure("CA lists", f"{what}: deltas of {_BLOCKS} blocks, all {_PARTS} parts", spent, "s", delta_aim)
    spent, contents = _timed(lambda: [lists.answer(of, None, None)])
    yield Figure("CA lists", f"{what}: the list of all", spent, "s", full_aim)
    yield Figure("CA lists", f"{what}: the list of all", len(contents[0]) / 1e3, "kB")


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    begun = time.perf_counter()
    done = work()
    return time.perf_counter() - begun, done


def _fill(gateway: Gateway, authority: Issuer) -> None:
    """The rows that so many certificates leave, written without a ledger: only what lists read. One is revoked in each
    of the last blocks."""
    first = gateway.ledger.head().number
    with _connected(gateway) as connection:
        connection.executemany(
            "INSERT INTO list_addresses (authority, part, address) VALUES (?, ?, ?)",
            ((authority.authority.id, part, _address(authority, part)) for part in range(_PARTS)),
        )
        columns = (
            "id, sha256, spki_sha256, authority, list_part, issuer, serial, state, told, reason, changed_at, profile"
        )
        connection.executemany(
            f"INSERT INTO certificates ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
            (_row(authority, number, gateway.ledger.time) for number in range(_COUNT)),
        )
        connection.executemany(
            "INSERT INTO changes (position, kind, reason, certificate) VALUES (?, 'revoked', 4, ?)",
            (((first + each) * POSITIONS_A_BLOCK, _key(each * _EVERY)) for each in range(_REVOKED)),
        )
        connection.execute("UPDATE head SET number = ?", (first + _REVOKED,))


def _row(authority: Issuer, number: int, now: int) -> tuple[object, ...]:
    key, of = _key(number), authority.authority
    state = (5, int(Status.REVOKED), 4) if number % _EVERY == 0 else (1, int(Status.VALID), 0)
    serial = format(_SERIAL + number, "x")
    return (key, key, key, of.id, number // FULL_PART, of.subject, serial, *state, now, SMALL_CELL)


def _key(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4)).digest()


def _address(authority: Issuer, part: int) -> str:
    return f"http://gateway.operator.example:8080/crl/{authority.name}/{part}.crl"


@contextmanager
def _connected(gateway: Gateway) -> Iterator[sqlite3.Connection]:
    """The read model, to be written to; whoever reads sees it whole."""
    with closing(sqlite3.connect(gateway.config.gateway.data / INDEX_FILE)) as connection, connection:
        yield connection
