"""The verifier on a sealed ledger made by hand: every answer, every refusal, every byte."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from pki_chain.errors import TallyError
from pki_chain.ports import Status
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.proof import MAX_PROOF_BYTES, Proof, Step, parse_proof
from pki_chain.proof.sealer_set import SealerState, Sealing
from pki_chain.proof.trust import Trust, parse_trust
from pki_chain.proof.verifier import ProvenStatus, Verifier
from tests.proof.synthetic import (
    ADMINISTRATOR_KEYS,
    CODE,
    CONTRACT_MODE,
    DIRECTORY_ADDRESS,
    FIRST_SEALERS,
    HEADER_MODE,
    LATER_SEALERS,
    NOW,
    REGISTRY_ADDRESS,
    SEALER_KEYS,
    SEALERS_ADDRESS,
    UNSEALED,
    Sealed,
    State,
    SyntheticLedger,
    address,
    identity,
    make_state,
    signed,
)

LEDGER = SyntheticLedger()
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
}


def verify(proof: Proof, name: str = "valid", sealing: Sealing = CONTRACT_MODE, **changes: object) -> ProvenStatus:
    trust = changes.pop("trust", None) or LEDGER.trust(sealing)
    now = changes.pop("now", NOW)
    assert isinstance(trust, Trust)
    assert isinstance(now, int)
    return Verifier(trust, unsafe_unsealed=True).verify(proof, identity(name), now, **changes)  # type: ignore[arg-type]


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
    proven = verify(proof, name, sealing)
    assert (proven.status.state, proven.status.reason) == (state, reason)
    ended = (NOW - 3_600) // 3_600 * 3_600
    assert proven.status.since == (ended if name == "after an emergency" else since)
    assert (proven.block_number, proven.age_s, proven.sealed) == (2_000, 5, sealing is not UNSEALED)
    assert proven.is_good == (state is Status.VALID)


def test_a_certificate_that_ends_between_block_and_now_is_not_good() -> None:
    name = "expired by the reader's clock"
    proven = verify(LEDGER.proof(identity(name), CONTRACT_MODE), name, now=NOW + 1)
    assert proven.status.state is Status.VALID
    assert not proven.is_good
    assert verify(LEDGER.proof(identity(name), CONTRACT_MODE), name, now=NOW).is_good


@pytest.mark.parametrize("name", ["with a renewal's flag", "in a state of the future", "in a batch that is not there"])
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


def _first_three(ledger: SyntheticLedger) -> Sealed:
    return ledger.head(CONTRACT_MODE, signers=2)


GOOD = LEDGER.proof(identity("valid"), CONTRACT_MODE)
LATER = replace(LEDGER.proof(identity("valid"), CONTRACT_MODE, later=True), steps=(LEDGER.contract_step(),))


def _under(state: State) -> Proof:
    """A proof under another state, with all that the walks need while they can be walked."""
    ledger = SyntheticLedger()
    ledger.__dict__["state"] = state
    return ledger.proof(identity("valid"), CONTRACT_MODE)


def _trust(**changes: object) -> Trust:
    trust = LEDGER.trust(CONTRACT_MODE)
    return signed(replace(trust, **changes), ADMINISTRATOR_KEYS[:2])  # type: ignore[arg-type]


def _checkpoint(**changes: object) -> Trust:
    return _trust(checkpoint=replace(LEDGER.trust(CONTRACT_MODE).checkpoint, **changes))  # type: ignore[arg-type]


HEAD_HASH = LEDGER.head(CONTRACT_MODE).block_hash()
STRANGER = (address(SEALER_KEYS[5]),)

REFUSED: dict[str, tuple[Refusal, Callable[[], object]]] = {
    "other chain": (Refusal.OTHER_CHAIN, lambda: verify(replace(GOOD, chain_id=1))),
    "other certificate": (Refusal.OTHER_CERTIFICATE, lambda: verify(GOOD, "revoked")),
    "proof of another under this name": (
        Refusal.WRONG_NODE,
        lambda: verify(replace(GOOD, certificate=identity("revoked").certificate), "revoked"),
    ),
    "absence instead of revocation": (
        Refusal.INCOMPLETE_PROOF,
        lambda: verify(
            replace(LEDGER.proof(identity("revoked"), CONTRACT_MODE), nodes=LEDGER.nodes(identity("revoked"))[:-1]),
            "revoked",
        ),
    ),
    "stale header": (Refusal.STALE_HEADER, lambda: verify(GOOD, now=NOW + 26)),
    "stale header by a policy": (Refusal.STALE_HEADER, lambda: verify(GOOD, max_age_s=4)),
    "header of the future": (Refusal.HEADER_FROM_FUTURE, lambda: verify(GOOD, now=NOW - 5 - 16)),
    "old checkpoint": (
        Refusal.CHECKPOINT_TOO_OLD,
        lambda: verify(GOOD, trust=_checkpoint(time=NOW - 30 * 86_400 - 1)),
    ),
    "checkpoint of the future": (
        Refusal.CHECKPOINT_FROM_FUTURE,
        lambda: verify(GOOD, trust=_checkpoint(time=NOW + 16)),
    ),
    "header before the checkpoint": (
        Refusal.HEADER_BEFORE_CHECKPOINT,
        lambda: verify(GOOD, trust=_checkpoint(number=2_001)),
    ),
    "other block at the checkpoint": (
        Refusal.CHECKPOINT_CONFLICT,
        lambda: verify(GOOD, trust=_checkpoint(number=2_000)),
    ),
    "other sealers": (Refusal.FOREIGN_SEAL, lambda: verify(GOOD, trust=_checkpoint(sealers=LATER_SEALERS[1:]))),
    "two of four": (
        Refusal.NO_QUORUM,
        lambda: verify(LEDGER.proof(identity("valid"), CONTRACT_MODE, head=LEDGER.head(CONTRACT_MODE, signers=2))),
    ),
    "quorum and a stranger": (
        Refusal.FOREIGN_SEAL,
        lambda: verify(
            LEDGER.proof(
                identity("valid"),
                CONTRACT_MODE,
                head=replace(LEDGER.head(CONTRACT_MODE), signers=(*FIRST_SEALERS[:3], *STRANGER)),
            )
        ),
    ),
    "other block hash": (Refusal.BLOCK_HASH_MISMATCH, lambda: verify(replace(GOOD, block_hash=bytes(32)))),
    "unsealed": (
        Refusal.UNSEALED,
        lambda: Verifier(LEDGER.trust(UNSEALED)).verify(
            LEDGER.proof(identity("valid"), UNSEALED), identity("valid"), NOW
        ),
    ),
    "unsealed where seals are due": (
        Refusal.SEALING_MISMATCH,
        lambda: verify(LEDGER.proof(identity("valid"), UNSEALED)),
    ),
    "unsealed header called sealed": (
        Refusal.WRONG_MIX_HASH,
        lambda: verify(replace(LEDGER.proof(identity("valid"), UNSEALED), sealed=True)),
    ),
    "sealed where none are due": (Refusal.SEALING_MISMATCH, lambda: verify(GOOD, sealing=UNSEALED)),
    "steps where nothing is sealed": (
        Refusal.SEALING_MISMATCH,
        lambda: verify(replace(LEDGER.proof(identity("valid"), UNSEALED), steps=LATER.steps), sealing=UNSEALED),
    ),
    "no Directory": (
        Refusal.NO_CONTRACT,
        lambda: verify(_under(make_state(accounts={DIRECTORY_ADDRESS: b""}))),
    ),
    "another contract as Directory": (
        Refusal.OTHER_CONTRACT,
        lambda: verify(_under(make_state(accounts={DIRECTORY_ADDRESS: keccak(b"other")}))),
    ),
    "hostile Directory, other code": (
        Refusal.HOSTILE_DIRECTORY,
        lambda: verify(_under(make_state(code_hash=keccak(b"other")))),
    ),
    "hostile Directory, other place": (
        Refusal.OTHER_CONTRACT,
        lambda: verify(_under(make_state(location=SEALERS_ADDRESS))),
    ),
    "hostile Directory, no place": (Refusal.HOSTILE_DIRECTORY, lambda: verify(_under(make_state(location=b"")))),
    "nothing at the registry's place": (
        Refusal.NO_CONTRACT,
        lambda: verify(_under(make_state(location=b"\x01" * 20))),
    ),
    "registry of other code": (
        Refusal.OTHER_CONTRACT,
        lambda: verify(_under(make_state(accounts={REGISTRY_ADDRESS: keccak(b"other")}))),
    ),
    "spare node": (Refusal.SPARE_NODE, lambda: verify(replace(GOOD, nodes=(*GOOD.nodes, GOOD.nodes[0])))),
    "node left out": (Refusal.WRONG_NODE, lambda: verify(replace(GOOD, nodes=GOOD.nodes[1:]))),
    "nodes swapped": (
        Refusal.WRONG_NODE,
        lambda: verify(replace(GOOD, nodes=(GOOD.nodes[1], GOOD.nodes[0], *GOOD.nodes[2:]))),
    ),
    "no nodes": (Refusal.INCOMPLETE_PROOF, lambda: verify(replace(GOOD, nodes=()))),
    "step left out": (Refusal.FOREIGN_SEAL, lambda: verify(replace(LATER, steps=()))),
    "step twice": (Refusal.HEADER_NOT_NEXT, lambda: verify(replace(LATER, steps=LATER.steps * 2))),
    "step without its proof": (
        Refusal.INCOMPLETE_PROOF,
        lambda: verify(replace(LATER, steps=(Step(LATER.steps[0].header),))),
    ),
    "step with a spare node": (
        Refusal.SPARE_NODE,
        lambda: verify(replace(LATER, steps=(replace(LATER.steps[0], nodes=(*LATER.steps[0].nodes, b"\x80")),))),
    ),
    "step of the sealers' other contract": (
        Refusal.OTHER_CONTRACT,
        lambda: verify(
            LATER,
            trust=_trust(
                terms=replace(
                    LEDGER.trust(CONTRACT_MODE).terms, sealing=replace(CONTRACT_MODE, code_hash=CODE["Directory"])
                )
            ),
        ),
    ),
    "headers with a gap": (
        Refusal.HEADER_NOT_NEXT,
        lambda: verify(
            replace(LEDGER.proof(identity("valid"), HEADER_MODE, later=True), steps=LEDGER.header_steps()[1:]),
            sealing=HEADER_MODE,
        ),
    ),
    "unsigned trust": (Refusal.TRUST_NOT_SIGNED, lambda: Verifier(replace(LEDGER.trust(CONTRACT_MODE), signatures=()))),
    "trust signed by one": (
        Refusal.TRUST_NOT_SIGNED,
        lambda: Verifier(signed(LEDGER.trust(CONTRACT_MODE), ADMINISTRATOR_KEYS[:1])),
    ),
    "trust signed by one twice": (
        Refusal.TRUST_NOT_SIGNED,
        lambda: Verifier(signed(LEDGER.trust(CONTRACT_MODE), ADMINISTRATOR_KEYS[:1] * 2)),
    ),
    "trust signed by a stranger": (
        Refusal.TRUST_NOT_SIGNED,
        lambda: Verifier(signed(LEDGER.trust(CONTRACT_MODE), [*ADMINISTRATOR_KEYS[:1], SEALER_KEYS[0]])),
    ),
    "trust changed after signing": (
        Refusal.TRUST_NOT_SIGNED,
        lambda: Verifier(
            replace(LEDGER.trust(CONTRACT_MODE), checkpoint=replace(LEDGER.trust(CONTRACT_MODE).checkpoint, number=5))
        ),
    ),
    "proof too large": (Refusal.PROOF_TOO_LARGE, lambda: parse_proof(b"{" + bytes(MAX_PROOF_BYTES))),
    "not a proof": (Refusal.MALFORMED_PROOF, lambda: parse_proof(b"\xff")),
    "nothing": (Refusal.MALFORMED_PROOF, lambda: parse_proof(b"")),
    "a list": (Refusal.MALFORMED_PROOF, lambda: parse_proof(b"\x80")),
    "JSON nested without end": (Refusal.MALFORMED_PROOF, lambda: parse_proof(b'{"a":' + b"[" * 100_000)),
    "CBOR nested without end": (Refusal.MALFORMED_PROOF, lambda: parse_proof(b"\x81" * 100_000)),
    "CBOR of endless length": (Refusal.MALFORMED_PROOF, lambda: parse_proof(b"\x5b" + b"\xff" * 8)),
    "CBOR not in its shortest form": (
        Refusal.MALFORMED_PROOF,
        lambda: parse_proof(b"\xb8\x08" + GOOD.cbor()[1:]),
    ),
    "a member too many": (
        Refusal.MALFORMED_PROOF,
        lambda: parse_proof(json.dumps({**json.loads(GOOD.json()), "more": 1}).encode()),
    ),
    "a member twice": (
        Refusal.MALFORMED_PROOF,
        lambda: parse_proof(GOOD.json().replace(b'{"format"', b'{"sealed":true,"format"')),
    ),
    "upper-case hexadecimal": (
        Refusal.MALFORMED_PROOF,
        lambda: parse_proof(GOOD.json().replace(b'"header":"0xf', b'"header":"0xF')),
    ),
    "a number instead of a truth": (
        Refusal.MALFORMED_PROOF,
        lambda: parse_proof(GOOD.json().replace(b'"sealed":true', b'"sealed":1')),
    ),
    "malformed trust": (Refusal.MALFORMED_TRUST, lambda: parse_trust(b"{}")),
    "malformed header": (Refusal.MALFORMED_HEADER, lambda: verify(replace(GOOD, header=GOOD.header[:-1]))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_proves_nothing_is_refused_for_its_own_reason(name: str) -> None:
    refusal, act = REFUSED[name]
    assert refusal_of(act) is refusal


def test_the_block_of_the_checkpoint_itself_proves() -> None:
    trust = _checkpoint(number=2_000, block_hash=HEAD_HASH)
    assert verify(GOOD, trust=trust).is_good


FIXED = {sealing.mode: LEDGER.proof(identity("valid"), sealing).cbor() for sealing in MODES}
FIXED_JSON = GOOD.json()
STEPS = LATER.cbor()


@settings(max_examples=400, deadline=None)
@given(data=st.data(), bit=st.integers(0, 7))
def test_a_bit_flipped_anywhere_in_the_cbor_is_refused(data: st.DataObject, bit: int) -> None:
    sealing = data.draw(st.sampled_from(MODES))
    content = bytearray(FIXED[sealing.mode])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << bit
    refusal_of(lambda: verify(parse_proof(bytes(content)), sealing=sealing))


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
