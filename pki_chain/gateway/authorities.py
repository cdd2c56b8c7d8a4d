"""`/v1/authorities`: the trust list, for everybody: which CAs count, for what, until when, and who signs for them."""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from flask import Blueprint, Response, request

from pki_chain.errors import NotFoundError
from pki_chain.gateway.answers import JSON, state_answer
from pki_chain.gateway.freshness import cache_control
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.services import services
from pki_chain.index.authorities import Authorities
from pki_chain.index.authority_records import AuthorityRecord, DelegationRecord
from pki_chain.ports import TrustScope
from pki_chain.x509.pem import encode_pem_certificates

authorities = Blueprint("authorities", __name__)

PEM_CHAIN: Final = "application/pem-certificate-chain"
"""Source: RFC 8555 §9.1."""
_ID: Final = re.compile(r"0x[0-9a-f]{64}")
_MEMBER: Final = re.compile(r"[1-9][0-9]{0,4}")


@authorities.get("/v1/authorities")
def listed() -> Response:
    """All roots and issuing CAs, or those of one member (`member`), ended ones too, parents before their children."""
    member = _read_member()
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        trust_list = Authorities(parts.read_model)
        found = [
            _content(record, trust_list.delegations(record.id), moment.block.time)
            for record in trust_list.authorities(member)
        ]
    return state_answer({"authorities": found}, moment)


@authorities.get("/v1/authorities/<identifier>")
def authority(identifier: str) -> Response:
    """One of them: JSON, or its chain up to the root as PEM, its own certificate first."""
    if not _ID.fullmatch(identifier):
        raise EnvelopeError(400, "bad-authority", "An authority is named by its id: 0x and 64 lower-case hex digits.")
    accepted = request.accept_mimetypes
    media_type = accepted.best_match((JSON, PEM_CHAIN)) if accepted else JSON
    if media_type is None:
        raise RejectedError(406, "not-acceptable", f"Authorities come as {JSON} or {PEM_CHAIN}. Accept one of these.")
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        trust_list = Authorities(parts.read_model)
        chain = trust_list.chain(bytes.fromhex(identifier[2:]))
        delegations = trust_list.delegations(chain[0].id) if chain else ()
    if not chain:
        raise NotFoundError(f"The trust list has no authority {identifier}. Nothing below it is to be believed.")
    if media_type == JSON:
        response = state_answer(_content(chain[0], delegations, moment.block.time), moment)
    else:
        response = Response(encode_pem_certificates(each.der for each in chain), 200, content_type=PEM_CHAIN)
        response.headers["Cache-Control"] = cache_control(moment.cache_s)
    response.vary.add("Accept")
    return response


def _read_member() -> int | None:
    names = sorted(request.args.keys())
    if not names:
        return None
    values = request.args.getlist("member")
    if names != ["member"] or len(values) != 1 or not _MEMBER.fullmatch(values[0]) or int(values[0]) > 0xFFFF:
        raise EnvelopeError(400, "bad-member", "Give member, a member's number, once, or nothing.")
    return int(values[0])


def _content(record: AuthorityRecord, delegations: tuple[DelegationRecord, ...], block_time: int) -> dict[str, Any]:
    return {
        "id": "0x" + record.id.hex(),
        "member": record.member,
        "parent": None if record.parent is None else "0x" + record.parent.hex(),
        "state": _state(record, block_time),
        "scope": [(each.name or "").lower() for each in TrustScope if each in record.scope],
        "trusted_from": record.trusted_from,
        "trusted_until": record.trusted_until,
        "path_length": record.path_length,
        "ended_at": record.ended_at or None,
        "withdrawn": _withdrawal(record.withdrawn_at, record.reason),
        "sha256": record.sha256.hex(),
        "spki_sha256": record.spki_sha256.hex(),
        "key_identifier": record.key_identifier.hex(),
        "der": base64.b64encode(record.der).decode(),
        "delegations": [_delegation_content(each) for each in delegations],
    }


def _state(record: AuthorityRecord, block_time: int) -> str:
    if record.withdrawn_at:
        return "withdrawn"
    if block_time > record.trusted_until:
        return "ended"
    return "barred" if record.barred_at else "live"


def _delegation_content(delegation: DelegationRecord) -> dict[str, Any]:
    return {
        "id": "0x" + delegation.id.hex(),
        "kind": delegation.kind.name.lower().replace("_", "-"),
        "not_before": delegation.not_before,
        "not_after": delegation.not_after,
        "withdrawn": _withdrawal(delegation.withdrawn_at, delegation.reason),
        "sha256": delegation.sha256.hex(),
        "der": base64.b64encode(delegation.der).decode(),
    }


def _withdrawal(at: int, reason: int) -> dict[str, int] | None:
    return {"at": at, "reason": reason} if at else None
