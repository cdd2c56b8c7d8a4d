"""The emulated card against a model of what docs/apdu.md promises, over any order of commands."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sim_applet_tools.apdu import CommandApdu, parse_response
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import MemoryStore
from sim_applet_tools.iot_safe.pin import APPROVAL_PREFIX, POSSESSION_PREFIX
from sim_applet_tools.tlv import encode_tlv, parse_strict

PINS = [b"111111\xff\xff", b"222222\xff\xff", b"33333333"]
PUKS = [b"11111111", b"22222222"]
SELECT = bytes.fromhex("00A4040008F054414C4C590101")
FRESH, PERSONALISED, ACTIVE = 1, 2, 3


@dataclass
class Model:
    """What the card should hold."""

    state: int = FRESH
    pin: bytes = b""
    pin_tries: int = 3
    puk: bytes = b""
    puk_tries: int = 10
    counter: int = 0
    has_key: bool = False


class CardLife(RuleBasedStateMachine):
    """Two channels, one card; power comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(new_image())
        self.model = Model()
        self._power_up()

    def _power_up(self) -> None:
        self.card = EmulatedCard(self.store, is_t1=True)
        self.validated = [False, False]
        self.signing = [False, False]
        assert self.card.transmit(SELECT) == b"\x90\x00"
        assert self.card.transmit(bytes.fromhex("0070000001")) == b"\x01\x90\x00"
        assert self.card.transmit(b"\x01" + SELECT[1:]) == b"\x90\x00"

    def _send(self, channel: int, ins: int, p1: int, p2: int, data: bytes = b"") -> int:
        command = CommandApdu(channel, ins, p1, p2, data, 256)
        self.answer = parse_response(self.card.transmit(command.encode()))
        return self.answer.status_word

    channels = st.sampled_from([0, 1])

    @rule(channel=channels)
    def generate(self, channel: int) -> None:
        status = self._send(channel, 0xB9, 0, 0, encode_tlv(0x84, b"\x01"))
        if self.model.state == FRESH:
            assert status == 0x9000
            self.model.has_key, self.model.counter = True, 0
            self.signing[channel] = False
        else:
            assert status == 0x6985

    @rule(channel=channels, pin=st.sampled_from(PINS), puk=st.sampled_from(PUKS))
    def personalise(self, channel: int, pin: bytes, puk: bytes) -> None:
        status = self._send(channel, 0xD2, 0, 0, encode_tlv(0xC0, pin) + encode_tlv(0xC1, puk))
        if self.model.state == FRESH and self.model.has_key:
            assert status == 0x9000
            self.model.state, self.model.pin, self.model.puk = PERSONALISED, pin, puk
        else:
            assert status == 0x6985

    def _after_try(self, status: int, *, is_right: bool, limit: int, left: int) -> tuple[int, bool]:
        """Tries left and whether it was right."""
        if self.model.state == FRESH:
            assert status == 0x6985
            return left, False
        if left == 0:
            assert status == 0x6983
            return 0, False
        if is_right:
            assert status == 0x9000
            return limit, True
        assert status == 0x63C0 | left - 1
        return left - 1, False

    @rule(channel=channels, pin=st.sampled_from(PINS))
    def verify(self, channel: int, pin: bytes) -> None:
        status = self._send(channel, 0x20, 0, 0x81, pin)
        self.model.pin_tries, right = self._after_try(
            status, is_right=pin == self.model.pin, limit=3, left=self.model.pin_tries
        )
        self.validated[channel] = right

    @rule(channel=channels, old=st.sampled_from(PINS), new=st.sampled_from(PINS))
    def change(self, channel: int, old: bytes, new: bytes) -> None:
        status = self._send(channel, 0x24, 0, 0x81, old + new)
        self.validated[channel] = False
        if old == new:
            assert status == 0x6A80
            return
        self.model.pin_tries, right = self._after_try(
            status, is_right=old == self.model.pin, limit=3, left=self.model.pin_tries
        )
        if right:
            self.model.pin, self.model.state = new, ACTIVE

    @rule(channel=channels, puk=st.sampled_from(PUKS), new=st.sampled_from(PINS))
    def unblock(self, channel: int, puk: bytes, new: bytes) -> None:
        status = self._send(channel, 0x2C, 0, 0x81, puk + new)
        self.validated[channel] = False
        self.model.puk_tries, right = self._after_try(
            status, is_right=puk == self.model.puk, limit=10, left=self.model.puk_tries
        )
        if right:
            self.model.pin, self.model.pin_tries = new, 3

    @rule(channel=channels, mode=st.sampled_from([1, 1, 1, 2, 3]))
    def open_signing(self, channel: int, mode: int) -> None:
        data = encode_tlv(0x84, b"\x01") + bytes((0xA1, 1, mode)) + bytes.fromhex("91020001920104")
        status = self._send(channel, 0x2A, 0, 1, data)
        model = self.model
        if not model.has_key:
            expected = 0x6984
        elif self.signing[channel] or mode != 1 or model.state == PERSONALISED:
            expected = 0x6985
        elif model.state == FRESH:
            expected = 0x6985 if model.counter >= 3 else 0x9000
        else:
            expected = 0x9000 if self.validated[channel] else 0x6982
        assert status == expected
        if status == 0x9000:
            self.signing[channel] = True
            self.opened_fresh = model.state == FRESH
        else:
            self.validated[channel] = False

    @rule(channel=channels, kind=st.sampled_from(["approval", "possession", "other"]))
    def sign(self, channel: int, kind: str) -> None:
        text = {
            "approval": APPROVAL_PREFIX + b"!" * 67,
            "possession": POSSESSION_PREFIX + b"A" * 43,
            "other": b"x" * 103,
        }[kind]
        status = self._send(channel, 0x2B, 0x80, 1, encode_tlv(0x9B, text))
        was_signing, was_validated = self.signing[channel], self.validated[channel]
        self.signing[channel] = self.validated[channel] = False
        if not was_signing:
            assert status == 0x6985
        elif status == 0x9000:
            assert kind != "other"
            assert self.model.state == ACTIVE or (self.model.state == FRESH and kind == "possession")
            assert self.model.state != ACTIVE or was_validated
            self.model.counter += 1
        else:
            assert status in {0x6A80, 0x6982, 0x6985}
            assert not (self.model.state == ACTIVE and was_validated and kind == "possession")

    @rule(channel=channels)
    def close_signing(self, channel: int) -> None:
        assert self._send(channel, 0x2A, 1, 1) == 0x9000
        if self.signing[channel]:
            self.signing[channel] = self.validated[channel] = False

    @rule(channel=channels)
    def read_key(self, channel: int) -> None:
        status = self._send(channel, 0xCD, 0, 0, encode_tlv(0x85, b"\x01"))
        if not self.model.has_key:
            assert status == 0x6984
        elif self.model.state == FRESH or self.validated[channel]:
            assert status == 0x9000
        else:
            assert status == 0x6982

    @rule(channel=channels)
    def select(self, channel: int) -> None:
        assert self.card.transmit(bytes((channel,)) + SELECT[1:]) == b"\x90\x00"
        self.validated[channel] = self.signing[channel] = False

    @rule()
    def power_cycle(self) -> None:
        self._power_up()

    @precondition(lambda self: self.model.state != FRESH)
    @rule(channel=channels)
    def query(self, channel: int) -> None:
        status = self._send(channel, 0x20, 0, 0x81)
        if self.validated[channel]:
            assert status == 0x9000
        else:
            assert status == (0x63C0 | self.model.pin_tries if self.model.pin_tries else 0x6983)

    @invariant()
    def the_status_is_the_models(self) -> None:
        assert self._send(0, 0xCB, 0xF0, 0) == 0x9000
        values = [int.from_bytes(item.value, "big") for item in parse_strict(self.answer.data)]
        model = self.model
        assert values[:4] == [model.state, model.pin_tries, model.puk_tries, model.counter]


TestCardLife = CardLife.TestCase
TestCardLife.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
