"""A person with a browser, played by the demonstration: it follows what pages say, and types the PIN it was given."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests

from pki_chain.demo.stage import require

_TIMEOUT_S: Final = 20.0
_FIELD: Final = re.compile(r'<input type="(hidden|checkbox)" name="([^"]*)" value="([^"]*)"')
_ONWARD: Final = re.compile(r'http-equiv="refresh" content="0;url=([^"]*)"')
_MESSAGE: Final = re.compile(r'role="alert">([^<]*)<')
_REDIRECTS: Final = frozenset({302, 303})


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser shows, where it came to, and where it is sent on (empty: nowhere)."""

    address: str
    status: int
    text: str
    onward: str

    def fields(self, kind: str = "hidden") -> list[tuple[str, str]]:
        """Of the first form: hidden fields, or boxes as they are ticked."""
        form = self.text[self.text.find("<form") :].partition("</form>")[0]
        return [
            (html.unescape(name), html.unescape(value)) for found, name, value in _FIELD.findall(form) if found == kind
        ]

    def action(self) -> str:
        """Where the first form leads."""
        found = re.search(r'<form method="post" action="([^"]*)"', self.text)
        return urljoin(self.address, html.unescape(found[1])) if found else self.address

    def message(self) -> str:
        """What a page of the agent warns of."""
        found = _MESSAGE.search(self.text)
        return html.unescape(found[1]) if found else self.text


@dataclass(slots=True)
class Visitor:
    """A browser with cookies of its own, which sends `Origin` as browsers do. Trusts loopback as they do too."""

    _cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    def log_in(self, app: str, pin: str) -> Page:
        """From the app's button to the page it leads to, giving every item that is asked for."""
        prompt = self.ask_agent(app)
        require(prompt.status == 200 and bool(prompt.fields("checkbox")), f"the agent asks nothing: {prompt.message()}")
        answer = [*prompt.fields(), *prompt.fields("checkbox"), ("action", "approve"), ("pin", pin)]
        approved = self.post(prompt.address, answer, _origin(prompt.address))
        require(bool(approved.onward), f"the agent did not approve: {approved.message()}")
        return self.follow(approved)

    def ask_agent(self, app: str) -> Page:
        """Press the app's button, then the one on the provider's page that leads to this machine's agent."""
        login = self.follow(self.post(f"{app}/login", [], app))
        require(login.status == 200 and bool(login.fields()), f"the provider shows no login: {login.status}")
        return self.follow(self.post(login.action(), login.fields(), _origin(login.address)))

    def is_logged_in(self, issuer: str) -> bool:
        """Whether the provider, asked to log this browser out, finds somebody to ask."""
        return 'action="/logout/confirm' in self.get(f"{issuer}/logout").text

    def get(self, address: str) -> Page:
        return self._ask("GET", address, {})

    def post(self, address: str, fields: list[tuple[str, str]], origin: str) -> Page:
        return self._ask("POST", address, {"Origin": origin}, fields)

    def follow(self, page: Page) -> Page:
        """Go on until a page stays."""
        for _ in range(10):
            if not page.onward:
                return page
            page = self.get(page.onward)
        require(holds=False, text=f"{page.address} leads in a circle")
        return page

    def _ask(
        self, method: str, address: str, headers: dict[str, str], fields: list[tuple[str, str]] | None = None
    ) -> Page:
        """Names under .localhost are this machine, to browsers, but not to every system. Source: RFC 6761 §6.3."""
        parts = urlsplit(address)
        near = parts._replace(netloc=f"127.0.0.1:{parts.port}", fragment="").geturl()
        cookies = self._cookies.setdefault(parts.netloc, {})
        sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
        given = headers | {"Host": parts.netloc} | ({"Cookie": sent} if sent else {})
        with requests.Session() as session:
            session.trust_env = False  # no proxy by surprise
            answer = session.request(
                method, near, headers=given, data=fields, timeout=_TIMEOUT_S, allow_redirects=False
            )
        for line in answer.raw.headers.getlist("Set-Cookie"):
            cookies.update({name: found.value for name, found in SimpleCookie(line).items()})
        answer.encoding = "utf-8"
        onward = answer.headers.get("Location", "") if answer.status_code in _REDIRECTS else ""
        if not onward and (found := _ONWARD.search(answer.text)):
            onward = html.unescape(found[1])
        return Page(address, answer.status_code, answer.text, urljoin(address, onward) if onward else "")


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
