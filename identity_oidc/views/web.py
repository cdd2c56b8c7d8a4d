"""What all routes share: the provider, the browser's session, CSRF, headers, and errors as pages or documents."""

from __future__ import annotations

import hmac
import json
import logging
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from flask import Flask, Response, current_app, make_response, render_template, request
from sqlalchemy import Connection
from werkzeug.exceptions import HTTPException

from identity_oidc.authentication.session import COOKIE, BrowserSession, find_session
from identity_oidc.authorization.request import AuthorizationRequest
from identity_oidc.clients import LANGUAGES
from identity_oidc.config import ProviderSettings
from identity_oidc.errors import AgentError, InputError, PageError, ProviderError
from identity_oidc.provider import EXTENSION, Provider
from identity_oidc.subscribers.errors import SubscriberError
from identity_oidc.views.texts import NAMES, message_in, named_texts_in
from identity_oidc.views.theme import theme

log = logging.getLogger(__name__)

MACHINE_PATHS: Final = ("/agent/", "/token", "/introspect", "/revoke", "/userinfo", "/jwks", "/.well-known/")
_FILES: Final = frozenset({"static", "theming.colours", "theming.logo"})
_PROBLEM: Final = "application/problem+json"


def provider() -> Provider:
    """The parts of this application."""
    found: Provider = current_app.extensions[EXTENSION]
    return found


def browser_session(connection: Connection) -> BrowserSession | None:
    """The session of this request's cookie."""
    return find_session(connection, request.cookies.get(COOKIE), provider().now())


def set_session_cookie(response: Response, session: BrowserSession) -> None:
    """For this origin only, out of reach of scripts, sent with top-level navigations from elsewhere (local mode)."""
    response.set_cookie(COOKIE, session.secret, secure=True, httponly=True, samesite="Lax", path="/")


def check_csrf(session: BrowserSession | None) -> BrowserSession:
    """The session, if this form is of one of its own pages. Raises `PageError`."""
    sent = request.form.get("csrf_token", "")
    if session is None or not hmac.compare_digest(sent.encode(), session.csrf_token.encode()):
        raise PageError("This page is out of date. Go back and load it again.")
    origin = request.headers.get("Origin")
    if origin is not None and origin != origin_of(provider().config.issuer):
        raise PageError("This form did not come from our own page. Go back and load it again.")
    return session


def origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def language_of_browser() -> str:
    """What the person chose on a page, `ui_locales` of an app, or the browser's wish."""
    locales = request.values.get("ui_locales", "")[:256].split()
    for wanted in (request.args.get("lang", ""), *locales):
        language = wanted.lower().partition("-")[0]
        if language in LANGUAGES:
            return language
    return request.accept_languages.best_match(LANGUAGES, "en") or "en"


class AddressBook:
    """`url_for` for templates: Flask makes the addresses of files, which are the same on every page, once."""

    def __init__(self, app: Flask) -> None:
        self._make = app.url_for
        self._made: dict[tuple[str, ...], str] = {}

    def __call__(self, endpoint: str, **values: Any) -> str:
        if endpoint not in _FILES:
            return self._make(endpoint, **values)
        asked = (endpoint, *map(str, values.values()))
        if asked not in self._made:
            self._made[asked] = self._make(endpoint, **values)
        return self._made[asked]


def page(template: str, *, status: int = 200, language: str | None = None, forms: str = "", **values: Any) -> Response:
    """A page of ours; `forms` are addresses beside our own that its forms may lead to."""
    chosen = language or language_of_browser()
    content = render_template(
        template,
        t=named_texts_in(chosen),
        language=chosen,
        languages=NAMES,
        theme=theme(),
        provider_name=theme().name or provider().config.provider.name,
        **values,
    )
    response = make_response(content, status)
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"base-uri 'none'; frame-ancestors 'none'; form-action 'self' {forms}".rstrip()
    )
    response.headers["Cache-Control"] = "no-store"
    # Under `no-referrer` browsers send `Origin: null` with our own forms, which `check_csrf` refuses.
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def redirect(address: str) -> Response:
    """303: what follows is a GET, whatever came before. Source: RFC 9700 §4.12."""
    response = Response(status=303)
    response.headers["Location"] = address
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def to_app(redirect_uri: str, state: str | None, **parameters: str) -> Response:
    """The answer to an app, with `iss`. Source: RFC 9207 §2."""
    values = {**parameters, **({"state": state} if state is not None else {}), "iss": provider().config.issuer}
    mark = "&" if "?" in redirect_uri else "?"
    return redirect(f"{redirect_uri}{mark}{urlencode(values, quote_via=quote)}")


def code_to_app(asked: AuthorizationRequest, code: str) -> Response:
    return to_app(asked.redirect_uri, asked.state, code=code)


def document(content: object, status: int = 200, media_type: str = "application/json") -> Response:
    """JSON that nobody stores."""
    response = Response(json.dumps(content, ensure_ascii=False), status, content_type=media_type)
    response.headers["Cache-Control"] = "no-store"
    return response


def problem(status: int, code: str, text: str, **more: Any) -> Response:
    """RFC 9457."""
    content = {"type": f"urn:tiger-tally:problem:{code}", "title": code.replace("-", " "), "status": status}
    response = document(content | {"code": code, "detail": text} | more, status, _PROBLEM)
    if status in {429, 503}:
        response.headers["Retry-After"] = "2"
    return response


def client_address(settings: ProviderSettings) -> str:
    """Who asks: the connection's other end; behind a proxy that is named in the settings, whom that proxy names."""
    peer = request.remote_addr or "unknown"
    try:
        is_proxy = any(ip_address(peer) in ip_network(each) for each in settings.trusted_proxies)
    except ValueError:
        return peer
    named = request.headers.get("X-Real-IP", "") if is_proxy else ""
    return named if named and len(named) <= 64 else peer


def is_for_machines() -> bool:
    return request.path.startswith(MACHINE_PATHS)


def register_errors(app: Flask) -> None:
    """Every error as a page where a person looks, as a document where a program does."""

    @app.errorhandler(AgentError)
    def on_agent_error(error: AgentError) -> Response:
        more = {} if error.tries_left is None else {"tries_left": error.tries_left}
        response = problem(error.status, error.problem, error.message, **more)
        if error.authenticate:
            response.headers["WWW-Authenticate"] = error.authenticate
        return response

    @app.errorhandler(SubscriberError)
    @app.errorhandler(ProviderError)
    def on_provider_error(error: ProviderError | SubscriberError) -> Response:
        if error.detail or error.http_status >= 500:
            log.getChild(error.code).warning("%s %s", error.message, error.detail)
        if is_for_machines():
            return _for_machines(error.http_status, error.code, error.message)
        return _error_page(error.http_status, error.message)

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        text = "There is nothing at this address." if status == 404 else "The request is not of the form asked for."
        response = _for_machines(status, "bad-request", text) if is_for_machines() else None
        response = response or _error_page(status, text)
        for name, value in error.get_headers(None):
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def on_defect(error: Exception) -> Response:
        # Not the error's own text: it may hold what was in the request.
        log.error("a defect, answered with 500: %s at %s", type(error).__name__, _place(error))
        text = "The provider failed. Try again."
        return _for_machines(500, "internal", text) if is_for_machines() else _error_page(500, text)


def _error_page(status: int, message: str) -> Response:
    return page("error.html", status=status, message=message_in(language_of_browser(), message))


def _for_machines(status: int, code: str, text: str) -> Response:
    if request.path.startswith("/agent/"):
        return problem(status, code, text)
    error = {503: "temporarily_unavailable", 500: "server_error", 429: "temporarily_unavailable"}.get(
        status, "invalid_request"
    )
    response = document({"error": error, "error_description": text}, status)
    if status in {429, 503}:
        response.headers["Retry-After"] = "2"
    return response


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"


def parse_body(known: set[str], required: set[str], most_bytes: int = 16_384) -> dict[str, Any]:
    """A JSON object of these members. Raises `InputError`."""
    content = request.get_data(cache=False)
    if len(content) > most_bytes:
        raise InputError(f"The body is longer than {most_bytes} bytes.")
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InputError("The body is not one JSON object in UTF-8, each member once.") from error
    if not isinstance(found, dict) or not required <= set(found) <= known:
        raise InputError(f"The body must be a JSON object with {', '.join(sorted(required))}, and nothing unknown.")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member twice")
    return found
