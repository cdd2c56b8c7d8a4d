"""The provider's application."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

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
from tally_service.counters import Counters

MAX_BODY_BYTES: Final = 65_536

NO_ROUTE: Final = "none"
_UNLIMITED: Final = frozenset({"operations.health", "operations.ready", "static", "theming.colours", "theming.logo"})

log = logging.getLogger(__name__)


def create_app(provider: Provider, counters_directory: Path | None = None) -> Flask:
    """Build the application over these parts. All processes that are given one directory count together.

    Raises `ConfigurationError` for a theme that cannot be used.
    """
    app = Flask(__name__)
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
