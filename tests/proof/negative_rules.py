"""The rules of `negatives.json`, each carried out on its case, and the reason with which it must be refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rlp
from eth_hash.auto import keccak

from pki_chain.proof.errors import Refusal
from tests.proof.cases import load, unhex

Case = dict[str, Any]
Change = Callable[[Case], None]

N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HEADER_FIELDS = [
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
]
NUMBERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"}


def _extra(case: Case) -> list[Any]:
    items: list[Any] = rlp.decode(unhex(case["block"]["extraData"]))
    return items


def _set_extra(case: Case, items: Sequence[Any]) -> None:
    case["block"]["extraData"] = "0x" + rlp.encode(items).hex()


def _rehash(case: Case) -> None:
    """The block hash anew, computed here a second time and apart from what is tested."""
    block = case["block"]
    vanity, sealers, vote, _, _ = _extra(case)
    fields = []
    for name in HEADER_FIELDS:
        if block.get(name) is None:
            break
        if name == "extraData":
            fields.append(rlp.encode([vanity, sealers, vote, b"", []]))
        elif name in NUMBERS:
            number = int(block[name], 16)
            fields.append(number.to_bytes((number.bit_length() + 7) // 8))
        else:
            fields.append(unhex(block[name]))
    block["hash"] = "0x" + keccak(rlp.encode(fields)).hex()


def seals(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    def apply(case: Case) -> None:
        items = _extra(case)
        items[4] = change(list(items[4]))
        _set_extra(case, items)

    return apply


def malleated(seal: bytes) -> bytes:
    return seal[:32] + (N - int.from_bytes(seal[32:64])).to_bytes(32) + bytes([1 - seal[64]])


def block_field(name: str, change: Callable[[Any], Any], *, rehash: bool) -> Change:
    def apply(case: Case) -> None:
        case["block"][name] = change(case["block"].get(name))
        if rehash:
            _rehash(case)

    return apply


def flip(text: str) -> str:
    content = bytearray(unhex(text))
    content[0] ^= 1
    return "0x" + content.hex()


def add_one(text: str) -> str:
    return hex(int(text, 16) + 1)


def extra(change: Callable[[list[Any]], Any], *, rehash: bool = False) -> Change:
    def apply(case: Case) -> None:
        items = _extra(case)
        change(items)
        _set_extra(case, items)
        if rehash:
            _rehash(case)

    return apply


def raw_extra(change: Callable[[bytes], bytes]) -> Change:
    def apply(case: Case) -> None:
        case["block"]["extraData"] = "0x" + change(unhex(case["block"]["extraData"])).hex()

    return apply


def round_as(encoded: bytes) -> Change:
    """The round as these bytes, canonical or not: the outer length is put right, everything else left."""

    def apply(case: Case) -> None:
        items = _extra(case)
        parts = [rlp.encode(item) for item in items]
        parts[3] = encoded
        body = b"".join(parts)
        length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
        case["block"]["extraData"] = "0x" + (bytes([0xF7 + len(length)]) + length + body).hex()

    return apply


def put(index: int, value: Any) -> Callable[[list[Any]], None]:
    def change(items: list[Any]) -> None:
        items[index] = value

    return change


def set_of(other: str) -> Change:
    def apply(case: Case) -> None:
        case["validators_at_parent"] = load(other)["validators_at_parent"]

    return apply


def long_length(content: bytes) -> bytes:
    """One more byte for the length of the outer list."""
    size = content[0] - 0xF7
    return bytes([content[0] + 1, 0]) + content[1 : 1 + size] + content[1 + size :]


def proof(change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(case: Case) -> None:
        change(case["proof"])

    return apply


def first_slot(change: Callable[[dict[str, Any]], Any]) -> Change:
    return proof(lambda answer: change(answer["storageProof"][0]))


def _update(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda place: place.update(fields)


def _claim_nothing(answer: dict[str, Any]) -> None:
    empty = load("proofs/a-account-absent-empty-branch-slot")["proof"]
    answer.update({name: empty[name] for name in ("nonce", "balance", "storageHash", "codeHash")})


def _hide_account(answer: dict[str, Any]) -> None:
    answer["accountProof"] = answer["accountProof"][:1]
    _claim_nothing(answer)


def _hide_account_by_other(answer: dict[str, Any]) -> None:
    answer["accountProof"] = load("proofs/a-account-absent-empty-branch-slot")["proof"]["accountProof"]
    _claim_nothing(answer)


def _claim_other_value(case: Case) -> None:
    case["proof"]["storageProof"][0]["value"] = "0x2"
    case["expected"]["slots"][0]["value"] = "0x2"


def _answer_of(name: str) -> Change:
    def apply(case: Case) -> None:
        case["proof"] = load(name)["proof"]

    return apply


def _storage_of_other(case: Case) -> None:
    other = load("proofs/a-slots-present")["proof"]["storageProof"][0]
    case["proof"]["storageProof"][1] = other


def _flip_last_node(slot: dict[str, Any]) -> None:
    slot["proof"][-1] = slot["proof"][-1][:-1] + ("0" if slot["proof"][-1][-1] != "0" else "1")


def _shorten_keys(answer: dict[str, Any]) -> None:
    for entry in answer["storageProof"]:
        if int(entry["key"], 16) < 2:
            entry["key"] = hex(int(entry["key"], 16))


def _swap(slot: dict[str, Any]) -> None:
    slot["proof"][0], slot["proof"][1] = slot["proof"][1], slot["proof"][0]


def _second_as_first(answer: dict[str, Any]) -> None:
    first, second = answer["storageProof"][:2]
    first.update(value="0x0", proof=second["proof"])


def _set_after(other: str) -> Change:
    """The set that is in force after the block of the case, as the next block's file has it."""
    return set_of(other)


def nothing(_case: Case) -> None:
    return


_NULLS = (
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
)
R = Refusal

RULES: dict[str, tuple[Change, Refusal | None]] = {
    "seal-repeated": (seals(lambda s: [*s[:-1], s[0]]), R.REPEATED_SEAL),
    "seal-repeated-extra": (seals(lambda s: [*s, s[0]]), R.REPEATED_SEAL),
    "seal-malleated": (seals(lambda s: [*s[:-1], malleated(s[0])]), R.REPEATED_SEAL),
    "seal-high-s": (seals(lambda s: [malleated(s[0]), *s[1:]]), None),
    "seal-dropped": (seals(lambda s: s[:-1]), R.NO_QUORUM),
    "seal-dropped-five": (seals(lambda s: s[:-1]), R.NO_QUORUM),
    "seal-dropped-three": (seals(lambda s: s[:-1]), R.NO_QUORUM),
    "seals-none": (seals(lambda _: []), R.NO_QUORUM),
    "seal-of-other-block": (
        seals(lambda s: [*s[:-1], rlp.decode(unhex(load("blocks/a-0120-epoch")["block"]["extraData"]))[4][-1]]),
        R.FOREIGN_SEAL,
    ),
    "seal-v-27": (seals(lambda s: [each[:64] + bytes([each[64] + 27]) for each in s]), R.MALFORMED_SEAL),
    "seal-v-flipped": (seals(lambda s: [*s[:-1], s[-1][:64] + bytes([1 - s[-1][64]])]), R.FOREIGN_SEAL),
    "seal-short": (seals(lambda s: [s[0][:-1], *s[1:]]), R.MALFORMED_SEAL),
    "seal-long": (seals(lambda s: [s[0] + b"\0", *s[1:]]), R.MALFORMED_SEAL),
    "seal-zero": (seals(lambda s: [bytes(65), *s[1:]]), R.MALFORMED_SEAL),
    "seal-r-overflow": (seals(lambda s: [N.to_bytes(32) + s[0][32:], *s[1:]]), R.MALFORMED_SEAL),
    # Flipped fields change what was sealed: seals no longer recover to sealers, whatever the claimed hash says.
    **{
        f"flip-{name}{suffix}": (block_field(name, flip, rehash=bool(suffix)), R.FOREIGN_SEAL)
        for name in (*HEADER_FIELDS[:7], "nonce")
        for suffix in ("", "-rehash")
    },
    "flip-nonce": (block_field("nonce", flip, rehash=True), R.FOREIGN_SEAL),
    "add-one-difficulty": (block_field("difficulty", add_one, rehash=True), R.WRONG_DIFFICULTY),
    "add-one-number": (block_field("number", add_one, rehash=True), R.FOREIGN_SEAL),
    "add-one-gasLimit": (block_field("gasLimit", add_one, rehash=True), R.FOREIGN_SEAL),
    "add-one-gasUsed": (block_field("gasUsed", add_one, rehash=True), R.FOREIGN_SEAL),
    "add-one-timestamp": (block_field("timestamp", add_one, rehash=True), R.FOREIGN_SEAL),
    "mix-hash-zero": (block_field("mixHash", lambda _: "0x" + "00" * 32, rehash=False), R.WRONG_MIX_HASH),
    "base-fee-added": (block_field("baseFeePerGas", lambda _: "0x0", rehash=False), R.FOREIGN_SEAL),
    "fork-fields-null": (lambda case: case["block"].update(dict.fromkeys(_NULLS)), None),
    "base-fee-removed": (lambda case: case["block"].pop("baseFeePerGas"), R.MALFORMED_HEADER),
    "requests-hash-removed": (lambda case: case["block"].pop("requestsHash"), R.FOREIGN_SEAL),
    "hash-claimed": (
        block_field("hash", lambda _: load("blocks/a-0120-epoch")["block"]["hash"], rehash=False),
        R.BLOCK_HASH_MISMATCH,
    ),
    "round-changed": (extra(put(3, b"")), R.FOREIGN_SEAL),
    "round-raised": (extra(put(3, b"\x01")), R.FOREIGN_SEAL),
    "round-not-minimal": (round_as(b"\x00"), R.MALFORMED_EXTRA_DATA),
    "round-wide": (round_as(b"\x82\x00\x01"), R.MALFORMED_EXTRA_DATA),
    "extra-trailing": (raw_extra(lambda content: content + b"\0"), R.MALFORMED_EXTRA_DATA),
    "extra-sixth-item": (extra(lambda items: items.append(b"")), R.MALFORMED_EXTRA_DATA),
    "extra-long-length": (raw_extra(long_length), R.MALFORMED_EXTRA_DATA),
    "extra-cut": (raw_extra(lambda content: content[:-1]), R.MALFORMED_EXTRA_DATA),
    "vanity-31": (extra(lambda items: put(0, items[0][:31])(items), rehash=True), R.MALFORMED_EXTRA_DATA),
    "vanity-flipped": (
        extra(lambda items: put(0, bytes([items[0][0] ^ 1]) + items[0][1:])(items), rehash=True),
        R.FOREIGN_SEAL,
    ),
    "list-one-removed": (extra(lambda items: put(1, items[1][1:])(items), rehash=True), R.WRONG_SEALER_LIST),
    "vote-removed": (extra(put(2, []), rehash=True), R.FOREIGN_SEAL),
    "vote-turned": (extra(lambda items: put(2, [items[2][0], b""])(items), rehash=True), R.FOREIGN_SEAL),
    "vote-type-other": (extra(lambda items: put(2, [items[2][0], b"\x01"])(items)), R.MALFORMED_EXTRA_DATA),
    "set-before-change": (set_of("blocks/a-0126-vote-add-passing"), R.WRONG_SEALER_LIST),
    "set-after-change": (_set_after("blocks/a-0127-five-validators-first"), R.WRONG_SEALER_LIST),
    "set-after-change-contract": (_set_after("blocks/b-0012-set-changed-first"), R.NO_QUORUM),
    "set-before-change-contract": (set_of("blocks/b-0011-set-changing"), R.FOREIGN_SEAL),
    "proof-value-claimed": (_claim_other_value, R.CLAIM_MISMATCH),
    "proof-hidden-record": (first_slot(lambda s: s.update(value="0x0", proof=s["proof"][:1])), R.INCOMPLETE_PROOF),
    "proof-hidden-record-empty": (first_slot(_update(value="0x0", proof=[])), R.INCOMPLETE_PROOF),
    "proof-hidden-record-other-key": (proof(_second_as_first), R.INCOMPLETE_PROOF),
    "proof-hidden-account": (proof(_hide_account), R.INCOMPLETE_PROOF),
    "proof-hidden-account-other": (proof(_hide_account_by_other), R.INCOMPLETE_PROOF),
    "proof-old-state": (_answer_of("proofs/a-slot-before-clearing"), R.WRONG_NODE),
    "proof-and-header-old": (nothing, None),
    "proof-node-flipped": (first_slot(_flip_last_node), R.WRONG_NODE),
    "proof-node-spare": (first_slot(lambda s: s["proof"].append(s["proof"][-1])), R.SPARE_NODE),
    "proof-nodes-swapped": (first_slot(_swap), R.WRONG_NODE),
    "proof-storage-hash": (
        proof(lambda answer: answer.update(storageHash=flip(answer["storageHash"]))),
        R.CLAIM_MISMATCH,
    ),
    "proof-code-hash": (proof(lambda answer: answer.update(codeHash=flip(answer["codeHash"]))), R.CLAIM_MISMATCH),
    "proof-code-pin": (lambda case: case.update(pinned_code_hash="0x" + "11" * 32), R.OTHER_CONTRACT),
    "proof-other-address": (_answer_of("proofs/a-contract-one-slot"), R.CLAIM_MISMATCH),
    "proof-storage-of-other-contract": (_storage_of_other, R.WRONG_NODE),
    "proof-slot-missing": (proof(lambda answer: answer["storageProof"].pop(0)), R.SLOT_NOT_ANSWERED),
    "proof-slots-reordered": (proof(lambda answer: answer["storageProof"].reverse()), None),
    "proof-key-short": (proof(_shorten_keys), None),
    "proof-empty-trie-node": (first_slot(_update(proof=["0x80"])), None),
    "proof-absent-account-no-entries": (proof(_update(storageProof=[])), None),
    "proof-absent-account-claims": (proof(_update(nonce="0x1")), R.CLAIM_MISMATCH),
    "proof-unsealed-root": (seals(lambda s: s[:-1]), R.NO_QUORUM),
}
