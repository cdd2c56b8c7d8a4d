"""PIN, PUK, sessions and containers in any order, against a model of docs/apdu.md that shares no code with the card.

The model says the status word of each command and what GET DATA F0 shows after it; emulator and applet are both held to
it.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sim_applet_tools.transport.loopback import RawCard
from tests.sim.card_targets import Applets, fresh_emulator

FRESH, PERSONALISED, ACTIVE = 1, 2, 3
APPROVAL, DEVICE = 1, 2
SELECT = bytes.fromhex("00A4040008F054414C4C590101")
PINS = [b"123456\xff\xff", b"87654321", b"7654321\xff"]
PUKS = [b"11223344", b"55667788"]
POSSESSION = b"eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5LXBvc3Nlc3Npb24randzIn0." + b"A" * 43
APPROVAL_TEXT = b"eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5.approval"
OTHER_TEXT = b"anything else"
KEYS, TEXTS = st.sampled_from([APPROVAL, DEVICE]), st.sampled_from([POSSESSION, APPROVAL_TEXT, OTHER_TEXT])


class CardStates(RuleBasedStateMachine):
    """Rules send a command and compare the status word with the model's; T=1, so that answers come whole."""

    make_card: ClassVar = staticmethod(lambda _stack: fresh_emulator(is_t1=True))

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.card: RawCard = type(self).make_card(self.stack)
        self.state, self.keys, self.counter = FRESH, set[int](), 0
        self.pin, self.puk, self.pin_tries, self.puk_tries = b"", b"", 3, 10
        self.points: dict[int, bytes] = {}
        self._lose_selection()
        self.is_selected = False

    def teardown(self) -> None:
        self.stack.close()

    @initialize()
    def begin(self) -> None:
        self.select()

    # -- what the model remembers

    def _lose_selection(self) -> None:
        self.is_validated = False
        self.session: tuple[int, int] | None = None
        self.putting = False

    def _send(self, header: str, data: bytes = b"", le: bytes = b"") -> tuple[int, bytes]:
        raw = bytes.fromhex(header) + (bytes((len(data),)) + data if data else b"") + le
        answer = self.card.transmit(raw)
        return int.from_bytes(answer[-2:], "big"), answer[:-2]

    def _expect(self, expected: int, header: str, data: bytes = b"", le: bytes = b"") -> bytes:
        status_word, answer = self._send(header, data, le)
        assert f"{status_word:04X}" == f"{expected:04X}", header
        assert expected == 0x9000 or not answer
        return answer

    # -- selection and power

    @rule()
    def select(self) -> None:
        self._expect(0x9000, SELECT[:4].hex(), SELECT[5:])
        self._lose_selection()
        self.is_selected = True

    @rule()
    def select_unknown(self) -> None:
        self._expect(0x6A82, "00A40400", b"\xa0\x00\x00\x00\x03\x00\x00\x00")
        self._lose_selection()

    @rule()
    def reset(self) -> None:
        self.card.reset()
        self._lose_selection()
        self.select()

    # -- containers

    @rule(key=KEYS)
    def generate(self, key: int) -> None:
        expected = 0x9000 if self.state == FRESH else 0x6985
        answer = self._expect(expected, "80B90000", bytes((0x84, 1, key)), b"\0")
        if expected == 0x9000:
            assert answer[-65:] != self.points.get(key), "a key came twice"
            self.points[key] = answer[-65:]
            self.keys.add(key)
            self.counter = 0 if key == APPROVAL else self.counter
            if self.session and self.session[1] == key:
                self.session = None

    @rule(key=KEYS)
    def read_public_key(self, key: int) -> None:
        needs_pin = key == APPROVAL and self.state != FRESH and not self.is_validated
        expected = 0x6984 if key not in self.keys else 0x6982 if needs_pin else 0x9000
        answer = self._expect(expected, "80CD0000", bytes((0x85, 1, key)), b"\0")
        if expected == 0x9000:
            assert answer[-65:] == self.points[key]

    # -- PIN and PUK

    @rule(pin=st.sampled_from(PINS), puk=st.sampled_from(PUKS))
    def personalise(self, pin: bytes, puk: bytes) -> None:
        is_ready = self.state == FRESH and APPROVAL in self.keys
        self._expect(0x9000 if is_ready else 0x6985, "80D20000", b"\xc0\x08" + pin + b"\xc1\x08" + puk)
        if is_ready:
            self.state, self.pin, self.puk = PERSONALISED, pin, puk

    def _spend_pin_try(self, pin: bytes) -> int:
        if self.state == FRESH:
            return 0x6985
        if self.pin_tries == 0:
            return 0x6983
        if pin != self.pin:
            self.pin_tries -= 1
            return 0x63C0 | self.pin_tries
        self.pin_tries = 3
        return 0x9000

    @rule(pin=st.sampled_from(PINS))
    def verify(self, pin: bytes) -> None:
        expected = self._spend_pin_try(pin)
        self.is_validated = expected == 0x9000
        self._expect(expected, "00200081", pin)

    @precondition(lambda self: self.state != FRESH)
    @rule()
    def verify_with_the_right_pin(self) -> None:
        self.verify(self.pin)

    @rule(pin=st.sampled_from([b"12345\xff\xff\xff", b"12345a\xff\xff", b"1234567", b"\xff" * 8]))
    def verify_with_what_is_no_pin(self, pin: bytes) -> None:
        self._expect(0x6700 if len(pin) != 8 else 0x6A80, "00200081", pin)
        self.is_validated = False

    @rule()
    def ask_for_tries(self) -> None:
        expected = 0x6985 if self.state == FRESH else 0x6983 if self.pin_tries == 0 else 0x63C0 | self.pin_tries
        self._expect(0x9000 if self.is_validated else expected, "00200081")

    @rule(old=st.sampled_from(PINS), new=st.sampled_from(PINS))
    def change_pin(self, old: bytes, new: bytes) -> None:
        self.is_validated = False
        expected = 0x6A80 if old == new else self._spend_pin_try(old)
        self._expect(expected, "00240081", old + new)
        if expected == 0x9000:
            self.pin, self.state = new, ACTIVE

    @precondition(lambda self: self.state != FRESH)
    @rule(new=st.sampled_from(PINS))
    def change_the_right_pin(self, new: bytes) -> None:
        self.change_pin(self.pin, new)

    @rule(puk=st.sampled_from(PUKS), new=st.sampled_from(PINS))
    def unblock(self, puk: bytes, new: bytes) -> None:
        self.is_validated = False
        if self.state == FRESH:
            expected = 0x6985
        elif self.puk_tries == 0:
            expected = 0x6983
        elif puk != self.puk:
            self.puk_tries -= 1
            expected = 0x63C0 | self.puk_tries
        else:
            self.pin, self.pin_tries, self.puk_tries, expected = new, 3, 10, 0x9000
        self._expect(expected, "002C0081", puk + new)

    # -- signatures

    def _key_conditions(self, key: int) -> int:
        if key == DEVICE:
            return 0x9000
        if self.state == PERSONALISED or (self.state == FRESH and self.counter >= 3):
            return 0x6985
        return 0x9000 if self.state == FRESH or self.is_validated else 0x6982

    @rule(key=KEYS, session=st.sampled_from([1, 2]), mode=st.sampled_from([1, 1, 1, 2]))
    def open_session(self, key: int, session: int, mode: int) -> None:
        if key not in self.keys:
            expected = 0x6984
        elif self.session is not None or mode != 1:
            expected = 0x6985
        else:
            expected = self._key_conditions(key)
        data = bytes((0x84, 1, key, 0xA1, 1, mode, 0x91, 2, 0, 1, 0x92, 1, 4))
        self._expect(expected, f"802A00{session:02X}", data)
        if expected == 0x9000:
            self.session = (session, key)
        else:
            self.is_validated = False

    @rule(session=st.sampled_from([1, 2]), text=TEXTS)
    def sign(self, session: int, text: bytes) -> None:
        opened, was_validated = self.session, self.is_validated
        expected = 0x6985
        if opened is not None and opened[0] == session:
            self.is_validated = was_validated
            expected = self._key_conditions(opened[1])
            fits = opened[1] == DEVICE or (text == POSSESSION if self.state == FRESH else text != OTHER_TEXT)
            if expected == 0x9000 and not fits:
                expected = 0x6A80
        answer = self._expect(expected, f"802B80{session:02X}", b"\x9b" + bytes((len(text),)) + text, b"\0")
        self.session, self.is_validated = None, False
        if expected == 0x9000 and opened is not None:
            assert (len(answer), answer[:2]) == (66, b"\x33\x40")
            self.counter += opened[1] == APPROVAL

    @rule(session=st.sampled_from([1, 2]))
    def close_session(self, session: int) -> None:
        self._expect(0x9000, f"802A01{session:02X}")
        if self.session is not None:
            self.session, self.is_validated = None, False

    @precondition(lambda self: self.state == ACTIVE and self.pin_tries > 0 and self.session is None)
    @rule()
    def approve(self) -> None:
        """The whole way, so that it is taken often."""
        self.verify(self.pin)
        self.open_session(APPROVAL, 1, 1)
        self.sign(1, APPROVAL_TEXT)

    @precondition(lambda self: self.state == FRESH and APPROVAL in self.keys)
    @rule(times=st.integers(1, 4))
    def prove_possession(self, times: int) -> None:
        for _ in range(times):
            self.close_session(1)
            self.open_session(APPROVAL, 1, 1)
            self.sign(1, POSSESSION)

    @precondition(lambda self: self.state == FRESH and APPROVAL in self.keys)
    @rule()
    def go_on_to_active(self) -> None:
        self.personalise(PINS[0], PUKS[0])
        self.change_pin(PINS[0], PINS[1])

    @invariant()
    def the_card_shows_what_the_model_has(self) -> None:
        if self.is_selected:
            expected = bytes((0xC0, 1, self.state, 0xC1, 1, self.pin_tries, 0xC2, 1, self.puk_tries))
            expected += b"\xc3\x04" + self.counter.to_bytes(4, "big") + b"\xc4\x01"
            assert self._expect(0x9000, "80CBF000", le=b"\0")[:-1] == expected


class AppletStates(CardStates):
    """The same on the Java Card applet."""

    make_card = staticmethod(lambda stack: stack.enter_context(closing(Applets.card("T=1"))))


TestEmulatorStates = CardStates.TestCase
TestEmulatorStates.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestAppletStates = AppletStates.TestCase
TestAppletStates.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAppletStates.pytestmark = [pytest.mark.xdist_group("applet")]
