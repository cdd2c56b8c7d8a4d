"""DER data objects with tags of any length, as profile packages have them. Source: ITU-T X.690 §8.1, §10.1."""

from __future__ import annotations

from dataclasses import dataclass

from sim_applet_tools.errors import InputError

MAX_TAG_BYTES = 4
MAX_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Element:
    """One data object; `tag` is its identifier as it is encoded."""

    tag: bytes
    value: bytes

    def encode(self) -> bytes:
        return self.tag + _length(len(self.value)) + self.value


def element(tag: int, value: bytes) -> bytes:
    """A data object with a tag of one byte."""
    return Element(bytes((tag,)), value).encode()


def parse_elements(raw: bytes, what: str) -> list[Element]:
    """All data objects in `raw`, which they fill to its end; an `InputError` that names `what` else."""
    found, offset = [], 0
    while offset < len(raw):
        tag_end = _tag_end(raw, offset, what)
        start, size = _value(raw, tag_end, what)
        found.append(Element(raw[offset:tag_end], raw[start : start + size]))
        offset = start + size
    return found


def _tag_end(raw: bytes, offset: int, what: str) -> int:
    end = offset + 1
    if raw[offset] & 0x1F == 0x1F:
        while end < len(raw) and raw[end] & 0x80:
            end += 1
        end += 1
    if end > len(raw) or end - offset > MAX_TAG_BYTES:
        raise _malformed(what, offset)
    return end


def _value(raw: bytes, offset: int, what: str) -> tuple[int, int]:
    if offset >= len(raw):
        raise _malformed(what, offset)
    size, start = raw[offset], offset + 1
    if size & 0x80:
        count = size & 0x7F
        encoded = raw[start : start + count]
        size, start = int.from_bytes(encoded, "big"), start + count
        if not 1 <= count <= MAX_LENGTH_BYTES or len(encoded) != count or _length(size) != raw[offset:start]:
            raise _malformed(what, offset)
    if start + size > len(raw):
        raise _malformed(what, offset)
    return start, size


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    encoded = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(encoded),)) + encoded


def _malformed(what: str, offset: int) -> InputError:
    return InputError(f"{what} is no DER at offset {offset}: check that it is the right file")
