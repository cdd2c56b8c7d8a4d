"""A provider over HTTP on a port of its own, a ledger in memory, people with emulated cards, and apps."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy, copytree
from typing import TYPE_CHECKING

import pytest
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from identity_oidc.app import create_app
from identity_oidc.config import (
    EgressSettings,
    KeySettings,
    LedgerSettings,
    LoginSettings,
    ProviderConfig,
    ProviderSettings,
)
from identity_oidc.provider import Provider
from identity_oidc.subscribers.demo import assign_identities, create_demo_people
from identity_oidc.subscribers.sql import SqlSubscriberBase
from identity_oidc.tokens.key_ring import rotate
from sim_applet_tools.agent.agent import Agent
from tests.agent.conftest import Person, enrolled, new_person
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, RelyingParty, add_client, members

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

IDENTITY = "0x" + "5a" * 32
OTHER_IDENTITY = "0x" + "66" * 32


class TestClock:
    """Real time, moved by what a test adds."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        import time  # noqa: PLC0415  so that no test is tempted

        return time.time() + self.ahead_s


def make_config(directory: Path, port: int) -> ProviderConfig:
    (directory / "members.json").write_text(json.dumps(members()))
    return ProviderConfig(
        path=directory / "oidc.toml",
        provider=ProviderSettings(
            issuer=f"http://127.0.0.1:{port}",
            port=port,
            database=f"sqlite:///{directory}/oidc.sqlite",
            members=directory / "members.json",
        ),
        keys=KeySettings(directory=directory / "keys", look_every_s=0),
        ledger=LedgerSettings(accept_emulators=True),
        login=LoginSettings(),
        egress=EgressSettings(spread_s=0),
    )


@contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener, listener.getsockname()[1]


def _whole(application: WSGIApplication) -> WSGIApplication:
    """Answers whose files are closed before they are sent: Werkzeug's server leaves them open when a browser ends its
    connection while it looks for what else was sent, and warns when they are collected, in whatever test that is.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body, status, headers = run_wsgi_app(application, environ, buffered=True)
        start_response(status, list(headers))
        return body

    return answer


@contextmanager
def serving(provider: Provider, listener: socket.socket) -> Iterator[Provider]:
    server = make_server("127.0.0.1", 0, _whole(create_app(provider)), threaded=True, fd=listener.fileno())
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def ledger() -> LedgerInMemory:
    return LedgerInMemory()


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and invented people, made once: RSA keys take their time."""
    directory = tmp_path_factory.mktemp("oidc")
    for algorithm in ("ES256", "RS256"):
        rotate(KeySettings(directory=directory / "keys"), TestClock(), algorithm)
    url = f"sqlite:///{directory}/people.sqlite"
    create_demo_people(url)
    assign_identities(url, [bytes.fromhex(IDENTITY[2:]), bytes.fromhex(OTHER_IDENTITY[2:])])
    return directory


@pytest.fixture
def subscribers(template: Path, tmp_path: Path) -> Iterator[SqlSubscriberBase]:
    copy(template / "people.sqlite", tmp_path / "people.sqlite")
    base = SqlSubscriberBase.open(f"sqlite:///{tmp_path}/people.sqlite")
    yield base
    base.close()


@pytest.fixture
def provider(
    tmp_path: Path, template: Path, ledger: LedgerInMemory, clock: TestClock, subscribers: SqlSubscriberBase
) -> Iterator[Provider]:
    with listening() as (listener, port):
        config = make_config(tmp_path, port)
        copytree(template / "keys", tmp_path / "keys")
        parts = Provider.open(config, clock, ledger, subscribers)
        with serving(parts, listener):
            yield parts
        parts.database.close()


@pytest.fixture
def app(provider: Provider) -> RelyingParty:
    return add_client(provider, may_refresh=True, single_sign_on_s=600, grant_days=30)


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def person(ledger: LedgerInMemory) -> Person:
    return new_person(ledger, IDENTITY)  # type: ignore[arg-type]  # only registers


@pytest.fixture
def agent(provider: Provider, person: Person, tmp_path: Path) -> Iterator[Agent]:
    with enrolled(provider, person, tmp_path / "agent") as agent:  # type: ignore[arg-type]  # only its issuer
        yield agent
