"""The inner state of SHA-256 after whole blocks, which hashlib does not show; IoT SAFE mode 02 sends it to the card.

Not for secrets: it does not run in constant time. Source: FIPS 180-4 §6.2.2.
"""

from __future__ import annotations

import struct
from math import isqrt

_MASK = 0xFFFFFFFF
BLOCK_BYTES = 64


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root_fraction(number: int) -> int:
    scaled = number << 96
    low, high = 0, 1 << 36
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= scaled else (low, middle - 1)
    return low & _MASK


_INITIAL = tuple(isqrt(prime << 64) & _MASK for prime in _primes(8))
_ROUND = tuple(_cube_root_fraction(prime) for prime in _primes(64))


def sha256_state(data: bytes) -> bytes:
    """32 bytes: the state after `data`, whose length is a multiple of 64."""
    if len(data) % BLOCK_BYTES:
        raise ValueError("sha256_state takes whole blocks of 64 bytes")
    state = _INITIAL
    for start in range(0, len(data), BLOCK_BYTES):
        state = _compress(state, data[start : start + BLOCK_BYTES])
    return struct.pack(">8I", *state)


def _rotate(word: int, by: int) -> int:
    return (word >> by | word << (32 - by)) & _MASK


def _compress(state: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    words = list(struct.unpack(">16I", block))
    for index in range(16, 64):
        early, late = words[index - 15], words[index - 2]
        small0 = _rotate(early, 7) ^ _rotate(early, 18) ^ early >> 3
        small1 = _rotate(late, 17) ^ _rotate(late, 19) ^ late >> 10
        words.append((words[index - 16] + small0 + words[index - 7] + small1) & _MASK)
    a, b, c, d, e, f, g, h = state
    for word, constant in zip(words, _ROUND, strict=True):
        big1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        first = (h + big1 + (e & f ^ ~e & g) + constant + word) & _MASK
        big0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        second = (big0 + (a & b ^ a & c ^ b & c)) & _MASK
        a, b, c, d, e, f, g, h = (first + second) & _MASK, a, b, c, (d + first) & _MASK, e, f, g
    return tuple((old + new) & _MASK for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True))
