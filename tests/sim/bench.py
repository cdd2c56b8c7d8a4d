"""Measures what docs/sim.md states: `python -m tests.sim.bench` prints one JSON object."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from sim_applet_tools.apdu import CommandApdu
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, APPROVAL_PREFIX, ApprovalCard
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.transport.loopback import LoopbackTransport
from tests.sim.card_targets import Readers, fresh_emulator, in_reader

PIN = "65432100"
TEXT = APPROVAL_PREFIX + b"x" * 384
"""420 bytes, the size of an approval."""
ROUNDS = 1000
CHARACTERS_A_SECOND = 9600 / 12
"""One byte is 12 elementary time units with guard time. Source: ISO/IEC 7816-3 §7."""


class CountingTransport:
    """Counts commands and bytes as they go over the wire: under T=0 a header always has five bytes."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.commands = 0
        self.byte_count = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def transmit(self, raw: bytes) -> bytes:
        answer = self._inner.transmit(raw)
        self.commands += 1
        self.byte_count += max(len(raw), 5) + len(answer)
        return answer


def _activated(transport: Transport) -> ApprovalCard:
    applet = find_applet(transport, [load_profile("tally")])
    applet.generate_key_pair(APPROVAL_KEY)
    card = ApprovalCard(applet)
    card.personalise("123456", "11223344")
    card.change_pin("123456", PIN)
    return card


def _median_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 4)


def _approval(*, is_t1: bool) -> dict[str, float]:
    card: EmulatedCard = fresh_emulator(is_t1=is_t1)
    plain = LoopbackTransport(card)
    approval = _activated(plain)
    key = approval.read_public_key(PIN)
    counting = CountingTransport(plain)
    approval.applet.transport = counting  # type: ignore[assignment]
    approval.sign_approval(TEXT, PIN, key, seen=SeenInMemory())
    return {
        "commands": counting.commands,
        "bytes": counting.byte_count,
        "seconds_at_9600_baud": round(counting.byte_count / CHARACTERS_A_SECOND, 2),
    }


def main() -> None:
    status = CommandApdu(0x80, 0xCB, 0xF0, 0x00, le=0x12).encode()
    result: dict[str, object] = {"approval_t0": _approval(is_t1=False), "approval_t1": _approval(is_t1=True)}
    in_process = LoopbackTransport(fresh_emulator())
    _activated(in_process)
    result["apdu_in_process_ms_median"] = _median_ms(lambda: in_process.transmit(status))
    try:
        with in_reader(fresh_emulator()) as transport:
            card = _activated(transport)
            result["apdu_over_pcscd_ms_median"] = _median_ms(lambda: transport.transmit(status))
            key = card.read_public_key(PIN)
            seen = SeenInMemory()
            result["approval_over_pcscd_ms_median"] = _median_ms(
                lambda: card.sign_approval(TEXT, PIN, key, seen=seen), 100
            )
    finally:
        Readers.stop()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
