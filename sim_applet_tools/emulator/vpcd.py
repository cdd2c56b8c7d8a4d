"""Cards served to pcscd through vsmartcard's reader driver (vpcd).

The wire: two bytes of length, big-endian, then the body. Bodies of one byte are orders: 00 off, 01 on, 02 reset,
without an answer, 04 asks for the ATR. Everything else is an APDU.

Debian's driver writes length and body apart, so with delayed acknowledgements each APDU would take 44 ms: TCP_QUICKACK
is re-armed after every read, as the kernel forgets it.
"""

from __future__ import annotations

import socket
import struct
import threading

from sim_applet_tools.transport.loopback import RawCard

POWER_OFF, POWER_ON, RESET, GET_ATR = 0, 1, 2, 4
MAX_MESSAGE_BYTES = 65_535


class CardGoneError(Exception):
    """Raised by a card to leave its reader, in tests also in the middle of a command."""


def serve_card(connection: socket.socket, card: RawCard) -> None:
    """Answer on `connection` until the other side closes it, or the card leaves."""
    try:
        while (message := receive_message(connection)) is not None:
            answer = _answer(card, message)
            if answer is not None:
                send_message(connection, answer)
    except (ConnectionError, CardGoneError, OSError):
        return
    finally:
        card.reset()
        connection.close()


def _answer(card: RawCard, message: bytes) -> bytes | None:
    if len(message) != 1:
        return card.transmit(message) if message else None
    order = message[0]
    if order == GET_ATR:
        return card.atr
    if order in {POWER_OFF, POWER_ON, RESET}:
        card.reset()
    return None


def send_message(connection: socket.socket, body: bytes) -> None:
    """Length and body in one write."""
    connection.sendall(struct.pack(">H", len(body)) + body)


def receive_message(connection: socket.socket) -> bytes | None:
    """The next body, or None where the other side closed the connection."""
    header = _receive(connection, 2)
    if header is None:
        return None
    return _receive(connection, struct.unpack(">H", header)[0])


def _receive(connection: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not piece:
            return None
        data += piece
    return data


class CardServer:
    """Listens on 127.0.0.1, at `port` and the next one, for a pcscd whose reader.conf names that address.

    The driver always dials two slots and pcscd aborts where one of them is missing or leaves, so both are served and
    pcscd must be stopped before this server. Ports are below 32768: the driver's number for them is signed.
    """

    def __init__(self, first: RawCard, second: RawCard, port: int) -> None:
        self._cards = (first, second)
        self._listeners = [_listen(port), _listen(port + 1)]
        self._threads: list[threading.Thread] = []
        self.port = port

    def start(self) -> None:
        """Serve in threads of this process."""
        for listener, card in zip(self._listeners, self._cards, strict=True):
            thread = threading.Thread(target=_accept, args=(listener, card), daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), reuse_port=False)


def _accept(listener: socket.socket, card: RawCard) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serve_card(connection, card)
