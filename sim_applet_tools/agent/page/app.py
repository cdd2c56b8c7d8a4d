"""The local page as a WSGI application: a provider's page hands a login over, and it is shown in the same browser."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sim_applet_tools.agent.agent import Agent, Prompt
from sim_applet_tools.agent.challenge import Language
from sim_applet_tools.agent.error_wording import say_error
from sim_applet_tools.agent.issuer import HandOver, origin_of, parse_hand_over
from sim_applet_tools.agent.page.html import STYLE, approved_html, hold_html, home_html, message_html, page, prompt_html
from sim_applet_tools.agent.page.requests import PageRequest, RefusedRequestError, read_request
from sim_applet_tools.agent.provider_client import RefusalReason
from sim_applet_tools.agent.terminal import REFUSALS
from sim_applet_tools.agent.wording import say
from sim_applet_tools.errors import InputError, ProviderRefusedError, ReaderError, SimError
from sim_applet_tools.status_words import WrongPinError

MAX_PROMPTS = 8
TOKEN_BYTES = 32
REFRESH_S = 15
HandOverTaker = Callable[[HandOver], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body, and where the browser is sent."""

    status: str
    body: str = ""
    location: str = ""
    kind: str = "text/html; charset=utf-8"


@dataclass(slots=True)
class OpenPrompt:
    """A prompt that waits on a page; `form` is the token in its form."""

    prompt: Prompt
    form: str


class LocalPage:
    """One agent's page at `host` (address and port). With `take`, logins handed over go there (a terminal) instead.

    `home_path` leads to what waits and to holding the identity; it is told to the person who started the program.
    """

    def __init__(self, agent: Agent, host: str, language: Language, take: HandOverTaker | None = None) -> None:
        self._agent = agent
        self._host = host
        self._language = language
        self._take = take
        self._lock = threading.Lock()
        self._prompts: dict[str, OpenPrompt] = {}
        self._form = secrets.token_urlsafe(TOKEN_BYTES)
        self.home_path = f"/home/{secrets.token_urlsafe(TOKEN_BYTES)}"

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            with self._lock:
                answer = self._answer(read_request(environ, self._host))
        except RefusedRequestError as error:
            answer = Answer(error.status, kind="text/plain; charset=utf-8")
        except SimError as error:
            text = say(self._language, "failed", why=say_error(self._language, error))
            answer = Answer("200 OK", page(self._language, message_html(text)))
        body = answer.body.encode()
        headers = [("Content-Type", answer.kind), ("Content-Length", str(len(body))), *self._headers()]
        if answer.location:
            headers.append(("Location", answer.location))
        start_response(answer.status, headers)
        return [body]

    def _headers(self) -> list[tuple[str, str]]:
        """Browsers apply `form-action` to every redirect after a form, so a login ends with a page that goes on by
        itself: where the app leads the browser then is not for the page with the PIN to allow."""
        policy = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'"
        return [
            ("Content-Security-Policy", f"{policy}; base-uri 'none'"),
            ("Referrer-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ]

    def _answer(self, request: PageRequest) -> Answer:
        if request.method == "GET" and request.path == "/style.css":
            return Answer("200 OK", STYLE, kind="text/css; charset=utf-8")
        if request.method == "POST" and request.path == "/hand-over":
            return self._hand_over(request)
        if self._take is None and secrets.compare_digest(request.path.encode(), self.home_path.encode()):
            return self._home(request)
        token = request.path.removeprefix("/login/")
        if token not in self._prompts or request.path == token:
            raise RefusedRequestError("404 Not Found")
        if request.method == "GET":
            return self._show(token)
        return self._decide(request, token)

    def _hand_over(self, request: PageRequest) -> Answer:
        """A provider's page gives a login to this machine's agent: a top-level POST from the provider's own origin."""
        issuer = self._agent.enrolment.issuer
        if request.origin != origin_of(issuer) or len(dict(request.fields)) != len(request.fields):
            raise RefusedRequestError("403 Forbidden")
        hand_over = parse_hand_over(dict(request.fields))
        if hand_over.issuer != issuer or hand_over.local_secret is None:
            raise RefusedRequestError("403 Forbidden")
        if self._take is not None:
            self._take(hand_over)
            return Answer("200 OK", page(self._language, message_html(say(self._language, "see_terminal"))))
        return self._open(hand_over.handle, hand_over.local_secret)

    def _open(self, handle: str, local_secret: str | None) -> Answer:
        prompt = self._agent.open(handle, local_secret, self._language)
        while len(self._prompts) >= MAX_PROMPTS:
            del self._prompts[next(iter(self._prompts))]
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._prompts[token] = OpenPrompt(prompt, secrets.token_urlsafe(TOKEN_BYTES))
        return Answer("303 See Other", location=f"/login/{token}")

    def _show(self, token: str, message: str = "") -> Answer:
        waiting = self._prompts[token]
        return self._page(prompt_html(self._language, waiting.prompt, waiting.form, message))

    def _decide(self, request: PageRequest, token: str) -> Answer:
        waiting = self._prompts[token]
        self._verify_own(request, waiting.form)
        action = request.one("action")
        if action == "approve":
            return self._approve(request, token, waiting.prompt)
        if action == "hold":
            return self._hold(request, waiting.form)
        if action not in REFUSALS.values():
            raise RefusedRequestError("400 Bad Request")
        del self._prompts[token]
        return self._refuse(waiting.prompt, action)

    def _approve(self, request: PageRequest, token: str, prompt: Prompt) -> Answer:
        given = set(request.all("give"))
        names = {item.name for item in prompt.challenge.items}
        if not given <= names:
            raise RefusedRequestError("400 Bad Request")
        pin = request.one("pin").strip()
        if not pin:
            return self._show(token, say(self._language, "pin"))
        try:
            outcome = self._agent.approve(prompt, pin, names - given, request.one("code").strip())
        except WrongPinError as error:
            return self._show(token, say(self._language, "wrong_pin", tries=str(error.tries_left)))
        except (ReaderError, InputError) as error:
            return self._show(token, say_error(self._language, error))
        except ProviderRefusedError as error:
            if error.reason == "wrong-code":
                return self._show(token, say_error(self._language, error))
            del self._prompts[token]
            raise
        del self._prompts[token]
        if outcome.completion_uri is not None:
            body = approved_html(self._language, outcome.completion_uri)
            return Answer("200 OK", page(self._language, body, onward=outcome.completion_uri))
        return self._page(message_html(say(self._language, "approved")))

    def _refuse(self, prompt: Prompt, action: str) -> Answer:
        reasons: dict[str, RefusalReason] = {reason: reason for reason in REFUSALS.values()}
        self._agent.refuse(prompt, reasons[action])
        texts = {"declined": "refused", "not-me": "not_me_done", "block-app": "blocked_done"}
        return self._page(message_html(say(self._language, texts[action], app=prompt.record.name)))

    def _home(self, request: PageRequest) -> Answer:
        if request.method == "GET":
            handles = self._agent.inbox().handles
            body = home_html(self._language, self._agent.look().notices, handles, self._form)
            return Answer("200 OK", page(self._language, body, refresh_s=REFRESH_S))
        self._verify_own(request, self._form)
        handle = request.one("handle")
        if handle:
            return self._open(handle, None)
        if request.one("action") != "hold":
            raise RefusedRequestError("400 Bad Request")
        return self._hold(request, self._form)

    def _hold(self, request: PageRequest, form: str) -> Answer:
        """Asked twice: it ends every login until the operator releases."""
        if request.one("sure") != "HOLD":
            return self._page(hold_html(self._language, form))
        self._agent.hold("unknown-login")
        return self._page(message_html(say(self._language, "held_done")))

    def _verify_own(self, request: PageRequest, form: str) -> None:
        """The POST comes from this very page."""
        is_own = request.origin == f"http://{self._host}"
        if not is_own or not secrets.compare_digest(request.one("form").encode(), form.encode()):
            raise RefusedRequestError("403 Forbidden")

    def _page(self, body: str) -> Answer:
        return Answer("200 OK", page(self._language, body))
