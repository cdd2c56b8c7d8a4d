"""Cases for every verifier of proofs, with the answer that this package gives: QBFT vectors, walks, whole proofs.

A case is an object that examples/proof-verifier/cases_test.go reads; bytes are hexadecimal without 0x.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import rlp

from pki_chain.ports import Status
from pki_chain.proof.errors import ProofRefusedError
from pki_chain.proof.header import parse_block, parse_header
from pki_chain.proof.seals import SealerMode, verify_seals
from pki_chain.proof.trie import NodeList, walk
from tests.proof.attempts import LATER, LEDGER, REFUSED, Attempt, attempt
from tests.proof.cases import load, names, unhex
from tests.proof.negative_rules import RULES
from tests.proof.synthetic import CONTRACT_MODE, HEADER_MODE, UNSEALED, WORDS, identity

Case = dict[str, Any]
FLIPS = 300
BASE_FEE = 15
"""Place of baseFeePerGas in a header."""


def proof_cases() -> Iterator[Case]:
    """All cases, in a fixed order."""
    yield from _blocks()
    yield from _proofs()
    yield from _attempts()


def _case(name: str, kind: str, act: Callable[[], str], **given: Any) -> Case:
    try:
        answer, refusal = act(), ""
    except ProofRefusedError as error:
        answer, refusal = "", error.refusal.value
    return {"Name": name, "Kind": kind, "Answer": answer, "Refusal": refusal, **given}


def _seals(name: str, case: dict[str, Any]) -> Case:
    """Seals of a block. Where its JSON is no header, its fields as they are, one after the other."""
    try:
        header = parse_block(case["block"]).encoded()
    except ProofRefusedError:
        whole = parse_block(load("synthetic/x-fork-osaka")["block"]).fields
        header = rlp.encode([field for at, field in enumerate(whole) if at != BASE_FEE])
    mode, sealers = SealerMode(case["validator_mode"]), [unhex(each) for each in case["validators_at_parent"]]

    def act() -> str:
        return verify_seals(parse_header(header), sealers, mode)[0].hex()

    return _case(
        name,
        "seals",
        act,
        Header=header.hex(),
        Mode=mode.value,
        Sealers=[each.hex() for each in sealers],
    )


def _blocks() -> Iterator[Case]:
    for name in (*names("blocks"), *names("synthetic")):
        yield _seals(name, load(name))
    for rule in load("negatives")["rules"]:
        yield from negative_cases(rule)


def negative_cases(rule: dict[str, Any]) -> Iterator[Case]:
    """A rule of `negatives.json`, as far as it can be carried out on headers and nodes."""
    case = load(rule["apply_to"])
    RULES[rule["id"]][0](case)
    yield _seals(rule["id"], case)
    if case["kind"] == "proof":
        yield from _walks(rule["id"], case)


def _proofs() -> Iterator[Case]:
    for name in names("proofs"):
        yield _seals(name, load(name))
        yield from _walks(name, load(name))


def _walks(name: str, case: dict[str, Any]) -> Iterator[Case]:
    """The walks of an `eth_getProof` answer, from the roots that are true."""
    answer = case["proof"]
    root = parse_block(case["block"]).state_root
    yield _walk(f"{name} account", root, unhex(case["address"]), answer["accountProof"])
    storage = unhex(case["expected"].get("storage_root", "0x" + "00" * 32))
    for entry in answer["storageProof"]:
        yield _walk(f"{name} {entry['key']}", storage, int(entry["key"], 16).to_bytes(32), entry["proof"])


def _walk(name: str, root: bytes, key: bytes, listed: list[str]) -> Case:
    nodes = [unhex(node) for node in listed]

    def act() -> str:
        source = NodeList(nodes)
        found = walk(root, key, source.take)
        source.finish()
        return f"{found.end} {(found.value or b'').hex()}"

    return _case(name, "walk", act, Root=root.hex(), Key=key.hex(), Nodes=[node.hex() for node in nodes])


def _attempts() -> Iterator[Case]:
    for sealing in (HEADER_MODE, CONTRACT_MODE, UNSEALED):
        for name in (*WORDS, "unknown"):
            proof = LEDGER.proof(identity(name), sealing)
            yield _status(f"{name}, {sealing.mode}, CBOR", attempt(proof, name, sealing=sealing))
            yield _status(f"{name}, {sealing.mode}, JSON", attempt(proof.json(), name, sealing=sealing))
    for name, (_, given) in REFUSED.items():
        yield _status(name, given)
    in_steps = LEDGER.proof(identity("valid"), HEADER_MODE, later=True)
    yield _status("steps of the contract", attempt(LATER))
    proof = type(in_steps)(**{**_members(in_steps), "steps": LEDGER.header_steps()})
    yield _status("steps of headers", attempt(proof, sealing=HEADER_MODE))
    yield from _flipped()


def _members(proof: Any) -> dict[str, Any]:
    return {name: getattr(proof, name) for name in proof.__dataclass_fields__}


def _flipped() -> Iterator[Case]:
    """A bit flipped somewhere in proof or trust file, the same places each time."""
    chance = random.Random(5)  # noqa: S311  # not for secrets
    for number in range(FLIPS):
        name = "of four CAs" if number % 3 == 0 else "valid"
        given = attempt(LATER if number % 3 == 1 else LEDGER.proof(identity(name), CONTRACT_MODE), name)
        part = "trust" if number % 5 == 0 else "proof"
        content = bytearray(getattr(given, part))
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        if part == "trust" and max(content) > 0x7F:
            continue  # the case's JSON cannot carry what is no text
        given = Attempt(**{**_members(given), part: bytes(content)})
        yield _status(f"bit {number} of {part}", given)


def _status(name: str, given: Attempt) -> Case:
    def act() -> str:
        proven = given.carry_out()
        return json.dumps(
            {
                "state": Status(proven.status.state).name.lower(),
                "reason": proven.status.reason,
                "since": proven.status.since,
                "not_after": proven.status.not_after,
                "good": proven.is_good,
                "block": proven.block_number,
                "age_s": proven.age_s,
                "sealed": proven.sealed,
                "scope": int(proven.scope),
                "authorities": ["0x" + each.hex() for each in proven.authorities],
            },
            separators=(",", ":"),
        )

    named = given.identity.issuer
    issuer = named and {
        "Name": named.name_hash.hex(),
        "KeyIdentifier": named.key_identifier_hash.hex(),
        "Scope": int(named.scope),
    }
    return _case(
        name,
        "status",
        act,
        Issuer=issuer,
        SPKI=given.identity.spki_hash.hex(),
        TBS=given.identity.tbs_hash.hex(),
        Proof=given.proof.hex(),
        Trust=given.trust.decode("utf-8", "replace"),
        Now=given.now,
        MaxAge=given.max_age_s or 0,
        LeastBlock=given.least_block,
        Unsafe=given.unsafe_unsealed,
    )
