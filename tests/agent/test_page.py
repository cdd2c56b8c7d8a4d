"""The local page, as a browser meets it, and as somebody else's page or program would."""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlencode, urlsplit

import pytest

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.page.app import LocalPage
from sim_applet_tools.agent.page.server import serve_page
from sim_applet_tools.errors import ConfigurationError
from tests.agent.conftest import IDENTITY, PIN
from tests.agent.ledger import Ledger
from tests.agent.provider import Login, Provider
from tests.agent.provider_http import hand_over_fields
from tests.agent.test_login import complete

FORM = "application/x-www-form-urlencoded"


@dataclass
class Answered:
    status: int
    location: str
    text: str
    headers: dict[str, str]

    @property
    def onward(self) -> str:
        """Where the page goes by itself."""
        found = re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', self.text)
        assert found is not None
        return unescape(found.group(1))

    def hidden(self, name: str = "form") -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        assert found is not None
        return unescape(found.group(1))


@dataclass
class Browser:
    """One origin's view of the page; `headers` replaces what a browser would send."""

    host: str
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answered:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: list[tuple[str, str]] | dict[str, str], origin: str | None) -> Answered:
        headers = {"Content-Type": FORM, **({} if origin is None else {"Origin": origin})}
        return self._ask("POST", path, urlencode(fields), headers)

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answered:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        connection.request(method, path, body, {**headers, **self.headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return Answered(answer.status, answer.getheader("Location", ""), text, dict(answer.getheaders()))


@pytest.fixture
def local(agent: Agent) -> Iterator[tuple[Browser, LocalPage]]:
    pages: list[LocalPage] = []

    def make(host: str) -> LocalPage:
        pages.append(LocalPage(agent, host, "en"))
        return pages[0]

    with serve_page(0, make) as host:
        yield Browser(host), pages[0]


@pytest.fixture
def browser(local: tuple[Browser, LocalPage]) -> Browser:
    return local[0]


def handed_over(browser: Browser, provider: Provider, login: Login) -> tuple[str, Answered]:
    sent = browser.post("/hand-over", hand_over_fields(login), provider.issuer)
    assert sent.status == 303, sent.text
    return sent.location, browser.get(sent.location)


def own(browser: Browser) -> str:
    return f"http://{browser.host}"


def test_a_login_goes_through_the_browser_and_back(browser: Browser, provider: Provider) -> None:
    login = provider.begin(session_is_known=False)
    path, shown = handed_over(browser, provider, login)
    for text in ("Corner Shop", "shop.example", "Example Telecom", "to keep your basket", "first time", "from this"):
        assert text in shown.text
    form = shown.hidden()
    wrong = browser.post(path, {"form": form, "action": "approve", "pin": "000000"}, own(browser))
    assert "2 tries left" in wrong.text
    fields = [("form", form), ("action", "approve"), ("pin", PIN), ("give", "name"), ("give", "email")]
    done = browser.post(path, fields, own(browser))
    assert (done.status, login.state) == (200, "approved")
    assert complete(done.onward, login.cookie)
    assert browser.get(path).status == 404
    assert PIN not in shown.text + wrong.text + done.text


def test_every_page_is_closed_to_others(browser: Browser, provider: Provider) -> None:
    _, shown = handed_over(browser, provider, provider.begin())
    policy = shown.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self';" in policy
    assert "script" not in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    assert shown.headers["Referrer-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in shown.headers


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1"])
def test_only_the_provider_s_page_hands_over(browser: Browser, provider: Provider, origin: str | None) -> None:
    login = provider.begin()
    assert browser.post("/hand-over", hand_over_fields(login), origin).status == 403
    assert login.agent is None


def test_what_is_handed_over_is_a_local_login_of_that_provider(browser: Browser, provider: Provider) -> None:
    fields = hand_over_fields(provider.begin())
    for bent in ({**fields, "issuer": "https://other.example"}, {k: fields[k] for k in ("issuer", "handle")}):
        assert browser.post("/hand-over", bent, provider.issuer).status == 403
    twice = [*fields.items(), ("handle", fields["handle"])]
    assert browser.post("/hand-over", twice, provider.issuer).status == 403
    extra = browser.post("/hand-over", {**fields, "pin": PIN}, provider.issuer)
    assert (extra.status, "nothing else" in extra.text) == (200, True)
    assert all(login.agent is None for login in provider.logins)


@pytest.mark.parametrize("host", ["localhost:{port}", "evil.example", "127.0.0.1", "127.0.0.1:1", ""])
def test_no_other_name_is_served(browser: Browser, provider: Provider, host: str) -> None:
    """A name that was pointed at 127.0.0.1 (DNS rebinding) reaches nothing."""
    path, shown = handed_over(browser, provider, provider.begin())
    named = host.format(port=browser.host.partition(":")[2])
    stranger = Browser(browser.host, {"Host": named})
    assert stranger.get(path).status == 421
    assert stranger.post(path, {"form": shown.hidden(), "action": "declined"}, own(browser)).status == 421


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "{provider}"])
def test_a_decision_comes_from_the_page_itself(browser: Browser, provider: Provider, origin: str | None) -> None:
    login = provider.begin()
    path, shown = handed_over(browser, provider, login)
    sent_as = None if origin is None else origin.format(provider=provider.issuer)
    fields = {"form": shown.hidden(), "action": "approve", "pin": PIN}
    assert browser.post(path, fields, sent_as).status == 403
    assert login.state == "open"


def test_without_its_tokens_a_page_is_not_there(browser: Browser, provider: Provider) -> None:
    login = provider.begin()
    path, shown = handed_over(browser, provider, login)
    assert browser.get("/login/" + "x" * 43).status == 404
    assert browser.get("/home/" + "x" * 43).status == 404
    for form in ("", "x" * 43):
        assert browser.post(path, {"form": form, "action": "approve", "pin": PIN}, own(browser)).status == 403
    twice = [("form", shown.hidden()), ("form", shown.hidden()), ("action", "declined")]
    assert browser.post(path, twice, own(browser)).status == 400
    assert login.state == "open"


def test_other_requests_are_not_served(browser: Browser, provider: Provider) -> None:
    path, shown = handed_over(browser, provider, provider.begin())
    assert browser.get(path, **{"Sec-Fetch-Dest": "iframe"}).status == 403
    assert browser.get(path, **{"Sec-Fetch-Dest": "empty"}).status == 403
    other = Browser(browser.host, {"Content-Type": "text/plain"})
    assert other.post(path, {"form": shown.hidden()}, own(browser)).status == 415
    assert browser.post(path, {"form": "x" * 9000}, own(browser)).status == 413
    assert browser.post(path, {"form": shown.hidden(), "action": "explode"}, own(browser)).status == 400
    strange = [("form", shown.hidden()), ("action", "approve"), ("pin", PIN), ("give", "address")]
    assert browser.post(path, strange, own(browser)).status == 400


@pytest.mark.parametrize("reason", ["declined", "not-me", "block-app"])
def test_saying_no_on_the_page(browser: Browser, provider: Provider, reason: str) -> None:
    login = provider.begin()
    path, shown = handed_over(browser, provider, login)
    assert browser.post(path, {"form": shown.hidden(), "action": reason}, own(browser)).status == 200
    assert (login.state, login.refusal) == ("refused", reason)


def test_the_home_page_lists_what_waits_and_holds(
    local: tuple[Browser, LocalPage], provider: Provider, ledger: Ledger
) -> None:
    browser, page = local
    login = provider.begin(mode="ciba")
    login.identity = IDENTITY
    home = browser.get(page.home_path)
    assert login.inbox_handle in home.text
    opened = browser.post(page.home_path, {"form": home.hidden(), "handle": login.inbox_handle}, own(browser))
    shown = browser.get(opened.location)
    fields = {"form": shown.hidden(), "action": "approve", "pin": PIN}
    assert "Approved" in browser.post(opened.location, fields, own(browser)).text
    asked = browser.post(page.home_path, {"form": home.hidden(), "action": "hold"}, own(browser))
    assert provider.holds == []
    sure = {"form": asked.hidden(), "action": "hold", "sure": "HOLD"}
    assert browser.post(page.home_path, sure, "https://evil.example").status == 403
    browser.post(page.home_path, sure, own(browser))
    assert provider.holds == [(IDENTITY, "unknown-login")]
    assert ledger.entries[IDENTITY].state == "held"


def test_a_remote_login_asks_for_the_code(local: tuple[Browser, LocalPage], provider: Provider) -> None:
    """It came by the inbox, as no page of this machine hands such a login over."""
    browser, page = local
    login = provider.begin(mode="remote")
    login.identity = IDENTITY
    home = browser.get(page.home_path)
    path = browser.post(page.home_path, {"form": home.hidden(), "handle": login.inbox_handle}, own(browser)).location
    shown = browser.get(path)
    fields = {"form": shown.hidden(), "action": "approve", "pin": PIN}
    assert "6 digits" in browser.post(path, fields, own(browser)).text
    wrong = f"{(int(login.code) + 1) % 10**6:06}"
    assert "2 tries left" in browser.post(path, {**fields, "code": wrong}, own(browser)).text
    assert "Approved" in browser.post(path, {**fields, "code": login.code}, own(browser)).text
    assert login.state == "approved"


def test_what_must_not_be_shown_is_not(browser: Browser, provider: Provider) -> None:
    login = provider.begin(app=provider.sign_record(provider.record(name="Sh\u202eop")))
    sent = browser.post("/hand-over", hand_over_fields(login), provider.issuer)
    assert (sent.status, sent.location) == (200, "")
    assert "bidirectional" in sent.text
    assert "\u202e" not in sent.text


def test_a_refused_approval_ends_the_page(browser: Browser, provider: Provider) -> None:
    login = provider.begin()
    path, shown = handed_over(browser, provider, login)
    assert "PIN" in browser.post(path, {"form": shown.hidden(), "action": "approve"}, own(browser)).text
    assert login.state == "open"
    login.challenge["sub"] = "somebody else"
    fields = {"form": shown.hidden(), "action": "approve", "pin": PIN}
    assert "something else than what you were shown" in browser.post(path, fields, own(browser)).text
    assert browser.get(path).status == 404


def test_holding_from_a_prompt(browser: Browser, provider: Provider) -> None:
    path, shown = handed_over(browser, provider, provider.begin())
    asked = browser.post(path, {"form": shown.hidden(), "action": "hold"}, own(browser))
    assert provider.holds == []
    browser.post(path, {"form": asked.hidden(), "action": "hold", "sure": "HOLD"}, own(browser))
    assert provider.holds == [(IDENTITY, "unknown-login")]


def test_only_so_many_prompts_wait(browser: Browser, provider: Provider) -> None:
    paths = [handed_over(browser, provider, provider.begin())[0] for _ in range(9)]
    assert [browser.get(path).status for path in (paths[0], paths[1], paths[-1])] == [404, 200, 200]


def test_values_are_text_on_the_page(browser: Browser, provider: Provider) -> None:
    app = provider.sign_record(provider.record(name='<b>"Shop" & Co</b>'))
    _, shown = handed_over(browser, provider, provider.begin(app=app, purpose="<script>alert(1)</script>"))
    assert "<b>" not in shown.text
    assert "<script>" not in shown.text
    assert "&lt;script&gt;" in shown.text


def test_another_user_of_this_machine_is_not_answered(
    browser: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = provider.begin()
    mine = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: mine + 1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        browser.post("/hand-over", hand_over_fields(login), provider.issuer)
    assert login.agent is None
    monkeypatch.setattr("os.getuid", lambda: mine)
    assert browser.post("/hand-over", hand_over_fields(login), provider.issuer).status == 303


def test_a_client_in_ipv6_clothes_is_found_too(browser: Browser) -> None:
    with socket.socket(socket.AF_INET6) as client:
        client.connect((f"::ffff:{browser.host.partition(':')[0]}", int(browser.host.partition(":")[2])))
        client.sendall(f"GET / HTTP/1.1\r\nHost: {browser.host}\r\n\r\n".encode())
        assert b"404" in client.recv(64)


def test_a_taken_port_is_said(browser: Browser) -> None:
    with pytest.raises(ConfigurationError, match="taken"), serve_page(int(urlsplit(own(browser)).port or 0), str):
        pass
