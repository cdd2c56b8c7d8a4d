"""Fresh cards to run the scripts against: `open_target(name)` yields a transport to a card that nobody used before.

Another card joins by an entry in `TARGETS`. A card program that listens as vpcd's cards do (two bytes of length, then
the body; orders 00, 01, 02 without an answer, 04 for the ATR) is reached by `RemoteCard`, directly or put into a pcscd
of the test's own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import ClassVar

from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import MemoryStore
from sim_applet_tools.emulator.pcscd import READER_NAME, SOCKET_VARIABLE, PrivatePcscd
from sim_applet_tools.emulator.vpcd import receive_message, send_message
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.transport.loopback import LoopbackTransport, RawCard
from tests.sim.applet_server import applet_server

INSERTION_WAIT_S = 20.0
FIRST_SLOT = f"{READER_NAME} 00 00"
SECOND_SLOT = f"{READER_NAME} 00 01"


class RemoteCard:
    """A card served by another program on a TCP port of this machine."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reset()

    @property
    def atr(self) -> bytes:
        return self._ask(b"\x04")

    def reset(self) -> None:
        send_message(self._connection, b"\x02")

    def transmit(self, raw: bytes) -> bytes:
        return self._ask(raw)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, body: bytes) -> bytes:
        send_message(self._connection, body)
        answer = receive_message(self._connection)
        if answer is None:
            raise ConnectionError("the card's program closed the connection")
        return answer


def fresh_emulator(*, is_t1: bool = False) -> EmulatedCard:
    return EmulatedCard(MemoryStore(new_image()), is_t1=is_t1)


class Readers:
    """One pcscd for all tests of this process: pcsc-lite's client remembers the first socket it used."""

    _running: PrivatePcscd | None = None

    @classmethod
    def pcscd(cls) -> PrivatePcscd:
        if cls._running is None:
            cls._running = PrivatePcscd().__enter__()
            os.environ[SOCKET_VARIABLE] = str(cls._running.socket_path)
        return cls._running

    @classmethod
    def stop(cls) -> None:
        if cls._running is not None:
            cls._running.close()
            cls._running = None


@contextmanager
def in_reader(card: RawCard) -> Iterator[Transport]:
    """The card in the first reader of the tests' pcscd."""
    from sim_applet_tools.transport.pcsc import connect, list_readers, wait_for_removal  # noqa: PLC0415  after the environment is set

    pcscd = Readers.pcscd()
    pcscd.insert(card)
    events = None
    try:
        transport = connect(FIRST_SLOT, wait_s=INSERTION_WAIT_S)
        events = list_readers()[0].events
        try:
            yield transport
        finally:
            transport.close()
    finally:
        pcscd.pull()
        wait_for_removal(FIRST_SLOT, INSERTION_WAIT_S, events)


@contextmanager
def _loopback(*, is_t1: bool) -> Iterator[Transport]:
    yield LoopbackTransport(fresh_emulator(is_t1=is_t1))


@contextmanager
def _emulator_in_reader(*, is_t1: bool) -> Iterator[Transport]:
    with in_reader(fresh_emulator(is_t1=is_t1)) as transport:
        yield transport


class Applets:
    """One program for each protocol, for all tests of this process; each connection to it is a new card."""

    _running: ClassVar[dict[str, int]] = {}
    _open = ExitStack()

    @classmethod
    def card(cls, protocol: str) -> RemoteCard:
        if protocol not in cls._running:
            server = applet_server("--protocol", protocol, "--cards", "new")
            cls._running[protocol] = cls._open.enter_context(server)
        return RemoteCard(cls._running[protocol])

    @classmethod
    def stop(cls) -> None:
        cls._running.clear()
        cls._open.close()


@contextmanager
def _applet_directly(protocol: str) -> Iterator[Transport]:
    with closing(Applets.card(protocol)) as card:
        yield LoopbackTransport(card)


@contextmanager
def _applet_in_reader(protocol: str) -> Iterator[Transport]:
    with closing(Applets.card(protocol)) as card, in_reader(card) as transport:
        yield transport


TARGETS = {
    "emulator-t0": (lambda: _loopback(is_t1=False), frozenset({"prehashed"}), False),
    "emulator-t1": (lambda: _loopback(is_t1=True), frozenset({"prehashed"}), False),
    "emulator-pcscd-t0": (lambda: _emulator_in_reader(is_t1=False), frozenset({"prehashed"}), True),
    "emulator-pcscd-t1": (lambda: _emulator_in_reader(is_t1=True), frozenset({"prehashed"}), True),
    "applet-t0": (lambda: _applet_directly("T=0"), frozenset[str](), False),
    "applet-t1": (lambda: _applet_directly("T=1"), frozenset[str](), False),
    "applet-pcscd-t0": (lambda: _applet_in_reader("T=0"), frozenset[str](), True),
    "applet-pcscd-t1": (lambda: _applet_in_reader("T=1"), frozenset[str](), True),
}
"""Name: how to open it, what it can do, whether it needs pcscd."""
