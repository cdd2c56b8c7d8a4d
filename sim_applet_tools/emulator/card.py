"""The card around the application: reset, logical channels, files of a SIM, T=0 and T=1, command chaining."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sim_applet_tools.apdu import (
    CHAINING_BIT,
    GET_RESPONSE_INS,
    MAX_SHORT_LE,
    CommandApdu,
    ResponseApdu,
    parse_command,
)
from sim_applet_tools.emulator.application import ApprovalApplication
from sim_applet_tools.emulator.keystore import ImageStore
from sim_applet_tools.emulator.memory import CardMemory, Selection
from sim_applet_tools.emulator.objects import APPLICATION_ID
from sim_applet_tools.emulator.refusal import (
    CHANNEL_NOT_OPEN,
    CONDITIONS,
    LAST_EXPECTED,
    NO_CHANNEL,
    NOT_FOUND,
    RECORD_NOT_FOUND,
    UNKNOWN_INSTRUCTION,
    WRONG_CLASS,
    WRONG_LENGTH,
    WRONG_OFFSET,
    WRONG_PARAMETERS,
)
from sim_applet_tools.emulator.rule_application import RULE_APPLET, RuleApplication
from sim_applet_tools.errors import InputError
from sim_applet_tools.tlv import encode_tlv

HISTORICAL = b"TALLY-EMU-1"
ATR_T0 = bytes((0x3B, len(HISTORICAL))) + HISTORICAL
MAX_CHAIN_BYTES = 4096
CHANNELS = 4
MF, EF_DIR, EF_ICCID = 0x3F00, 0x2F00, 0x2FE2
SELECT, MANAGE_CHANNEL, READ_BINARY, READ_RECORD = 0xA4, 0x70, 0xB0, 0xB2


def atr_t1() -> bytes:
    """An ATR that offers T=1 only, with its check byte. Source: ISO/IEC 7816-3 §8.2."""
    body = bytes((0x80 | len(HISTORICAL), 0x01)) + HISTORICAL
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes((check,))


@dataclass(slots=True)
class LogicalChannel:
    """What is selected on a channel, and what waits there."""

    selection: Selection | None = None
    """Of the approval application."""
    has_rules: bool = False
    """Whether the access rules are selected."""
    file: int = MF
    chain: CommandApdu | None = None
    waiting: bytes = b""
    waiting_status: int = 0x9000
    repeatable: CommandApdu | None = None


@dataclass(slots=True)
class EmulatedCard:
    """A SIM that answers every byte string. Without a store it is a SIM without our application."""

    store: ImageStore | None
    is_t1: bool = False
    iccid: str = "8999901000000000001"
    _application: ApprovalApplication | None = field(init=False, default=None)
    _rules: RuleApplication | None = field(init=False, default=None)
    _channels: dict[int, LogicalChannel] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.store is not None:
            memory = CardMemory(self.store)
            self._application = ApprovalApplication(memory)
            self._rules = RuleApplication(memory)
            self.iccid = self._application.iccid
        self.reset()

    @property
    def atr(self) -> bytes:
        return atr_t1() if self.is_t1 else ATR_T0

    def reset(self) -> None:
        self._channels = {0: LogicalChannel()}

    def transmit(self, raw: bytes) -> bytes:
        """Answer one command."""
        try:
            command = parse_command(raw)
        except InputError:
            return ResponseApdu(b"", WRONG_LENGTH).encode()
        if command.cla & 0x6C:
            return ResponseApdu(b"", WRONG_CLASS).encode()
        channel = self._channels.get(command.channel)
        if channel is None:
            return ResponseApdu(b"", CHANNEL_NOT_OPEN).encode()
        return self._answer(command, channel).encode()

    def _answer(self, command: CommandApdu, channel: LogicalChannel) -> ResponseApdu:
        if command.ins == GET_RESPONSE_INS:
            return self._get_response(command, channel)
        repeated = channel.repeatable == replace(command, le=None) and command.le == len(channel.waiting)
        if repeated:
            return self._get_response(command, channel)
        channel.waiting, channel.repeatable = b"", None
        joined = _joined(command, channel)
        if isinstance(joined, ResponseApdu):
            return joined
        return self._on_wire(joined, self._process(joined, channel), channel)

    def _on_wire(  # noqa: PLR0911  a case of the standard each
        self, command: CommandApdu, answer: ResponseApdu, channel: LogicalChannel
    ) -> ResponseApdu:
        """The answer as the protocol brings it: whole, or `61xx`/`6Cxx` first. Source: ISO/IEC 7816-3 §12.2."""
        size = len(answer.data)
        if not size or answer.status_word != 0x9000:
            return answer
        if self.is_t1:
            if size <= (command.le or MAX_SHORT_LE):
                return answer
            channel.waiting = answer.data
            return self._get_response(command, channel)
        if command.data or command.le is None:
            channel.waiting = answer.data
            return ResponseApdu(b"", 0x6100 | min(size, MAX_SHORT_LE) & 0xFF)
        if size == command.le:
            return answer
        channel.waiting = answer.data
        if size < command.le:
            channel.repeatable = replace(command, le=None)
            return ResponseApdu(b"", 0x6C00 | size & 0xFF)
        return self._get_response(command, channel)

    def _get_response(self, command: CommandApdu, channel: LogicalChannel) -> ResponseApdu:
        channel.repeatable = None
        if command.ins == GET_RESPONSE_INS and (command.p1 or command.p2):
            return ResponseApdu(b"", WRONG_PARAMETERS)
        if not channel.waiting:
            return ResponseApdu(b"", CONDITIONS)
        size = command.le or MAX_SHORT_LE
        piece, channel.waiting = channel.waiting[:size], channel.waiting[size:]
        left = len(channel.waiting)
        return ResponseApdu(piece, 0x6100 | min(left, MAX_SHORT_LE) & 0xFF if left else 0x9000)

    def _process(  # noqa: PLR0911  a table of commands
        self, command: CommandApdu, channel: LogicalChannel
    ) -> ResponseApdu:
        if command.ins == SELECT and channel.selection is not None:
            channel.selection = Selection()  # any SELECT ends what the selection held, also one that is refused
        if command.ins == SELECT and command.p1 == 0x04:
            return self._select_application(command, channel)
        if command.ins == MANAGE_CHANNEL:
            return self._manage_channel(command)
        if channel.selection is not None and self._application is not None:
            return self._application.process(command, channel.selection)
        if channel.has_rules and self._rules is not None:
            return self._rules.process(command)
        if command.cla & 0x80:
            return ResponseApdu(b"", WRONG_CLASS)
        if command.ins == SELECT:
            return self._select_file(command, channel)
        if command.ins == READ_BINARY:
            return self._read_binary(command, channel)
        if command.ins == READ_RECORD:
            return self._read_record(command, channel)
        return ResponseApdu(b"", UNKNOWN_INSTRUCTION)

    def _select_application(self, command: CommandApdu, channel: LogicalChannel) -> ResponseApdu:
        if command.p2 not in {0x00, 0x0C}:
            return ResponseApdu(b"", WRONG_PARAMETERS)
        if self._application is None or command.data not in {APPLICATION_ID, RULE_APPLET}:
            return ResponseApdu(b"", NOT_FOUND)
        channel.has_rules = command.data == RULE_APPLET
        channel.selection = None if channel.has_rules else Selection()
        return ResponseApdu(b"", 0x9000)

    def _manage_channel(self, command: CommandApdu) -> ResponseApdu:
        if command.p1 == 0x00 and command.p2 == 0x00:
            number = next((number for number in range(1, CHANNELS) if number not in self._channels), None)
            if number is None:
                return ResponseApdu(b"", NO_CHANNEL)
            self._channels[number] = LogicalChannel()
            return ResponseApdu(bytes((number,)), 0x9000)
        if command.p1 == 0x80 and 1 <= command.p2 < CHANNELS:
            closed = self._channels.pop(command.p2, None)
            return ResponseApdu(b"", 0x9000 if closed else CHANNEL_NOT_OPEN)
        return ResponseApdu(b"", WRONG_PARAMETERS)

    def _select_file(self, command: CommandApdu, channel: LogicalChannel) -> ResponseApdu:
        if command.p1 not in {0x00, 0x08} or command.p2 & 0xF3:
            return ResponseApdu(b"", WRONG_PARAMETERS)
        identifier = int.from_bytes(command.data[-2:], "big")
        if len(command.data) not in {2, 4} or identifier not in {MF, EF_DIR, EF_ICCID}:
            return ResponseApdu(b"", NOT_FOUND)
        channel.file = identifier
        return ResponseApdu(b"", 0x9000)

    def _read_binary(self, command: CommandApdu, channel: LogicalChannel) -> ResponseApdu:
        if channel.file != EF_ICCID:
            return ResponseApdu(b"", 0x6986)
        content = encode_iccid(self.iccid)
        offset = command.p1 << 8 | command.p2
        if offset >= len(content):
            return ResponseApdu(b"", WRONG_OFFSET)
        return ResponseApdu(content[offset : offset + (command.le or MAX_SHORT_LE)], 0x9000)

    def _read_record(self, command: CommandApdu, channel: LogicalChannel) -> ResponseApdu:
        if channel.file != EF_DIR:
            return ResponseApdu(b"", 0x6981)
        if command.p2 != 0x04:
            return ResponseApdu(b"", WRONG_PARAMETERS)
        if command.p1 != 1 or self._application is None:
            return ResponseApdu(b"", RECORD_NOT_FOUND)
        entry = encode_tlv(0x4F, APPLICATION_ID) + encode_tlv(0x50, b"Tiger Tally")
        return ResponseApdu(encode_tlv(0x61, entry), 0x9000)


def _joined(command: CommandApdu, channel: LogicalChannel) -> CommandApdu | ResponseApdu:
    """The whole command once its chain ends; an answer before. Source: ISO/IEC 7816-4 §5.3.3."""
    chain, channel.chain = channel.chain, None
    plain = replace(command, cla=command.cla & ~CHAINING_BIT)
    if chain is not None:
        if chain.header != plain.header:
            return ResponseApdu(b"", LAST_EXPECTED)
        plain = replace(plain, data=chain.data + plain.data)
    if not command.cla & CHAINING_BIT:
        return plain
    if len(plain.data) > MAX_CHAIN_BYTES:
        return ResponseApdu(b"", WRONG_LENGTH)
    channel.chain = plain
    return ResponseApdu(b"", 0x9000)


def encode_iccid(digits: str) -> bytes:
    """10 bytes, nibbles swapped, padded with F. Source: ETSI TS 102 221 §13.2."""
    padded = digits.ljust(20, "F")
    return bytes(int(padded[index + 1] + padded[index], 16) for index in range(0, 20, 2))
