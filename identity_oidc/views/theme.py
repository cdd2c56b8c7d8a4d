"""The operator's colours and logo, from this origin as everything on the pages."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, current_app
from werkzeug.exceptions import NotFound

from identity_oidc.theme import Theme

theming = Blueprint("theming", __name__)
THEME: Final = "tiger-tally-oidc-theme"
_KEPT: Final = "public, max-age=86400"


def theme() -> Theme:
    """The theme of this application."""
    found: Theme = current_app.extensions[THEME]
    return found


@theming.get("/theme.css")
def colours() -> Response:
    """Its address carries the theme's version, so browsers may keep it."""
    response = Response(theme().stylesheet, content_type="text/css; charset=utf-8")
    response.headers["Cache-Control"] = _KEPT
    return response


@theming.get("/theme/logo")
def logo() -> Response:
    """The picture. Opened by itself it may load and run nothing, also where it is an SVG with a script in it."""
    found = theme().logo
    if found is None:
        raise NotFound
    response = Response(found.content, content_type=found.kind)
    response.headers["Cache-Control"] = _KEPT
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response
