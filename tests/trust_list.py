"""CAs put on the trust list of an embedded ledger, and withdrawn: all of them the operator's."""

from __future__ import annotations

import secrets

from eth_abi import encode

from pki_chain.chain.typed_data import content_hash
from pki_chain.ports import ProposalMade, TrustScope
from tests.certificates import DAY_S, Draft, validity
from tests.ledger import OEM, OPERATOR, VENDOR, Consortium

_TRUST_ROOT = 14


def at(consortium: Consortium, draft: Draft, days: int) -> Draft:
    """The same, of the ledger's time; the tests' drafts are of a fixed one."""
    return draft.replace(validity=validity(consortium.now() - 60, consortium.now() + days * DAY_S))


def end(consortium: Consortium, days: int) -> int:
    """So many days ahead."""
    return consortium.now() + days * DAY_S


def trust_root(consortium: Consortium, der: bytes, scope: TrustScope, until: int) -> None:
    """Propose, vote and carry out the trust of a root."""
    content = encode(["uint16", "bytes", "uint8", "uint40"], [OPERATOR, der, int(scope), until])
    deadline, nonce = consortium.deadline(), secrets.randbits(256)
    texts, calls = consortium.texts, consortium.calls
    proposer = consortium.members[OPERATOR].keys["administrator"]
    proposal = calls.propose(
        _TRUST_ROOT,
        content,
        administrator=proposer.address,
        nonce=nonce,
        deadline=deadline,
        signature=proposer.sign(texts.propose(_TRUST_ROOT, content, nonce, deadline)),
    )
    receipt = consortium.send(proposal)
    events = consortium.ledger.events(receipt.block_number, receipt.block_number)
    [number] = [event.content.proposal for event in events if isinstance(event.content, ProposalMade)]
    hashed = content_hash(_TRUST_ROOT, content)
    for voter in (VENDOR, OEM):
        signer = consortium.members[voter].keys["administrator"]
        signature = signer.sign(texts.vote(number, hashed, deadline, support=True))
        vote = calls.vote(
            number, hashed, administrator=signer.address, deadline=deadline, signature=signature, support=True
        )
        assert consortium.send(vote).succeeded
    receipt = consortium.send(calls.execute(number, content))
    assert receipt.succeeded, receipt.revert


def publish(consortium: Consortium, der: bytes, scope: TrustScope, until: int) -> None:
    """By the operator's administrator."""
    signer, deadline = consortium.members[OPERATOR].keys["administrator"], consortium.deadline()
    signature = signer.sign(consortium.texts.publish_authority(der, OPERATOR, scope, until, deadline))
    call = consortium.calls.publish_authority(
        der, OPERATOR, scope, until, deadline=deadline, administrator=signer.address, signature=signature
    )
    receipt = consortium.send(call)
    assert receipt.succeeded, receipt.revert


def withdraw(consortium: Consortium, authority: bytes, reason: int) -> None:
    """Likewise."""
    signer, deadline = consortium.members[OPERATOR].keys["administrator"], consortium.deadline()
    signature = signer.sign(consortium.texts.withdraw(authority, reason, deadline))
    call = consortium.calls.withdraw_authority(
        authority, reason, deadline=deadline, administrator=signer.address, signature=signature
    )
    receipt = consortium.send(call)
    assert receipt.succeeded, receipt.revert
