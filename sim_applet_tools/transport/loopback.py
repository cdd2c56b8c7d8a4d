"""A card in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class RawCard(Protocol):
    """What a reader sees of a card."""

    @property
    def atr(self) -> bytes:
        """Answer to reset."""

    def reset(self) -> None:
        """Power lost and back."""

    def transmit(self, raw: bytes) -> bytes:
        """Answer one command; answers every byte string, and raises only where a card would be gone."""


class LoopbackTransport:
    """Reaches a `RawCard` without a reader. One user at a time, so a transaction has nobody to keep out."""

    def __init__(self, card: RawCard, name: str = "loopback") -> None:
        self._card = card
        self._name = name
        card.reset()

    @property
    def name(self) -> str:
        return self._name

    @property
    def atr(self) -> bytes:
        return self._card.atr

    @property
    def is_t1(self) -> bool:
        return offers_t1(self._card.atr)

    def transmit(self, raw: bytes) -> bytes:
        return self._card.transmit(raw)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.reset()

    def reset(self) -> None:
        self._card.reset()

    def close(self) -> None:
        self._card.reset()


def offers_t1(atr: bytes) -> bool:
    """Whether the first protocol that an ATR offers is T=1. Source: ISO/IEC 7816-3 §8.2.3."""
    if len(atr) < 2 or not atr[1] & 0x80:
        return False
    interface_bytes = (atr[1] & 0x70).bit_count()
    position = 2 + interface_bytes
    return position < len(atr) and atr[position] & 0x0F == 1
