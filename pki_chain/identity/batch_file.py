"""The batch file that an operator gives to its personaliser: ids, and what cards sign. Format: docs/identity.md."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eth_hash.auto import keccak

from pki_chain.chain.typed_data import TYPES, TypedTexts
from pki_chain.config import ConsortiumFile
from pki_chain.errors import InputError, StorageError
from pki_chain.ports import PossessionPurpose

FORMAT: Final = "tally-identity-batch/1"
MAX_IDENTITIES: Final = 10_000
_TEXT: Final = "Possession"
_OWN_WORDS: Final = frozenset({"identity", "x", "y"})


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch asks of its cards; deadlines in seconds since 1970. `purpose` is REGISTER, or REPLACE for a new
    card of an identity that is on the ledger."""

    operator: int
    operator_name: str
    purpose: PossessionPurpose
    register_by: int
    activate_by: int


def create_identities(count: int) -> tuple[bytes, ...]:
    """Fresh ids of 32 random bytes. Raises `InputError` for a number that no batch takes."""
    if not 1 <= count <= MAX_IDENTITIES:
        raise InputError(f"a batch has 1 to {MAX_IDENTITIES} identities, not {count}")
    return tuple(secrets.token_bytes(32) for _ in range(count))


def batch_content(consortium: ConsortiumFile, plan: BatchPlan, identities: Sequence[bytes]) -> dict[str, Any]:
    """The batch as JSON."""
    texts = TypedTexts(consortium)
    return {
        "format": FORMAT,
        "operator": plan.operator,
        "operator_name": plan.operator_name,
        "chain_id": str(consortium.chain_id),
        "registry": consortium.identity_registry,
        "register": template(texts, plan.operator, plan.purpose, plan.register_by),
        "activate": template(texts, plan.operator, PossessionPurpose.ACTIVATE, plan.activate_by),
        "identities": ["0x" + identity.hex() for identity in identities],
    }


def template(texts: TypedTexts, operator: int, purpose: PossessionPurpose, deadline: int) -> dict[str, Any]:
    """What a card signs for one purpose, with places for its id and key, so that it needs no code of the ledger."""
    typed = texts.possession(operator, bytes(32), bytes(32), bytes(32), purpose, deadline)
    fields = TYPES[_TEXT]
    written = f"{_TEXT}({','.join(f'{kind} {name}' for name, kind in fields)})"
    words = [_word(keccak(written.encode()))]
    for name, _ in fields:
        words.append(name if name in _OWN_WORDS else _word(int(typed.message[name]).to_bytes(32)))
    return {
        "deadline": deadline,
        "type": written,
        "domain_separator": _word(typed.signable().header),
        "words": words,
    }


def store_batch(path: Path, content: dict[str, Any]) -> None:
    """Write a batch file, never over another. Raises `StorageError`."""
    try:
        with path.open("x", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1, ensure_ascii=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as error:
        raise StorageError(f"{path} exists already: choose another name, batches are never written over") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def _word(value: bytes) -> str:
    return "0x" + value.hex()
