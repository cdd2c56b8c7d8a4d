"""Cards for tests that no honest card shows: they answer from a list, or bend what a card answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sim_applet_tools.emulator.vpcd import CardGoneError
from sim_applet_tools.transport.loopback import RawCard

ATR = bytes.fromhex("3B00")


class ScriptedCard:
    """Answers one after the other, whatever is sent; then 6F00. `sent` is what it got."""

    def __init__(self, answers: Iterable[bytes], *, is_t1: bool = True) -> None:
        self._answers = iter(answers)
        self._is_t1 = is_t1
        self.sent: list[bytes] = []

    @property
    def atr(self) -> bytes:
        return bytes.fromhex("3B800181") if self._is_t1 else ATR

    def reset(self) -> None:
        """Nothing to forget."""

    def transmit(self, raw: bytes) -> bytes:
        self.sent.append(raw)
        return next(self._answers, b"\x6f\x00")


class BentCard:
    """A real card whose answers pass through `bend(command, answer)`."""

    def __init__(self, inner: RawCard, bend: Callable[[bytes, bytes], bytes]) -> None:
        self._inner = inner
        self._bend = bend

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    def reset(self) -> None:
        self._inner.reset()

    def transmit(self, raw: bytes) -> bytes:
        return self._bend(raw, self._inner.transmit(raw))


class LeavingCard(BentCard):
    """Leaves its reader when a command of `ins` arrives: before its answer, after it has run."""

    def __init__(self, inner: RawCard, ins: int) -> None:
        def bend(command: bytes, answer: bytes) -> bytes:
            if command[1] == ins:
                raise CardGoneError
            return answer

        super().__init__(inner, bend)
