"""The verifier on a sealed ledger made by hand: every answer, every refusal, every byte."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from pki_chain.errors import TallyError
from pki_chain.ports import Status
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.proof import Proof, parse_proof
from pki_chain.proof.sealer_set import SealerState, Sealing
from pki_chain.proof.trust import parse_trust
from pki_chain.proof.verifier import ProvenStatus
from tests.proof.attempts import GOOD, HEAD_HASH, LATER, LEDGER, REFUSED, attempt, checkpoint
from tests.proof.synthetic import (
    ADMINISTRATOR_KEYS,
    CONTRACT_MODE,
    FIRST_SEALERS,
    HEADER_MODE,
    LATER_SEALERS,
    NOW,
    PATHS,
    SEALER_KEYS,
    UNSEALED,
    address,
    identity,
    signed,
)
from tests.proof.synthetic_authorities import ALL, CAS, ISSUERS

MODES = [HEADER_MODE, CONTRACT_MODE, UNSEALED]
ANSWERS = {
    "valid": (Status.VALID, 0, NOW - 4_000),
    "held by its owner": (Status.HELD, 6, NOW - 3_000),
    "held by the consortium": (Status.HELD, 6, NOW - 3_000),
    "held in an emergency": (Status.HELD, 6, NOW - 4_000),
    "after an emergency": (Status.VALID, 0, NOW - 4_000),
    "revoked": (Status.REVOKED, 1, NOW - 2_000),
    "revoked while held": (Status.REVOKED, 4, NOW - 2_000),
    "with a blocked key": (Status.REVOKED, 1, NOW - 1_500),
    "rejected": (Status.REJECTED, 0, NOW - 4_000),
    "rejected and expired": (Status.REJECTED, 0, NOW - 4_000),
    "submitted": (Status.SUBMITTED, 0, NOW - 6_000),
    "lapsed": (Status.LAPSED, 0, NOW - 50),
    "expired": (Status.EXPIRED, 0, NOW - 100),
    "superseded": (Status.SUPERSEDED, 4, NOW - 900),
    "unknown": (Status.UNKNOWN, 0, 0),
    "issued": (Status.VALID, 0, NOW - 4_000),
    "issued and held": (Status.HELD, 6, NOW - 3_000),
    "issued and revoked": (Status.REVOKED, 4, NOW - 2_000),
    "issued, with a blocked key": (Status.REVOKED, 1, NOW - 1_500),
    "issued and rejected": (Status.REJECTED, 0, NOW - 4_000),
    "issued and submitted": (Status.SUBMITTED, 0, NOW - 6_000),
    "issued and superseded": (Status.SUPERSEDED, 4, NOW - 900),
    "issued and expired": (Status.EXPIRED, 0, NOW - 100),
    "of four CAs": (Status.VALID, 0, NOW - 4_000),
    "of a root": (Status.VALID, 0, NOW - 4_000),
    "issued in its CA's first second": (Status.VALID, 0, NOW - 4_000),
    "issued in its CA's last second": (Status.VALID, 0, NOW - 4_000),
    "of a withdrawn CA": (Status.REVOKED, 2, NOW - 1_000),
    "held, of a withdrawn CA": (Status.REVOKED, 2, NOW - 1_000),
    "of a CA that changed hands": (Status.REVOKED, 3, NOW - 1_000),
    "expired after its CA fell": (Status.REVOKED, 2, NOW - 1_000),
    "expired before its CA fell": (Status.EXPIRED, 0, NOW - 100),
    "of a fallen root": (Status.REVOKED, 2, NOW - 2_500),
    "of one that ended before its root": (Status.REVOKED, 5, NOW - 2_600),
    "of one that ended after its root": (Status.REVOKED, 2, NOW - 2_500),
    "of one that ended with its root": (Status.REVOKED, 9, NOW - 2_500),
}


def verify(proof: Proof | bytes, name: str = "valid", **given: Any) -> ProvenStatus:
    return attempt(proof, name, **given).carry_out()


def refusal_of(act: Callable[[], object]) -> Refusal:
    with pytest.raises(ProofRefusedError) as refused:
        act()
    assert refused.value.message.startswith(f"{refused.value.refusal}: ")
    return refused.value.refusal


@pytest.mark.parametrize("sealing", MODES, ids=lambda sealing: sealing.mode.value)
@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_is_proven_in_each_mode(name: str, sealing: Sealing) -> None:
    state, reason, since = ANSWERS[name]
    proof = LEDGER.proof(identity(name), sealing)
    assert parse_proof(proof.cbor()) == parse_proof(proof.json()) == proof
    proven = verify(proof, name, sealing=sealing)
    assert (proven.status.state, proven.status.reason) == (state, reason)
    ended = (NOW - 3_600) // 3_600 * 3_600
    assert proven.status.since == (ended if name == "after an emergency" else since)
    assert (proven.block_number, proven.age_s, proven.sealed) == (2_000, 5, sealing is not UNSEALED)
    assert proven.is_good == (state is Status.VALID)
    assert proven.authorities == PATHS.get(identity(name).certificate, ())
    assert proven.scope == (CAS[ISSUERS[name]].scope if proven.authorities else ALL)


def test_a_certificate_that_ends_between_block_and_now_is_not_good() -> None:
    name = "expired by the reader's clock"
    proven = verify(LEDGER.proof(identity(name), CONTRACT_MODE), name, now=NOW + 1)
    assert proven.status.state is Status.VALID
    assert not proven.is_good
    assert verify(LEDGER.proof(identity(name), CONTRACT_MODE), name, now=NOW).is_good


@pytest.mark.parametrize(
    "name",
    ["with a renewal's flag", "in a state of the future", "in a batch that is not there", "of a CA of the future"],
)
def test_a_record_that_this_program_does_not_know_is_refused(name: str) -> None:
    proof = LEDGER.proof(identity(name), CONTRACT_MODE)
    assert refusal_of(lambda: verify(proof, name)) is Refusal.UNKNOWN_RECORD


def test_steps_lead_to_the_sealers_of_now() -> None:
    proof = LEDGER.proof(identity("valid"), CONTRACT_MODE, later=True)
    assert refusal_of(lambda: verify(proof)) is Refusal.FOREIGN_SEAL
    assert verify(replace(proof, steps=(LEDGER.contract_step(),))).is_good
    proof = LEDGER.proof(identity("valid"), HEADER_MODE, later=True)
    assert refusal_of(lambda: verify(proof, sealing=HEADER_MODE)) is Refusal.WRONG_SEALER_LIST
    assert verify(replace(proof, steps=LEDGER.header_steps()), sealing=HEADER_MODE).is_good


@pytest.mark.parametrize("name", REFUSED)
def test_what_proves_nothing_is_refused_for_its_own_reason(name: str) -> None:
    refusal, given = REFUSED[name]
    assert refusal_of(given.carry_out) is refusal


def test_the_block_of_the_checkpoint_itself_proves() -> None:
    trust = checkpoint(number=2_000, block_hash=HEAD_HASH)
    assert verify(GOOD, trust=trust).is_good


def test_a_newer_trust_file_is_taken_only_from_whom_the_old_one_names() -> None:
    old = LEDGER.trust(CONTRACT_MODE)
    later = replace(old, checkpoint=replace(old.checkpoint, number=1_500))
    assert old.renewed(signed(later, ADMINISTRATOR_KEYS[1:3])).checkpoint.number == 1_500
    strangers = SEALER_KEYS[:2]
    members = (*old.terms.administrators[:2], (3, address(strangers[0])), (4, address(strangers[1])))
    own = replace(later, terms=replace(later.terms, administrators=members))
    for keys in (strangers, [ADMINISTRATOR_KEYS[0], strangers[0]]):  # enough by their own word, not by the old one
        newer = signed(own, keys)
        newer.verify_signatures()
        assert refusal_of(lambda newer=newer: old.renewed(newer)) is Refusal.TRUST_NOT_SIGNED
    assert old.renewed(signed(own, ADMINISTRATOR_KEYS[:2])).terms.administrators == members
    elsewhere = signed(replace(later, terms=replace(later.terms, salt=bytes(32))), ADMINISTRATOR_KEYS[:2])
    assert refusal_of(lambda: old.renewed(elsewhere)) is Refusal.OTHER_CHAIN
    assert refusal_of(lambda: old.renewed(old)) is Refusal.HEADER_BEFORE_CHECKPOINT


FIXED = [
    (name, sealing, LEDGER.proof(identity(name), sealing).cbor())
    for sealing in MODES
    for name in ("valid", "of four CAs")
]
FIXED_JSON = GOOD.json()
STEPS = LATER.cbor()


@settings(max_examples=400, deadline=None)
@given(data=st.data(), bit=st.integers(0, 7))
def test_a_bit_flipped_anywhere_in_the_cbor_is_refused(data: st.DataObject, bit: int) -> None:
    name, sealing, fixed = data.draw(st.sampled_from(FIXED))
    content = bytearray(fixed)
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    refusal_of(lambda: verify(parse_proof(bytes(content)), name, sealing=sealing))


@settings(max_examples=200, deadline=None)
@given(data=st.data(), value=st.integers(1, 255))
def test_a_byte_changed_anywhere_in_json_or_in_a_step_is_refused(data: st.DataObject, value: int) -> None:
    content = bytearray(data.draw(st.sampled_from([FIXED_JSON, STEPS])))
    content[data.draw(st.integers(0, len(content) - 1))] ^= value
    refusal_of(lambda: verify(parse_proof(bytes(content))))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_anything_at_all_is_refused_and_nothing_breaks(content: bytes) -> None:
    with pytest.raises(TallyError):
        verify(parse_proof(content))
    with pytest.raises(TallyError):
        parse_trust(content)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), value=st.integers(1, 255))
def test_a_byte_changed_anywhere_in_the_trust_file_is_refused_or_changes_nothing(
    data: st.DataObject, value: int
) -> None:
    trust = LEDGER.trust(CONTRACT_MODE)
    content = bytearray(trust.encoded())
    content[data.draw(st.integers(0, len(content) - 1))] ^= value
    try:
        parsed = parse_trust(bytes(content))
        parsed.verify_signatures()
    except ProofRefusedError:
        return
    assert parsed == trust


@pytest.mark.parametrize("sealing", MODES, ids=lambda sealing: sealing.mode.value)
def test_a_trust_file_is_read_as_it_was_written(sealing: Sealing) -> None:
    trust = LEDGER.trust(sealing)
    assert parse_trust(trust.encoded()) == trust
    votes = {(FIRST_SEALERS[0], LATER_SEALERS[0]): True} if sealing is HEADER_MODE else {}
    sealers = trust.checkpoint.sealers
    followed = replace(trust, followed=SealerState(1_500, keccak(b"followed"), NOW - 100, sealers, votes))
    assert parse_trust(followed.encoded()) == followed
    assert followed.digest() == trust.digest()


def test_the_library_needs_neither_ledger_connection_nor_web_nor_account_code() -> None:
    heavy = "flask web3 eth_account eth_abi requests sqlite3 click rich cryptography"
    code = (
        "import sys, pki_chain.proof.verifier, pki_chain.proof.trust, pki_chain.proof.node_answer;"
        f"sys.exit(([name for name in '{heavy}'.split() if name in sys.modules] or 0))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
