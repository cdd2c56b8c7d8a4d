"""The waiting page's stream: for the browser that began, one word when there is news; and a thousand at once."""

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import insert, update

from identity_oidc.app import create_app
from identity_oidc.authentication.challenge import begin_challenge
from identity_oidc.authentication.session import COOKIE, begin_session
from identity_oidc.errors import StorageError
from identity_oidc.front import Front
from identity_oidc.logout.ending import end_session
from identity_oidc.provider import Provider
from identity_oidc.store.schema import CHALLENGES, REQUESTS, SESSIONS
from identity_oidc.streams import MOST_OF_A_LOGIN, WaitingStreams
from tally_service.http_request import GoneError, Headers
from tests.exchange import request_of
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, LoginPage, RelyingParty, add_client, ask
from tests.oidc.test_approval import remote_handle
from tests.oidc.test_service import Service, running, wait_for

__all__ = ["running"]
BOUND_S = 20.0
MANY = 1_000


@pytest.fixture
def soft(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> SoftAgent:
    return SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock)


@pytest.fixture
def page(app: RelyingParty, browser: Browser) -> LoginPage:
    return app.begin(browser)


@dataclass
class Stream:
    """One request to the front, and what comes of it."""

    front: Front
    request_id: str
    cookie: str | None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_over: bool = False
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        cookie = [("cookie", f"{COOKIE}={self.cookie}")] if self.cookie else []
        await self.front(request_of("GET", f"/login/{self.request_id}/events", cookie), self)
        await self._tell(is_over=True)

    async def until(self, is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S), self.news:
            await self.news.wait_for(is_true)

    @property
    def words(self) -> list[str]:
        return [line.removeprefix("data: ") for line in self.body.decode().split("\n") if line.startswith("data: ")]

    # What the server offers (`Exchange`, `Stream`).
    async def read_body(self, timeout_s: float) -> bytes:
        raise AssertionError(timeout_s)

    async def until_gone(self) -> None:
        await self.gone.wait()

    def respond(self, status: int, headers: Headers, content: bytes) -> None:
        self.status, self.headers, self.body = status, dict(headers), content

    def begin_stream(self, status: int, headers: Headers) -> Stream:
        self.status, self.headers = status, {name.lower(): value for name, value in headers}
        return self

    async def send(self, content: bytes) -> None:
        if self.gone.is_set():
            raise GoneError
        self.body += content
        await self._tell(is_over=False)

    async def _tell(self, *, is_over: bool) -> None:
        async with self.news:
            self.is_over = is_over
            self.news.notify_all()


def front_of(provider: Provider, **bounds: Any) -> Front:
    return Front(create_app(provider).answer, WaitingStreams(provider.news_of, look_every_s=0.01, **bounds))


def words_of(provider: Provider, page: LoginPage, browser: Browser, act: Callable[[], object]) -> list[str]:
    """What a page hears that is open while this happens, until its stream ends."""

    async def listen() -> list[str]:
        stream = Stream(front_of(provider), page.request_id, browser.cookie)
        running = asyncio.create_task(stream.run())
        await stream.until(lambda: bool(stream.words))
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert "content-length" not in stream.headers
        await asyncio.to_thread(act)
        await stream.until(lambda: stream.is_over)
        await running
        return stream.words

    return asyncio.run(listen())


def test_a_remote_approval_is_told_by_one_word(
    provider: Provider, soft: SoftAgent, browser: Browser, page: LoginPage
) -> None:
    def approve() -> None:
        challenge = soft.challenge(page, "remote", remote_handle(page, provider))
        assert soft.approve(challenge, soft.approval(challenge, code=page.code)).status == 200

    assert words_of(provider, page, browser, approve) == ["waiting", "done"]
    assert browser.post(f"{page.address}/complete", {"csrf_token": page.csrf_token}).status == 303


def test_a_local_approval_never_advances_the_page(
    provider: Provider, soft: SoftAgent, browser: Browser, page: LoginPage
) -> None:
    def approve_and_look() -> None:
        challenge = soft.challenge(page)
        address = soft.approve(challenge, soft.approval(challenge)).json["completion_uri"]
        found: list[dict[str, str]] = [provider.news_of([challenge["challenge_id"]]) for _ in range(3)]
        assert found == [{}, {}, {}]
        assert browser.get(address).status == 303

    assert words_of(provider, page, browser, approve_and_look) == ["waiting", "gone"]


def test_a_no_a_bad_end_and_a_lost_session_are_told(
    provider: Provider, soft: SoftAgent, app: RelyingParty, browser: Browser, clock: TestClock
) -> None:
    page = app.begin(browser)

    def refuse() -> None:
        challenge = soft.challenge(page)
        assert (
            soft.call("POST", f"/challenges/{challenge['challenge_id']}/refusal", {"reason": "declined"}).status == 204
        )

    assert words_of(provider, page, browser, refuse) == ["waiting", "over"]

    def run_out() -> None:
        clock.ahead_s += 601

    assert words_of(provider, app.begin(browser), browser, run_out) == ["waiting", "gone"]

    def end() -> None:
        with provider.database.writing() as connection:
            session_id = connection.execute(SESSIONS.select()).mappings().all()[-1]["session_id"]
            assert end_session(connection, session_id, provider.now())

    assert words_of(provider, app.begin(browser), browser, end) == ["waiting", "gone"]


def test_no_stream_without_the_cookie_that_began(provider: Provider, app: RelyingParty, page: LoginPage) -> None:
    stranger = Browser()
    app.begin(stranger)
    front = front_of(provider)

    async def status_of(cookie: str | None) -> tuple[int, list[str]]:
        stream = Stream(front, page.request_id, cookie)
        await asyncio.wait_for(stream.run(), BOUND_S)
        return stream.status, stream.words

    assert [asyncio.run(status_of(each)) for each in (None, "x" * 43, stranger.cookie)] == [(400, [])] * 3
    assert Browser().get(f"{page.address}/events").status == 400


def test_where_nobody_streams_one_word_and_a_pause_are_answered(browser: Browser, page: LoginPage) -> None:
    """As with the server of a trial, which knows WSGI only: browsers then ask again by themselves."""
    answer = browser.get(f"{page.address}/events")
    assert (answer.status, answer.text) == (200, "retry: 2000\ndata: waiting\n\n")
    browser.post(f"{page.address}/cancel", {"csrf_token": page.csrf_token})
    assert browser.get(f"{page.address}/events").status == 400


def test_streams_are_bounded_in_all_and_for_a_login(provider: Provider, browser: Browser, page: LoginPage) -> None:
    async def open_streams(count: int, **bounds: Any) -> list[int]:
        front, tasks = front_of(provider, **bounds), []
        streams = [Stream(front, page.request_id, browser.cookie) for _ in range(count)]
        for stream in streams:
            tasks.append(asyncio.create_task(stream.run()))
            await stream.until(lambda stream=stream: stream.status != 0)  # type: ignore[misc]  # bound now
        for stream in streams:
            stream.gone.set()
        await asyncio.gather(*tasks)
        again = Stream(front, page.request_id, browser.cookie)
        again.gone.set()
        await again.run()
        return [stream.status for stream in (*streams, again)]

    assert asyncio.run(open_streams(MOST_OF_A_LOGIN + 1)) == [200] * MOST_OF_A_LOGIN + [503, 200]
    assert asyncio.run(open_streams(2, most=1)) == [200, 503, 200]


def test_pages_wait_on_while_the_database_is_away(provider: Provider, browser: Browser, page: LoginPage) -> None:
    looks = 0

    def look(waiting: Any) -> dict[str, str]:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise StorageError("away")
        return provider.news_of(waiting)

    async def listen() -> list[str]:
        front = Front(create_app(provider).answer, WaitingStreams(look, look_every_s=0.01))
        stream = Stream(front, page.request_id, browser.cookie)
        running = asyncio.create_task(stream.run())
        await stream.until(lambda: bool(stream.words))
        await asyncio.to_thread(browser.post, f"{page.address}/cancel", {"csrf_token": page.csrf_token})
        await running
        return stream.words

    assert asyncio.run(listen()) == ["waiting", "gone"]
    assert looks >= 3


def waiting_pages(parts: Provider, count: int, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """So many logins that wait, as `/authorize` stores them: request and cookie of each."""
    now, found = parts.now(), []
    with parts.database.writing() as connection:
        for _ in range(count):
            session = begin_session(connection, "", now, 600)
            request_id = secrets.token_urlsafe(18)
            asked = {"request_id": request_id, "session_id": session.session_id, "client_id": "shop"}
            times = {"created_at": now, "expires_at": now + 600}
            connection.execute(insert(REQUESTS).values(parameters=parameters, **asked, **times))
            begin_challenge(connection, request_id, "shop", session, now=now, login=parts.config.login)
            found.append((request_id, session.secret))
    return found


def test_streams_end_when_the_provider_stops(provider: Provider, browser: Browser, page: LoginPage) -> None:
    async def stop() -> tuple[list[str], int]:
        streams = WaitingStreams(provider.news_of, look_every_s=0.01)
        front = Front(create_app(provider).answer, streams)
        stream, late = (Stream(front, page.request_id, browser.cookie) for _ in range(2))
        running = asyncio.create_task(stream.run())
        await stream.until(lambda: bool(stream.words))
        streams.close()
        await asyncio.wait_for(running, BOUND_S)
        await late.run()
        return stream.words, late.status

    assert asyncio.run(stop()) == (["waiting"], 503), "no word that would make the page go on"


@pytest.mark.e2e
@pytest.mark.xdist_group("oidc-service")
def test_a_provider_stops_while_pages_wait(running: tuple[Service, Provider]) -> None:
    service, parts = running
    browser = Browser()
    page = add_client(parts).begin(browser)
    with socket.create_connection(("127.0.0.1", int(service.issuer.rpartition(":")[2])), timeout=BOUND_S) as waiting:
        request = (
            f"GET /login/{page.request_id}/events HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={browser.cookie}\r\n\r\n"
        )
        waiting.sendall(request.encode())
        until(waiting, b"data: waiting\n\n")
        assert service.stop() == 0
        assert until(waiting, b"0\r\n\r\n") == b"0\r\n\r\n", "the stream was ended, not cut"


@pytest.fixture
def _files_for_many() -> Iterator[None]:
    """1,024 is all that many systems give a process by default."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(before[1], 4 * MANY)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.e2e
@pytest.mark.xdist_group("oidc-service")
@pytest.mark.usefixtures("_files_for_many")
def test_a_thousand_waiting_pages_hold_up_nobody(running: tuple[Service, Provider], ledger: LedgerInMemory) -> None:
    service, parts = running
    app = add_client(parts)
    soft = SoftAgent.enrolled(service.issuer, ledger, IDENTITY)
    app.begin(Browser())
    with parts.database.reading() as connection:
        parameters = connection.execute(REQUESTS.select()).mappings().one()["parameters"]
    port = int(service.issuer.rpartition(":")[2])
    pages = [
        (socket.create_connection(("127.0.0.1", port), timeout=BOUND_S), *each)
        for each in waiting_pages(parts, MANY, parameters)
    ]
    try:
        for connection, request_id, secret in pages:
            request = f"GET /login/{request_id}/events HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={secret}\r\n\r\n"
            connection.sendall(request.encode())
        heard = [until(connection, b"data: waiting\n\n") for connection, _, _ in pages]
        assert all(each.startswith(b"HTTP/1.1 200") for each in heard)
        browser = Browser()
        challenge = soft.challenge(app.begin(browser))
        done = browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"])
        token = app.redeem(done.parameters["code"]).json["access_token"]
        assert app.userinfo(token).status == 200
        with parts.database.writing() as database:
            database.execute(update(CHALLENGES).where(CHALLENGES.c.state == "waiting").values(state="refused"))
        assert all(b"data: over\n\n" in until(connection, b"data: over\n\n") for connection, _, _ in pages)
    finally:
        for connection, _, _ in pages:
            connection.close()
    wait_for(lambda: ask("GET", f"{service.issuer}/healthz").status == 200, "the provider")


def until(connection: socket.socket, mark: bytes) -> bytes:
    """What comes up to this mark."""
    found = b""
    while mark not in found:
        more = connection.recv(4_096)
        assert more, found
        found += more
    return found
