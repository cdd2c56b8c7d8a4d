"""`/v1/certificates`: certificates and their status, by SHA-256 of the DER, by key, by issuer and serial number."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from pki_chain.errors import NotFoundError
from pki_chain.gateway.answers import JSON, limit_writes, posted_object, state_answer
from pki_chain.gateway.freshness import cache_control
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.services import services
from pki_chain.gateway.status_answers import parse_sha256, status_content
from pki_chain.index.queries import ReadModel
from pki_chain.index.records import CertificateRecord
from pki_chain.status.certificate_status import UNKNOWN, derive_status
from pki_chain.x509.pem import encode_pem

certificates = Blueprint("certificates", __name__)

DER: Final = "application/pkix-cert"
PEM: Final = "application/x-pem-file"
MAX_BULK: Final = 1_000
_MAX_ISSUER_CHARACTERS: Final = 2_732
_SERIAL: Final = re.compile(r"[0-9a-fA-F]{1,40}")
_IDENTITY: Final = re.compile(r"0x[0-9a-f]{64}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")


@certificates.get("/v1/certificates/<sha256>/status")
def status(sha256: str) -> Response:
    """Status; good answers take the short way of `StatusPath`."""
    content, cache_s = services().status_answers.answer(sha256)
    return Response(content, 200, {"Cache-Control": cache_control(cache_s)}, content_type=JSON)


@certificates.get("/v1/certificates/<sha256>")
def certificate(sha256: str) -> Response:
    """DER, PEM or JSON, as the client accepts."""
    digest = parse_sha256(sha256)
    media_type = request.accept_mimetypes.best_match((JSON, DER, PEM)) if request.accept_mimetypes else JSON
    if media_type is None:
        raise RejectedError(406, "not-acceptable", f"Certificates come as {JSON}, {DER} or {PEM}. Accept one of these.")
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        record = parts.read_model.certificate(digest)
    if record is None:
        raise NotFoundError(f"The ledger has no certificate with SHA-256 {sha256}, which says nothing good about it.")
    if media_type == JSON:
        response = state_answer(_certificate_content(record, moment.block.time), moment)
    else:
        response = Response(
            record.der if media_type == DER else encode_pem("CERTIFICATE", record.der), 200, content_type=media_type
        )
        response.headers["Cache-Control"] = cache_control(moment.cache_s)
        response.set_etag(f"{sha256}.{media_type.rpartition('/')[2]}")
        response.make_conditional(request)
    response.vary.add("Accept")
    return response


@certificates.post("/v1/certificates/status")
def bulk_status() -> Response:
    """Status of many, of one and the same block."""
    limit_writes()
    fields = posted_object()
    fields.require_fields(("sha256",))
    wanted = fields.items("sha256", MAX_BULK, 1)
    digests = [parse_sha256(each) if isinstance(each, str) else parse_sha256("") for each in wanted]
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = parts.read_model.facts(digests)
    answers = []
    for text, digest in zip(wanted, digests, strict=True):
        identity, facts = found.get(digest, (None, None))
        content = status_content(UNKNOWN if facts is None else derive_status(facts, moment.block.time))
        answers.append({**content, "sha256": text, "certificate": None if identity is None else "0x" + identity.hex()})
    response = state_answer({"statuses": answers}, moment)
    response.headers["Cache-Control"] = "no-store"
    return response


@certificates.get("/v1/certificates")
def look_up() -> Response:
    """The certificate of an id (`certificate`), those of a key (`key`), or of an issuer and serial number (`issuer`,
    `serial`)."""
    find = read_look_up(request.args)
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        records = find(parts.read_model)
    found = [_certificate_content(record, moment.block.time) for record in records]
    return state_answer({"certificates": found}, moment)


def read_look_up(arguments: MultiDict[str, str]) -> Callable[[ReadModel], Sequence[CertificateRecord]]:
    """The question that the arguments put. Raises `EnvelopeError`."""
    names = sorted(arguments.keys())
    if all(len(arguments.getlist(name)) == 1 for name in names):
        if names == ["certificate"]:
            identity = parse_certificate_id(arguments["certificate"])
            return lambda model: [found] if (found := model.certificate_by_id(identity)) else []
        if names == ["key"]:
            key = parse_key(arguments["key"])
            return lambda model: model.by_key(key)
        if names == ["issuer", "serial"]:
            issuer, serial_number = parse_issuer(arguments["issuer"]), parse_serial(arguments["serial"])
            return lambda model: model.by_issuer_serial(issuer, serial_number)
    raise EnvelopeError(
        400,
        "bad-look-up",
        "Give certificate (the ledger's id, 0x and hexadecimal), or key (SHA-256 of the SubjectPublicKeyInfo,"
        " hexadecimal), or issuer (DER of the Name, base64url) and serial (hexadecimal), each once.",
    )


def parse_certificate_id(text: str) -> bytes:
    """A certificate's id on the ledger. Raises `EnvelopeError`."""
    if not _IDENTITY.fullmatch(text):
        raise EnvelopeError(400, "bad-certificate", "certificate must be 0x and 64 lower-case hexadecimal digits.")
    return bytes.fromhex(text[2:])


def parse_key(text: str) -> bytes:
    """SHA-256 of a SubjectPublicKeyInfo. Raises `EnvelopeError`."""
    try:
        return parse_sha256(text)
    except EnvelopeError:
        raise EnvelopeError(
            400, "bad-key", "key must be SHA-256 of the SubjectPublicKeyInfo: 64 lower-case hexadecimal digits."
        ) from None


def parse_issuer(text: str) -> bytes:
    """DER of a Name from base64url, padded or not. Raises `EnvelopeError`."""
    bare = text.rstrip("=")
    if len(text) <= _MAX_ISSUER_CHARACTERS and _BASE64URL.fullmatch(bare):
        try:
            return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
        except binascii.Error:
            pass
    raise EnvelopeError(400, "bad-issuer", "issuer must be the DER of the issuer's Name in base64url.")


def parse_serial(text: str) -> int:
    """A serial number from hexadecimal digits. Raises `EnvelopeError`."""
    if not _SERIAL.fullmatch(text):
        raise EnvelopeError(400, "bad-serial", "serial must be at most 20 octets in hexadecimal digits, without 0x.")
    return int(text, 16)


def _certificate_content(record: CertificateRecord, block_time: int) -> dict[str, Any]:
    return {
        "sha256": record.sha256.hex(),
        "certificate": "0x" + record.id.hex(),
        "der": base64.b64encode(record.der).decode(),
        "spki_sha256": None if record.spki_sha256 is None else record.spki_sha256.hex(),
        "serial": record.serial,
        "names": [{"kind": kind, "value": value} for kind, value in record.names],
        "not_before": record.not_before,
        "not_after": record.facts.not_after,
        "owner": record.owner,
        "authority": None if record.authority is None else "0x" + record.authority.hex(),
        "status": status_content(derive_status(record.facts, block_time)),
    }
