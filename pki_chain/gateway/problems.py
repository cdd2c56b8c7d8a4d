"""Errors as problem documents (RFC 9457). `type` and `code` are stable; `detail` names the input and the remedy."""

from __future__ import annotations

import json
import logging
from typing import ClassVar

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from pki_chain.errors import InputError, LedgerUnavailableError, RefusedError, TallyError

TYPE_PREFIX = "urn:tiger-tally:problem:"
MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)

_HTTP_PROBLEMS = {
    400: ("bad-request", "The request is not well formed. See /openapi.json."),
    404: ("no-such-route", "There is nothing at this path. See /openapi.json."),
    413: ("body-too-large", "The body is longer than 256 KiB. Split the batch or the list."),
    405: ("method-not-allowed", "This path does not know that method. See /openapi.json."),
}
_LEDGER_AWAY = "The ledger does not answer this gateway now. Ask again in a moment, or ask another gateway."


class ProblemError(TallyError):
    """An error whose code and HTTP status differ from case to case; the code is part of the interface."""

    def __init__(self, status: int, code: str, message: str, *, detail: str = "", retry_after_s: int = 0) -> None:
        super().__init__(message, detail=detail)
        self.status = status
        self.problem_code = code
        self.retry_after_s = retry_after_s


class EnvelopeError(ProblemError, InputError):
    """The form of a request is wrong."""

    http_status: ClassVar[int] = 400


class RejectedError(ProblemError, RefusedError):
    """The request is well formed and cannot be taken."""


def problem(status: int, code: str, detail: str, *, retry_after_s: int = 0) -> Response:
    """A problem document. No answer of this kind may be cached."""
    title = code.replace("-", " ")
    content = {"type": TYPE_PREFIX + code, "title": title, "status": status, "code": code, "detail": detail}
    response = Response(json.dumps(content), status, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if retry_after_s:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def problem_of(error: TallyError) -> Response:
    """The document that tells about an error; what is for the log only stays out of it."""
    if isinstance(error, ProblemError):
        return problem(error.status, error.problem_code, error.message, retry_after_s=error.retry_after_s)
    retry_after_s = 2 if error.http_status == 503 else 0
    # Which endpoints this gateway has is nobody's business but its operator's.
    text = _LEDGER_AWAY if isinstance(error, LedgerUnavailableError) else error.message
    return problem(error.http_status, error.code, text, retry_after_s=retry_after_s)


def register(app: Flask) -> None:
    """Answer every error of this application with a problem document."""

    @app.errorhandler(TallyError)
    def on_tally_error(error: TallyError) -> Response:
        if error.detail or error.http_status >= 500:
            code = error.problem_code if isinstance(error, ProblemError) else error.code
            log.getChild(code).warning("%s %s", error.message, error.detail)  # a kind of its own for the log's limit
        return problem_of(error)

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        code, text = _HTTP_PROBLEMS.get(status, ("http-error", error.description or "The request failed."))
        response = problem(status, code, text)
        for name, value in error.get_headers(None):
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def on_defect(error: Exception) -> Response:
        log.error("a defect, answered with 500", exc_info=error)
        return problem(500, "internal", "The gateway failed. Its log tells more; send the request again.")
