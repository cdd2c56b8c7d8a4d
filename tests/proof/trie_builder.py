"""A Merkle Patricia trie from its entries, with all nodes by hash: the other side of `pki_chain.proof.trie`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rlp
from eth_hash.auto import keccak

EMPTY_ROOT = keccak(b"\x80")


def build(entries: Mapping[bytes, bytes], nodes: dict[bytes, bytes]) -> bytes:
    """The root. `entries`: key (before hashing) -> leaf; every node is put into `nodes` by its hash."""
    if not entries:
        return EMPTY_ROOT
    hashed = sorted((keccak(key).hex(), value) for key, value in entries.items())
    encoded = rlp.encode(_node(hashed, 0, nodes))
    root = keccak(encoded)
    nodes[root] = encoded
    return root


def storage(words: Mapping[int, int], nodes: dict[bytes, bytes]) -> bytes:
    """Root of an account's storage with these words."""
    return build({slot.to_bytes(32): rlp.encode(_bytes(word)) for slot, word in words.items() if word}, nodes)


def account(nonce: int, storage_root: bytes, code_hash: bytes) -> bytes:
    """An account's leaf."""
    return bytes(rlp.encode([_bytes(nonce), b"", storage_root, code_hash]))


def _node(entries: Sequence[tuple[str, bytes]], depth: int, nodes: dict[bytes, bytes]) -> Any:
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return [compact(first[depth:], leaf=True), entries[0][1]]
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [compact(first[depth:shared], leaf=False), _reference(entries, shared, nodes)]
    children: list[Any] = []
    start = 0
    for digit in "0123456789abcdef":
        end = start
        while end < len(entries) and entries[end][0][depth] == digit:
            end += 1
        children.append(_reference(entries[start:end], depth + 1, nodes) if end > start else b"")
        start = end
    return [*children, b""]


def _reference(entries: Sequence[tuple[str, bytes]], depth: int, nodes: dict[bytes, bytes]) -> Any:
    node = _node(entries, depth, nodes)
    encoded = rlp.encode(node)
    if len(encoded) < 32:
        return node
    digest = keccak(encoded)
    nodes[digest] = encoded
    return digest


def compact(nibbles: str, *, leaf: bool) -> bytes:
    flag = 2 if leaf else 0
    return bytes.fromhex(f"{flag + 1:x}{nibbles}" if len(nibbles) % 2 else f"{flag:x}0{nibbles}")


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)
