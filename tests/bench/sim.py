"""Cards: what an approval costs on the wire, what pcscd adds to a command, how fast emulators are personalised."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sim_applet_tools.apdu import CommandApdu
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore
from sim_applet_tools.errors import SimError
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, APPROVAL_PREFIX, ApprovalCard
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.personalise.batch import parse_batch
from sim_applet_tools.personalise.workplace import Workplace, personalise
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.transport.loopback import LoopbackTransport
from tests.bench.figures import Figure
from tests.sim.batches import batch_document
from tests.sim.card_targets import Readers, fresh_emulator, in_reader

PIN = "65432100"
TEXT = APPROVAL_PREFIX + b"x" * 384
"""420 bytes, the size of an approval."""
ROUNDS = 1000
CARDS, CARD_FILES = 200, 20
CHARACTERS_A_SECOND = 9600 / 12
"""One byte is 12 elementary time units with guard time. Source: ISO/IEC 7816-3 §7."""
STATUS = CommandApdu(0x80, 0xCB, 0xF0, 0x00, le=0x12).encode()


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


def measure() -> Iterable[Figure]:
    """All figures of the section `sim`."""
    for is_t1 in (False, True):
        yield from _on_the_wire(is_t1=is_t1)
    yield from _over_pcscd()
    yield from _personalisation()


def _on_the_wire(*, is_t1: bool) -> Iterator[Figure]:
    plain = LoopbackTransport(fresh_emulator(is_t1=is_t1))
    approval = _activated(plain)
    key = approval.read_public_key(PIN)
    counting = CountingTransport(plain)
    approval.applet.transport = counting  # type: ignore[assignment]
    approval.sign_approval(TEXT, PIN, key, seen=SeenInMemory())
    name = f"one approval under T={int(is_t1)}"
    seconds = counting.byte_count / CHARACTERS_A_SECOND
    yield Figure("sim", f"{name}: commands", counting.commands, "APDUs", "at most 8")
    yield Figure("sim", f"{name}: on the wire", counting.byte_count, "bytes", "at most 700")
    yield Figure("sim", f"{name}: at 9,600 baud", seconds, "s", "about 0.9")


def _over_pcscd() -> Iterator[Figure]:
    in_process = LoopbackTransport(fresh_emulator())
    _activated(in_process)
    plain_ms = _median_ms(lambda: in_process.transmit(STATUS))
    try:
        Readers.pcscd()
    except SimError as error:
        print(f"left out, one APDU over pcscd: {error.message}", file=sys.stderr)
        return
    try:
        with in_reader(fresh_emulator()) as transport:
            card = _activated(transport)
            pcscd_ms = _median_ms(lambda: transport.transmit(STATUS))
            key, seen = card.read_public_key(PIN), SeenInMemory()
            approval_ms = _median_ms(lambda: card.sign_approval(TEXT, PIN, key, seen=seen), 100)
    finally:
        Readers.stop()
    yield Figure("sim", "one APDU over pcscd, median", pcscd_ms, "ms", "1 more at most", plain_ms, "in process")
    yield Figure("sim", "one approval over pcscd, with reset and check, median", approval_ms, "ms")


def _personalisation() -> Iterator[Figure]:
    cards = [LoopbackTransport(fresh_emulator()) for _ in range(CARDS)]
    yield Figure("sim", "personalisation, emulators in memory", _rate(cards, CARDS), "cards/s")
    with tempfile.TemporaryDirectory() as folder:
        stores = [
            EncryptedFileStore(Path(folder) / f"{number}", "bench", image_if_new=new_image())
            for number in range(CARD_FILES)
        ]
        try:
            files = [LoopbackTransport(EmulatedCard(store)) for store in stores]
            rate = _rate(files, CARD_FILES)
        finally:
            for store in stores:
                store.close()
    yield Figure("sim", "personalisation, emulators in encrypted files", rate, "cards/s")


def _rate(cards: list[LoopbackTransport], count: int) -> float:
    """Key, proof, PIN letter, PERSONALISE and reading back, with a journal on disk."""
    batch = parse_batch(json.dumps(batch_document(count)).encode(), "bench")
    with tempfile.TemporaryDirectory() as folder, Workplace(Path(folder) / "cards", batch) as work:
        started = time.perf_counter()
        done = len(list(personalise(work.steps([load_profile("tally")]), cards)))
        return done / (time.perf_counter() - started)


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
    return statistics.median(times)
