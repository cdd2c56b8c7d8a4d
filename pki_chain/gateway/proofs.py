"""`/v1/certificates/{sha256}/proof`: the status of a certificate, or its absence, for readers who trust no gateway."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, request

from pki_chain.chain.proofs import ProofMaker
from pki_chain.errors import NotFoundError
from pki_chain.gateway.freshness import age_of, cache_control, cache_seconds, require_fresh
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.services import Services, services
from pki_chain.gateway.status_answers import parse_sha256
from pki_chain.index.authorities import Authorities
from pki_chain.proof.proof import CBOR_TYPE, JSON_TYPE
from pki_chain.proof.registry_state import Identity
from pki_chain.proof.verifier import identify

proofs = Blueprint("proofs", __name__)

_ARGUMENTS: Final = ["spki", "tbs"]


@proofs.get("/v1/certificates/<sha256>/proof")
def proof(sha256: str) -> Response:
    """The proof at the ledger's head, as JSON or CBOR. Of a certificate that is not on the ledger the read model knows
    no identity: `spki` and `tbs` (SHA-256 of both TLVs) give it."""
    media_type = request.accept_mimetypes.best_match((JSON_TYPE, CBOR_TYPE)) if request.accept_mimetypes else JSON_TYPE
    if media_type is None:
        raise RejectedError(406, "not-acceptable", f"Proofs come as {JSON_TYPE} or {CBOR_TYPE}. Accept one of these.")
    parts = services()
    identity, path = _asked(parts, parse_sha256(sha256))
    parameters = parts.read_model.parameters()
    with parts.ledger_places.taken():
        made, header = ProofMaker(parts.consortium, parts.ledger.connection).make(identity, path)
    age_s = age_of(header.time, parts.freshness.now())
    require_fresh(age_s, parameters.age_bound_s)
    response = Response(made.json() if media_type == JSON_TYPE else made.cbor(), 200, content_type=media_type)
    response.headers["Cache-Control"] = cache_control(cache_seconds(age_s, parameters.cut_off_s))
    response.vary.add("Accept")
    return response


def _asked(parts: Services, digest: bytes) -> tuple[Identity, tuple[bytes, ...]]:
    """Whose status it is, and the ids of the CAs above: from the one that was its issuer when it was submitted to the
    root. Raises `EnvelopeError`, `NotFoundError`."""
    given = _given()
    records = parts.read_model
    record = records.certificate(digest) if given is None else records.certificate_by_id(given.certificate)
    if record is not None:
        above = () if record.authority is None else Authorities(parts.read_model).chain(record.authority)
        return identify(record.der), tuple(each.id for each in above)
    if given is None:
        raise NotFoundError(
            "The ledger has no certificate with this SHA-256. For a proof of that, give spki and tbs: SHA-256 of the"
            " certificate's SubjectPublicKeyInfo and TBSCertificate, in hexadecimal."
        )
    return given, ()


def _given() -> Identity | None:
    """What the question names itself. Raises `EnvelopeError`."""
    if not request.args:
        return None
    if sorted(request.args.keys()) != _ARGUMENTS or any(len(request.args.getlist(each)) > 1 for each in _ARGUMENTS):
        raise EnvelopeError(400, "bad-proof-arguments", "Give spki and tbs, each once, or neither.")
    return Identity(_hash("spki"), _hash("tbs"))


def _hash(name: str) -> bytes:
    try:
        return parse_sha256(request.args[name])
    except EnvelopeError:
        raise EnvelopeError(
            400, f"bad-{name}", f"{name} must be a SHA-256: 64 lower-case hexadecimal digits."
        ) from None
