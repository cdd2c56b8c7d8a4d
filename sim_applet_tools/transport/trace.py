"""A decorator that writes down what goes over a transport, without PIN, PUK or shared secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from sim_applet_tools.apdu import GET_RESPONSE_INS
from sim_applet_tools.transport.base import Transport

SECRET_COMMANDS = frozenset({0x20, 0x21, 0xD2, 0x48, 0x4A})
"""VERIFY, PERSONALISE, PRF, HKDF."""
SECRET_OF_PIN = frozenset({0x24, 0x2C})
"""CHANGE and RESET RETRY COUNTER; IoT SAFE uses the same bytes with a session number (0 to 3) in P2."""
SECRET_ANSWERS = frozenset({0x46, 0x48, 0x4A, 0x84})
"""COMPUTE DH, PRF, HKDF, GET RANDOM."""


class TraceTransport:
    """Passes everything on and hands one line for each command and each answer to `write`."""

    def __init__(self, inner: Transport, write: Callable[[str], None]) -> None:
        self._inner = inner
        self._write = write
        self._last_ins = 0

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    @property
    def is_t1(self) -> bool:
        return self._inner.is_t1

    def transmit(self, raw: bytes) -> bytes:
        ins = raw[1] if len(raw) > 1 else 0
        if ins != GET_RESPONSE_INS:
            self._last_ins = ins
        self._write(f"> {shown_command(raw)}")
        started = perf_counter()
        answer = self._inner.transmit(raw)
        self._write(f"< {shown_answer(answer, self._last_ins)}  {(perf_counter() - started) * 1000:.2f} ms")
        return answer

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._write("= transaction begins")
        try:
            with self._inner.transaction():
                yield
        finally:
            self._write("= transaction ends, card reset")

    def reset(self) -> None:
        self._write("= reset")
        self._inner.reset()

    def close(self) -> None:
        self._inner.close()


def shown_command(raw: bytes) -> str:
    """A command in hexadecimal; data of commands that carry secrets is left out, and its length is not told."""
    if len(raw) > 5 and (raw[1] in SECRET_COMMANDS or (raw[1] in SECRET_OF_PIN and raw[3] > 3)):
        return f"{raw[:4].hex(' ').upper()} (data hidden)"
    return raw.hex(" ").upper()


def shown_answer(raw: bytes, ins: int) -> str:
    """An answer in hexadecimal; secret data is left out."""
    if len(raw) > 2 and ins in SECRET_ANSWERS:
        return f"({len(raw) - 2} bytes hidden) {raw[-2:].hex(' ').upper()}"
    return raw.hex(" ").upper()
