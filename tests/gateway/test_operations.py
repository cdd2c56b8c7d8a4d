"""For operators, and lists for members."""

from __future__ import annotations

import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pki_chain.config import GatewaySection
from pki_chain.errors import ConfigurationError, StorageError
from pki_chain.gateway.app import create_app
from pki_chain.gateway.front import THREADS
from pki_chain.gateway.problems import RejectedError
from pki_chain.gateway.rate_limit import RateLimit, subscriber
from pki_chain.gateway.serve import check_exposure
from pki_chain.gateway.services import AUDIT_FILE, LEDGER_PLACES
from tests.gateway.conftest import Clock, Gateway, problem_code
from tests.index.recorded_ledger import certificates

LISTS = ("/v1/members", "/v1/lots", "/v1/lots/1", "/v1/proposals")


def test_health_and_readiness(gateway: Gateway) -> None:
    assert gateway.client.get("/healthz").get_json() == {"status": "ok"}
    assert gateway.client.get("/readyz").get_json()["status"] == "ready"
    gateway.clock.seconds += 100
    assert gateway.client.get("/healthz").status_code == 200
    assert problem_code(gateway.client.get("/readyz"), 503) == "stale"


def test_not_ready_before_the_ledger_was_read(gateway: Gateway, tmp_path: Path) -> None:
    config = replace(gateway.config, gateway=GatewaySection(data=tmp_path / "empty"))
    client = create_app(config, gateway.clock).test_client()
    for path in ("/readyz", f"/v1/certificates/{'00' * 32}/status", "/v1/lots/1"):
        assert problem_code(client.get(path), 503) == "not-ready"
    assert problem_code(client.post("/v1/submissions", json=gateway.envelope(certificates(1))), 503) == "not-ready"
    assert "tally_read_model_up 0" in client.get("/metrics").get_data(as_text=True)


def test_metrics(gateway: Gateway) -> None:
    gateway.client.post("/v1/submissions", json=gateway.envelope(certificates(1)))
    gateway.client.get("/v1/certificates/zz/status")
    text = gateway.client.get("/metrics").get_data(as_text=True)
    lines = text.splitlines()
    assert "tally_read_model_up 1" in lines
    assert f"tally_block_number {gateway.ledger.head().number}" in lines
    assert 'tally_inbox{kind="submissions",state="stored"} 1' in lines
    assert 'tally_requests_total{route="submit",status="2xx"} 1' in lines
    assert 'tally_requests_total{route="status",status="4xx"} 1' in lines


def test_members_lots_profiles(gateway: Gateway) -> None:
    members = gateway.client.get("/v1/members").get_json()["members"]
    assert [member["kind"] for member in members] == ["operator", "vendor", "oem", "certificate_authority"]
    assert {account["role"] for account in members[1]["accounts"]} == {"station", "administrator"}
    lot = gateway.client.get("/v1/lots/1").get_json()
    assert (lot["open"], lot["stations"]) == (True, [gateway.ledger.station.address])
    assert [each["id"] for each in gateway.client.get("/v1/lots").get_json()["lots"]] == [1]
    assert gateway.client.get("/v1/profiles/2").get_json()["content"]["name"] == "small-cell"
    for path in ("/v1/lots/2", "/v1/profiles/9"):
        assert problem_code(gateway.client.get(path), 404) == "not-found"


def test_lists_are_for_members(gateway: Gateway, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-more-than-thirty-two-characters\n")
    config = replace(gateway.config, gateway=replace(gateway.config.gateway, token_file=token))
    client = create_app(config, gateway.clock).test_client()
    for path in LISTS:
        assert problem_code(client.get(path), 401) == "member-token"
        wrong = {"Authorization": "Bearer another-token-of-more-than-thirty-two-chars"}
        assert problem_code(client.get(path, headers=wrong), 401) == "member-token"
        right = {"Authorization": f"Bearer {token.read_text().strip()}"}
        assert client.get(path, headers=right).status_code == 200
    assert client.get(f"/v1/certificates/{'00' * 32}/status").status_code == 200


@pytest.mark.parametrize("content", [None, "short"])
def test_bad_token_file(gateway: Gateway, tmp_path: Path, content: str | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    config = replace(gateway.config, gateway=replace(gateway.config.gateway, token_file=token))
    with pytest.raises(ConfigurationError, match=r"gateway\.token_file"):
        create_app(config)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("gw.example", False)],  # noqa: S104
)
def test_beyond_loopback_only_with_a_token(gateway: Gateway, tmp_path: Path, host: str, allowed: bool) -> None:
    config = replace(gateway.config, gateway=replace(gateway.config.gateway, host=host))
    if allowed:
        check_exposure(config)
        return
    with pytest.raises(ConfigurationError, match=r"gateway\.host"):
        check_exposure(config)


def test_beyond_loopback_with_a_token(gateway: Gateway, tmp_path: Path) -> None:
    section = replace(gateway.config.gateway, host="0.0.0.0", token_file=tmp_path / "token")  # noqa: S104
    check_exposure(replace(gateway.config, gateway=section))


def test_a_port_is_needed(gateway: Gateway) -> None:
    with pytest.raises(ConfigurationError, match=r"gateway\.port"):
        check_exposure(replace(gateway.config, gateway=replace(gateway.config.gateway, port=0)))


def test_paths_and_methods_that_are_none(gateway: Gateway) -> None:
    assert problem_code(gateway.client.get("/v2"), 404) == "no-such-route"
    response = gateway.client.delete("/v1/submissions")
    assert problem_code(response, 405) == "method-not-allowed"
    assert "POST" in response.headers["Allow"]


def test_a_defect_tells_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("pki_chain.index.queries.ReadModel.lot", fail)
    response = gateway.client.get("/v1/lots/1")
    assert problem_code(response, 500) == "internal"
    assert "secret" not in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("a:b", "a:b"),
    ],
)
def test_a_network_of_addresses_is_one_client(address: str, owner: str) -> None:
    assert subscriber(address) == owner


def test_a_full_disk_keeps_nobody_from_answers(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting is no reason to fail, or to be killed by a write to memory that the disk has no space for."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert gateway.client.get("/healthz").status_code == 200
    assert b"tally_requests_total{" not in gateway.client.get("/metrics").get_data()


def test_addresses_of_one_network_share_their_writes() -> None:
    limit = RateLimit(rate=1.0, burst=2, clock=lambda: 0.0)
    limit.take("2001:db8::1")
    limit.take("2001:db8::2")
    with pytest.raises(RejectedError):
        limit.take("2001:db8::3")
    limit.take("2001:db8:0:1::1")


def test_who_waits_for_the_ledger_keeps_nobody_else_from_answers(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that takes its time holds half of the threads; the next order is sent away at once."""
    answered, waiting = threading.Event(), threading.Semaphore(0)

    def wait(_: object, *__: object) -> bytes:
        waiting.release()
        assert answered.wait(30)
        return b""

    monkeypatch.setattr(gateway.services.ledger, "simulate", wait)
    content = {"order": "execute", "proposal": 1, "content": "0x"}
    application = gateway.client.application
    assert LEDGER_PLACES < THREADS

    def post(number: int) -> Any:
        return application.test_client().post("/v1/orders", json={**content, "proposal": number})

    with ThreadPoolExecutor(LEDGER_PLACES) as pool:
        slow = [pool.submit(post, number) for number in range(LEDGER_PLACES)]
        for _ in range(LEDGER_PLACES):
            assert waiting.acquire(timeout=30)
        response = post(99)
        assert problem_code(response, 503) == "busy"
        assert response.headers["Retry-After"] == "2"
        assert gateway.client.get("/healthz").status_code == 200
        answered.set()
        assert [each.result().status_code for each in slow] == [202] * LEDGER_PLACES
    assert post(99).status_code == 202


def test_a_line_of_the_audit_log_that_does_not_fit_spoils_no_other(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[: len(content) // 2 + 1]))
    with pytest.raises(StorageError, match="audit log"):
        gateway.services.audit.record("order", "192.0.2.1", "acknowledged", id="1")
    monkeypatch.undo()
    gateway.services.audit.record("order", "192.0.2.1", "acknowledged", id="2")
    path = gateway.config.gateway.data / AUDIT_FILE
    assert json.loads(path.read_text().splitlines()[-1])["id"] == "2"
    path.rename(path.with_suffix(".1"))
    gateway.services.audit.record("order", "192.0.2.1", "acknowledged", id="3")
    assert json.loads(path.read_text())["id"] == "3"


def test_rate_limit_refills_and_forgets() -> None:
    clock = Clock(0.0)
    limit = RateLimit(rate=2, burst=3, most_clients=2, clock=clock)
    for _ in range(3):
        limit.take("a")
    with pytest.raises(RejectedError):
        limit.take("a")
    limit.take("b")
    clock.seconds = 0.5
    limit.take("a")
    with pytest.raises(RejectedError):
        limit.take("a")
    for client in "cdef":
        limit.take(client)
    assert len(limit._buckets) == 2
