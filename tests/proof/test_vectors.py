"""Real, synthetic and negative vectors of QBFT networks: headers, seals, sealer sets, account and storage proofs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from eth_hash.auto import keccak

from pki_chain.proof.account import require_code
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.header import Header, parse_block, parse_header
from pki_chain.proof.node_answer import verify_answer
from pki_chain.proof.sealer_set import SealerState, Sealing, follow_contract, follow_header
from pki_chain.proof.seals import SealerMode, quorum, recover_signer, verify_seals
from pki_chain.proof.trie import NodeList, walk
from tests.proof.cases import load, names, unhex, verify, verify_block, verify_proof
from tests.proof.negative_rules import RULES

NEGATIVES = load("negatives")["rules"]
SEALED = [name for name in (*names("blocks"), *names("synthetic")) if "genesis" not in name and "x-neg" not in name]


@pytest.mark.parametrize("name", SEALED)
def test_a_sealed_block_is_accepted_with_the_hashes_and_signers_of_its_file(name: str) -> None:
    case = load(name)
    expected = case["expected"]
    header = parse_block(case["block"])
    sealers = [unhex(each) for each in case["validators_at_parent"]]
    block_hash, extra = verify_seals(header, sealers, SealerMode(case["validator_mode"]))
    assert block_hash == unhex(expected["block_hash"])
    assert extra.for_seal_hash() == unhex(expected["extra_data_for_seal_hash"])
    assert extra.for_block_hash() == unhex(expected["extra_data_for_block_hash"])
    assert extra.round == expected["round"]
    assert quorum(len(sealers)) == expected["quorum"]
    digest = header.hash_with(extra.for_seal_hash())
    assert digest == unhex(expected["seal_hash"])
    assert [recover_signer(digest, seal) for seal in extra.seals] == [
        unhex(each) for each in expected["signers_in_seal_order"]
    ]
    assert parse_header(header.encoded()) == header


@pytest.mark.parametrize("name", [name for name in names("blocks") if "seals-by-node" in name])
def test_each_node_s_variant_of_a_block_has_the_same_hash(name: str) -> None:
    case = load(name)
    for variant in case["variants"]:
        case["block"]["extraData"] = variant["extraData"]
        assert verify_block(case) == unhex(case["expected"]["block_hash"])


@pytest.mark.parametrize("name", [name for name in names("blocks") if "genesis" in name])
def test_a_genesis_block_is_an_anchor_and_no_sealed_block(name: str) -> None:
    case = load(name)
    header = parse_block(case["block"])
    sealers = [unhex(each) for each in case["expected"]["extra_data"]["validators"]]
    with pytest.raises(ProofRefusedError) as refused:
        verify_seals(header, sealers, SealerMode(case["validator_mode"]))
    assert refused.value.refusal is Refusal.NO_QUORUM
    assert header.plain_hash() == unhex(case["expected"]["block_hash"])


SYNTHETIC_REFUSALS = {
    "contract-mode-list": Refusal.WRONG_SEALER_LIST,
    "contract-mode-vote": Refusal.WRONG_SEALER_LIST,
    "foreign-seal": Refusal.FOREIGN_SEAL,
    "list-order": Refusal.WRONG_SEALER_LIST,
    "mix-hash": Refusal.WRONG_MIX_HASH,
    "mixed-rounds": Refusal.FOREIGN_SEAL,
    "own-list": Refusal.WRONG_SEALER_LIST,
    "personal-message": Refusal.FOREIGN_SEAL,
    "quorum-plus-foreign-seal": Refusal.FOREIGN_SEAL,
    "sealed-block-hash": Refusal.FOREIGN_SEAL,
    "three-of-five": Refusal.NO_QUORUM,
    "two-of-four-one-repeated": Refusal.REPEATED_SEAL,
    "two-of-four": Refusal.NO_QUORUM,
}


@pytest.mark.parametrize("name", [name for name in names("synthetic") if "x-neg" in name])
def test_a_forged_block_is_refused_for_its_own_reason(name: str) -> None:
    with pytest.raises(ProofRefusedError) as refused:
        verify_block(load(name))
    assert refused.value.refusal is SYNTHETIC_REFUSALS[name.removeprefix("synthetic/x-neg-")]


@pytest.mark.parametrize("name", names("headers"))
def test_a_header_without_seals_has_the_hash_of_its_file_and_its_state_can_be_read(name: str) -> None:
    case = load(name)
    header = parse_block(case["block"])
    assert header.encoded() == unhex(case["expected"]["header_rlp"])
    assert header.plain_hash() == unhex(case["expected"]["block_hash"]) == unhex(case["block"]["hash"])
    asked = [int(entry["key"], 16) for entry in case["proof"]["storageProof"]]
    account, words = verify_answer(case["proof"], header.state_root, unhex(case["contract"]), asked)
    assert account is not None
    assert words == {int(entry["key"], 16): int(entry["value"], 16) for entry in case["proof"]["storageProof"]}
    absent = case["absent_account_proof"]
    account, words = verify_answer(absent, header.state_root, unhex(absent["address"]), [0])
    assert (account, words) == (None, {0: 0})
    with pytest.raises(ProofRefusedError):
        verify_seals(header, [header.proposer], SealerMode.HEADER)


@pytest.mark.parametrize("name", names("proofs"))
def test_a_proof_shows_what_its_file_says(name: str) -> None:
    case = load(name)
    expected = case["expected"]
    account, words = verify_proof(case)
    assert (account is not None) == expected["account_exists"]
    if account is not None:
        assert (account.nonce, account.balance) == (expected["nonce"], int(expected["balance"], 16))
        assert account.storage_root == unhex(expected["storage_root"])
        assert account.code_hash == unhex(expected["code_hash"])
    assert words == {int(slot["slot"], 16): int(slot["value"], 16) for slot in expected["slots"]}
    root = parse_block(case["block"]).state_root
    nodes = NodeList([unhex(node) for node in case["proof"]["accountProof"]])
    assert walk(root, unhex(case["address"]), nodes.take).end == expected["account_proof_ends_in"]
    if account is not None:
        by_slot = {int(entry["key"], 16): entry["proof"] for entry in case["proof"]["storageProof"]}
        for slot in expected["slots"]:
            place = int(slot["slot"], 16)
            take = NodeList([unhex(node) for node in by_slot[place]]).take
            assert walk(account.storage_root, place.to_bytes(32), take).end == slot["proof_ends_in"]


def test_a_proxy_is_pinned_by_its_implementation_too() -> None:
    case = load("proofs/a-proxy")
    _, words = verify_proof(case)
    implementation = words[int(case["expected"]["slots"][0]["slot"], 16)].to_bytes(20)
    assert implementation == unhex(case["implementation"])
    other = load("proofs/" + case["implementation_case"])
    account, _ = verify_proof(other)
    require_code(account, keccak(unhex(other["runtime_code"])), implementation)
    with pytest.raises(ProofRefusedError) as refused:
        require_code(account, keccak(unhex(case["runtime_code"])), implementation)
    assert refused.value.refusal is Refusal.OTHER_CONTRACT


@pytest.mark.parametrize("rule", NEGATIVES, ids=[rule["id"] for rule in NEGATIVES])
def test_every_rule_of_tampering_is_judged_as_it_says_and_for_its_own_reason(rule: dict[str, Any]) -> None:
    change, refusal = RULES[rule["id"]]
    case = load(rule["apply_to"])
    before = deepcopy(case)
    change(case)
    assert (refusal is None) == (rule["expect"] == "accept")
    if refusal is None:
        verify(case)
        return
    assert case != before
    verify(before)
    with pytest.raises(ProofRefusedError) as refused:
        verify(case)
    assert refused.value.refusal is refusal


def _state_at(blocks: list[dict[str, Any]], number: int) -> SealerState:
    header = parse_block(blocks[number]["header"])
    sealers = tuple(sorted(unhex(each) for each in blocks[number]["validators_after"]))
    return SealerState(number, unhex(blocks[number]["header"]["hash"]), header.time, sealers)


def test_votes_in_headers_are_tallied_over_a_whole_chain() -> None:
    chain = load("chains/a-0000-0205")
    blocks, sealing = chain["blocks"], Sealing(SealerMode.HEADER, epoch_length=20, boundary_vote_counts=True)
    state = _state_at(blocks, 0)
    for block in blocks[1:]:
        state = follow_header(state, parse_block(block["header"]), sealing)
        assert state.block_hash == unhex(block["header"]["hash"])
        assert set(state.sealers) == {unhex(each) for each in block["validators_after"]}
    assert (state.number, len(state.sealers)) == (205, 1)


def test_the_other_engine_s_rule_of_the_boundary_vote_parts_at_the_block_that_shows_it() -> None:
    blocks = load("chains/a-0000-0205")["blocks"]
    sealing = Sealing(SealerMode.HEADER, epoch_length=20, boundary_vote_counts=False)
    state = _state_at(blocks, 0)
    for block in blocks[1:202]:
        state = follow_header(state, parse_block(block["header"]), sealing)
    assert len(state.sealers) == 2
    with pytest.raises(ProofRefusedError) as refused:
        follow_header(state, parse_block(blocks[202]["header"]), sealing)
    assert refused.value.refusal is Refusal.WRONG_SEALER_LIST


def test_a_header_left_out_or_of_another_branch_is_refused() -> None:
    blocks = load("chains/a-0000-0205")["blocks"]
    sealing = Sealing(SealerMode.HEADER, epoch_length=20)
    state = _state_at(blocks, 40)
    with pytest.raises(ProofRefusedError) as refused:
        follow_header(state, parse_block(blocks[42]["header"]), sealing)
    assert refused.value.refusal is Refusal.HEADER_NOT_NEXT
    header = parse_block(blocks[41]["header"])
    other = Header((bytes(32), *header.fields[1:]))
    with pytest.raises(ProofRefusedError) as refused:
        follow_header(state, other, sealing)
    assert refused.value.refusal is Refusal.HEADER_NOT_NEXT


def _contract_step(name: str) -> tuple[Header, list[bytes], Sealing]:
    """Header, nodes in walking order and terms, from a proof of the validator contract."""
    case = load(name)
    entries = {int(entry["key"], 16): entry["proof"] for entry in case["proof"]["storageProof"]}
    order = [0, *(slot for slot in (int(each["slot"], 16) for each in case["expected"]["slots"]) if slot)]
    listed = [unhex(node) for node in case["proof"]["accountProof"]]
    listed += [unhex(node) for slot in order for node in entries[slot]]
    sealing = Sealing(
        SealerMode.CONTRACT, contract=unhex(case["address"]), code_hash=keccak(unhex(case["runtime_code"])), slot=0
    )
    return parse_block(case["block"]), list(dict.fromkeys(listed)), sealing


def test_changes_of_a_contract_s_set_are_followed_by_one_proof_each() -> None:
    blocks = load("chains/b-0000-0036")["blocks"]
    state = _state_at(blocks, 0)
    for name in ("proofs/b-0011-validators-proof", "proofs/b-0030-validators-proof"):
        header, nodes, sealing = _contract_step(name)
        pool = NodeList(nodes)
        state = follow_contract(state, header, sealing, pool.take)
        pool.finish()
        assert set(state.sealers) == {unhex(each) for each in blocks[state.number]["validators_after"]}
    verify_seals(parse_block(blocks[36]["header"]), state.sealers, SealerMode.CONTRACT)


def test_a_change_left_out_or_of_another_contract_is_refused() -> None:
    blocks = load("chains/b-0000-0036")["blocks"]
    state = _state_at(blocks, 0)
    header, nodes, sealing = _contract_step("proofs/b-0030-validators-proof")
    with pytest.raises(ProofRefusedError) as refused:
        follow_contract(state, header, sealing, NodeList(nodes).take)
    assert refused.value.refusal is Refusal.FOREIGN_SEAL
    header, nodes, sealing = _contract_step("proofs/b-0011-validators-proof")
    other = Sealing(SealerMode.CONTRACT, contract=sealing.contract, code_hash=bytes(32), slot=0)
    with pytest.raises(ProofRefusedError) as refused:
        follow_contract(state, header, other, NodeList(nodes).take)
    assert refused.value.refusal is Refusal.OTHER_CONTRACT
    other = Sealing(SealerMode.CONTRACT, contract=sealing.contract, code_hash=sealing.code_hash, slot=1)
    with pytest.raises(ProofRefusedError):
        follow_contract(state, header, other, NodeList(nodes).take)
