"""`/v1/members`, `/v1/lots`, `/v1/proposals`, `/v1/profiles`: what the consortium is made of. Lists are for members."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from pki_chain.errors import NotFoundError
from pki_chain.gateway.answers import require_member, state_answer
from pki_chain.gateway.services import services
from pki_chain.index.queries import ReadModel
from pki_chain.index.records import LotRecord, MemberRecord, ProposalRecord

registers = Blueprint("registers", __name__)


@registers.get("/v1/members")
def members() -> Response:
    """All members with their accounts and name spaces."""
    require_member()
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = [_member_content(member, parts.read_model) for member in parts.read_model.members()]
    return state_answer({"members": found}, moment)


@registers.get("/v1/lots")
def lots() -> Response:
    """The latest lots, at most 100."""
    require_member()
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = [_lot_content(lot, moment.block.time) for lot in parts.read_model.lots()]
    return state_answer({"lots": found}, moment)


@registers.get("/v1/lots/<int(max=1099511627775):number>")
def lot(number: int) -> Response:
    """One lot."""
    require_member()
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = parts.read_model.lot(number)
    if found is None:
        raise NotFoundError(f"There is no lot {number}. Open it, or correct its number.")
    return state_answer(_lot_content(found, moment.block.time), moment)


@registers.get("/v1/profiles/<int(max=65535):number>")
def profile(number: int) -> Response:
    """One profile, by the contract's names."""
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = parts.read_model.profile(number)
    if found is None:
        raise NotFoundError(f"There is no profile {number}. Correct its number.")
    return state_answer({"id": number, "content": found}, moment)


@registers.get("/v1/proposals")
def proposals() -> Response:
    """The latest proposals, at most 100."""
    require_member()
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        found = [_proposal_content(proposal) for proposal in parts.read_model.proposals()]
    return state_answer({"proposals": found}, moment)


def _member_content(member: MemberRecord, read_model: ReadModel) -> dict[str, Any]:
    return {
        "id": member.id,
        "name": member.name,
        "kind": member.kind.name.lower(),
        "state": member.state.name.lower(),
        "changed_at": member.changed_at,
        "spaces": [
            {"kind": space.kind.name.lower(), "bits": space.bits, "value": "0x" + space.value.hex()}
            for space in member.spaces
        ],
        "accounts": [
            {"address": account.address, "role": account.role.name.lower(), "active": account.active}
            for account in read_model.accounts(member.id)
        ],
    }


def _lot_content(found: LotRecord, block_time: int) -> dict[str, Any]:
    terms = found.terms
    return {
        "id": found.id,
        "owner": terms.owner,
        "profile": terms.profile,
        "maximum": terms.maximum,
        "used": found.used,
        "closes_at": terms.closes_at,
        "open": found.is_open(block_time),
        "opened_at": found.opened_at,
        "opened_by": found.opened_by,
        "stations": list(terms.stations),
        "ranges": [
            {
                "kind": each.kind.name.lower(),
                "bits": each.bits,
                "first": str(each.first),
                "last": str(each.last),
                "value": "0x" + each.value.hex(),
            }
            for each in terms.ranges
        ],
    }


def _proposal_content(proposal: ProposalRecord) -> dict[str, Any]:
    return {
        "id": proposal.id,
        "member": proposal.member,
        "kind": proposal.kind,
        "content": "0x" + proposal.content.hex(),
        "content_hash": "0x" + proposal.content_hash.hex(),
        "made_at": proposal.made_at,
        "expires_at": proposal.expires_at,
        "executable_at": proposal.executable_at or None,
        "executed_at": proposal.executed_at or None,
        "votes": [{"member": member, "support": support} for member, support in proposal.votes.items()],
    }
