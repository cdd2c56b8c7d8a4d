"""QR codes of links that differ in their last characters only, drawn from the difference that each bit makes.

With version, level and mask fixed, a QR code is affine in the bits of its content: Reed-Solomon is linear over GF(2),
places, mask and format are constant. So the code of any ending is that of a base, and for each of its bits that is
another, exclusive-or with the difference that this bit makes. segno draws the base and the differences, a few more with
each code that is asked for; until it has drawn them all it draws what is asked for itself. Source: ISO/IEC 18004 §7.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Final

import segno

_BASE: Final = "@"  # 64: base64url differs from it in seven bits
_BITS: Final = 7
_AT_ONCE: Final = 4
_BORDER: Final = 4
_SCALE: Final = 5
_KEPT: Final = 8


def draw(beginning: str, ending: str) -> str:
    """The code of both together as an SVG; `ending` in ASCII. `beginning` has characters that only octets can say."""
    return _codes(beginning, len(ending)).draw(ending)


class EndingCodes:
    """Codes of one beginning and one length of endings. Safe for threads."""

    def __init__(self, beginning: str, length: int) -> None:
        self._beginning = beginning
        self._length = length
        self._size, self._base = _modules(beginning + _BASE * length)
        self._differences: dict[tuple[int, int], int] = {}
        self._missing = [(place, bit) for place in range(length) for bit in range(_BITS)]
        self._lock = threading.Lock()

    def draw(self, ending: str) -> str:
        """Raises `ValueError` for an ending of another length or of other characters than ASCII."""
        if len(ending) != self._length or not ending.isascii():
            raise ValueError("an ending of another kind than those that were prepared for")
        if self._missing:
            self._prepare(_AT_ONCE)
            return _svg(*_modules(self._beginning + ending))
        return _svg(self._size, self.modules(ending))

    def prepare(self) -> None:
        """Draw all that is missing."""
        while self._missing:
            self._prepare(_AT_ONCE)

    def modules(self, ending: str) -> int:
        """As `_modules`, of the beginning with this ending, once all is prepared."""
        found, base = self._base, ord(_BASE)
        for place, character in enumerate(ending):
            other = ord(character) ^ base
            for bit in range(_BITS):
                if other >> bit & 1:
                    found ^= self._differences[place, bit]
        return found

    def _prepare(self, count: int) -> None:
        with self._lock:
            for place, bit in self._missing[:count]:
                other = chr(ord(_BASE) ^ 1 << bit)
                ending = _BASE * place + other + _BASE * (self._length - place - 1)
                self._differences[place, bit] = self._base ^ _modules(self._beginning + ending)[1]
            del self._missing[:count]


@lru_cache(maxsize=_KEPT)
def _codes(beginning: str, length: int) -> EndingCodes:
    return EndingCodes(beginning, length)


def _modules(content: str) -> tuple[int, int]:
    """Modules a side, and all modules as one number: rows from the top, each in whole octets, dark is 1."""
    # A mask of our choice: to weigh all eight takes six times as long, and what is random needs none in particular.
    rows = segno.make(content, mode="byte", error="m", micro=False, mask=4).matrix
    width = -(-len(rows) // 8) * 8
    return len(rows), int("".join("".join(map(str, row)).ljust(width, "0") for row in rows), 2)


def _svg(size: int, modules: int) -> str:
    side, width = size + 2 * _BORDER, -(-size // 8)
    octets = modules.to_bytes(size * width, "big")
    lines = [
        f"M{_BORDER} {row + _BORDER}.5"
        + "".join([_STROKES[octet] for octet in octets[row * width : (row + 1) * width]])
        for row in range(size)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side * _SCALE}" height="{side * _SCALE}">'
        f'<path transform="scale({_SCALE})" fill="#fff" d="M0 0h{side}v{side}H0z"/>'
        f'<path transform="scale({_SCALE})" stroke="#000" d="{"".join(lines)}"/></svg>\n'
    )


def _strokes(octet: int) -> str:
    """Eight modules of a row as a path that ends where the next eight begin."""
    path, bits = "", f"{octet:08b}"
    while bits:
        light = len(bits) - len(bits.lstrip("0"))
        dark = len(bits[light:]) - len(bits[light:].lstrip("1"))
        path += (f"m{light} 0" if light else "") + (f"h{dark}" if dark else "")
        bits = bits[light + dark :]
    return path


_STROKES: Final = tuple(_strokes(octet) for octet in range(256))
