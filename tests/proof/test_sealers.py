"""Following the sealers of real chains over a node's answers."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from pki_chain.chain.connection import Connection
from pki_chain.chain.sealers import SealerFollower, checkpoint_at
from pki_chain.cli.main import main
from pki_chain.errors import InputError
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.header import parse_block
from pki_chain.proof.sealer_set import SealerState, Sealing, follow_contract
from pki_chain.proof.seals import SealerMode
from pki_chain.proof.trie import NodeList
from pki_chain.proof.trust import parse_trust
from tests.proof.cases import load, unhex
from tests.proof.recorded_node import RecordedNode, serve
from tests.proof.synthetic import ADMINISTRATOR_KEYS, make_trust, signed

B11, B30 = load("proofs/b-0011-validators-proof"), load("proofs/b-0030-validators-proof")
CONTRACT = Sealing(
    SealerMode.CONTRACT, contract=unhex(B11["address"]), code_hash=keccak(unhex(B11["runtime_code"])), slot=0
)
HEADER = Sealing(SealerMode.HEADER, epoch_length=20, boundary_vote_counts=True)


def node(name: str) -> RecordedNode:
    chain = load(name)
    headers = {number: deepcopy(block["header"]) for number, block in enumerate(chain["blocks"])}
    return RecordedNode(chain["chain_id"], headers, {11: B11["proof"], 30: B30["proof"]})


def start(name: str, number: int = 0) -> SealerState:
    block = load(name)["blocks"][number]
    header = parse_block(block["header"])
    sealers = tuple(sorted(unhex(each) for each in block["validators_after"]))
    return SealerState(number, unhex(block["header"]["hash"]), header.time, sealers)


def last_sealers(name: str) -> set[bytes]:
    return {unhex(each) for each in load(name)["blocks"][-1]["validators_after"]}


def test_a_contract_s_set_is_followed_through_its_changes_without_reading_every_header() -> None:
    recorded = node("chains/b-0000-0036")
    state = start("chains/b-0000-0036")
    with serve(recorded) as endpoint:
        followed, steps = SealerFollower(Connection([endpoint]), CONTRACT).follow(state)
    assert (followed.number, set(followed.sealers)) == (36, last_sealers("chains/b-0000-0036"))
    assert followed.block_hash == unhex(recorded.headers[36]["hash"])
    assert recorded.asked < 30
    assert len(steps) == 2
    for step in steps:
        header = parse_block(recorded.headers[11 if step is steps[0] else 30])
        nodes = NodeList(step.nodes)
        state = follow_contract(state, header, CONTRACT, nodes.take)
        nodes.finish()
    assert set(state.sealers) == set(followed.sealers)


def test_votes_in_headers_are_followed_to_the_head() -> None:
    recorded = node("chains/a-0000-0205")
    with serve(recorded) as endpoint:
        follower = SealerFollower(Connection([endpoint]), HEADER)
        followed, steps = follower.follow(start("chains/a-0000-0205"))
        assert follower.follow(followed) == (followed, ())
    assert (followed.number, set(followed.sealers)) == (205, last_sealers("chains/a-0000-0205"))
    assert len(steps) == 205


def test_a_node_that_forges_a_block_or_hides_a_change_is_refused() -> None:
    recorded = node("chains/b-0000-0036")
    recorded.proofs[11] = load("proofs/b-0010-validators-proof")["proof"]
    with serve(recorded) as endpoint, pytest.raises(ProofRefusedError):
        SealerFollower(Connection([endpoint]), CONTRACT).follow(start("chains/b-0000-0036"))
    recorded = node("chains/b-0000-0036")
    recorded.headers[36]["stateRoot"] = "0x" + "11" * 32
    recorded.proofs[35] = B30["proof"]
    with serve(recorded) as endpoint, pytest.raises(ProofRefusedError):
        SealerFollower(Connection([endpoint]), CONTRACT).follow(start("chains/b-0000-0036"))
    recorded = node("chains/a-0000-0205")
    recorded.headers[100]["stateRoot"] = "0x" + "11" * 32
    with serve(recorded) as endpoint, pytest.raises(ProofRefusedError) as refused:
        SealerFollower(Connection([endpoint]), HEADER).follow(start("chains/a-0000-0205"))
    assert refused.value.refusal is Refusal.FOREIGN_SEAL


def test_the_set_of_a_checkpoint_is_read_from_the_contract() -> None:
    with serve(node("chains/b-0000-0036")) as endpoint:
        follower = SealerFollower(Connection([endpoint]), CONTRACT)
        assert len(follower.sealers_at(11)) == 5
        other = SealerFollower(Connection([endpoint]), replace(CONTRACT, code_hash=bytes(32)))
        with pytest.raises(ProofRefusedError) as refused:
            other.sealers_at(11)
    assert refused.value.refusal is Refusal.OTHER_CONTRACT


def test_there_is_nothing_to_follow_where_nobody_seals() -> None:
    with pytest.raises(InputError):
        SealerFollower(Connection(["http://127.0.0.1:9"]), Sealing(SealerMode.NONE))


def test_a_checkpoint_in_header_mode_stands_at_a_boundary_where_nobody_votes() -> None:
    with serve(node("chains/a-0000-0205")) as endpoint:
        connection = Connection([endpoint])
        found = checkpoint_at(connection, HEADER, 120)
        assert set(found) == {unhex(each) for each in load("chains/a-0000-0205")["blocks"][120]["validators_after"]}
        for number in (121, 140):
            with pytest.raises(InputError, match=str(number)):
                checkpoint_at(connection, HEADER, number)


def test_a_trust_file_is_brought_up_to_date_over_a_node_that_nobody_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = start("chains/b-0000-0036", 1)
    now = parse_block(load("chains/b-0000-0036")["blocks"][36]["header"]).time + 100
    monkeypatch.setattr(time, "time", lambda: float(now))
    path, recorded = tmp_path / "TRUST.json", node("chains/b-0000-0036")
    known = make_trust(CONTRACT, state)
    known = signed(replace(known, terms=replace(known.terms, chain_id=recorded.chain_id)), ADMINISTRATOR_KEYS[:2])
    path.write_bytes(known.encoded())

    def update(node: RecordedNode) -> int:
        with serve(node) as endpoint, pytest.raises(SystemExit) as ended:
            main(["trust", "update", "--trust", str(path), "--endpoint", endpoint])
        return int(ended.value.code or 0)

    assert update(recorded) == 0
    followed = parse_trust(path.read_bytes())
    assert followed.checkpoint == state
    assert (followed.state.number, set(followed.state.sealers)) == (36, last_sealers("chains/b-0000-0036"))
    followed.verify_signatures()
    assert update(recorded) == 0
    path.write_bytes(known.encoded())
    forged = node("chains/b-0000-0036")
    forged.headers[36]["stateRoot"], forged.proofs[35] = "0x" + "11" * 32, B30["proof"]
    assert update(forged) == 76
    assert parse_trust(path.read_bytes()) == known
    monkeypatch.setattr(time, "time", lambda: float(now + 31 * 86_400))
    assert update(recorded) == 76
