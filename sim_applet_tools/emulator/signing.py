"""Sessions that sign and verify: text arrives in pieces, and its form is checked as it comes. Source: docs/apdu.md."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from sim_applet_tools.emulator.refusal import CONDITIONS, INCORRECT_DATA, Refusal
from sim_applet_tools.tlv import MalformedTlvError, encode_tlv, parse_length, parse_strict

APPROVAL_PREFIX = b"eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5"
POSSESSION_PREFIX = b"eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5LXBvc3Nlc3Npb24randzIn0."
POSSESSION_BYTES = 103
MAX_TEXT_BYTES = 2048
FULL_TEXT = 1
HASH = 3
OFFERED_MODES = 0b101
SIGNATURE_HEADER = encode_tlv(0x33, bytes(64))[:2]


@dataclass(frozen=True, slots=True)
class TextForm:
    """What a text must look like."""

    prefix: bytes = b""
    exact_bytes: int | None = None


@dataclass(slots=True)
class Operation:
    """An open session of one kind."""

    session: int
    key: int
    mode: int
    form: TextForm = field(default_factory=TextForm)
    declared: int | None = None
    text: bytearray = field(default_factory=bytearray)

    def add_text(self, data: bytes) -> bytes:
        """Take the text in `data`; what is left is returned. The header `9B L` comes in the first piece, whole."""
        if self.declared is None:
            data = self._take_header(data)
        declared = self.declared or 0
        taken = data[: declared - len(self.text)]
        self.text += taken
        compared = min(len(self.text), len(self.form.prefix))
        if not hmac.compare_digest(bytes(self.text[:compared]), self.form.prefix[:compared]):
            raise Refusal(INCORRECT_DATA)
        return data[len(taken) :]

    @property
    def is_complete(self) -> bool:
        return self.declared == len(self.text)

    def _take_header(self, data: bytes) -> bytes:
        try:
            if data[:1] != b"\x9b":
                raise Refusal(INCORRECT_DATA)
            declared, start = parse_length(data, 1)
        except MalformedTlvError as error:
            raise Refusal(INCORRECT_DATA) from error
        too_short = declared < max(1, len(self.form.prefix))
        if too_short or declared > MAX_TEXT_BYTES or self.form.exact_bytes not in {None, declared}:
            raise Refusal(INCORRECT_DATA)
        self.declared = declared
        return data[start:]


def text_to_sign(operation: Operation, data: bytes, *, is_last: bool) -> bytes | None:
    """The whole text at the last piece, None before; refused where it does not end with it."""
    rest = operation.add_text(data)
    if rest or (is_last and not operation.is_complete):
        raise Refusal(INCORRECT_DATA)
    return bytes(operation.text) if is_last else None


def text_to_verify(operation: Operation, data: bytes, *, is_last: bool) -> tuple[bytes, bytes] | None:
    """Text and r‖s at the last piece, None before."""
    rest = operation.add_text(data)
    if not is_last:
        if rest:
            raise Refusal(INCORRECT_DATA)
        return None
    if not operation.is_complete or len(rest) != 66 or not rest.startswith(SIGNATURE_HEADER):
        raise Refusal(INCORRECT_DATA)
    return bytes(operation.text), rest[2:]


def hash_object(data: bytes, *, is_last: bool, with_signature: bool) -> tuple[bytes, bytes]:
    """SHA-256 digest, and r‖s where one is expected, of a single UPDATE in mode 03."""
    if not is_last:
        raise Refusal(CONDITIONS)
    try:
        objects = parse_strict(data)
    except MalformedTlvError as error:
        raise Refusal(INCORRECT_DATA) from error
    shape = [(item.tag, len(item.value)) for item in objects]
    if shape != [(0x9E, 32), (0x33, 64)][: 2 if with_signature else 1]:
        raise Refusal(INCORRECT_DATA)
    return objects[0].value, objects[-1].value if with_signature else b""
