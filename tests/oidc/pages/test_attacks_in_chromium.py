"""What other sites, other browsers and relays try through a person's browser. Source: RFC 9700 §4; docs/approval.md."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from identity_oidc.provider import Provider
from sim_applet_tools.agent.agent import Agent
from tests.agent.conftest import PIN
from tests.oidc.pages.conftest import Callback
from tests.oidc.pages.test_pages_in_chromium import HOME, Visit, approve_remotely, fresh_remote_handle, log_in
from tests.oidc.parties import RelyingParty

EVIL = "https://evil.example/"


def evil_page(page: Page, body: str) -> None:
    """A page of another site in this browser."""
    page.goto(EVIL)
    page.evaluate("(body) => { document.body.innerHTML = body; }", body)


@pytest.mark.parametrize("path", ["account", "authorize", "logout", "nothing"])
def test_no_page_is_shown_in_a_frame_of_another_site(visit: Visit, app: RelyingParty, path: str) -> None:
    page = visit(expected=("frame", "BLOCKED_BY_RESPONSE", "a status of 40"))
    evil_page(page, "")
    address = app.address() if path == "authorize" else f"{app.issuer}/{path}"
    with page.expect_event("console", lambda message: "frame" in message.text.lower()):
        page.evaluate(
            "(address) => { const f = document.createElement('iframe'); f.src = address; document.body.append(f); }",
            address,
        )
    frame = page.frames[-1]
    assert "Log in" not in frame.content()
    assert "permit" not in frame.content()


def test_another_site_s_forms_change_nothing(visit: Visit, app: RelyingParty, agent_page: str) -> None:
    page = visit(expected="400 (BAD REQUEST)")
    log_in(page, app)
    for path in ("account/everywhere", "account/hold", "logout/confirm"):
        evil_page(page, f'<form method="post" action="{app.issuer}/{path}"><button>Win</button></form>')
        page.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_contain_text("out of date")
    page.goto(f"{app.issuer}/account")
    expect(page.get_by_role("region", name="What you permitted")).to_contain_text("Corner Shop")


def test_another_site_hands_nothing_to_the_agent(visit: Visit, app: RelyingParty, agent_page: str) -> None:
    page = visit(expected=("403", "HTTP_RESPONSE_CODE_FAILURE"))
    evil_page(page, f'<form method="post" action="http://{agent_page}/hand-over"><button>Win</button></form>')
    with page.expect_response(f"http://{agent_page}/hand-over") as answer:
        page.get_by_role("button").click()
    assert answer.value.status == 403


def test_a_login_page_opened_in_another_browser_shows_nothing(visit: Visit, app: RelyingParty) -> None:
    page = visit(expected="400 (BAD REQUEST)")
    page.goto(app.address())
    other = visit()
    other.goto(page.url)
    expect(other.get_by_role("alert")).to_contain_text("begun in another browser")
    assert other.locator("form").count() == 0
    status = other.request.get(f"{page.url.partition('?')[0]}/status")
    assert status.status == 400


def test_a_completion_address_is_good_in_the_browser_that_began_only(
    visit: Visit, app: RelyingParty, agent: Agent, callback: Callback
) -> None:
    page = visit(expected="400 (BAD REQUEST)")
    page.goto(app.address())
    values = {name: page.locator(f"input[name={name}]").input_value() for name in ("handle", "local_secret")}
    outcome = agent.approve(agent.open(values["handle"], values["local_secret"], "en"), PIN, ())
    other = visit()
    other.goto(str(outcome.completion_uri))
    expect(other.get_by_role("alert")).to_contain_text("begun in another browser")
    assert callback.queries == []
    page.goto(str(outcome.completion_uri))
    page.wait_for_url(HOME)
    page.goto(str(outcome.completion_uri))
    expect(page.get_by_role("alert")).to_be_visible()
    assert len(callback.queries) == 1


def test_a_session_that_an_attacker_planted_is_not_the_one_that_is_logged_in(
    visit: Visit, app: RelyingParty, agent_page: str
) -> None:
    planted = visit(expected="400 (BAD REQUEST)")
    planted.goto(app.address())
    cookie = planted.context.cookies()[0]
    page = visit()
    page.context.add_cookies([cookie])
    log_in(page, app)
    planted.goto(f"{app.issuer}/account")
    expect(planted.locator("main")).to_contain_text("Log in with your SIM at an app first")


def test_every_form_is_answered_by_303_and_no_address_of_a_stranger_is_followed(
    visit: Visit, app: RelyingParty, provider: Provider
) -> None:
    page = visit(expected="400 (BAD REQUEST)")
    seen: list[tuple[str, int]] = []
    page.on("response", lambda answer: seen.append((answer.request.method, answer.status)))
    page.goto(app.address())
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(HOME)
    assert ("POST", 303) in seen
    assert not {status for _, status in seen} & {301, 302, 307, 308}
    for address in (
        app.address(redirect_uri=EVIL),
        f"{app.issuer}/logout?client_id=shop&post_logout_redirect_uri={EVIL}",
    ):
        page.goto(address)
        assert page.url.startswith(provider.issuer)


@pytest.fixture
def relay(provider: Provider) -> Iterator[str]:
    """A phishing site that passes everything on to the provider and back, with its own name in it."""
    target = urlsplit(provider.issuer).netloc
    own: list[str] = []

    def app(environ: Any, start_response: Callable[..., Any]) -> Any:
        request = Request(environ)
        connection = http.client.HTTPConnection(target, timeout=20)
        headers = {"User-Agent": request.headers.get("User-Agent", "")}
        headers |= {name: value for name in ("Cookie", "Content-Type") if (value := request.headers.get(name))}
        try:
            connection.request(request.method, request.full_path, request.get_data(), headers)
            found = connection.getresponse()
            body = found.read()
        finally:
            connection.close()
        if "html" in found.headers.get("Content-Type", ""):
            body = body.replace(b'href="/', f'href="http://{own[0]}/'.encode())
        answer = Response(body, found.status, content_type=found.headers.get("Content-Type", "text/plain"))
        for name in ("Set-Cookie", "Location"):
            for value in found.headers.get_all(name) or []:
                answer.headers.add(name, value.replace(target, own[0]))
        answer.headers["Referrer-Policy"] = "origin"
        return answer(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True
    own.append(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://{own[0]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_relay_gets_no_login_in_mode_local(  # noqa: PLR0917  fixtures
    visit: Visit, app: RelyingParty, agent_page: str, agent: Agent, relay: str, callback: Callback
) -> None:
    """By the form the agent sees the relay's origin; by the link it finishes in a browser that has no such login."""
    page = visit(expected=("400 (BAD REQUEST)", "403", "HTTP_RESPONSE_CODE_FAILURE"))
    page.goto(app.address().replace(app.issuer, relay))
    assert page.url.startswith(relay)
    values = {name: page.locator(f"input[name={name}]").input_value() for name in ("handle", "local_secret")}
    with page.expect_response(f"http://{agent_page}/hand-over") as answer:
        page.get_by_role("button", name="Open the agent", exact=True).click()
    assert answer.value.status == 403
    outcome = agent.approve(agent.open(values["handle"], values["local_secret"], "en"), PIN, ())
    page.context.clear_cookies()  # those that the relay planted: browsers keep no cookies by port, hosts of ours differ
    page.goto(str(outcome.completion_uri))
    expect(page.get_by_role("alert")).to_contain_text("begun in another browser")
    assert callback.queries == []


def test_a_relay_in_mode_remote_shows_its_warning_and_gets_the_low_level(  # noqa: PLR0917  fixtures
    visit: Visit, app: RelyingParty, agent: Agent, provider: Provider, relay: str, callback: Callback
) -> None:
    """This mode does not resist a live relay, and says so: on the page, in the agent, and in `acr`."""
    page = visit()
    page.goto(app.address().replace(app.issuer, relay))
    expect(page.locator("main")).to_contain_text("Only do this if you began the login on this screen yourself")
    handle = fresh_remote_handle(provider, page.url.partition("?")[0].rpartition("/")[2])
    prompt = agent.open(handle, None, "en")
    assert {"warning", "alarm"} & {notice.level for notice in prompt.notices}
    approve_remotely(page, provider, agent)
    page.wait_for_url(HOME)
    tokens = app.redeem(callback.queries[0]["code"]).json
    assert app.verify_id_token(tokens["id_token"], tokens["access_token"])["acr"] == "urn:tally:acr:remote"
