"""`/ocsp`, `/crl`, `/bundles`, `/v1/changes`: what software of relying parties reads. See docs/relying-parties.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, request

from pki_chain.errors import NotFoundError
from pki_chain.gateway import crl_answers
from pki_chain.gateway.answers import json_answer, require_member, state_answer
from pki_chain.gateway.authority_bundles import read_authority_scope, render_authorities
from pki_chain.gateway.bundle_answers import MEDIA_TYPES, certificate_content, read_scope, render
from pki_chain.gateway.change_answers import MAX_PAGE, change_content, read_after
from pki_chain.gateway.freshness import Moment, block_content, cache_control
from pki_chain.gateway.ocsp_answers import MEDIA_TYPE, REQUEST_TYPE, OcspAnswer, failure_of, read_path
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.services import services
from pki_chain.status.crl import CrlScope
from pki_chain.status.ocsp_request import OcspRequestError

relying = Blueprint("relying", __name__)

_AUTHORITY: Final = re.compile(r"[0-9a-f]{64}")
JOSE: Final = "application/jose"
_LARGEST: Final = 1 << 53


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


@relying.get("/crl")
def crls() -> Response:
    """Which lists there are."""
    block, scopes = services().crl_answers.scopes()
    lists = [
        {"profile": scope.profile, "parts": scope.parts, "path": f"/crl/{scope.profile}/{{part}}-of-{scope.parts}.crl"}
        for scope in scopes
    ]
    return json_answer({"lists": lists, "block": block_content(block.number, block.time, block.hash)})


@relying.get("/crl/<int(max=65535):profile>/<int(max=65535):part>-of-<int(max=65535):parts>.crl")
def crl(profile: int, part: int, parts: int) -> Response:
    """One list, full, or the delta to a base. It says itself until when it holds; caches may keep none."""
    _require_known("base")
    base = _whole_number("base", _LARGEST) if "base" in request.args else None
    content = services().crl_answers.answer(CrlScope(profile, part, parts), base)
    response = Response(content, 200, content_type=crl_answers.MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response


@relying.get("/crl/<authority>")
def authority_crls(authority: str) -> Response:
    """Parts of the list of one CA, by its id on the trust list, and how full they are."""
    _require_known()
    block, parts = services().authority_lists.parts(_authority_id(authority))
    found = [
        {"part": each.number, "certificates": each.certificates, "path": f"/crl/{authority}/{each.number}.crl"}
        for each in parts
    ]
    return json_answer({"parts": found, "block": block_content(block.number, block.time, block.hash)})


@relying.get("/crl/<authority>.crl")
def authority_crl(authority: str) -> Response:
    """The list of one CA, of all that it issued, full, or the delta to a base."""
    return _authority_crl(authority, None)


@relying.get("/crl/<authority>/<int(max=65535):part>.crl")
def authority_crl_part(authority: str, part: int) -> Response:
    """A part of that, for the certificates whose distribution points name it."""
    return _authority_crl(authority, part)


def _authority_crl(authority: str, part: int | None) -> Response:
    _require_known("base")
    base = _whole_number("base", _LARGEST) if "base" in request.args else None
    content = services().authority_lists.answer(_authority_id(authority), part, base)
    response = Response(content, 200, content_type=crl_answers.MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response


def _authority_id(text: str) -> bytes:
    """Raises `NotFoundError`."""
    if not _AUTHORITY.fullmatch(text):
        raise NotFoundError(
            "A CA's list is named by its id: 64 lower-case hexadecimal digits, as /v1/authorities has it."
        )
    return bytes.fromhex(text)


@relying.get("/bundles/signers.pem")
def signers() -> Response:
    """Certificates of the keys that sign here: for everybody, to be compared on another way."""
    response = Response(services().bundle_answers.signers(), 200, content_type=MEDIA_TYPES["pem"])
    response.headers["Cache-Control"] = "no-store"
    return response


@relying.get("/bundles/manifest.jws")
def manifest() -> Response:
    """The manifest of a bundle."""
    require_member()
    content, moment = services().bundle_answers.manifest(read_scope(request.args))
    return _cached(Response(content, 200, content_type=JOSE), moment)


@relying.get("/bundles/certificates.<any(pem,p7b,json):form>")
def bundle(form: str) -> Response:
    """A bundle; its ETag changes with its certificates."""
    require_member()
    scope, answers = read_scope(request.args), services().bundle_answers
    found, moment = answers.bundle(scope)
    return _tagged(
        f"{found.digest}.{form}",
        form,
        moment,
        lambda: render(found, form, answers.sign(scope, found, moment) if form == "json" else ""),
    )


@relying.get("/bundles/authorities.jws")
def authorities_manifest() -> Response:
    """The manifest of a bundle of CAs: for everybody, as the trust list is."""
    scope, answers = read_authority_scope(request.args), services().authority_bundles
    found, moment = answers.bundle(scope)
    return _cached(Response(answers.sign(scope, found, moment), 200, content_type=JOSE), moment)


@relying.get("/bundles/authorities.<any(pem,p7b,json):form>")
def authorities_bundle(form: str) -> Response:
    """CAs that count now for a scope."""
    scope, answers = read_authority_scope(request.args), services().authority_bundles
    found, moment = answers.bundle(scope)
    return _tagged(
        f"{found.digest}.{form}",
        form,
        moment,
        lambda: render_authorities(found, form, answers.sign(scope, found, moment) if form == "json" else ""),
    )


@relying.get("/v1/changes")
def changes() -> Response:
    """A page of the change feed; `gateway.stream_port` serves it as a stream."""
    require_member()
    _require_known("after", "limit")
    parts = services()
    limit = _whole_number("limit", MAX_PAGE, least=1) if "limit" in request.args else MAX_PAGE
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        after = read_after(request.args.get("after", "0"), parts.change_log, moment.block.number)
        found = parts.change_log.changes(after, limit)
    cursor = found[-1].position if found else after
    content = {"changes": [change_content(each) for each in found], "cursor": str(cursor)}
    response = state_answer({**content, "more": len(found) == limit}, moment)
    response.headers["Cache-Control"] = "no-store"
    return response


@relying.get("/v1/expiries")
def expiries() -> Response:
    """A member's certificates, valid or held, that end before a time."""
    require_member()
    _require_known("member", "before")
    parts = services()
    member, before = _whole_number("member", 65_535, least=1), _whole_number("before", _LARGEST)
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = parts.change_log.ending(member, before, MAX_PAGE)
    return state_answer({"certificates": [certificate_content(each) for each in found]}, moment)


def _ocsp_response(answer: OcspAnswer) -> Response:
    response = Response(answer.content, 200, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = cache_control(answer.cache_s)
    return response


def _tagged(tag: str, form: str, moment: Moment, make: Callable[[], bytes]) -> Response:
    """A bundle, or that the one with this tag is still right."""
    unchanged = tag in request.if_none_match
    response = Response(status=304) if unchanged else Response(make(), 200, content_type=MEDIA_TYPES[form])
    response.set_etag(tag)
    return _cached(response, moment)


def _cached(response: Response, moment: Moment) -> Response:
    response.headers["Cache-Control"] = cache_control(moment.cache_s)
    return response


def _require_known(*names: str) -> None:
    """The query has these names only, each at most once. Raises `EnvelopeError`."""
    for name, values in request.args.lists():
        if name not in names or len(values) != 1:
            raise EnvelopeError(400, "bad-query", f"The query takes {', '.join(names)}, each at most once.")


def _whole_number(name: str, most: int, least: int = 0) -> int:
    """A number in the query. Raises `EnvelopeError`."""
    text = request.args.get(name, "")
    if text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most:
        return int(text)
    raise EnvelopeError(400, "bad-number", f"{name} must be a whole number from {least} to {most}.")
