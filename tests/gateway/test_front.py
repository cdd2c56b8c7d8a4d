"""Between the HTTP server and Flask: slow, long and broken bodies, and the short way for status."""

from __future__ import annotations

import asyncio
import hashlib
import json
from ipaddress import ip_network

import pytest

from pki_chain.chain.typed_data import batch_digest
from pki_chain.config import Network
from pki_chain.gateway.front import MAX_BODIES_A_CLIENT, MAX_BODY_BYTES, Front
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.gateway.proxies import HEADER, client_address
from pki_chain.gateway.status_answers import StatusCache
from tests.exchange import OtherEnd
from tests.gateway.asking import Asked, ask
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import certificate, certificates

SUBMISSIONS = "/v1/submissions"


def slow() -> Asked:
    """A body that stops half-way."""
    return Asked("POST", SUBMISSIONS, body=b"{", length=2)


@pytest.fixture
def front(gateway: Gateway) -> Front:
    gateway.ledger.accept(certificates(1))
    gateway.catch_up()
    parts = gateway.services
    ocsp = OcspCache(parts.ocsp_answers, parts.read_model, parts.change_log, parts.freshness)
    status = StatusCache(parts.status_answers, parts.read_model)
    return Front(gateway.client.application.wsgi_app, status, parts.counters, ocsp, body_timeout_s=0.2)


def code(body: bytes) -> str:
    return str(json.loads(body)["code"])


def test_status_is_the_same_on_both_ways(front: Front, gateway: Gateway) -> None:
    path = f"/v1/certificates/{hashlib.sha256(certificate(0)).hexdigest()}/status"
    status, headers, body = asyncio.run(ask(front, Asked("GET", path)))
    by_route = gateway.client.get(path)
    assert (status, json.loads(body)) == (200, by_route.get_json())
    for name in ("Cache-Control", "Content-Type", "X-Content-Type-Options"):
        assert headers[name.lower()] == by_route.headers[name]


def test_what_is_not_good_takes_the_route(front: Front, gateway: Gateway) -> None:
    path = f"/v1/certificates/{'00' * 32}/status"
    gateway.clock.seconds += 100
    status, headers, body = asyncio.run(ask(front, Asked("GET", path)))
    assert (status, code(body), headers["cache-control"]) == (503, "stale", "no-store")
    status, _, body = asyncio.run(ask(front, Asked("GET", "/v1/certificates/zz/status")))
    assert (status, code(body)) == (400, "bad-sha256")


def test_a_kept_status_is_as_old_as_it_is_and_goes_with_the_next_block(front: Front, gateway: Gateway) -> None:
    path = f"/v1/certificates/{hashlib.sha256(certificate(0)).hexdigest()}/status"
    first = json.loads(asyncio.run(ask(front, Asked("GET", path)))[2])
    gateway.clock.seconds += 3
    later = json.loads(asyncio.run(ask(front, Asked("GET", path)))[2])
    assert later == {**first, "age_s": first["age_s"] + 3}
    gateway.ledger.hold(certificate(0))
    gateway.catch_up()
    held = json.loads(asyncio.run(ask(front, Asked("GET", path)))[2])
    assert (first["state"], held["state"]) == ("valid", "held")


def test_a_body_reaches_the_route(front: Front, gateway: Gateway) -> None:
    batch = certificates(2, first=1)
    content = json.dumps(gateway.envelope(batch)).encode()
    status, headers, _ = asyncio.run(ask(front, Asked("POST", SUBMISSIONS, body=content)))
    assert status == 202
    assert headers["location"] == f"{SUBMISSIONS}/0x" + batch_digest(batch).hex()


def test_a_body_that_does_not_come(front: Front) -> None:
    status, _, body = asyncio.run(ask(front, slow()))
    assert (status, code(body)) == (408, "too-slow")


def test_a_body_that_is_too_long_is_not_read(front: Front) -> None:
    def unread(other: OtherEnd) -> None:
        assert other.bodies_asked == 0

    for length in (MAX_BODY_BYTES + 1, 10**30):
        request = Asked("POST", SUBMISSIONS, length=length)
        status, headers, body = asyncio.run(ask(front, request, seen=unread))
        assert (status, code(body), headers["cache-control"]) == (413, "body-too-large", "no-store")
    whole = Asked("POST", SUBMISSIONS, body=b"x" * MAX_BODY_BYTES)
    status, _, body = asyncio.run(ask(front, whole))
    assert (status, code(body)) == (400, "not-json")


def test_a_body_needs_a_length(front: Front) -> None:
    """What is too long is refused before it is read."""
    chunked = Asked("POST", SUBMISSIONS, more_headers=[("transfer-encoding", "chunked")])
    status, _, body = asyncio.run(ask(front, chunked))
    assert (status, code(body)) == (411, "length-required")
    status, _, body = asyncio.run(ask(front, Asked("POST", SUBMISSIONS)))
    assert (status, code(body)) == (400, "not-json")  # no body at all


def test_a_client_that_leaves(front: Front) -> None:
    status, _, body = asyncio.run(ask(front, slow(), is_left=True))
    assert (status, code(body)) == (400, "cut-off")


def test_many_slow_bodies_keep_nobody_else_from_answers(front: Front, gateway: Gateway) -> None:
    path = f"/v1/certificates/{hashlib.sha256(certificate(0)).hexdigest()}/status"
    content = json.dumps(gateway.envelope(certificates(1, first=5))).encode()

    async def storm() -> list[tuple[int, dict[str, str], bytes]]:
        post = Asked("POST", SUBMISSIONS, body=content)
        waiting = [asyncio.create_task(ask(front, slow())) for _ in range(MAX_BODIES_A_CLIENT)]
        await asyncio.sleep(0)
        other = Asked("POST", SUBMISSIONS, body=content, client="192.0.2.2")
        quick = [
            await ask(front, post),
            await ask(front, other),
            await ask(front, Asked("GET", path)),
            await ask(front, Asked("GET", "/healthz")),
        ]
        slow_answers = await asyncio.gather(*waiting)
        return [*quick, await ask(front, post), *slow_answers]

    same_client, other_client, status, health, afterwards, *late = asyncio.run(storm())
    assert (same_client[0], code(same_client[2])) == (503, "busy")
    assert not front._arriving
    assert (other_client[0], status[0], health[0], afterwards[0]) == (202, 200, 200, 202)
    assert {answer[0] for answer in late} == {408}


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
    assert client_address(peer, named, PROXIES) == expected
    assert client_address(peer, named, ()) == peer


@pytest.mark.parametrize(("trusted", "statuses"), [(PROXIES, [400, 429, 400]), ((), [400, 429, 429])])
def test_writes_count_for_whom_a_trusted_proxy_names(
    front: Front, gateway: Gateway, trusted: tuple[Network, ...], statuses: list[int]
) -> None:
    """One write each; the third is of another client of the same proxy."""
    gateway.services.rate_limit._burst, gateway.services.rate_limit._clock = 1, lambda: 0.0
    front._trusted_proxies = trusted
    for client, status in zip(("198.51.100.7", "198.51.100.7", "198.51.100.8"), statuses, strict=True):
        request = Asked("POST", SUBMISSIONS, body=b"{}", more_headers=[(HEADER, client)])
        assert asyncio.run(ask(front, request))[0] == status


def test_headers_and_path_reach_the_route(front: Front) -> None:
    request = Asked("GET", "/v1/certificates", query_string="key=" + "00" * 32)
    assert asyncio.run(ask(front, request))[0] == 200
    several = [("x_forwarded_for", "1"), ("accept", "a"), ("accept", "b")]
    status, _, body = asyncio.run(ask(front, Asked("GET", "/v1/m\u00c3\u00a4mbers", more_headers=several)))
    assert (status, code(body)) == (404, "no-such-route")


def test_a_task_that_others_cancel_is_not_late(front: Front) -> None:
    async def run() -> None:
        task = asyncio.create_task(ask(front, slow()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert not front._arriving
