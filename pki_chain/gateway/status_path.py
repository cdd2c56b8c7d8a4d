"""The short way for `GET /v1/certificates/{sha256}/status`, before Flask, whose routing takes most of the time.

Only good answers go this way; whatever else there is to say, the route of the same path says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pki_chain.errors import TallyError
from pki_chain.gateway.freshness import cache_control
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.status_answers import StatusAnswers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PATH: Final = re.compile(r"/v1/certificates/([0-9a-f]{64})/status")


class StatusPath:
    """WSGI middleware."""

    def __init__(self, application: WSGIApplication, answers: StatusAnswers, counters: Counters) -> None:
        self._application = application
        self._answers = answers
        self._counters = counters

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match = _PATH.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "GET" else None
        if match is None:
            return self._application(environ, start_response)
        try:
            content, cache_s = self._answers.answer(match[1])
        except TallyError:
            return self._application(environ, start_response)
        self._counters.count("status", 200)
        start_response(
            "200 OK",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(content))),
                ("Cache-Control", cache_control(cache_s)),
                ("X-Content-Type-Options", "nosniff"),
            ],
        )
        return [content]
