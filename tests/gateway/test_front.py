"""Between the HTTP server and Flask: slow, long and broken bodies, and the short way for status."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from pki_chain.chain.typed_data import batch_digest
from pki_chain.config import Network
from pki_chain.gateway.front import MAX_BODIES_A_CLIENT, MAX_BODY_BYTES, Front
from pki_chain.gateway.ocsp_answers import OcspCache
from pki_chain.gateway.proxies import client_address
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import certificate, certificates

CHUNK = {"type": "http.request", "more_body": True}
NEVER = {"type": "never"}


def scope(method: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1_234),
        **more,
    }


async def ask(
    front: Front, request: dict[str, Any], messages: Sequence[dict[str, Any]] = ()
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer; the client stops where NEVER stands."""
    left = list(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.request", "body": b"", "more_body": False}
        message = left.pop(0)
        if message is NEVER:
            await asyncio.Event().wait()
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await front(request, receive, send)
    start, body = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(headers["content-length"]) == len(body["body"])
    assert headers["x-content-type-options"] == "nosniff"
    return start["status"], headers, body["body"]


@pytest.fixture
def front(gateway: Gateway) -> Front:
    gateway.ledger.accept(certificates(1))
    gateway.catch_up()
    parts = gateway.services
    ocsp = OcspCache(parts.ocsp_answers, parts.read_model, parts.change_log, parts.freshness)
    return Front(gateway.client.application.wsgi_app, parts.status_answers, parts.counters, ocsp, body_timeout_s=0.2)


def code(body: bytes) -> str:
    return str(json.loads(body)["code"])


def test_status_is_the_same_on_both_ways(front: Front, gateway: Gateway) -> None:
    path = f"/v1/certificates/{hashlib.sha256(certificate(0)).hexdigest()}/status"
    status, headers, body = asyncio.run(ask(front, scope("GET", path)))
    by_route = gateway.client.get(path)
    assert (status, json.loads(body)) == (200, by_route.get_json())
    for name in ("Cache-Control", "Content-Type", "X-Content-Type-Options"):
        assert headers[name.lower()] == by_route.headers[name]


def test_what_is_not_good_takes_the_route(front: Front, gateway: Gateway) -> None:
    path = f"/v1/certificates/{'00' * 32}/status"
    gateway.clock.seconds += 100
    status, headers, body = asyncio.run(ask(front, scope("GET", path)))
    assert (status, code(body), headers["cache-control"]) == (503, "stale", "no-store")
    status, _, body = asyncio.run(ask(front, scope("GET", "/v1/certificates/zz/status")))
    assert (status, code(body)) == (400, "bad-sha256")


def test_a_body_in_parts(front: Front, gateway: Gateway) -> None:
    batch = certificates(2, first=1)
    content = json.dumps(gateway.envelope(batch)).encode()
    messages = [{**CHUNK, "body": content[:100]}, {**CHUNK, "body": content[100:]}, {**CHUNK, "more_body": False}]
    status, headers, _ = asyncio.run(ask(front, scope("POST", "/v1/submissions"), messages))
    assert status == 202
    assert headers["location"] == "/v1/submissions/0x" + batch_digest(batch).hex()


def test_a_body_that_does_not_come(front: Front) -> None:
    messages = [{**CHUNK, "body": b"{"}, NEVER]
    status, _, body = asyncio.run(ask(front, scope("POST", "/v1/submissions"), messages))
    assert (status, code(body)) == (408, "too-slow")


def test_a_body_without_end(front: Front) -> None:
    messages = [{**CHUNK, "body": b"x" * 65_536}] * 5
    status, _, body = asyncio.run(ask(front, scope("POST", "/v1/submissions"), messages))
    assert (status, code(body)) == (413, "body-too-large")
    whole = [{**CHUNK, "body": b"x" * MAX_BODY_BYTES}]
    status, _, body = asyncio.run(ask(front, scope("POST", "/v1/submissions"), whole))
    assert (status, code(body)) == (400, "not-json")


def test_a_client_that_leaves(front: Front) -> None:
    messages = [{**CHUNK, "body": b"{"}, {"type": "http.disconnect"}]
    status, _, body = asyncio.run(ask(front, scope("POST", "/v1/submissions"), messages))
    assert (status, code(body)) == (400, "cut-off")


def test_many_slow_bodies_keep_nobody_else_from_answers(front: Front, gateway: Gateway) -> None:
    path = f"/v1/certificates/{hashlib.sha256(certificate(0)).hexdigest()}/status"
    content = json.dumps(gateway.envelope(certificates(1, first=5))).encode()

    async def storm() -> list[tuple[int, dict[str, str], bytes]]:
        post = scope("POST", "/v1/submissions")
        slow = [asyncio.create_task(ask(front, post, [NEVER])) for _ in range(MAX_BODIES_A_CLIENT)]
        await asyncio.sleep(0)
        other = scope("POST", "/v1/submissions", client=("192.0.2.2", 1))
        quick = [
            await ask(front, post, [{**CHUNK, "body": content}]),
            await ask(front, other, [{**CHUNK, "body": content}]),
            await ask(front, scope("GET", path)),
            await ask(front, scope("GET", "/healthz")),
        ]
        slow_answers = await asyncio.gather(*slow)
        return [*quick, await ask(front, post, [{**CHUNK, "body": content}]), *slow_answers]

    same_client, other_client, status, health, afterwards, *slow = asyncio.run(storm())
    assert (same_client[0], code(same_client[2])) == (503, "busy")
    assert (other_client[0], status[0], health[0], afterwards[0]) == (202, 200, 200, 202)
    assert {answer[0] for answer in slow} == {408}


PROXIES = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/64"))


@pytest.mark.parametrize(
    ("peer", "named", "expected"),
    [
        ("192.0.2.1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8::9", ["2001:db8:0:1::1"], "2001:db8:0:1::1"),
        ("192.0.3.1", ["198.51.100.7"], "192.0.3.1"),
        ("2001:db8:0:1::1", ["198.51.100.7"], "2001:db8:0:1::1"),
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7", "198.51.100.8"], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7, 198.51.100.8"], "192.0.2.1"),
        ("192.0.2.1", ["somebody"], "192.0.2.1"),
        ("192.0.2.1", ["\xff"], "192.0.2.1"),
        ("192.0.2.1", ["fe80::1%" + "a" * 100], "192.0.2.1"),
        ("somewhere", ["198.51.100.7"], "somewhere"),
    ],
)
def test_only_a_proxy_of_ours_says_who_asks(peer: str, named: list[str], expected: str) -> None:
    headers = [(b"x-real-ip", each.encode("latin-1")) for each in named]
    assert client_address(scope("POST", "/", client=(peer, 1), headers=headers), PROXIES) == expected
    assert client_address(scope("POST", "/", client=(peer, 1), headers=headers), ()) == peer


def test_a_request_from_nowhere_is_of_nobody() -> None:
    assert client_address(scope("POST", "/", client=None), PROXIES) == "unknown"


@pytest.mark.parametrize(("trusted", "statuses"), [(PROXIES, [400, 429, 400]), ((), [400, 429, 429])])
def test_writes_count_for_whom_a_trusted_proxy_names(
    front: Front, gateway: Gateway, trusted: tuple[Network, ...], statuses: list[int]
) -> None:
    """One write each; the third is of another client of the same proxy."""
    gateway.services.rate_limit._burst, gateway.services.rate_limit._clock = 1, lambda: 0.0
    front._trusted_proxies = trusted
    for client, status in zip(("198.51.100.7", "198.51.100.7", "198.51.100.8"), statuses, strict=True):
        headers = [(b"content-type", b"application/json"), (b"x-real-ip", client.encode())]
        request = scope("POST", "/v1/submissions", headers=headers)
        assert asyncio.run(ask(front, request, [{**CHUNK, "body": b"{}", "more_body": False}]))[0] == status


def test_headers_and_path_reach_the_route(front: Front, gateway: Gateway) -> None:
    request = scope("GET", "/v1/certificates", query_string=b"key=" + b"00" * 32)
    assert asyncio.run(ask(front, request))[0] == 200
    request = scope(
        "GET", "/v1/m\u00e4mbers", headers=[(b"x_forwarded_for", b"1"), (b"accept", b"a"), (b"accept", b"b")]
    )
    status, _, body = asyncio.run(ask(front, request))
    assert (status, code(body)) == (404, "no-such-route")


def test_nothing_but_http(front: Front) -> None:
    with pytest.raises(NotImplementedError):
        asyncio.run(ask(front, {"type": "websocket"}))
