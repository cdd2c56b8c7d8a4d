"""Documents in JSON and CBOR, read so that one content has one form: no repeated or unknown names, no other types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from pki_chain.proof.errors import ProofRefusedError, Refusal

_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*")


def parse_json(content: bytes, refusal: Refusal, what: str) -> Any:
    """Raises `ProofRefusedError` with `refusal`."""

    def pairs(found: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in found}) != len(found):
            raise ValueError("a name stands twice")
        return dict(found)

    def number(text: str) -> Any:
        raise ValueError(f"{text} is no integer")

    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=pairs, parse_float=number, parse_constant=number)
    except (ValueError, RecursionError) as error:
        raise ProofRefusedError(refusal, f"{what} is not JSON of this form: {error}. Fetch it again.") from error


def parse_cbor(content: bytes, refusal: Refusal, what: str) -> Any:
    """Raises `ProofRefusedError` with `refusal`, also for what is not in the shortest form (RFC 8949 §4.2.1)."""
    try:
        found = cbor2.loads(content)
        canonical = cbor2.dumps(found, canonical=True) == content
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ProofRefusedError(refusal, f"{what} is not CBOR of this form: {error}. Fetch it again.") from error
    if not canonical:
        raise ProofRefusedError(refusal, f"{what} is not CBOR in its shortest form. Fetch it again.")
    return found


@dataclass(frozen=True, slots=True)
class Form:
    """An object's members by name; each reader raises `ProofRefusedError` with `refusal`.

    `hexadecimal`: byte strings are text with 0x (JSON); otherwise they are bytes (CBOR).
    """

    content: Mapping[str, Any]
    refusal: Refusal
    what: str
    hexadecimal: bool

    @classmethod
    def of(cls, value: object, names: Sequence[str], refusal: Refusal, what: str, *, hexadecimal: bool) -> Form:
        """The object, which must have these names and no others."""
        if not isinstance(value, dict) or value.keys() != set(names):
            raise ProofRefusedError(refusal, f"{what} does not have exactly the members {', '.join(names)}.")
        return cls(value, refusal, what, hexadecimal)

    def error(self, name: str, wanted: str) -> ProofRefusedError:
        return ProofRefusedError(self.refusal, f"{self.what}: {name} must be {wanted}. Fetch it again.")

    def inner(self, name: str, names: Sequence[str]) -> Form:
        return Form.of(self.content[name], names, self.refusal, f"{self.what}: {name}", hexadecimal=self.hexadecimal)

    def inner_list(self, name: str, names: Sequence[str], most: int) -> list[Form]:
        what = f"{self.what}: {name}"
        return [
            Form.of(each, names, self.refusal, what, hexadecimal=self.hexadecimal) for each in self.items(name, most)
        ]

    def items(self, name: str, most: int) -> list[Any]:
        value = self.content[name]
        if not isinstance(value, list) or len(value) > most:
            raise self.error(name, f"a list of at most {most}")
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        value = self.content[name]
        if type(value) is not int or not least <= value <= most:
            raise self.error(name, f"a number from {least} to {most}")
        return value

    def boolean(self, name: str) -> bool:
        value = self.content[name]
        if type(value) is not bool:
            raise self.error(name, "true or false")
        return value

    def text(self, name: str) -> str:
        value = self.content[name]
        if not isinstance(value, str):
            raise self.error(name, "text")
        return value

    def octets(self, name: str, length: int | None = None, *, most: int = 1 << 16) -> bytes:
        return self.octets_of(self.content[name], name, length, most=most)

    def octets_list(
        self, name: str, most_items: int, length: int | None = None, *, most: int = 1 << 16
    ) -> tuple[bytes, ...]:
        return tuple(self.octets_of(each, name, length, most=most) for each in self.items(name, most_items))

    def octets_of(self, value: object, name: str, length: int | None, *, most: int) -> bytes:
        content = value
        if self.hexadecimal:
            content = bytes.fromhex(value[2:]) if isinstance(value, str) and _HEX.fullmatch(value) else None
        if not isinstance(content, bytes) or len(content) > most or (length is not None and len(content) != length):
            raise self.error(name, f"{'at most ' + str(most) if length is None else length} bytes")
        return content
