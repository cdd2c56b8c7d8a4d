"""Cards in readers, through PC/SC. The only module that imports smartcard."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from sim_applet_tools.errors import (
    CardResetError,
    MuteCardError,
    NoCardError,
    NoReaderError,
    ReaderBusyError,
    ReaderError,
    ServiceUnavailableError,
)

try:
    import smartcard.scard as _scard  # type: ignore[import-untyped]
except ImportError as missing:
    raise ReaderError(
        "pyscard is missing or was built for another Python: apt-get install libpcsclite-dev swig gcc pkg-config, then "
        "pip install pyscard; without a reader, --card-file needs neither"
    ) from missing

scard: Any = _scard
"""pyscard ships no types for its C half."""

_NO_SERVICE = (
    "the PC/SC service does not run: start it with `systemctl start pcscd`, or `tally sim emulate` for a card without "
    "hardware"
)
_NO_READER = "no reader is connected: plug one in, and see `tally sim readers`"
_NO_CARD = "no card in the reader, or it was pulled: insert it and try again"
_RESET = "another program reset the card meanwhile, selection and PIN are gone: try again"
_MUTE = "the card does not answer: turn it round, clean its contacts, insert it again"
_BUSY = (
    "another program holds the reader: close it (browsers, mail programs and other card tools do this) and try again"
)
_PROTOCOL = "the card and the reader found no common protocol (T=0, T=1): try another reader"

_ERRORS: dict[int, tuple[type[ReaderError], str]] = {
    0x8010001D: (ServiceUnavailableError, _NO_SERVICE),
    0x8010001E: (ServiceUnavailableError, _NO_SERVICE),
    0x8010002E: (NoReaderError, _NO_READER),
    0x80100009: (NoReaderError, _NO_READER),
    0x80100017: (NoReaderError, _NO_READER),
    0x8010000C: (NoCardError, _NO_CARD),
    0x80100069: (NoCardError, _NO_CARD),
    0x80100066: (MuteCardError, _MUTE),
    0x80100067: (MuteCardError, _MUTE),
    0x8010002F: (MuteCardError, _MUTE),
    0x80100016: (MuteCardError, _MUTE),
    0x80100068: (CardResetError, _RESET),
    0x8010000B: (ReaderBusyError, _BUSY),
    0x8010000F: (ReaderError, _PROTOCOL),
}
RESET_CODES = frozenset({0x80100068})
POLL_MS = 1000


@dataclass(frozen=True, slots=True)
class ReaderState:
    """One reader; `atr` is empty where no card is in it, `events` counts insertions and removals so far."""

    name: str
    has_card: bool
    is_mute: bool
    is_exclusive: bool
    atr: bytes
    events: int


def error_of_code(code: int, reader: str | None = None) -> ReaderError:
    number = code & 0xFFFFFFFF
    kind, text = _ERRORS.get(number, (ReaderError, "the reader failed: unplug it, plug it in and try again"))
    where = f"reader {reader!r}: " if reader else ""
    return kind(f"{where}{text} (0x{number:08X})")


def _check(code: int, reader: str | None = None) -> None:
    if code != scard.SCARD_S_SUCCESS:
        raise error_of_code(code, reader)


@contextmanager
def _context() -> Iterator[Any]:
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    _check(code)
    try:
        yield context
    finally:
        scard.SCardReleaseContext(context)


def list_readers() -> list[ReaderState]:
    """All readers and whether a card is in them; empty where there is none."""
    with _context() as context:
        names = _names(context)
        return [_state(context, name) for name in names]


def connect(
    pattern: str = "*", *, exclusive: bool = False, wait_s: float = 0.0, require_t1: bool | None = None
) -> PcscTransport:
    """The card in the first reader with a card whose name is or matches `pattern` (`*`, `?`; case matters not).

    Waits up to `wait_s` for reader and card, 0 for not at all. `require_t1` picks a protocol where the card has both.
    """
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    _check(code)
    try:
        reader = _reader_with_card(context, pattern, wait_s)
        return PcscTransport(context, reader, exclusive=exclusive, require_t1=require_t1)
    except BaseException:
        scard.SCardReleaseContext(context)
        raise


def wait_for_removal(reader: str, wait_s: float, events_before: int | None = None) -> None:
    """Return once no card is in `reader`; a `ReaderBusyError` after `wait_s`.

    After a failed command pcscd shows no card before it has noticed the removal, and would then miss an insertion. With
    `events_before`, the count while the card was there, it has noticed.
    """
    deadline = time.monotonic() + wait_s
    with _context() as context:
        while (state := _state(context, reader)).has_card or state.events == events_before:
            if time.monotonic() >= deadline:
                raise ReaderBusyError(f"reader {reader!r}: the card is still there: take it out")
            _wait_for_change(context, [reader], deadline)


def wait_for_cards(pattern: str, seen: Mapping[str, int], wait_s: float) -> list[ReaderState]:
    """Readers that match `pattern` with a card that was not there yet; empty where none came within `wait_s`.

    `seen` holds the `events` of each reader's card that is known already: a card taken out and put back is new again.
    """
    deadline = time.monotonic() + wait_s
    with _context() as context:
        while True:
            chosen = [name for name in _names(context) if matches(name, pattern)]
            states = [_state(context, name) for name in chosen]
            new = [state for state in states if state.has_card and seen.get(state.name) != state.events]
            if new or time.monotonic() >= deadline:
                return new
            _wait_for_change(context, chosen, deadline)


class PcscTransport:
    """A connected card."""

    def __init__(self, context: Any, reader: str, *, exclusive: bool, require_t1: bool | None) -> None:
        self._context = context
        self._reader = reader
        self._share = scard.SCARD_SHARE_EXCLUSIVE if exclusive else scard.SCARD_SHARE_SHARED
        both = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        choice = {None: both, True: scard.SCARD_PROTOCOL_T1, False: scard.SCARD_PROTOCOL_T0}
        self._protocols = choice[require_t1]
        code, self._handle, self._protocol = scard.SCardConnect(context, reader, self._share, self._protocols)
        _check(code, reader)

    @property
    def name(self) -> str:
        return self._reader

    @property
    def atr(self) -> bytes:
        code, _, _, _, atr = scard.SCardStatus(self._handle)
        self._require(code)
        return bytes(atr)

    @property
    def is_t1(self) -> bool:
        return bool(self._protocol == scard.SCARD_PROTOCOL_T1)

    def transmit(self, raw: bytes) -> bytes:
        header = scard.SCARD_PCI_T1 if self.is_t1 else scard.SCARD_PCI_T0
        code, answer = scard.SCardTransmit(self._handle, header, list(raw))
        self._require(code)
        if not answer:  # what some drivers, vpcd among them, make of a card that was pulled meanwhile
            raise NoCardError(f"reader {self._reader!r}: {_NO_CARD}")
        return bytes(answer)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Waits for others to finish. A reset by another program before it begins is no error: nothing was lost yet."""
        code = scard.SCardBeginTransaction(self._handle)
        if code & 0xFFFFFFFF in RESET_CODES:
            self._reconnect(scard.SCARD_LEAVE_CARD)
            code = scard.SCardBeginTransaction(self._handle)
        self._require(code)
        try:
            yield
        finally:
            code = scard.SCardEndTransaction(self._handle, scard.SCARD_RESET_CARD)
        if code & 0xFFFFFFFF not in RESET_CODES:
            self._require(code)
        self._reconnect(scard.SCARD_LEAVE_CARD)

    def reset(self) -> None:
        self._reconnect(scard.SCARD_RESET_CARD)

    def close(self) -> None:
        """Leave the card, reset, so that no PIN validation stays behind."""
        scard.SCardDisconnect(self._handle, scard.SCARD_RESET_CARD)
        scard.SCardReleaseContext(self._context)

    def _reconnect(self, disposition: int) -> None:
        code, protocol = scard.SCardReconnect(self._handle, self._share, self._protocols, disposition)
        self._require(code)
        self._protocol = protocol

    def _require(self, code: int) -> None:
        _check(code, self._reader)


def _names(context: Any) -> list[str]:
    code, names = scard.SCardListReaders(context, [])
    if code & 0xFFFFFFFF == 0x8010002E:
        return []
    _check(code)
    return list(names)


def _state(context: Any, name: str) -> ReaderState:
    code, states = scard.SCardGetStatusChange(context, 0, [(name, scard.SCARD_STATE_UNAWARE)])
    _check(code, name)
    _, event, atr = states[0]
    return ReaderState(
        name=name,
        has_card=bool(event & scard.SCARD_STATE_PRESENT),
        is_mute=bool(event & scard.SCARD_STATE_MUTE),
        is_exclusive=bool(event & scard.SCARD_STATE_EXCLUSIVE),
        atr=bytes(atr),
        events=(event >> 16) & 0xFFFF,
    )


def _reader_with_card(context: Any, pattern: str, wait_s: float) -> str:
    deadline = time.monotonic() + wait_s
    while True:
        names = _names(context)
        chosen = [name for name in names if matches(name, pattern)]
        states = [_state(context, name) for name in chosen]
        found = next((state for state in states if state.has_card), None)
        if found is not None:
            if found.is_mute:
                raise MuteCardError(f"reader {found.name!r}: {_MUTE}")
            return found.name
        if time.monotonic() >= deadline:
            break
        _wait_for_change(context, chosen, deadline)
    if not names:
        raise NoReaderError(_NO_READER)
    if not chosen:
        raise NoReaderError(f"no reader matches {pattern!r}: there are {', '.join(map(repr, names))}")
    raise NoCardError(f"reader {chosen[0]!r}: {_NO_CARD}")


def _wait_for_change(context: Any, names: list[str], deadline: float) -> None:
    """Return when a card or reader came, or after a second at most."""
    left_ms = max(1, min(POLL_MS, int((deadline - time.monotonic()) * 1000)))
    watched = [(name, _current(context, name)) for name in names]
    watched.append(("\\\\?PnP?\\Notification", scard.SCARD_STATE_UNAWARE))
    code, _ = scard.SCardGetStatusChange(context, left_ms, watched)
    if code & 0xFFFFFFFF not in {0x8010000A, 0x80100009, 0x80100017}:
        _check(code)


def _current(context: Any, name: str) -> int:
    _, states = scard.SCardGetStatusChange(context, 0, [(name, scard.SCARD_STATE_UNAWARE)])
    state: int = states[0][1]
    return state & ~int(scard.SCARD_STATE_CHANGED)


def matches(name: str, pattern: str) -> bool:
    """Whether a reader's name is, contains or matches `pattern`."""
    plain, wanted = name.lower(), pattern.lower()
    return plain == wanted or wanted in plain or fnmatch(plain, wanted)
