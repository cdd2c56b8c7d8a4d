"""Walking a Merkle Patricia trie by a key, from a root that is trusted, through nodes that are not.

The walk alone decides: presence is a leaf for the whole key, absence a node that shows that there is none. A walk that
runs out of nodes shows nothing. Source: Ethereum Yellow Paper, appendix D.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eth_hash.auto import keccak

from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.recursive_length_prefix import Item, encode, parse_list

EMPTY_ROOT: Final = keccak(b"\x80")
"""56e81f17...: root of a trie without entries."""

MAX_NODE_BYTES: Final = 1_024
"""A branch of 16 hashes has 532; an account's leaf at most 150."""

_HASH_BYTES: Final = 32
_BRANCH_ITEMS: Final = 17


class End(StrEnum):
    """How a walk ends: with the key's leaf, or with what shows that there is none."""

    LEAF = "leaf"
    OTHER_LEAF = "other leaf"
    EMPTY_BRANCH_SLOT = "empty branch slot"
    DIVERGING_EXTENSION = "diverging extension"
    EMPTY_TRIE = "empty trie"


@dataclass(frozen=True, slots=True)
class Walk:
    """`value` is the leaf's, None where the key is absent."""

    value: bytes | None
    end: End


Take = Callable[[bytes], bytes]
"""The node with this hash. Raises `ProofRefusedError` where there is none."""


class NodeList:
    """Nodes in the order in which walks first need them, each once; a node is had again by any later walk."""

    def __init__(self, nodes: Sequence[bytes]) -> None:
        self._nodes = nodes
        self._next = 0
        self._taken: dict[bytes, bytes] = {}

    def take(self, digest: bytes) -> bytes:
        """Raises `ProofRefusedError`: incomplete-proof when no node is left, wrong-node when the next is another."""
        if digest in self._taken:
            return self._taken[digest]
        if self._next == len(self._nodes):
            raise _refused(Refusal.INCOMPLETE_PROOF, "the walk runs out of nodes, which proves nothing")
        node = self._nodes[self._next]
        if keccak(node) != digest:
            raise _refused(Refusal.WRONG_NODE, f"node {self._next} is not the one that the walk needs")
        self._next += 1
        self._taken[digest] = node
        return node

    def finish(self) -> None:
        """Raises `ProofRefusedError` (spare-node) when nodes are left: one proof has one form."""
        if self._next != len(self._nodes):
            raise _refused(Refusal.SPARE_NODE, f"{len(self._nodes) - self._next} nodes are not needed")


def walk(root: bytes, key: bytes, take: Take) -> Walk:
    """Walk from `root` by keccak256(`key`). Raises `ProofRefusedError`."""
    if root == EMPTY_ROOT:
        return Walk(None, End.EMPTY_TRIE)
    path = keccak(key).hex()
    items = _load(root, take, is_root=True)
    while True:
        if len(items) == _BRANCH_ITEMS:
            if not path:
                raise _malformed("a branch lies deeper than the key is long")
            child, path = items[int(path[0], 16)], path[1:]
            if child == b"":
                return Walk(None, End.EMPTY_BRANCH_SLOT)
        else:
            prefix, is_leaf = _parse_prefix(items[0])
            if is_leaf:
                return _leaf(items[1]) if prefix == path else Walk(None, End.OTHER_LEAF)
            if not path.startswith(prefix):
                return Walk(None, End.DIVERGING_EXTENSION)
            child, path = items[1], path[len(prefix) :]
        items = _follow(child, take)


def _load(digest: bytes, take: Take, *, is_root: bool = False) -> Sequence[Item]:
    encoded = take(digest)
    if len(encoded) > MAX_NODE_BYTES or (len(encoded) < _HASH_BYTES and not is_root):
        raise _malformed(f"has {len(encoded)} bytes where it is named by its hash")
    return _node(parse_list(encoded, Refusal.MALFORMED_NODE, "a trie node"))


def _follow(child: Item, take: Take) -> Sequence[Item]:
    """The node that a reference names by hash, or holds itself where it is shorter than a hash."""
    if isinstance(child, bytes):
        if len(child) != _HASH_BYTES:
            raise _malformed("refers to a child by something that is no hash")
        return _load(child, take)
    if len(encode(child)) >= _HASH_BYTES:
        raise _malformed("holds a child that belongs behind its hash")
    return _node(child)


def _node(items: Sequence[Item]) -> Sequence[Item]:
    if len(items) not in {2, _BRANCH_ITEMS}:
        raise _malformed(f"has {len(items)} items, not 2 or {_BRANCH_ITEMS}")
    if len(items) == _BRANCH_ITEMS and items[-1] != b"":
        raise _malformed("has a value in a branch, where all keys are of one length")
    return items


def _parse_prefix(item: Item) -> tuple[str, bool]:
    """Nibbles as hexadecimal digits, and whether the node is a leaf. Source: Yellow Paper, appendix C."""
    if not isinstance(item, bytes) or not item or item[0] > 0x3F or (not item[0] & 0x10 and item[0] & 0x0F):
        raise _malformed("has a path that is not in compact form")
    digits = item.hex()
    nibbles, is_leaf = digits[1:] if item[0] & 0x10 else digits[2:], bool(item[0] & 0x20)
    if not nibbles and not is_leaf:
        raise _malformed("is an extension by nothing")
    return nibbles, is_leaf


def _leaf(value: Item) -> Walk:
    if not isinstance(value, bytes) or not value:
        raise _malformed("is a leaf without a value")
    return Walk(value, End.LEAF)


def _malformed(what: str) -> ProofRefusedError:
    return _refused(Refusal.MALFORMED_NODE, f"a trie node {what}")


def _refused(refusal: Refusal, what: str) -> ProofRefusedError:
    return ProofRefusedError(refusal, f"{what}. Ask for the proof again, elsewhere.")
