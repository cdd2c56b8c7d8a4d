"""A strict, bounded reader of DER.

Lengths are definite and minimal with at most two length octets, tags have one octet, and nothing may be left over.
Nothing recurses: each caller reads the levels it knows. Source: X.690 §8.1, §10.1; RFC 5280 §4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31


class DerError(ValueError):
    """Not DER of the form asked for. Internal to the package: callers turn it into a numbered reason."""


@dataclass(frozen=True, slots=True)
class Element:
    """One tag-length-value: its tag octet, its content, and all of its bytes."""

    tag: int
    content: bytes
    encoded: bytes


class DerReader:
    """Reads the elements of one level, one after the other."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    def is_next(self, tag: int) -> bool:
        """Whether another element follows and has this tag."""
        return self._at < len(self._data) and self._data[self._at] == tag

    def read_any(self) -> Element:
        """The next element, whatever its tag. Raises DerError."""
        data, start = self._data, self._at
        if start + 2 > len(data):
            raise DerError("element cut short")
        tag, length, at = data[start], data[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise DerError("tag of more than one octet")
        if length >= 0x80:
            length, at = self._read_long_length(length, at)
        end = at + length
        if end > len(data):
            raise DerError("content cut short")
        self._at = end
        return Element(tag, data[at:end], data[start:end])

    def _read_long_length(self, first: int, at: int) -> tuple[int, int]:
        octets = first & 0x7F
        if octets not in {1, 2}:
            raise DerError("length is indefinite or has more than two octets")
        length = int.from_bytes(self._data[at : at + octets])
        if at + octets > len(self._data) or length < (0x80 if octets == 1 else 0x100):
            raise DerError("length is cut short or not minimal")
        return length, at + octets

    def read(self, tag: int) -> Element:
        """The next element, which must have this tag. Raises DerError."""
        element = self.read_any()
        if element.tag != tag:
            raise DerError(f"tag {element.tag:#04x} where {tag:#04x} belongs")
        return element

    def finish(self) -> None:
        """Raises DerError if something is left."""
        if not self.is_at_end:
            raise DerError("something follows the last element")


def read_whole(data: bytes, tag: int) -> Element:
    """The one element that `data` consists of. Raises DerError."""
    reader = DerReader(data)
    element = reader.read(tag)
    reader.finish()
    return element


def read_integer(reader: DerReader) -> Element:
    """A minimal INTEGER; its content is two's complement, at least one octet. Source: X.690 §8.3.2."""
    element = reader.read(INTEGER)
    content = element.content
    if not content:
        raise DerError("INTEGER without content")
    if len(content) > 1 and ((content[0] == 0x00 and content[1] < 0x80) or (content[0] == 0xFF and content[1] >= 0x80)):
        raise DerError("INTEGER is not minimal")
    return element


def read_object_identifier(reader: DerReader) -> bytes:
    """The content of an OBJECT IDENTIFIER: non-empty, whole and minimal subidentifiers. Source: X.690 §8.19.2."""
    content = reader.read(OBJECT_IDENTIFIER).content
    starts = True
    for octet in content:
        if starts and octet == 0x80:
            raise DerError("subidentifier is not minimal")
        starts = octet < 0x80
    if not content or not starts:
        raise DerError("OBJECT IDENTIFIER is empty or cut short")
    return content


def read_octet_aligned_bits(reader: DerReader) -> bytes:
    """The octets of a BIT STRING that has no unused bits. Raises DerError."""
    content = reader.read(BIT_STRING).content
    if not content or content[0] != 0:
        raise DerError("BIT STRING is empty or has unused bits")
    return content[1:]
