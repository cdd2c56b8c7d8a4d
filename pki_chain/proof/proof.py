"""The proof of a certificate's status, as gateways hand it out and devices carry it: JSON or CBOR, one form each.

Nothing in it is believed. The nodes are those that the reader's walks need, in that order, each once (docs/proofs.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.header import MAX_HEADER_BYTES
from pki_chain.proof.strict_form import Form, parse_cbor, parse_json
from pki_chain.proof.trie import MAX_NODE_BYTES
from pki_chain.proof.trust_list_state import MOST_AUTHORITIES

FORMAT: Final = "tiger-tally-proof-1"
JSON_TYPE: Final = "application/json"
CBOR_TYPE: Final = "application/cbor"
MAX_PROOF_BYTES: Final = 1 << 20

_NAMES: Final = ("format", "chain_id", "certificate", "sealed", "block_hash", "header", "steps", "authorities", "nodes")
_STEP_NAMES: Final = ("header", "nodes")
_MAX_STEPS: Final = 512
_MAX_NODES: Final = 512


@dataclass(frozen=True, slots=True)
class Step:
    """From one set of sealers to the next: a header's RLP and, in contract mode, the nodes of the proof of the set."""

    header: bytes
    nodes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """`certificate` is the id on the ledger; `sealed` says whether the engine seals its blocks; `authorities` are the
    ids of the CAs on which the answer depends, from the issuer to the root: none for self-signed certificates."""

    chain_id: int
    certificate: bytes
    sealed: bool
    block_hash: bytes
    header: bytes
    steps: tuple[Step, ...]
    nodes: tuple[bytes, ...]
    authorities: tuple[bytes, ...] = ()

    def cbor(self) -> bytes:
        """Deterministic CBOR. Source: RFC 8949 §4.2.1."""
        return cbor2.dumps(self._content(hexadecimal=False), canonical=True)

    def json(self) -> bytes:
        """JSON without spaces; bytes in hexadecimal with 0x."""
        return json.dumps(self._content(hexadecimal=True), separators=(",", ":")).encode()

    def _content(self, *, hexadecimal: bool) -> dict[str, Any]:
        def octets(value: bytes) -> bytes | str:
            return "0x" + value.hex() if hexadecimal else value

        return {
            "format": FORMAT,
            "chain_id": self.chain_id,
            "certificate": octets(self.certificate),
            "sealed": self.sealed,
            "block_hash": octets(self.block_hash),
            "header": octets(self.header),
            "steps": [
                {"header": octets(step.header), "nodes": [octets(node) for node in step.nodes]} for step in self.steps
            ],
            "authorities": [octets(authority) for authority in self.authorities],
            "nodes": [octets(node) for node in self.nodes],
        }


def parse_proof(content: bytes) -> Proof:
    """A proof from its JSON (which begins with a brace) or CBOR. Raises `ProofRefusedError`."""
    if len(content) > MAX_PROOF_BYTES:
        raise ProofRefusedError(
            Refusal.PROOF_TOO_LARGE, f"the proof has {len(content)} bytes, more than {MAX_PROOF_BYTES}."
        )
    hexadecimal = content.lstrip(b" \t\r\n").startswith(b"{")
    parse = parse_json if hexadecimal else parse_cbor
    form = Form.of(
        parse(content, Refusal.MALFORMED_PROOF, "the proof"),
        _NAMES,
        Refusal.MALFORMED_PROOF,
        "the proof",
        hexadecimal=hexadecimal,
    )
    if form.text("format") != FORMAT:
        raise form.error("format", FORMAT)
    return Proof(
        chain_id=form.integer("chain_id", 1, (1 << 63) - 1),
        certificate=form.octets("certificate", 32),
        sealed=form.boolean("sealed"),
        block_hash=form.octets("block_hash", 32),
        header=form.octets("header", most=MAX_HEADER_BYTES),
        steps=tuple(_step(step) for step in form.inner_list("steps", _STEP_NAMES, _MAX_STEPS)),
        nodes=form.octets_list("nodes", _MAX_NODES, most=MAX_NODE_BYTES),
        authorities=form.octets_list("authorities", MOST_AUTHORITIES, 32),
    )


def _step(form: Form) -> Step:
    header = form.octets("header", most=MAX_HEADER_BYTES)
    return Step(header, form.octets_list("nodes", _MAX_NODES, most=MAX_NODE_BYTES))
