"""A member hears of certificates for its names that it did not expect, once each, and of ends to come."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from pki_chain.cli import monitor as command
from pki_chain.errors import LedgerUnavailableError, StorageError
from pki_chain.monitor.gateway_reader import GatewayReader
from pki_chain.monitor.names_watch import NamesWatch, Space, load_expected
from pki_chain.ports import DelegationKind
from pki_chain.x509.certificate import parse_certificate
from tests.certificates import REALM
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import AUTHORITY, OEM, VENDOR, certificate, certificates
from tests.relying.issuer import publish_root

OURS = [Space("dns", 0, REALM.encode())]


def sha256_of(number: int) -> str:
    return parse_certificate(certificate(number)).sha256.hex()


def found(watch: NamesWatch) -> list[str]:
    return [warning.sha256 for warning in watch.look()]


def test_one_s_own_are_expected(publishing: Gateway, address: str) -> None:
    assert found(NamesWatch(GatewayReader([address]), VENDOR, OURS, None, None)) == []


def test_others_with_one_s_names_are_not(publishing: Gateway, address: str) -> None:
    watch = NamesWatch(GatewayReader([address]), OEM, OURS, None, None)
    warnings = list(watch.look())
    assert [warning.sha256 for warning in warnings] == [sha256_of(number) for number in range(3)]
    assert warnings[0].names == (f"00a1b2c3d000.{REALM}",)
    assert f"member {VENDOR}" in warnings[0].text
    assert found(NamesWatch(GatewayReader([address]), OEM, [Space("dns", 0, b"oem.example")], None, None)) == []


def test_one_s_own_that_one_did_not_make(publishing: Gateway, address: str, tmp_path: Path) -> None:
    listed = tmp_path / "expected"
    listed.write_text(f"# made on Monday\n{sha256_of(0)}\n{sha256_of(2).upper()}  # the last\n\n")
    watch = NamesWatch(GatewayReader([address]), VENDOR, OURS, load_expected(listed), None)
    assert found(watch) == [sha256_of(1)]
    with pytest.raises(StorageError):
        load_expected(tmp_path / "missing")


def test_nothing_twice_and_nothing_missed(publishing: Gateway, address: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = NamesWatch(GatewayReader([address]), OEM, OURS, None, state)
    assert len(found(first)) == 3
    assert found(first) == []
    publishing.ledger.hold(certificate(0))
    publishing.ledger.accept(certificates(2, first=10))
    publishing.catch_up()
    again = NamesWatch(GatewayReader([address]), OEM, OURS, None, state)
    assert found(again) == [sha256_of(10), sha256_of(11)]
    assert found(NamesWatch(GatewayReader([address]), OEM, OURS, None, state)) == []
    for bad in ("nothing", '{"cursor": "x"}', "[]"):
        state.write_text(bad)
        with pytest.raises(StorageError):
            NamesWatch(GatewayReader([address]), OEM, OURS, None, state)


def test_the_cursor_is_stored_after_the_warnings_were_taken(publishing: Gateway, address: str, tmp_path: Path) -> None:
    """Who crashes while handling one hears of it again."""
    state = tmp_path / "state"
    warnings = NamesWatch(GatewayReader([address]), OEM, OURS, None, state).look()
    next(warnings)
    warnings.close()  # type: ignore[attr-defined]
    assert not state.exists()
    assert len(found(NamesWatch(GatewayReader([address]), OEM, OURS, None, state))) == 3
    assert json.loads(state.read_text())["cursor"].isdigit()


def test_expiries_to_come(publishing: Gateway, address: str) -> None:
    watch = NamesWatch(GatewayReader([address]), VENDOR, OURS, None, None)
    ends = parse_certificate(certificate(0)).not_after
    assert {warning.sha256 for warning in watch.expiring(ends + 1)} == {sha256_of(number) for number in range(3)}
    assert list(watch.expiring(ends)) == []
    assert list(watch.expiring(ends + 1)) == []  # each is told once, however long one follows
    publishing.ledger.accept(certificates(1, first=10))
    publishing.catch_up()
    assert [warning.sha256 for warning in watch.expiring(ends + 1)] == [sha256_of(10)]


def test_who_follows_hears_of_ends_that_come_near_later(
    publishing: Gateway, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day at a time: nothing ends soon at first, and three do in the end, each told once."""
    ends = parse_certificate(certificate(0)).not_after
    clock = [float(ends - 3 * 86_400)]
    looks = 0

    def wait(_: threading.Event, timeout: float | None = None) -> bool:
        nonlocal looks
        looks += 1
        clock[0] += 86_400
        return False

    class Stopping(threading.Event):
        def is_set(self) -> bool:
            return looks >= 5

    monkeypatch.setattr(Stopping, "wait", wait)
    monkeypatch.setattr(command, "stop_on_signals", lambda _: Stopping())
    monkeypatch.setattr(command, "time", SimpleNamespace(time=lambda: clock[0], monotonic=lambda: clock[0]))
    (tmp_path / "tally.toml").write_text(f'[member]\nid = {VENDOR}\nname = "Acme Cells"\n')
    arguments = ["--config", str(tmp_path / "tally.toml"), "--gateway", address, "--expires-within", "1", "--follow"]
    done = CliRunner().invoke(command.monitor, arguments)
    assert done.exit_code == 0, done.output
    assert sorted(line.split(": ")[1] for line in done.output.splitlines()) == sorted(map(sha256_of, range(3)))


def test_cas_and_delegations_that_end(publishing: Gateway, address: str) -> None:
    root = publish_root(publishing)
    watch = NamesWatch(GatewayReader([address]), AUTHORITY, OURS, None, None)
    publishing.catch_up()
    assert list(watch.expiring_authorities(root.authority.not_after)) == []
    (ends,) = watch.expiring_authorities(root.authority.not_after + 1)
    assert (ends.sha256, ends.text[:5]) == (hashlib.sha256(root.authority.der).hexdigest(), "CA 0x")
    first = root.delegate(DelegationKind.OCSP_SIGNING, days=5)
    root.delegate(DelegationKind.CRL_SIGNING, days=20)
    publishing.catch_up()
    again = NamesWatch(GatewayReader([address]), AUTHORITY, OURS, None, None)
    (ends,) = again.expiring_authorities(0)
    assert (ends.sha256, "ocsp-signing" in ends.text) == (hashlib.sha256(first).hexdigest(), True)
    assert list(again.expiring_authorities(0)) == []
    second = root.delegate(DelegationKind.OCSP_SIGNING, days=20)
    publishing.catch_up()
    assert list(NamesWatch(GatewayReader([address]), AUTHORITY, OURS, None, None).expiring_authorities(0)) == []
    root.withdraw_delegation(second)
    publishing.catch_up()
    (ends,) = NamesWatch(GatewayReader([address]), AUTHORITY, OURS, None, None).expiring_authorities(0)
    assert ends.sha256 == hashlib.sha256(first).hexdigest()
    assert list(NamesWatch(GatewayReader([address]), OEM, OURS, None, None).expiring_authorities(1 << 40)) == []
    root.withdraw()
    publishing.catch_up()
    assert list(NamesWatch(GatewayReader([address]), AUTHORITY, OURS, None, None).expiring_authorities(1 << 40)) == []


def test_a_trust_list_that_is_none(publishing: Gateway) -> None:
    class Odd:
        def read_object(self, _path: str, _query: dict[str, object]) -> dict[str, Any]:
            return {"authorities": [{"state": "live"}], "block": {"time": 0}}

    with pytest.raises(LedgerUnavailableError):
        list(NamesWatch(Odd(), OEM, OURS, None, None).expiring_authorities(1))


def test_a_page_that_is_none(publishing: Gateway) -> None:
    class Odd:
        def read_object(self, path: str, query: dict[str, object]) -> dict[str, Any]:
            assert (path, query["after"]) == ("/v1/changes", "0")
            return {"changes": [{}], "cursor": "1", "more": False}

    with pytest.raises(LedgerUnavailableError):
        found(NamesWatch(Odd(), OEM, OURS, None, None))


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [
        (
            Space("dns", 0, b"a.example"),
            [("dns", "a.example"), ("dns", "x.a.example")],
            [("dns", "xa.example"), ("uri", "a.example")],
        ),
        (Space("urn", 0, b"urn:dev:"), [("uri", "urn:dev:1")], [("uri", "urn:de"), ("dns", "urn:dev:1")]),
        (
            Space("oui", 24, bytes.fromhex("02a0f2")),
            [("dns", "02a0f2000001.any.example"), ("dns", "02a0f2fffe000001.x")],
            [("dns", "02a0f3000001.any.example"), ("dns", "gate.example"), ("uri", "02a0f2000001.x")],
        ),
        (Space("oui", 28, bytes.fromhex("02a0f210")), [("dns", "02a0f21fffff.x")], [("dns", "02a0f2200000.x")]),
        (
            Space("ip", 24, bytes([192, 0, 2, 0])),
            [("ip", "192.0.2.7")],
            [("ip", "192.0.3.7"), ("ip", "2001:db8::1"), ("dns", "192.0.2.7")],
        ),
        (Space("ip", 32, bytes.fromhex("20010db8" + "00" * 12)), [("ip", "2001:db8::1")], [("ip", "2001:db9::1")]),
    ],
    ids=lambda each: each.kind if isinstance(each, Space) else None,
)
def test_name_spaces(space: Space, inside: Sequence[tuple[str, str]], outside: Sequence[tuple[str, str]]) -> None:
    assert all(space.covers(*name) for name in inside)
    assert not any(space.covers(*name) for name in outside)
