"""The provider's application."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flask import Flask, Response, request

from identity_oidc.errors import InputError, TooManyRequestsError
from identity_oidc.grants.server import TokenServer
from identity_oidc.provider import EXTENSION, Provider
from identity_oidc.rate_limit import RateLimit
from identity_oidc.theme import Theme
from identity_oidc.views.account import account
from identity_oidc.views.agent import agent
from identity_oidc.views.authorize import authorize
from identity_oidc.views.discovery import discovery
from identity_oidc.views.login import login
from identity_oidc.views.logout import logout
from identity_oidc.views.operations import COUNTERS, operations
from identity_oidc.views.theme import THEME, theming
from identity_oidc.views.token import SERVER, token
from identity_oidc.views.userinfo import userinfo
from identity_oidc.views.web import AddressBook, client_address, register_errors
from identity_oidc.workplace import Answer
from tally_service.counters import Counters

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY_BYTES: Final = 65_536

NO_ROUTE: Final = "none"
_UNLIMITED: Final = frozenset({"operations.health", "operations.ready", "static", "theming.colours", "theming.logo"})

log = logging.getLogger(__name__)


class Application(Flask):
    """Flask, which also answers without the detour over `start_response` and a list of parts. Source: PEP 3333."""

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """The whole answer to a request: status, headers, content."""
        context = self.request_context(environ)
        error: BaseException | None = None
        try:
            context.push()
            response = self.full_dispatch_request()
            return response.status_code, *_whole(response, environ)
        except BaseException as failure:
            error = failure
            raise
        finally:
            context.pop(error)


def _whole(response: Response, environ: WSGIEnvironment) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and content. A file is read, as it is one of ours and small."""
    response.direct_passthrough = False
    headers = response.get_wsgi_headers(environ).to_wsgi_list()
    with closing(response):
        has_none = environ["REQUEST_METHOD"] == "HEAD" or response.status_code in {204, 304}
        return headers, b"" if has_none else response.get_data()


def create_app(provider: Provider, counters_directory: Path | None = None) -> Application:
    """Build the application over these parts. All processes that are given one directory count together.

    Raises `ConfigurationError` for a theme that cannot be used.
    """
    app = Application(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    app.config["MAX_FORM_PARTS"] = 64
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.extensions[EXTENSION] = provider
    app.extensions[THEME] = Theme.load(provider.config.provider.theme)
    app.extensions[SERVER] = TokenServer(app, provider)
    limit = RateLimit(provider.config.limits)
    register_errors(app)
    app.jinja_env.globals["url_for"] = AddressBook(app)
    for blueprint in (discovery, authorize, login, token, userinfo, agent, account, logout, operations, theming):
        app.register_blueprint(blueprint)
    endpoints = sorted({rule.endpoint for rule in app.url_map.iter_rules()})
    counters = app.extensions[COUNTERS] = Counters((*endpoints, NO_ROUTE), counters_directory)

    @app.before_request
    def within_limits() -> None:
        if request.endpoint not in _UNLIMITED and not limit.take(client_address(provider.config.provider)):
            raise TooManyRequestsError("Too many requests came from your address. Wait a moment.")
        if not request.path.isprintable():  # what stands in it is looked up, and databases fail on NUL
            raise InputError("The request is not of the form asked for.")

    @app.after_request
    def finish(response: Response) -> Response:
        counters.count(request.endpoint or NO_ROUTE, response.status_code)
        response.headers.add("X-Content-Type-Options", "nosniff")
        response.headers.add("X-Frame-Options", "DENY")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        if provider.config.issuer.startswith("https://"):
            response.headers.add("Strict-Transport-Security", "max-age=31536000")
        return response

    return app
