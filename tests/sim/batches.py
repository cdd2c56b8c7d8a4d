"""Batch files as operators prepare them, with the typed text of IIdentityRegistry."""

from __future__ import annotations

import json
import secrets
from typing import Any

from eth_hash.auto import keccak

TYPE = "Possession(uint16 operator,bytes32 identity,bytes32 x,bytes32 y,uint8 purpose,uint64 deadline)"
REGISTRY = "0x00000000000000000000000000000000000000AA"
DEADLINE = 4_000_000_000
REGISTER, ACTIVATE = 1, 2


def _word(number: int) -> str:
    return f"0x{number:064x}"


def template(purpose: int, deadline: int = DEADLINE, domain: bytes = b"\x11" * 32) -> dict[str, Any]:
    type_hash = "0x" + bytes(keccak(TYPE.encode())).hex()
    return {
        "deadline": deadline,
        "type": TYPE,
        "domain_separator": "0x" + domain.hex(),
        "words": [type_hash, _word(7), "identity", "x", "y", _word(purpose), _word(deadline)],
    }


def batch_document(identities: int = 3, **changes: Any) -> dict[str, Any]:
    return {
        "format": "tally-identity-batch/1",
        "operator": 7,
        "operator_name": "Example Mobile",
        "chain_id": "1234",
        "registry": REGISTRY,
        "register": template(REGISTER),
        "activate": template(ACTIVATE),
        "identities": ["0x" + secrets.token_hex(32) for _ in range(identities)],
        **changes,
    }


def batch_bytes(identities: int = 3, **changes: Any) -> bytes:
    return json.dumps(batch_document(identities, **changes)).encode()
