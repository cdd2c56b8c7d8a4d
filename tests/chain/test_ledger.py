"""The adapter against the contracts: signed texts, calls, events and reads, on a founded consortium."""

from __future__ import annotations

import dataclasses
import secrets
from itertools import pairwise
from typing import Any

import pytest

from pki_chain import ports
from pki_chain.chain.abi import load_interface
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedData, TypedTexts, batch_digest, content_hash
from pki_chain.errors import LedgerUnavailableError, RefusedError
from pki_chain.ports import HoldFlag, HoldKind, LoggedEvent, Role, Status
from pki_chain.x509.certificate import parse_certificate
from tests.ledger import AUTHORITY, OEM, OPERATOR, VENDOR, Consortium, issue_certificates

pytestmark = pytest.mark.chain


def contents(events: list[LoggedEvent], kind: type) -> list[Any]:
    return [event.content for event in events if isinstance(event.content, kind)]


def domain(consortium: Consortium, contract: str, address: ports.Address) -> tuple[Any, ...]:
    """`eip712Domain()` of a contract (ERC-5267)."""
    interface = load_interface(contract)
    data = consortium.ledger.connection.call(address, interface.encode("eip712Domain", []))
    return interface.decode("eip712Domain", data)


def test_domains_are_those_of_the_contracts(consortium: Consortium) -> None:
    for contract, address, typed in (
        ("Consortium", consortium.file.consortium, consortium.texts.vote(1, b"\x01" * 32, 1, support=True)),
        ("CertificateRegistry", consortium.file.certificate_registry, consortium.texts.close_lot(1, 1)),
    ):
        fields, name, version, chain_id, verifying, salt, extensions = domain(consortium, contract, address)
        wanted = typed.full_message()["domain"]
        assert (fields, extensions) == (b"\x1f", ())
        assert (name, version, chain_id, salt) == tuple(wanted[key] for key in ("name", "version", "chainId", "salt"))
        assert verifying.lower() == wanted["verifyingContract"].lower()


def test_founding_stands_as_events(consortium: Consortium) -> None:
    events = list(consortium.ledger.events(consortium.file.founding_block, consortium.ledger.head().number))
    members = contents(events, ports.MemberChanged)[:4]
    assert [(each.member, each.name) for each in members] == [
        (number, member.name) for number, member in consortium.members.items()
    ]
    accounts = {each.account: (each.member, each.role) for each in contents(events, ports.AccountChanged)}
    assert accounts[consortium.members[OEM].keys["endorser"].address] == (OEM, Role.ENDORSER)
    assert consortium.ledger.acting_member(consortium.members[OEM].keys["endorser"].address, Role.STATION) == 0
    profiles = {each.profile: each.content for each in contents(events, ports.ProfileChanged)}
    assert profiles == {each.id: each.content for each in consortium.plan.profiles}
    assert contents(events, ports.ElectorateChanged) == [ports.ElectorateChanged(1, (1, 2, 3, 4), 2)]
    assert contents(events, ports.ParametersChanged) == [ports.ParametersChanged(*consortium.plan.parameters.value())]
    spaces = {(each.member, each.space.value) for each in contents(events, ports.NameSpaceChanged) if each.added}
    assert (VENDOR, consortium.members[VENDOR].space.encode()) in spaces


def test_life_of_a_certificate(consortium: Consortium) -> None:
    """Submission, endorsement, hold, release, revocation: what is read is what was done (R-DEV-1)."""
    ledger, texts, calls = consortium.ledger, consortium.texts, consortium.calls
    vendor = consortium.members[VENDOR]
    first_block = ledger.head().number + 1
    lot = consortium.open_lot()
    certificates = issue_certificates(vendor, 3, now=consortium.now())
    bad = certificates[1][:-1] + bytes([certificates[1][-1] ^ 1])
    batch = consortium.submit([certificates[0], bad, certificates[2]], lot)
    parsed = parse_certificate(certificates[0])
    assert ledger.status_of(parsed.spki_hash, parsed.tbs_hash).state is Status.SUBMITTED
    for member in (OPERATOR, OEM):
        receipt = consortium.endorse(batch, member)
        assert receipt.succeeded, receipt.revert
    status = ledger.status_of(parsed.spki_hash, parsed.tbs_hash)
    assert (status.state, status.lot, status.batch, status.entry) == (Status.VALID, lot, batch, 0)
    assert status.not_after == parsed.not_after
    assert ledger.batch(batch).accepted == 0b101
    assert ledger.lot(lot).used == 2
    spoken = ledger.endorsement(batch, OEM)
    assert spoken is not None
    assert spoken.accepts == 0b101
    assert ledger.endorsement(batch, AUTHORITY) is None

    identity = parsed.certificate_id
    duty, administrator = vendor.keys["duty"], vendor.keys["administrator"]
    deadline = consortium.deadline()
    act = (identity, HoldKind.OWNER, 6, status.hold_counter)
    typed = texts.hold(*act, deadline)
    receipt = consortium.send(calls.hold(*act, deadline=deadline, signer=duty.address, signature=duty.sign(typed)))
    assert receipt.succeeded, receipt.revert
    status = ledger.status_of(parsed.spki_hash, parsed.tbs_hash)
    assert (status.state, status.flags) == (Status.HELD, HoldFlag.OWNER)

    act = (identity, HoldKind.OWNER, 0, status.hold_counter)
    typed = texts.release(*act, deadline)
    release = calls.release(*act, deadline=deadline, signer=duty.address, signature=duty.sign(typed))
    with pytest.raises(RefusedError, match=rf"RegistryNotAuthorised\(account={duty.address.lower()}\)"):
        ledger.simulate(release, vendor.keys["relayer"].address)
    release = calls.release(*act, deadline=deadline, signer=administrator.address, signature=administrator.sign(typed))
    assert consortium.send(release).succeeded
    assert ledger.status_of(parsed.spki_hash, parsed.tbs_hash).state is Status.VALID
    failed = consortium.send(release)
    assert not failed.succeeded
    assert failed.revert.startswith("Registry"), "a failed transaction tells the contract's reason"

    typed = texts.revoke(identity, 1, deadline)
    revoke = calls.revoke(
        identity, 1, deadline=deadline, signer=administrator.address, signature=administrator.sign(typed)
    )
    assert consortium.send(revoke).succeeded
    status = ledger.status_of(parsed.spki_hash, parsed.tbs_hash)
    assert (status.state, status.reason) == (Status.REVOKED, 1)

    events = list(ledger.events(first_block, ledger.head().number))
    assert [each.lot for each in contents(events, ports.LotOpened)] == [lot]
    submitted = contents(events, ports.CertificateSubmitted)
    assert [(each.entry, each.der) for each in submitted] == [(0, certificates[0]), (2, certificates[2])]
    assert submitted[0].certificate == identity
    assert [(each.entry, each.reason != 0) for each in contents(events, ports.EntryRefused)] == [(1, True)]
    [made] = contents(events, ports.BatchSubmitted)
    assert (made.batch, made.present, made.count) == (batch, 0b101, 3)
    assert made.digest == batch_digest([certificates[0], bad, certificates[2]])
    assert [(each.member, each.settled) for each in contents(events, ports.BatchEndorsed)] == [
        (OPERATOR, False),
        (OEM, True),
    ]
    assert [each.kind for each in contents(events, ports.CertificateHeld)] == [HoldKind.OWNER]
    assert len(contents(events, ports.CertificateReleased)) == 1
    assert [each.reason for each in contents(events, ports.CertificateRevoked)] == [1]


def test_a_signature_for_another_consortium_is_refused(consortium: Consortium) -> None:
    certificates = issue_certificates(consortium.members[VENDOR], 1, now=consortium.now())
    lot = consortium.open_lot()
    station = consortium.members[VENDOR].keys["station"]
    submission, signature = consortium.submission(certificates, lot)
    relayer = consortium.members[OPERATOR].keys["relayer"].address
    consortium.ledger.simulate(consortium.calls.submit(submission, certificates, signature), relayer)
    others = (
        dataclasses.replace(consortium.file, chain_id=consortium.file.chain_id + 1),
        dataclasses.replace(consortium.file, salt=secrets.token_bytes(32)),
        dataclasses.replace(consortium.file, certificate_registry=consortium.file.consortium),
    )
    for other in others:
        elsewhere = station.sign(TypedTexts(other).submission(submission, batch_digest(certificates)))
        with pytest.raises(RefusedError, match="RegistryBadSignature"):
            consortium.ledger.simulate(consortium.calls.submit(submission, certificates, elsewhere), relayer)


def test_every_text_is_what_the_contract_checks(consortium: Consortium) -> None:
    """Acts that the other tests do not do: each passes with its signature and fails with that of a changed text."""
    ledger, texts, calls = consortium.ledger, consortium.texts, consortium.calls
    vendor = consortium.members[VENDOR]
    administrator, relayer = vendor.keys["administrator"], vendor.keys["relayer"].address
    lot, deadline, nonce = consortium.open_lot(), consortium.deadline(), secrets.randbits(256)
    new_key = Signer.ephemeral()
    new = new_key.address
    content = b"\x01" * 64
    spki_hash = secrets.token_bytes(32)

    def signed(typed: TypedData) -> dict[str, Any]:
        return {"deadline": deadline, "signature": administrator.sign(typed)}

    join = new_key.sign(texts.join(VENDOR, new, Role.STATION))
    account = {"active": True, "administrator": administrator.address, "nonce": nonce, "consent": join}
    for_another = {**account, "consent": new_key.sign(texts.join(OEM, new, Role.STATION))}
    passing = [
        calls.close_lot(lot, administrator=administrator.address, **signed(texts.close_lot(lot, deadline))),
        calls.set_account(
            VENDOR,
            new,
            Role.STATION,
            **account,
            **signed(texts.set_account(VENDOR, new, Role.STATION, nonce, deadline, active=True)),
        ),
        calls.revoke_by_key(
            spki_hash, [], 1, signer=administrator.address, **signed(texts.revoke_key(spki_hash, 1, deadline))
        ),
    ]
    failing = [
        calls.close_lot(lot, administrator=administrator.address, **signed(texts.close_lot(lot + 1, deadline))),
        calls.set_account(
            VENDOR,
            new,
            Role.STATION,
            **account,
            **signed(texts.set_account(VENDOR, new, Role.DUTY, nonce, deadline, active=True)),
        ),
        calls.set_account(
            VENDOR,
            new,
            Role.STATION,
            **for_another,
            **signed(texts.set_account(VENDOR, new, Role.STATION, nonce, deadline, active=True)),
        ),
        calls.revoke_by_key(
            spki_hash, [], 1, signer=administrator.address, **signed(texts.revoke_key(spki_hash, 3, deadline))
        ),
        calls.propose(
            2,
            content,
            administrator=administrator.address,
            nonce=nonce,
            **signed(texts.propose(3, content, nonce, deadline)),
        ),
    ]
    for call in passing:
        ledger.simulate(call, relayer)
    for call in failing:
        with pytest.raises(RefusedError, match="BadSignature"):
            ledger.simulate(call, relayer)


def test_suspension_by_vote(consortium: Consortium) -> None:
    """propose, vote and execute reach the contract (suspending, then restoring the authority)."""
    for kind, state in ((2, ports.MemberState.SUSPENDED), (3, ports.MemberState.ACTIVE)):
        content = AUTHORITY.to_bytes(32)
        deadline, nonce = consortium.deadline(), secrets.randbits(256)
        proposer = consortium.members[OPERATOR].keys["administrator"]
        signature = proposer.sign(consortium.texts.propose(kind, content, nonce, deadline))
        call = consortium.calls.propose(
            kind, content, administrator=proposer.address, nonce=nonce, deadline=deadline, signature=signature
        )
        receipt = consortium.send(call)
        assert receipt.succeeded, receipt.revert
        events = list(consortium.ledger.events(receipt.block_number, receipt.block_number))
        [made] = contents(events, ports.ProposalMade)
        assert made.content == content
        assert made.content_hash == content_hash(kind, content)
        other = consortium.texts.vote(made.proposal, content_hash(kind + 1, content), deadline, support=True)
        mistaken = consortium.calls.vote(
            made.proposal,
            content_hash(kind + 1, content),
            support=True,
            administrator=consortium.members[OEM].keys["administrator"].address,
            deadline=deadline,
            signature=consortium.members[OEM].keys["administrator"].sign(other),
        )
        with pytest.raises(RefusedError, match="ConsortiumContentMismatch"):
            consortium.ledger.simulate(mistaken, proposer.address)
        early = consortium.calls.execute(made.proposal, content)
        with pytest.raises(RefusedError, match="ConsortiumNotAdopted"):
            consortium.ledger.simulate(early, proposer.address)
        for voter in (VENDOR, OEM):
            signer = consortium.members[voter].keys["administrator"]
            typed = consortium.texts.vote(made.proposal, made.content_hash, deadline, support=True)
            vote = consortium.calls.vote(
                made.proposal,
                made.content_hash,
                support=True,
                administrator=signer.address,
                deadline=deadline,
                signature=signer.sign(typed),
            )
            receipt = consortium.send(vote)
            assert receipt.succeeded, receipt.revert
        receipt = consortium.send(consortium.calls.execute(made.proposal, content))
        assert receipt.succeeded, receipt.revert
        member = consortium.ledger.member(AUTHORITY)
        assert member is not None
        assert member.state is state
        proposal = consortium.ledger.proposal(made.proposal)
        assert proposal is not None
        assert proposal.executed
        assert proposal.expires_at == proposal.adopted_at + 7 * 86_400
        assert proposal.made_at <= proposal.adopted_at


def test_reads_of_what_is_not_there(consortium: Consortium) -> None:
    ledger = consortium.ledger
    assert ledger.status_of(b"\x01" * 32, b"\x02" * 32).state is Status.UNKNOWN
    assert ledger.slot_of(b"\x01" * 32) == 0
    assert ledger.key_block(b"\x01" * 32) is None
    assert ledger.member(99) is None
    assert ledger.account(ports.Address("0x" + "01" * 20)) is None
    assert ledger.proposal(999) is None
    assert ledger.batch_of(b"\x01" * 32) == 0
    assert not ledger.is_nonce_used(ports.Address("0x" + "01" * 20), 1)
    with pytest.raises(LedgerUnavailableError, match="does not have a block"):
        ledger.block(1 << 40)


def test_blocks_follow_each_other(consortium: Consortium) -> None:
    blocks = consortium.ledger.blocks(0, consortium.ledger.head().number)
    assert [block.number for block in blocks] == list(range(len(blocks)))
    for parent, block in pairwise(blocks):
        assert block.parent_hash == parent.hash
        assert block.time >= parent.time


def test_too_much_for_one_answer_is_asked_in_parts(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = consortium.file.founding_block, consortium.ledger.head().number
    whole = list(consortium.ledger.events(first, last))
    size = max(
        len(str(consortium.ledger.connection.request("eth_getLogs", [{"fromBlock": hex(n), "toBlock": hex(n)}])))
        for n in range(first, last + 1)
    )
    monkeypatch.setattr("pki_chain.chain.connection.MAX_ANSWER_BYTES", size + 5000)
    assert list(consortium.ledger.events(first, last)) == whole
    monkeypatch.setattr("pki_chain.chain.connection.MAX_ANSWER_BYTES", 1000)
    with pytest.raises(LedgerUnavailableError, match="answered more than 1000 bytes"):
        consortium.ledger.events(first, last)


def test_a_reader_of_its_own(consortium: Consortium) -> None:
    ledger = LedgerClient(consortium.file, timeout_s=10)
    assert ledger.member_count() == 4
    assert ledger.profile(2)["name"] == "small-cell"
    assert ledger.electorate(ledger.current_electorate()).quorum == 2
    assert ledger.parameters() == consortium.plan.parameters
