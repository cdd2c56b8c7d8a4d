"""Data objects with one-byte tags and BER lengths, as IoT SAFE uses them. Source: GSMA IoT.05 §2.4, ISO/IEC 8825-1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim_applet_tools.errors import CardResponseError, InputError

MAX_OBJECTS = 256


@dataclass(frozen=True, slots=True)
class DataObject:
    """One tag and its value."""

    tag: int
    value: bytes


class MalformedTlvError(ValueError):
    """The bytes are no sequence of data objects; the text says at which offset."""


def encode_length(length: int) -> bytes:
    """The shortest BER length, up to 65,535."""
    if length < 0x80:
        return bytes((length,))
    if length <= 0xFF:
        return bytes((0x81, length))
    if length <= 0xFFFF:
        return b"\x82" + length.to_bytes(2, "big")
    raise InputError(f"a data object of {length} bytes is longer than 65,535")


def encode_tlv(tag: int, value: bytes) -> bytes:
    """Tag, length, value."""
    return bytes((tag,)) + encode_length(len(value)) + value


def parse_length(raw: bytes, offset: int) -> tuple[int, int]:
    """Length at `offset` and the offset behind it; only the shortest form is taken."""
    if offset >= len(raw):
        raise MalformedTlvError(f"no length at offset {offset}")
    first = raw[offset]
    if first < 0x80:
        return first, offset + 1
    size = first - 0x80
    if size not in {1, 2} or offset + 1 + size > len(raw):
        raise MalformedTlvError(f"no length of 1 to 3 bytes at offset {offset}")
    length = int.from_bytes(raw[offset + 1 : offset + 1 + size], "big")
    if length < 0x80 or (size == 2 and length <= 0xFF):
        raise MalformedTlvError(f"the length at offset {offset} is not in its shortest form")
    return length, offset + 1 + size


def parse_strict(raw: bytes) -> list[DataObject]:
    """All data objects in `raw`, which they fill to its end, or `MalformedTlvError`."""
    objects: list[DataObject] = []
    offset = 0
    while offset < len(raw):
        if len(objects) == MAX_OBJECTS:
            raise MalformedTlvError(f"more than {MAX_OBJECTS} data objects")
        tag = raw[offset]
        length, start = parse_length(raw, offset + 1)
        if start + length > len(raw):
            raise MalformedTlvError(
                f"tag {tag:02X} at offset {offset} says {length} bytes, {len(raw) - start} are there"
            )
        objects.append(DataObject(tag, raw[start : start + length]))
        offset = start + length
    return objects


def parse_answer(raw: bytes, what: str) -> list[DataObject]:
    """As `parse_strict`, for what a card sent: a `CardResponseError` that names the answer."""
    try:
        return parse_strict(raw)
    except MalformedTlvError as error:
        raise CardResponseError(
            f"the card's answer to {what} is malformed: {error}; try another profile (--profile)"
        ) from error


def first_value(objects: list[DataObject], tag: int, what: str) -> bytes:
    """The value of the only object with `tag`; absent or repeated is a `CardResponseError`."""
    values = list(_values(objects, tag))
    if len(values) != 1:
        raise CardResponseError(f"the card's answer to {what} has {len(values)} data objects {tag:02X} instead of one")
    return values[0]


def optional_value(objects: list[DataObject], tag: int) -> bytes | None:
    """The value of the first object with `tag`, or None."""
    return next(_values(objects, tag), None)


def _values(objects: list[DataObject], tag: int) -> Iterator[bytes]:
    return (item.value for item in objects if item.tag == tag)
