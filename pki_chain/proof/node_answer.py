"""A node's answer to `eth_getProof`: verified under a state root, its claims compared with what the walks show.

Source: EIP-1186; what engines do differently: tests/vectors/qbft/README.md, Encodings seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pki_chain.proof.account import NO_CODE, Account, prove_account, prove_word
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.trie import EMPTY_ROOT, NodeList

_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*")
_NUMBER: Final = re.compile(r"0x[0-9a-f]{1,64}")
_EMPTY_NODE: Final = b"\x80"


def verify_answer(
    answer: Mapping[str, Any], state_root: bytes, address: bytes, slots: Sequence[int]
) -> tuple[Account | None, dict[int, int]]:
    """The account (None: there is none) and the words of these slots. Raises `ProofRefusedError`.

    Entries are matched by key as a number: engines order and write keys differently.
    """
    if _bytes(answer.get("address")) != address:
        raise _mismatch("the answer is about another address")
    account = _verify_account(answer, state_root, address)
    root = EMPTY_ROOT if account is None else account.storage_root
    entries = _entries(answer)
    words: dict[int, int] = {}
    for slot in slots:
        entry = entries.pop(slot, None)
        if entry is None:
            if account is not None:
                raise ProofRefusedError(
                    Refusal.SLOT_NOT_ANSWERED, f"slot {slot:#x} was asked and not answered. Ask another node."
                )
            words[slot] = 0
            continue
        words[slot] = _verify_word(entry, root, slot)
    if entries:
        raise ProofRefusedError(Refusal.SPARE_NODE, "the answer has slots that were not asked. Ask another node.")
    return account, words


def _verify_account(answer: Mapping[str, Any], state_root: bytes, address: bytes) -> Account | None:
    nodes = NodeList(_nodes(answer.get("accountProof")))
    account = prove_account(state_root, address, nodes.take)
    nodes.finish()
    claim = Account(
        _number(answer.get("nonce")),
        _number(answer.get("balance")),
        _bytes(answer.get("storageHash")),
        _bytes(answer.get("codeHash")),
    )
    nothing = {bytes(32)}
    if account is None:
        absent = not (claim.nonce or claim.balance)
        if not absent or claim.storage_root not in nothing | {EMPTY_ROOT} or claim.code_hash not in nothing | {NO_CODE}:
            raise _mismatch("something is claimed of an account that is absent")
    elif claim != account:
        raise _mismatch("the account's claimed fields are not those of its leaf")
    return account


def _verify_word(entry: Mapping[str, Any], root: bytes, slot: int) -> int:
    nodes = _nodes(entry.get("proof"))
    if root == EMPTY_ROOT and list(nodes) == [_EMPTY_NODE]:
        nodes = ()  # one engine writes the empty trie as its one node
    source = NodeList(nodes)
    word = prove_word(root, slot, source.take)
    source.finish()
    if _number(entry.get("value")) != word:
        raise _mismatch(f"slot {slot:#x} is claimed to hold another value")
    return word


def _entries(answer: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    listed = answer.get("storageProof")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise _malformed("storageProof is not a list of objects")
    entries = {_number(each.get("key")): each for each in listed}
    if len(entries) != len(listed):
        raise _malformed("storageProof has a slot twice")
    return entries


def _nodes(value: object) -> Sequence[bytes]:
    if not isinstance(value, list):
        raise _malformed("a proof is not a list of nodes")
    return [_bytes(each) for each in value]


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise _malformed("lower-case hexadecimal with 0x is missing")
    return bytes.fromhex(value[2:])


def _number(value: object) -> int:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise _malformed("a hexadecimal number with 0x is missing")
    return int(value, 16)


def _mismatch(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.CLAIM_MISMATCH, f"{what}. Do not rely on this node; ask another one.")


def _malformed(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.MALFORMED_PROOF, f"{what}. Ask another node.")
