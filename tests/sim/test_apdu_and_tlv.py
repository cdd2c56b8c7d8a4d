"""APDUs and data objects: what is written is read back, and no bytes make a parser do anything but refuse."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_applet_tools.apdu import CommandApdu, parse_command, parse_response
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.errors import CardResponseError, InputError
from sim_applet_tools.iot_safe.sha256_state import sha256_state
from sim_applet_tools.tlv import DataObject, MalformedTlvError, encode_tlv, parse_strict
from tests.sim.card_targets import fresh_emulator

BYTE = st.integers(0, 255)
COMMANDS = st.builds(
    CommandApdu,
    BYTE,
    BYTE,
    BYTE,
    BYTE,
    st.binary(max_size=700),
    st.none() | st.integers(1, 65536),
)
OBJECTS = st.lists(st.builds(DataObject, BYTE, st.binary(max_size=400)), max_size=8)


@given(COMMANDS)
def test_a_command_is_read_back_as_written(command: CommandApdu) -> None:
    assert parse_command(command.encode()) == command


@given(st.binary(max_size=600))
def test_bytes_are_a_command_or_refused(raw: bytes) -> None:
    try:
        command = parse_command(raw)
    except InputError:
        return
    assert len(command.encode()) <= len(raw)


@pytest.mark.parametrize(
    "text", ["", "00A404", "00A4040002A0", "00A4040001A0B000", "00A404000000", "00A404000000010000"]
)
def test_malformed_commands_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_command(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["", "90"])
def test_an_answer_has_two_bytes(text: str) -> None:
    with pytest.raises(CardResponseError):
        parse_response(bytes.fromhex(text))


@given(OBJECTS)
def test_objects_are_read_back_as_written(objects: list[DataObject]) -> None:
    assert parse_strict(b"".join(encode_tlv(item.tag, item.value) for item in objects)) == objects


@given(st.binary(max_size=300))
def test_bytes_are_objects_in_one_form_only_or_refused(raw: bytes) -> None:
    try:
        objects = parse_strict(raw)
    except MalformedTlvError:
        return
    assert b"".join(encode_tlv(item.tag, item.value) for item in objects) == raw


@pytest.mark.parametrize(
    "text", ["84", "8402", "840201", "848101AA", "8482", "84820001AA", "8480", "8483000001AA", "84FF"]
)
def test_malformed_objects_are_refused(text: str) -> None:
    with pytest.raises(MalformedTlvError):
        parse_strict(bytes.fromhex(text))


@given(st.lists(st.binary(max_size=300), max_size=12), st.booleans())
def test_the_card_answers_any_bytes(commands: list[bytes], is_t1: bool) -> None:
    card = fresh_emulator(is_t1=is_t1)
    for raw in (bytes.fromhex("00A4040008F054414C4C590101"), *commands):
        assert len(card.transmit(raw)) >= 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0x20, 0x24, 0x2A, 0x2B, 0x2C, 0x2D, 0x46, 0xB0, 0xB9, 0xCB, 0xCD, 0xD2, 0xD6, 0xD8]),
            st.sampled_from([0, 1, 0x80, 0xC1]),
            st.sampled_from([0, 1, 0x81]),
            OBJECTS,
        ),
        max_size=10,
    )
)
def test_the_card_answers_any_objects(commands: list[tuple[int, int, int, list[DataObject]]]) -> None:
    card: EmulatedCard = fresh_emulator(is_t1=True)
    card.transmit(bytes.fromhex("00A4040008F054414C4C590101"))
    for ins, p1, p2, objects in commands:
        data = b"".join(encode_tlv(item.tag, item.value) for item in objects)[:255]
        assert card.transmit(CommandApdu(0x80, ins, p1, p2, data, 256).encode())[-2:] != b"\x6f\x00"


@given(st.binary(min_size=1, max_size=400))
def test_the_state_after_whole_blocks_leads_to_the_hash(data: bytes) -> None:
    whole = (len(data) - 1) // 64 * 64
    rest = data[whole:]
    padding = b"\x80" + bytes((55 - len(rest)) % 64) + (8 * len(data)).to_bytes(8, "big")
    assert sha256_state(data[:whole] + rest + padding) == sha256(data).digest()
