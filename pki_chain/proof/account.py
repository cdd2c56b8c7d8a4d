"""Accounts in the state trie, and words of their storage. Source: Ethereum Yellow Paper §4.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.recursive_length_prefix import parse_integer, parse_item, parse_list
from pki_chain.proof.trie import Take, walk

NO_CODE: Final = keccak(b"")
"""Code hash of an account that is no contract."""

_FIELDS: Final = 4


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its leaf has it; hashes are 32 bytes."""

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


def prove_account(state_root: bytes, address: bytes, take: Take) -> Account | None:
    """The account at `address` (20 bytes) under this state, or None where there is none. Raises `ProofRefusedError`."""
    leaf = walk(state_root, address, take).value
    return None if leaf is None else _parse_account(leaf)


def prove_word(storage_root: bytes, slot: int, take: Take) -> int:
    """The word of a storage slot; 0 where the trie has none. Raises `ProofRefusedError`."""
    leaf = walk(storage_root, slot.to_bytes(32), take).value
    if leaf is None:
        return 0
    what = "a storage leaf"
    # A leaf of 0 says 0: tries leave it out, but the embedded engine keeps slots that were set back.
    return parse_integer(parse_item(leaf, Refusal.MALFORMED_NODE, what), 32, Refusal.MALFORMED_NODE, what)


def require_code(account: Account | None, code_hash: bytes, address: bytes) -> Account:
    """The account, if it is the contract that is pinned. Raises `ProofRefusedError`: no-contract, other-contract."""
    if account is None or account.code_hash == NO_CODE:
        raise ProofRefusedError(Refusal.NO_CONTRACT, f"nothing stands at 0x{address.hex()}. Check the trust file.")
    if account.code_hash != code_hash:
        raise ProofRefusedError(
            Refusal.OTHER_CONTRACT,
            f"0x{address.hex()} has other code than the trust file pins. Get a new trust file, or another gateway.",
        )
    return account


def _parse_account(leaf: bytes) -> Account:
    what = "an account's leaf"
    items = parse_list(leaf, Refusal.MALFORMED_NODE, what)
    if len(items) == _FIELDS:
        nonce, balance, storage_root, code_hash = items
        if (
            isinstance(storage_root, bytes)
            and isinstance(code_hash, bytes)
            and len(storage_root) == len(code_hash) == 32
        ):
            return Account(
                parse_integer(nonce, 8, Refusal.MALFORMED_NODE, what),
                parse_integer(balance, 32, Refusal.MALFORMED_NODE, what),
                storage_root,
                code_hash,
            )
    raise ProofRefusedError(Refusal.MALFORMED_NODE, "an account's leaf is not nonce, balance and two hashes.")
