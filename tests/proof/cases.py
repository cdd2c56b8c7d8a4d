"""Cases of `tests/vectors/qbft`, and the check of one: block, seals and proof as its file says."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from pki_chain.proof.account import Account, require_code
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.header import parse_block
from pki_chain.proof.node_answer import verify_answer
from pki_chain.proof.seals import SealerMode, verify_seals

VECTORS = Path(__file__).parent.parent / "vectors" / "qbft"


@cache
def _text(name: str) -> str:
    return (VECTORS / f"{name}.json").read_text()


def load(name: str) -> dict[str, Any]:
    """A case of its own to change: `blocks/a-0060-round0-txs` and the like."""
    case: dict[str, Any] = json.loads(_text(name))
    return case


def names(folder: str) -> list[str]:
    return sorted(f"{folder}/{path.stem}" for path in (VECTORS / folder).glob("*.json"))


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def verify_block(case: dict[str, Any]) -> bytes:
    """The block's hash, its seals checked against the set of the case. Raises `ProofRefusedError`."""
    header = parse_block(case["block"])
    sealers = [unhex(each) for each in case["validators_at_parent"]]
    block_hash, _ = verify_seals(header, sealers, SealerMode(case["validator_mode"]))
    if unhex(case["block"]["hash"]) != block_hash:
        raise ProofRefusedError(Refusal.BLOCK_HASH_MISMATCH, "the hash is not the block's")
    return block_hash


def verify_proof(case: dict[str, Any]) -> tuple[Account | None, dict[int, int]]:
    """Account and words that the proof of a case shows, its block checked first. Raises `ProofRefusedError`."""
    verify_block(case)
    address = unhex(case["address"])
    slots = [int(slot["slot"], 16) for slot in case["expected"]["slots"]]
    account, words = verify_answer(case["proof"], parse_block(case["block"]).state_root, address, slots)
    if "pinned_code_hash" in case or "runtime_code" in case:
        pinned = unhex(case["pinned_code_hash"]) if "pinned_code_hash" in case else keccak(unhex(case["runtime_code"]))
        require_code(account, pinned, address)
    return account, words


def verify(case: dict[str, Any]) -> None:
    """Whatever the case holds."""
    if case["kind"] == "proof":
        verify_proof(case)
    else:
        verify_block(case)


def changed(case: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    """A copy with another value at a place."""
    copy = deepcopy(case)
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy
