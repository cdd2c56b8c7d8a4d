"""A trace shows what went over the wire, and no secret."""

from __future__ import annotations

from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, PEER_KEY, SESSION_KEY, ApprovalCard
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.transport.loopback import LoopbackTransport
from sim_applet_tools.transport.trace import TraceTransport, shown_command
from tests.sim.card_targets import fresh_emulator
from tests.sim.test_iot_safe_client import TEXT


def _spaced(raw: bytes) -> str:
    return raw.hex(" ").upper()


def test_no_secret_is_shown() -> None:
    for is_t1 in (False, True):
        lines: list[str] = []
        transport = TraceTransport(LoopbackTransport(fresh_emulator(is_t1=is_t1)), lines.append)
        applet = find_applet(transport, [load_profile("tally")])
        key = applet.generate_key_pair(APPROVAL_KEY)
        peer = applet.generate_key_pair(SESSION_KEY)
        applet.put_public_key(PEER_KEY, peer)
        secret = applet.shared_secret(SESSION_KEY, PEER_KEY)
        random = applet.random_bytes(32)
        card = ApprovalCard(applet)
        card.personalise("918273", "56473829")
        card.change_pin("918273", "64738291")
        card.unblock_pin("56473829", "73829164")
        card.sign_approval(TEXT, "73829164", key, seen=SeenInMemory())
        text = "\n".join(lines)
        for digits in ("918273", "56473829", "64738291", "73829164"):
            assert _spaced(digits.encode()) not in text
        assert _spaced(secret) not in text
        assert _spaced(random) not in text
        assert "00 20 00 81 (data hidden)" in text
        assert _spaced(TEXT[36:60]) in text


def test_other_commands_are_shown_whole() -> None:
    assert shown_command(bytes.fromhex("802C00010385010200")) == "80 2C 00 01 03 85 01 02 00"
    assert shown_command(bytes.fromhex("002C00810100")) == "00 2C 00 81 (data hidden)"
    assert shown_command(bytes.fromhex("1020008101FF")) == "10 20 00 81 (data hidden)"
