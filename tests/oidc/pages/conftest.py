"""A real Chromium at a provider, an agent's page and an app; whatever a page complains of fails the test."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copytree, which
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from playwright.sync_api import Request as BrowserRequest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from identity_oidc.provider import Provider
from identity_oidc.subscribers.sql import SqlSubscriberBase
from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.page.app import LocalPage
from sim_applet_tools.agent.page.server import serve_page
from tests.agent.conftest import Person
from tests.oidc.conftest import TestClock, listening, make_config, serving
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import RelyingParty, add_client
from tests.oidc.tls import make_loopback_certificate

NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Callback:
    """The app's server at https://shop.example: what came to it; it leads on to another host, as apps do."""

    port: int = 0
    queries: list[dict[str, str]] = field(default_factory=list)
    logouts: int = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        if request.path == "/callback":
            self.queries.append(dict(parse_qsl(urlsplit(request.url).query)))
            answer = Response(status=303, headers={"Location": "https://www.shop.example/home"})
        else:
            body = '<!doctype html><title>Corner Shop</title><link rel="icon" href="data:,"><h1>Welcome</h1>'
            answer = Response(body, mimetype="text/html")
        return answer(environ, start_response)


@pytest.fixture(scope="session")
def callback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callback]:
    files = make_loopback_certificate(tmp_path_factory.mktemp("shop"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    app = Callback()
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    server.daemon_threads = True
    app.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield app
    server.shutdown()
    thread.join()
    server.server_close()


# Not for the session: while Playwright runs, its event loop counts as the running one of the thread, and asyncio.run
# in any later test of the same process is refused.
@pytest.fixture(scope="module")
def chromium(callback: Callback) -> Iterator[Browser]:
    program = next((found for name in NAMES if (found := which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    shop = f"MAP *.example:443 127.0.0.1:{callback.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", f"--host-resolver-rules={shop}"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, provider: Provider) -> Iterator[Callable[..., Page]]:
    """Opens a page in a profile of its own. What pages say on the console, and what their policy stops, is collected,
    and fails the test unless `expected` is in it. Pages close before the provider does."""
    del provider
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    allowed: list[str] = []

    def open_page(*, expected: str | tuple[str, ...] = (), **options: Any) -> Page:
        context = chromium.new_context(ignore_https_errors=True, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        allowed.extend((expected,) if isinstance(expected, str) else expected)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                complaints.append(f"{message.location.get('url')}: {message.text}")

        def on_failure(request: BrowserRequest) -> None:
            if request.failure != "net::ERR_ABORTED":  # a page that asks is left: no fault
                complaints.append(f"{request.url} failed: {request.failure}")

        page = context.new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", on_failure)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(part in text for part in allowed)] == []


def free_port() -> int:
    with listening() as (_, port):
        return port


@pytest.fixture
def provider(
    tmp_path: Path, template: Path, ledger: LedgerInMemory, clock: TestClock, subscribers: SqlSubscriberBase
) -> Iterator[Provider]:
    """As in the folder above, but its pages know where this test's agent listens."""
    with listening() as (listener, port):
        config = make_config(tmp_path, port)
        config = replace(config, login=replace(config.login, agent_loopback_port=free_port()))
        copytree(template / "keys", tmp_path / "keys")
        parts = Provider.open(config, clock, ledger, subscribers)
        with serving(parts, listener):
            yield parts
        parts.database.close()


@pytest.fixture
def app(provider: Provider, callback: Callback) -> RelyingParty:
    callback.queries.clear()
    return add_client(
        provider,
        may_refresh=True,
        single_sign_on_s=600,
        grant_days=30,
        purpose={"en": "to sell you groceries", "zh": "向您出售食品"},
    )


@pytest.fixture
def agent_page(provider: Provider, person: Person, agent: Agent) -> Iterator[str]:
    """Where the agent's page is, which speaks English."""
    del person
    with serve_page(provider.config.login.agent_loopback_port, lambda host: LocalPage(agent, host, "en")) as host:
        yield host
