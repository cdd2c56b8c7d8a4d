"""Command and response APDUs as values, and their bytes. Source: ISO/IEC 7816-3 §12.1, 7816-4 §5."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim_applet_tools.errors import CardResponseError, InputError

MAX_SHORT_DATA = 255
MAX_SHORT_LE = 256
MAX_EXTENDED = 65535
CHAINING_BIT = 0x10
GET_RESPONSE_INS = 0xC0


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """One command; `le` is the number of bytes wanted (256 for a short `00`), or None where no answer is expected."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None

    def __post_init__(self) -> None:
        if any(not 0 <= byte <= 0xFF for byte in (self.cla, self.ins, self.p1, self.p2)):
            raise InputError("a header byte of the APDU is not in 0-255")
        if len(self.data) > MAX_EXTENDED or (self.le is not None and not 1 <= self.le <= MAX_EXTENDED + 1):
            raise InputError(f"the APDU {self.ins:02X} carries or asks for more than 65,535 bytes: split it")

    @property
    def header(self) -> bytes:
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def is_extended(self) -> bool:
        return len(self.data) > MAX_SHORT_DATA or (self.le or 0) > MAX_SHORT_LE

    @property
    def channel(self) -> int:
        return self.cla & 0x03

    def encode(self) -> bytes:
        """Bytes in the short form where it fits, in the extended form elsewhere."""
        if not self.is_extended:
            body = bytes((len(self.data),)) + self.data if self.data else b""
            return self.header + body + (b"" if self.le is None else bytes((self.le & 0xFF,)))
        body = b"\x00" + len(self.data).to_bytes(2, "big") + self.data if self.data else b""
        if self.le is not None:
            body += (b"" if self.data else b"\x00") + (self.le & 0xFFFF).to_bytes(2, "big")
        return self.header + body

    def chained(self, chunk: int = MAX_SHORT_DATA) -> list[CommandApdu]:
        """The same command as a chain of short ones. Source: ISO/IEC 7816-4 §5.3.3."""
        if len(self.data) <= chunk:
            return [self]
        pieces = [self.data[start : start + chunk] for start in range(0, len(self.data), chunk)]
        first = [replace(self, cla=self.cla | CHAINING_BIT, data=piece, le=None) for piece in pieces[:-1]]
        return [*first, replace(self, data=pieces[-1])]


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """Data and status word of one answer."""

    data: bytes
    status_word: int

    @property
    def sw1(self) -> int:
        return self.status_word >> 8

    @property
    def sw2(self) -> int:
        return self.status_word & 0xFF

    def encode(self) -> bytes:
        return self.data + self.status_word.to_bytes(2, "big")


def parse_command(raw: bytes) -> CommandApdu:
    """Read a command in short or extended form; anything else is an `InputError`."""
    if len(raw) < 4:
        raise InputError(f"an APDU has at least 4 bytes, this one {len(raw)}")
    cla, ins, p1, p2 = raw[:4]
    body = raw[4:]
    if not body:
        return CommandApdu(cla, ins, p1, p2)
    if body[0] == 0 and len(body) >= 3:
        data, le = _extended_body(body)
    else:
        data, le = _short_body(body)
    return CommandApdu(cla, ins, p1, p2, data, le)


def _short_body(body: bytes) -> tuple[bytes, int | None]:
    if len(body) == 1:
        return b"", body[0] or MAX_SHORT_LE
    length = body[0]
    if length == 0 or len(body) not in {1 + length, 2 + length}:
        raise InputError(f"Lc says {length} bytes of data, but {len(body) - 1} follow")
    le = (body[1 + length] or MAX_SHORT_LE) if len(body) == 2 + length else None
    return body[1 : 1 + length], le


def _extended_body(body: bytes) -> tuple[bytes, int | None]:
    number = int.from_bytes(body[1:3], "big")
    if len(body) == 3:
        return b"", number or MAX_EXTENDED + 1
    if number == 0 or len(body) not in {3 + number, 5 + number}:
        raise InputError(f"extended Lc says {number} bytes of data, but {len(body) - 3} follow")
    data = body[3 : 3 + number]
    if len(body) == 3 + number:
        return data, None
    return data, int.from_bytes(body[3 + number :], "big") or MAX_EXTENDED + 1


def parse_response(raw: bytes) -> ResponseApdu:
    """Read an answer; shorter than two bytes is a `CardResponseError`."""
    if len(raw) < 2:
        raise CardResponseError(
            f"the card answered {len(raw)} bytes, and an answer has at least 2: clean its contacts and try again"
        )
    return ResponseApdu(raw[:-2], int.from_bytes(raw[-2:], "big"))
