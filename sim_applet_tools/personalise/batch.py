"""The operator's batch file: identities to give to cards, and what a card signs for each. Source: docs/identity.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sim_applet_tools.errors import InputError, StorageError
from sim_applet_tools.personalise.possession import PLACES, PossessionTemplate

FORMAT = "tally-identity-batch/1"
MAX_FILE_BYTES = 64 << 20
MAX_IDENTITIES = 10_000
MAX_WORDS = 32
MAX_BRACKETS = 100
"""The form has six."""
MAX_TEXT = 1_000
_WORD = re.compile(r"0x[0-9a-f]{64}", re.ASCII | re.IGNORECASE)
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Batch:
    """A parsed batch file; `digest` is the SHA-256 of its bytes."""

    operator: int
    operator_name: str
    chain_id: str
    registry: str
    register: PossessionTemplate
    activate: PossessionTemplate
    identities: tuple[bytes, ...]
    digest: bytes


def load_batch(path: Path) -> Batch:
    """As `parse_batch`, from a file."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"cannot read the batch {path}: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise InputError(f"the batch {path} is longer than {MAX_FILE_BYTES} bytes: ask for smaller batches")
    return parse_batch(raw, str(path))


def parse_batch(raw: bytes, name: str) -> Batch:
    """Read and check a batch. What differs from the format is an `InputError`; deadlines are for those who sign."""
    reader = _Reader(name)
    if raw.count(b"{") + raw.count(b"[") > MAX_BRACKETS:  # before json, whose depth is bounded by the stack only
        raise reader.refused("it is no JSON of this form, with so many brackets")
    try:
        document = json.loads(raw, object_pairs_hook=reader.once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the batch {name} is no JSON: {error}") from error
    wanted = {"format", "operator", "operator_name", "chain_id", "registry", "register", "activate", "identities"}
    fields = reader.fields(document, wanted, "the file")
    if fields["format"] != FORMAT:
        raise reader.refused(f"format is not {FORMAT}", "this program is of another version than the operator's")
    operator = fields["operator"]
    if type(operator) is not int or not 0 < operator < 1 << 16:
        raise reader.refused("operator is no member number")
    return Batch(
        operator=operator,
        operator_name=reader.text(fields["operator_name"], "operator_name"),
        chain_id=reader.text(fields["chain_id"], "chain_id"),
        registry=reader.matching(_ADDRESS, fields["registry"], "registry"),
        register=reader.template(fields["register"], "register"),
        activate=reader.template(fields["activate"], "activate"),
        identities=reader.identities(fields["identities"]),
        digest=sha256(raw).digest(),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks values and names the file in what it says."""

    name: str

    def refused(self, what: str, remedy: str = "ask the operator for another file") -> InputError:
        return InputError(f"the batch {self.name}: {what}: {remedy}")

    def once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs):
            raise self.refused("a field stands there twice")
        return document

    def fields(self, document: object, wanted: set[str], where: str) -> Mapping[str, Any]:
        if not isinstance(document, dict):
            raise self.refused(f"{where} is no object")
        if set(document) != wanted:
            different = ", ".join(sorted(wanted ^ set(document)))
            raise self.refused(f"fields missing or unknown in {where}: {different[:MAX_TEXT]}")
        return document

    def text(self, value: object, field: str) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            raise self.refused(f"{field} is no plain text of 1 to {MAX_TEXT} characters")
        return value

    def matching(self, pattern: re.Pattern[str], value: object, field: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.refused(f"{field} is not of the form {pattern.pattern}")
        return value

    def word(self, value: object, field: str) -> bytes:
        return bytes.fromhex(self.matching(_WORD, value, field)[2:])

    def template(self, value: object, field: str) -> PossessionTemplate:
        fields = self.fields(value, {"deadline", "type", "domain_separator", "words"}, field)
        deadline, words = fields["deadline"], fields["words"]
        if type(deadline) is not int or not 0 < deadline < 1 << 64:
            raise self.refused(f"{field}.deadline is no time in seconds since 1970")
        if not isinstance(words, list) or len(words) > MAX_WORDS:
            raise self.refused(f"{field}.words is no array of at most {MAX_WORDS}")
        if sorted(word for word in words if word in PLACES) != list(PLACES):
            raise self.refused(f"{field}.words does not hold each of {', '.join(PLACES)} once")
        return PossessionTemplate(
            deadline=deadline,
            type=self.text(fields["type"], f"{field}.type"),
            domain_separator=self.word(fields["domain_separator"], f"{field}.domain_separator"),
            words=tuple(word if word in PLACES else self.word(word, f"{field}.words") for word in words),
        )

    def identities(self, value: object) -> tuple[bytes, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_IDENTITIES:
            raise self.refused(f"identities is no array of 1 to {MAX_IDENTITIES}")
        found = tuple(self.word(item, "identities") for item in value)
        if len(set(found)) != len(found):
            raise self.refused("an identity stands there twice")
        return found
