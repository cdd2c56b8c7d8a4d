"""What a way to a card offers, and the exchange of one command over it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from sim_applet_tools.apdu import (
    GET_RESPONSE_INS,
    MAX_SHORT_DATA,
    MAX_SHORT_LE,
    CommandApdu,
    ResponseApdu,
    parse_response,
)
from sim_applet_tools.errors import CardResponseError
from sim_applet_tools.status_words import verify_status_word

MAX_ANSWER_BYTES = 65_536
MAX_GET_RESPONSES = 300


class Transport(Protocol):
    """A connected card."""

    @property
    def name(self) -> str:
        """Reader or file, for messages."""

    @property
    def atr(self) -> bytes:
        """Answer to reset."""

    @property
    def is_t1(self) -> bool:
        """Whether the protocol is T=1; T=0 else."""

    def transmit(self, raw: bytes) -> bytes:
        """Send the bytes of one command, return those of its answer; a `ReaderError` where there is none."""

    def transaction(self) -> AbstractContextManager[None]:
        """Nobody else reaches the card meanwhile, and it is reset at the end, also after an error."""

    def reset(self) -> None:
        """Reset the card: selection, sessions, and PIN are gone."""

    def close(self) -> None:
        """Leave the card."""


def exchange(transport: Transport, command: CommandApdu) -> ResponseApdu:
    """The whole answer to one command: repeats it on 6Cxx, fetches the rest on 61xx, splits what is too long.

    Extended length under T=1, chaining under T=0. Source: ISO/IEC 7816-4 §5.3, 7816-3 §12.2.
    """
    if transport.is_t1 or not command.is_extended:
        return _collect(transport, command, transport.transmit(_on_wire(transport, command)))
    short = command if (command.le or 0) <= MAX_SHORT_LE else replace(command, le=MAX_SHORT_LE)
    *first, last = short.chained(MAX_SHORT_DATA)
    for link in first:
        answer = parse_response(transport.transmit(link.encode()))
        verify_status_word(answer.status_word, f"chained command {command.ins:02X}")
    return _collect(transport, last, transport.transmit(_on_wire(transport, last)))


def _on_wire(transport: Transport, command: CommandApdu) -> bytes:
    """Under T=0 a command with data has no Le on the wire: its answer is fetched. Source: ISO/IEC 7816-3 §12.2.1."""
    return (command if transport.is_t1 or not command.data else replace(command, le=None)).encode()


def _collect(transport: Transport, command: CommandApdu, raw: bytes) -> ResponseApdu:
    answer = parse_response(raw)
    if answer.sw1 == 0x6C:
        answer = parse_response(transport.transmit(replace(command, le=answer.sw2 or MAX_SHORT_LE).encode()))
    data = answer.data
    for _ in range(MAX_GET_RESPONSES):
        if answer.sw1 != 0x61:
            return ResponseApdu(data, answer.status_word)
        more = CommandApdu(command.channel, GET_RESPONSE_INS, 0, 0, le=answer.sw2 or MAX_SHORT_LE)
        answer = parse_response(transport.transmit(more.encode()))
        if answer.sw1 == 0x61 and not answer.data:
            break
        data += answer.data
        if len(data) > MAX_ANSWER_BYTES:
            break
    raise CardResponseError(f"the card's answer to {command.ins:02X} does not end: pull it, insert it and try again")
