"""The card around the application: files, channels, protocols, chaining; two cards share nothing."""

from __future__ import annotations

import pytest

from sim_applet_tools.apdu import CommandApdu, parse_response
from sim_applet_tools.emulator.card import EmulatedCard, encode_iccid
from sim_applet_tools.emulator.image import luhn_digit, new_image
from sim_applet_tools.transport.base import exchange
from sim_applet_tools.transport.loopback import LoopbackTransport, offers_t1
from sim_applet_tools.uicc import is_eid, read_applications, read_eid, read_iccid
from tests.sim.card_targets import fresh_emulator

SELECT = bytes.fromhex("00A4040008F054414C4C590101")


def _send(card: EmulatedCard, text: str) -> str:
    return card.transmit(bytes.fromhex(text)).hex().upper()


def _prepared(*, is_t1: bool = False) -> EmulatedCard:
    card = fresh_emulator(is_t1=is_t1)
    card.transmit(SELECT)
    for text in (
        "80B9000003840101",
        "80B9000003840102",
        "80D2000014C008313233343536FFFFC1083131323233333434",
        "0024008110313233343536FFFF3837363534333231",
    ):
        assert _send(card, text)[:2] in {"90", "61", "84"}
    return card


def test_files_of_a_sim_are_read_and_others_are_not_there() -> None:
    card = fresh_emulator()
    transport = LoopbackTransport(card)
    iccid = read_iccid(transport)
    assert iccid == card.iccid
    assert luhn_digit(iccid[:-1]) == iccid[-1]
    assert [entry.label for entry in read_applications(transport)] == ["Tiger Tally"]
    assert read_eid(transport) is None
    assert _send(card, "00A40000026F07") == "6A82"
    assert _send(card, "00A4040007A0000000871002") == "6A82"
    assert _send(card, "80B0000000") == "6E00"
    assert _send(card, "00D6000000") == "6D00"


def test_a_card_without_the_application_is_a_plain_sim() -> None:
    card = EmulatedCard(None)
    assert card.transmit(SELECT) == b"\x6a\x82"
    assert read_applications(LoopbackTransport(card)) == []


def test_eid_check_digits() -> None:
    assert is_eid("89882119900000000000000000001654")
    assert not is_eid("89882119900000000000000000001655")
    assert encode_iccid("8988211990000000012") == bytes.fromhex("988812910900000010F2")


def test_atr_says_the_protocol() -> None:
    assert not offers_t1(fresh_emulator().atr)
    assert offers_t1(fresh_emulator(is_t1=True).atr)
    assert not offers_t1(b"")


def test_t0_answers_are_fetched_and_a_command_never_runs_twice() -> None:
    card = fresh_emulator()
    card.transmit(SELECT)
    assert _send(card, "80B9000003840101") == "614D"
    first = _send(card, "00C000004D")
    assert first.endswith("9000")
    assert _send(card, "00C000004D") == "6985"
    assert _send(card, "80CD000003850101") == "6147"
    assert _send(card, "00C0000047")[:-4] in first
    # a wrong Le: the right one is told, and what was made is kept
    assert _send(card, "80CBF00000") == "6C12"
    assert _send(card, "80CBF00012").endswith("9000")
    assert _send(card, "00C0010010") == "6A86"


def test_t0_answers_come_in_pieces() -> None:
    card = fresh_emulator()
    card.transmit(SELECT)
    assert _send(card, "80B9000003840101") == "614D"
    assert _send(card, "00C0000040").endswith("610D")
    assert _send(card, "00C000000D").endswith("9000")


def test_another_command_drops_what_waits() -> None:
    card = fresh_emulator()
    card.transmit(SELECT)
    _send(card, "80B9000003840101")
    assert _send(card, "80CBF00012").endswith("9000")
    assert _send(card, "00C000004D") == "6985"


def test_chains_are_joined_and_broken_chains_refused() -> None:
    card = fresh_emulator()
    assert _send(card, "10A4040004F054414C") == "9000"
    assert _send(card, "00A40400044C590101") == "9000"
    assert _send(card, "90B90000018 4".replace(" ", "")) == "9000"
    assert _send(card, "80CD000003850101") == "6883"
    assert _send(card, "80B9000003840101") == "614D"
    for _ in range(16):
        assert _send(card, "90B90000FF" + "00" * 255) == "9000"
    assert _send(card, "90B90000FF" + "00" * 255) == "6700"


def test_long_commands_go_in_a_chain_under_t0_and_extended_under_t1() -> None:
    long = CommandApdu(0x80, 0xB9, 0, 0, bytes(600), 256)
    for is_t1 in (False, True):
        transport = LoopbackTransport(fresh_emulator(is_t1=is_t1))
        transport.transmit(SELECT)
        assert exchange(transport, long).status_word == 0x6A80


def test_channels_have_their_own_selection_and_validation() -> None:
    card = _prepared()
    assert _send(card, "0020008108" + "3837363534333231") == "9000"
    assert _send(card, "0070000001") == "019000"
    assert _send(card, "81CBF00012") == "6E00"
    assert _send(card, "01A4040008F054414C4C590101") == "9000"
    assert _send(card, "01200081") == "63C3"
    assert _send(card, "812A00010D840101A1010191020001920104") == "6982"
    assert _send(card, "00200081") == "9000"
    # closing a channel ends its validation, the others' stay
    assert _send(card, "0120008108" + "3837363534333231") == "9000"
    assert _send(card, "00708001") == "9000"
    assert _send(card, "01200081") == "6881"
    assert _send(card, "0070000001") == "019000"
    assert _send(card, "01A4040008F054414C4C590101") == "9000"
    assert _send(card, "01200081") == "63C3"
    assert _send(card, "00200081") == "9000"


def test_channels_run_out() -> None:
    card = fresh_emulator()
    assert [_send(card, "0070000001") for _ in range(4)] == ["019000", "029000", "039000", "6A81"]
    assert _send(card, "00708000") == "6A86"
    assert _send(card, "00708002") == "9000"
    assert _send(card, "00708002") == "6881"


def test_a_volatile_key_does_not_cross_channels() -> None:
    card = fresh_emulator(is_t1=True)
    card.transmit(SELECT)
    assert _send(card, "80B900000384010300").endswith("9000")
    _send(card, "0070000001")
    _send(card, "01A4040008F054414C4C590101")
    assert _send(card, "81CD00000385010300") == "6984"


def test_two_cards_share_no_key_and_no_nonce() -> None:
    points, nonces = set(), set()
    for _ in range(2):
        card = fresh_emulator(is_t1=True)
        card.transmit(SELECT)
        points.add(_send(card, "80B900000384010200"))
        for _ in range(5):
            _send(card, "802A00010D840102A1010191020001920104")
            nonces.add(parse_response(card.transmit(bytes.fromhex("802B8001069B0474657874"))).data[:34])
    assert len(points) == 2
    assert len(nonces) == 10


def test_personalising_two_cards_gives_two_iccids() -> None:
    assert new_image().iccid != new_image().iccid


@pytest.mark.parametrize("text", ["", "00", "00A4", "00A40400", "00A4040009F0"])
def test_short_commands_are_answered(text: str) -> None:
    assert len(_send(fresh_emulator(), text)) == 4
