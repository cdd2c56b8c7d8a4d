"""JSON as this gateway takes it: one object, no duplicate and no unknown keys, exact types, exact encodings."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, Never

from eth_utils.address import to_checksum_address

from pki_chain.gateway.problems import EnvelopeError
from pki_chain.ports import Address

MAX_INTEGER: Final = (1 << 53) - 1
"""Greatest number that every JSON reader keeps exact (RFC 8259 §6)."""

MAX_NONCE: Final = (1 << 256) - 1
MAX_SIGNATURE_BYTES: Final = 4_096
"""An account's signature has 65; a contract account (ERC-1271) may take the signatures of many."""

_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,77}")


class JsonObject:
    """The fields of one object; each is taken once, and what is wrong with it is said by name."""

    def __init__(self, fields: Mapping[str, Any], where: str = "") -> None:
        self._fields = fields
        self._where = where

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def require_fields(self, names: Collection[str]) -> None:
        """Raises `EnvelopeError` unless exactly these fields are there."""
        for name in names:
            if name not in self._fields:
                raise EnvelopeError(400, "missing-field", f"Field {self._name(name)} is missing. Give it.")
        for name in self._fields:
            if name not in names:
                shown = name if len(name) <= 64 and name.isprintable() else "(unprintable)"
                raise EnvelopeError(
                    400,
                    "unknown-field",
                    f"Field {self._name(shown)} is not known here. Leave it out; see /openapi.json.",
                )

    def integer(self, name: str, most: int, least: int = 0) -> int:
        """A whole number within bounds, both included."""
        value = self._fields[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._refusal(name, f"a whole number from {least} to {most}")
        return int(value)

    def uint256(self, name: str, most: int = MAX_NONCE) -> int:
        """A number up to `most`: decimal text, or a JSON number, which is exact only up to 2^53-1."""
        value = self._fields[name]
        number = int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= most:
            return number
        raise self._refusal(name, f"a number of at most 2^{most.bit_length()}-1, as decimal text")

    def boolean(self, name: str) -> bool:
        value = self._fields[name]
        if not isinstance(value, bool):
            raise self._refusal(name, "true or false")
        return bool(value)

    def text(self, name: str, longest: int) -> str:
        value = self._fields[name]
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise self._refusal(name, f"a text of 1 to {longest} characters")
        return str(value)

    def octets(self, name: str, *, length: int | None = None, longest: int = MAX_SIGNATURE_BYTES) -> bytes:
        """0x and hexadecimal digits, of this length or up to the longest, in octets."""
        value = self._fields[name]
        if isinstance(value, str) and len(value) <= 2 + 2 * longest and _HEX.fullmatch(value):
            content = bytes.fromhex(value[2:])
            if length is None or len(content) == length:
                return content
        raise self._refusal(
            name, f"0x and {f'{2 * length}' if length else f'at most {2 * longest}'} hexadecimal digits"
        )

    def octet_items(self, name: str, most: int, *, length: int) -> tuple[bytes, ...]:
        """An array of 0x and hexadecimal digits, each of this length in octets."""
        items = self.items(name, most)
        return tuple(
            JsonObject({f"{name}[{index}]": item}, self._where).octets(f"{name}[{index}]", length=length)
            for index, item in enumerate(items)
        )

    def address(self, name: str) -> Address:
        """An account: 20 octets in hexadecimal, and in letters of both cases only with the right checksum (EIP-55)."""
        value = self._fields[name]
        if isinstance(value, str) and _ADDRESS.fullmatch(value):
            checked = str(to_checksum_address(value.lower()))
            if value == checked or value[2:] in {value[2:].lower(), value[2:].upper()}:
                return Address(checked)
        raise self._refusal(name, "an address: 0x and 40 hexadecimal digits, letter case as EIP-55 has it")

    def items(self, name: str, most: int, least: int = 0, *, code: str = "bad-field") -> list[Any]:
        """An array with a bounded number of elements."""
        value = self._fields[name]
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise self._refusal(name, f"an array of {least} to {most} elements", code)
        return list(value)

    def objects(self, name: str, most: int, least: int = 0) -> list[JsonObject]:
        """An array of objects."""
        found = []
        for index, item in enumerate(self.items(name, most, least)):
            if not isinstance(item, dict):
                raise self._refusal(f"{name}[{index}]", "an object")
            found.append(JsonObject(item, f"{self._name(name)}[{index}]"))
        return found

    def object(self, name: str) -> JsonObject:
        value = self._fields[name]
        if not isinstance(value, dict):
            raise self._refusal(name, "an object")
        return JsonObject(value, self._name(name))

    def base64_items(self, name: str, most: int, least: int = 0, *, code: str = "bad-field") -> tuple[bytes, ...]:
        """An array of base64 texts (RFC 4648 §4: padded, no line breaks, no spare bits)."""
        found = []
        for index, item in enumerate(self.items(name, most, least, code=code)):
            content = parse_base64(item)
            if content is None:
                raise self._refusal(
                    f"{name}[{index}]", "base64 of RFC 4648 §4 with its padding and without line breaks"
                )
            found.append(content)
        return tuple(found)

    def addresses(self, name: str, most: int) -> tuple[Address, ...]:
        """An array of addresses."""
        items = self.items(name, most)
        return tuple(
            JsonObject({f"{name}[{index}]": item}, self._where).address(f"{name}[{index}]")
            for index, item in enumerate(items)
        )

    def _name(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _refusal(self, name: str, wanted: str, code: str = "bad-field") -> EnvelopeError:
        return EnvelopeError(400, code, f"Field {self._name(name)} must be {wanted}. Correct it and send again.")


def parse_object(body: bytes) -> JsonObject:
    """Read one JSON object. Raises `EnvelopeError` (not-json, duplicate-field)."""
    try:
        content = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_no_float
        )
    except EnvelopeError:
        raise
    except (ValueError, RecursionError) as error:
        raise EnvelopeError(
            400, "not-json", "The body is not JSON in UTF-8. Send one JSON object.", detail=str(error)[:200]
        ) from error
    if not isinstance(content, dict):
        raise EnvelopeError(400, "not-json", "The body is not a JSON object. Send one.")
    return JsonObject(content)


def parse_base64(value: object) -> bytes | None:
    """The octets; None for what is not canonical base64."""
    if not isinstance(value, str):
        return None
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == value else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EnvelopeError(400, "duplicate-field", "A field of the JSON object stands twice. Give each once.")
    return found


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _no_float(text: str) -> Never:
    raise ValueError(f"{text[:32]} is not a whole number, and no field here takes another")
