"""`/ocsp`, `/crl`, `/bundles`, `/v1/changes`: what software of relying parties reads. See docs/relying-parties.md."""

from __future__ import annotations

from flask import Blueprint, Response, request

from pki_chain.gateway.freshness import cache_control
from pki_chain.gateway.ocsp_answers import MEDIA_TYPE, REQUEST_TYPE, OcspAnswer, failure_of, read_path
from pki_chain.gateway.problems import RejectedError
from pki_chain.gateway.services import services
from pki_chain.status.ocsp_request import OcspRequestError

relying = Blueprint("relying", __name__)


@relying.post("/ocsp")
def ocsp() -> Response:
    """OCSP by POST; good requests take the short way of `Front`. Source: RFC 6960 appendix A.1."""
    if request.mimetype != REQUEST_TYPE:
        raise RejectedError(415, "unsupported-media-type", f"The body must be {REQUEST_TYPE}. Set Content-Type.")
    return _ocsp_response(services().ocsp_answers.answer(request.get_data(cache=False)))


@relying.get("/ocsp/<path:encoded>")
def ocsp_in_path(encoded: str) -> Response:
    """OCSP by GET."""
    try:
        content = read_path(encoded)
    except OcspRequestError as error:
        return _ocsp_response(failure_of(error))
    return _ocsp_response(services().ocsp_answers.answer(content))


def _ocsp_response(answer: OcspAnswer) -> Response:
    response = Response(answer.content, 200, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = cache_control(answer.cache_s)
    return response
