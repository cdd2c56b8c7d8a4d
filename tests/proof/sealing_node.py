"""A node whose blocks are those of the embedded ledger, sealed as a QBFT engine would: state, code and proofs are real.

It stands between commands and the engine that seals nothing, so that trust files and proofs of our own contracts are
made and verified in the modes of engines that seal.
"""

from __future__ import annotations

from typing import Any

import requests
import rlp
from eth_hash.auto import keccak

from pki_chain.proof.header import parse_block
from pki_chain.proof.seals import MIX_HASH, SealerMode
from tests.proof.synthetic import BY_ADDRESS

_EXTRA, _MIX, _DIFFICULTY, _MINER, _PARENT = 12, 13, 7, 2, 0


class SealingNode:
    """Answers as `tests.proof.recorded_node.RecordedNode` does; `sealers` are addresses of `synthetic`'s keys."""

    def __init__(self, endpoint: str, mode: SealerMode, sealers: tuple[bytes, ...]) -> None:
        self._endpoint = endpoint
        self._mode = mode
        self._sealers = sealers
        self._blocks: list[dict[str, Any]] = []

    def answer(self, method: str, params: list[Any]) -> Any:
        found = self._ask(method, params)
        if method == "eth_getBlockByNumber" and found is not None:
            return self._sealed(int(found["number"], 16))
        if method == "eth_getLogs":
            return [{**log, "blockHash": self._sealed(int(log["blockNumber"], 16))["hash"]} for log in found]
        return found

    def _ask(self, method: str, params: list[Any]) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = requests.post(self._endpoint, json=body, timeout=10).json()
        assert "error" not in answer, answer
        return answer["result"]

    def _sealed(self, number: int) -> dict[str, Any]:
        while len(self._blocks) <= number:
            block = self._ask("eth_getBlockByNumber", [hex(len(self._blocks)), False])
            self._blocks.append(self._seal(block, self._blocks[-1]["hash"] if self._blocks else "0x" + "00" * 32))
        return self._blocks[number]

    def _seal(self, block: dict[str, Any], parent: str) -> dict[str, Any]:
        fields = list(parse_block(block).fields)
        fields[_PARENT], fields[_MINER] = bytes.fromhex(parent[2:]), self._sealers[0]
        fields[_DIFFICULTY], fields[_MIX] = b"\x01", MIX_HASH
        fields[_EXTRA] = self._extra(())
        digest = keccak(rlp.encode(fields))  # round 0: seals are over what the block's hash is over
        signers = self._sealers[: -(-2 * len(self._sealers) // 3)]
        extra = self._extra(tuple(BY_ADDRESS[each].sign_recoverable(digest, hasher=None) for each in signers))
        return {
            **block,
            "parentHash": parent,
            "miner": "0x" + self._sealers[0].hex(),
            "difficulty": "0x1",
            "mixHash": "0x" + MIX_HASH.hex(),
            "extraData": "0x" + extra.hex(),
            "hash": "0x" + digest.hex(),
        }

    def _extra(self, seals: tuple[bytes, ...]) -> bytes:
        listed = list(self._sealers) if self._mode is SealerMode.HEADER else []
        return bytes(rlp.encode([bytes(32), listed, [], b"", list(seals)]))
