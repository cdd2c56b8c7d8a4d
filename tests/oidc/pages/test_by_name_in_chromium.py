"""As people have it: the provider by https under a name behind nginx, the agent by http on loopback. To a browser these
are two sites: cookies, `Origin` and what may follow on what are others than where both are 127.0.0.1.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree, which

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from identity_oidc.provider import Provider
from identity_oidc.subscribers.sql import SqlSubscriberBase
from sim_applet_tools.agent.http_connection import HttpConnection
from tests.oidc.conftest import TestClock, listening, make_config, serving
from tests.oidc.deployment import free_port, nginx
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.pages.conftest import NAMES, Callback
from tests.oidc.pages.test_attacks_in_chromium import evil_page
from tests.oidc.pages.test_pages_in_chromium import HOME, log_in
from tests.oidc.parties import RelyingParty
from tests.oidc.tls import make_loopback_certificate

Visit = Callable[..., Page]
NAME = "login.operator.example"


@pytest.fixture(scope="module")
def tls_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def chromium(callback: Callback, tls_port: int) -> Iterator[Browser]:
    program = next((found for name in NAMES if (found := which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    rules = f"MAP {NAME}:443 127.0.0.1:{tls_port}, MAP *.example:443 127.0.0.1:{callback.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", f"--host-resolver-rules={rules}"]
        )
        yield browser
        browser.close()


@pytest.fixture
def provider(  # noqa: PLR0917  fixtures
    tmp_path: Path,
    template: Path,
    ledger: LedgerInMemory,
    clock: TestClock,
    subscribers: SqlSubscriberBase,
    tls_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Provider]:
    """Behind nginx; the agent, for which nobody resolves the name here, asks it directly."""
    with listening() as (listener, port):
        config = make_config(tmp_path, port)
        settings = replace(config.provider, issuer=f"https://{NAME}", trusted_proxies=("127.0.0.1/32",))
        login = replace(config.login, agent_loopback_port=free_port())
        config = replace(config, provider=settings, login=login)
        copytree(template / "keys", tmp_path / "keys")
        parts = Provider.open(config, clock, ledger, subscribers)
        direct = http.client.HTTPConnection
        monkeypatch.setattr(HttpConnection, "_connection", lambda _: direct("127.0.0.1", port, timeout=20))
        with serving(parts, listener), nginx(tmp_path, tls_port, [port], make_loopback_certificate(tmp_path)):
            yield parts
        parts.database.close()


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_a_login_goes_from_the_name_to_loopback_and_back(
    visit: Visit, app: RelyingParty, agent_page: str, callback: Callback, java_script_enabled: bool
) -> None:
    page = visit(java_script_enabled=java_script_enabled)
    log_in(page, app, refused=("e-mail address",))
    assert "code" in callback.queries[0]
    assert callback.queries[0]["iss"] == f"https://{NAME}"
    (cookie,) = (each for each in page.context.cookies() if NAME in each["domain"])
    assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == ("__Host-tally-session", True, True)


def test_the_person_s_forms_are_taken_and_another_site_s_are_not(
    visit: Visit, app: RelyingParty, agent_page: str
) -> None:
    page = visit(expected="400 ()")
    log_in(page, app)
    evil_page(page, f'<form method="post" action="https://{NAME}/account/everywhere"><button>Win</button></form>')
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("out of date")
    page.goto(f"https://{NAME}/account")
    page.get_by_role("button", name="Withdraw: Corner Shop").click()
    expect(page.get_by_role("region", name="What you permitted")).not_to_contain_text("Corner Shop")
    page.goto(f"https://{NAME}/logout")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("status")).to_contain_text("You are logged out here")


def test_a_page_of_another_site_hands_nothing_to_the_agent(
    visit: Visit, app: RelyingParty, agent_page: str, callback: Callback
) -> None:
    """A relay under a name of its own: what it copied from the login page is refused for the page's origin."""
    page = visit(expected=("403", "HTTP_RESPONSE_CODE_FAILURE"))
    page.goto(app.address())
    form = page.locator("form[action*=hand-over]").evaluate("each => each.outerHTML")
    evil_page(page, form)
    with page.expect_response(f"http://{agent_page}/hand-over") as answer:
        page.get_by_role("button").click()
    assert answer.value.status == 403
    assert callback.queries == []
    assert HOME not in page.url
