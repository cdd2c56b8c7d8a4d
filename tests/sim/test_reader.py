"""Readers and their troubles, through a real pcscd that the tests start for themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim_applet_tools.apdu import CommandApdu, parse_response
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import MemoryStore
from sim_applet_tools.emulator.pcscd import SOCKET_VARIABLE, PrivatePcscd
from sim_applet_tools.emulator.vpcd import CardServer
from sim_applet_tools.errors import (
    CardResetError,
    MuteCardError,
    NoCardError,
    NoReaderError,
    ReaderBusyError,
    ReaderError,
)
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, DEVICE_KEY, ApprovalCard
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.status_words import PinRequiredError
from sim_applet_tools.transport.base import Transport
from tests.sim.applet_server import at_free_ports
from tests.sim.card_targets import FIRST_SLOT, INSERTION_WAIT_S, SECOND_SLOT, Readers, fresh_emulator, in_reader
from tests.sim.scripted_card import LeavingCard, ScriptedCard
from tests.sim.test_iot_safe_client import TEXT

pytestmark = [pytest.mark.pcsc, pytest.mark.xdist_group("pcsc")]
PIN = "65432100"
TALLY = load_profile("tally")
OTHER_PROCESS = """
import sys
from sim_applet_tools.transport.pcsc import connect
from sim_applet_tools.errors import SimError
try:
    transport = connect(sys.argv[1], exclusive=sys.argv[2] == "exclusive")
    with transport.transaction():
        print("in", flush=True)
        for text in sys.argv[3:]:
            print(transport.transmit(bytes.fromhex(text)).hex(), flush=True)
        sys.stdin.readline()
    transport.close()
    print("out", flush=True)
except SimError as error:
    print(error.code, flush=True)
"""


@contextmanager
def _other_process(kind: str, *commands: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, FIRST_SLOT, kind, *commands],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _continue(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _active(transport: Transport) -> ApprovalCard:
    applet = find_applet(transport, [TALLY])
    applet.generate_key_pair(APPROVAL_KEY)
    card = ApprovalCard(applet)
    card.personalise("123456", "11223344")
    card.change_pin("123456", PIN)
    return card


def test_a_transaction_ends_in_a_reset() -> None:
    with in_reader(fresh_emulator()) as transport:
        card = _active(transport)
        card.sign_approval(TEXT, PIN, seen=SeenInMemory())
        with pytest.raises(Exception, match=r"6E00|6D00"):
            card.status()
        card.applet.select()
        assert card.status().signature_counter == 1
        with pytest.raises(PinRequiredError):
            card.applet.public_key(APPROVAL_KEY)


def test_a_second_process_gets_nothing_between_verify_and_signature() -> None:
    """It waits for the transaction to end, and then meets a card that was reset."""
    with in_reader(fresh_emulator()) as transport:
        card = _active(transport)
        attempt = ("00A4040008F054414C4C590101", "802A00010D840101A1010191020001920104")
        with card.transaction():
            card.verify_pin(PIN)
            with _other_process("shared", *attempt) as other:
                key = card.applet.public_key(APPROVAL_KEY)
                card.applet.sign(APPROVAL_KEY, TEXT, key)
                assert other.poll() is None
        with _other_process("shared", *attempt) as other:
            assert [_line(other) for _ in range(3)] == ["in", "9000", "6982"]
            _continue(other)
            assert _line(other) == "out"


def test_a_reset_by_another_program_is_noticed() -> None:
    with in_reader(fresh_emulator()) as transport:
        card = _active(transport)
        with _other_process("shared") as other:
            assert _line(other) == "in"
            _continue(other)
            assert _line(other) == "out"
        with pytest.raises(CardResetError):
            card.status()
        # a transaction takes the card up again
        card.sign_approval(TEXT, PIN, seen=SeenInMemory())


def test_a_reader_held_by_another_program() -> None:
    from sim_applet_tools.transport.pcsc import connect, wait_for_removal  # noqa: PLC0415

    pcscd = Readers.pcscd()
    pcscd.insert(fresh_emulator())
    try:
        connect(FIRST_SLOT, wait_s=INSERTION_WAIT_S).close()
        with _other_process("exclusive") as other:
            assert _line(other) == "in"
            with pytest.raises(ReaderBusyError, match="another program holds the reader"):
                connect(FIRST_SLOT)
            _continue(other)
            assert _line(other) == "out"
        connect(FIRST_SLOT, exclusive=True).close()
    finally:
        pcscd.pull()
        wait_for_removal(FIRST_SLOT, INSERTION_WAIT_S)


def test_no_card_and_no_such_reader() -> None:
    from sim_applet_tools.transport.pcsc import connect, list_readers  # noqa: PLC0415

    Readers.pcscd()
    assert [(state.name, state.has_card) for state in list_readers()] == [(FIRST_SLOT, False), (SECOND_SLOT, False)]
    with pytest.raises(NoCardError):
        connect(FIRST_SLOT)
    with pytest.raises(NoReaderError, match=FIRST_SLOT):
        connect("gemalto*")


def test_a_card_that_comes_later_is_waited_for() -> None:
    import threading  # noqa: PLC0415

    from sim_applet_tools.transport.pcsc import connect, wait_for_removal  # noqa: PLC0415

    pcscd = Readers.pcscd()
    inserting = threading.Timer(0.3, lambda: pcscd.insert(fresh_emulator()))
    inserting.start()
    try:
        transport = connect("tiger*", wait_s=INSERTION_WAIT_S)
        assert transport.name == FIRST_SLOT
        transport.close()
    finally:
        inserting.join()
        pcscd.pull()
        wait_for_removal(FIRST_SLOT, INSERTION_WAIT_S)


def test_a_card_without_a_protocol() -> None:
    """Its ATR is none."""

    class Odd(ScriptedCard):
        @property
        def atr(self) -> bytes:
            return b"\x00"

    with pytest.raises(ReaderError, match="0x8010000F"), in_reader(Odd([])):
        pass


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0x80100066, MuteCardError), (0x80100067, MuteCardError), (0x8010002E, NoReaderError), (0x80100069, NoCardError)],
)
def test_codes_that_need_hardware_have_their_errors(code: int, kind: type[ReaderError]) -> None:
    from sim_applet_tools.transport.pcsc import error_of_code  # noqa: PLC0415

    assert type(error_of_code(code)) is kind


@pytest.mark.parametrize("ins", [0xCB, 0x2A, 0x2B])
def test_a_card_pulled_during_a_command(ins: int) -> None:
    store = MemoryStore(new_image())
    with in_reader(EmulatedCard(store)) as transport:
        applet = find_applet(transport, [TALLY])
        key = applet.generate_key_pair(DEVICE_KEY)
    with in_reader(LeavingCard(EmulatedCard(store), ins)) as transport:
        applet = IotSafeApplet(transport, TALLY, TALLY.application_ids[0])
        applet.select()
        with pytest.raises(ReaderError):
            applet.objects() if ins == 0xCB else applet.sign(DEVICE_KEY, b"text", key)
        with pytest.raises(ReaderError):
            applet.select()
    # pcscd is alive, and the card as good as before
    with in_reader(EmulatedCard(store)) as transport:
        applet = find_applet(transport, [TALLY])
        applet.sign(DEVICE_KEY, b"text", key)


def test_a_card_pulled_between_two_commands() -> None:
    with in_reader(fresh_emulator()) as transport:
        applet = find_applet(transport, [TALLY])
        Readers.pcscd().pull()
        with pytest.raises(ReaderError):
            applet.objects()


def test_a_signature_cut_off_is_counted() -> None:
    store = MemoryStore(new_image())
    with in_reader(EmulatedCard(store)) as transport:
        card = _active(transport)
        key = card.read_public_key(PIN)
    with in_reader(LeavingCard(EmulatedCard(store), 0xC0)) as transport:
        card = ApprovalCard(find_applet(transport, [TALLY]))
        with pytest.raises(ReaderError):
            card.sign_approval(TEXT, PIN, key, seen=SeenInMemory())
    assert store.load().counter == 1


def test_extended_length_under_t1() -> None:
    with in_reader(fresh_emulator(is_t1=True)) as transport:
        assert transport.is_t1
        raw = transport.transmit(CommandApdu(0x00, 0xA4, 0x04, 0x00, bytes(300)).encode())
        assert parse_response(raw).status_word == 0x6A82


# -- whole commands, as people run them


def _tally_sim(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from sim_applet_tools.cli import sim; sim(prog_name='tally sim')", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_no_service(tmp_path: Path) -> None:
    nowhere = {SOCKET_VARIABLE: str(tmp_path / "nowhere")}
    for command in ("readers", "info"):
        done = _tally_sim(command, "--json", **nowhere)
        assert json.loads(done.stderr)["error"] == "no-pcsc-service"
        assert done.returncode == 69
        assert "Traceback" not in done.stderr
    done = _tally_sim("doctor", "--json", **nowhere)
    assert done.returncode == 1
    findings = json.loads(done.stdout)["findings"]
    assert [(finding["ok"], finding["code"]) for finding in findings] == [(True, None), (False, "no-pcsc-service")]


def test_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pcscd that drives none."""
    monkeypatch.setattr("sim_applet_tools.emulator.pcscd.reader_configuration", lambda *_: "")
    with PrivatePcscd() as pcscd:
        environment = {SOCKET_VARIABLE: str(pcscd.socket_path)}
        assert json.loads(_tally_sim("readers", "--json", **environment).stdout) == {"readers": []}
        done = _tally_sim("info", "--json", **environment)
        assert (done.returncode, json.loads(done.stderr)["error"]) == (69, "no-reader")
        findings = json.loads(_tally_sim("doctor", "--json", **environment).stdout)["findings"]
        assert (findings[-1]["code"], "plug one in" in findings[-1]["detail"]) == ("no-reader", True)


def test_doctor_names_what_is_wrong(tmp_path: Path) -> None:
    Readers.pcscd()
    done = _tally_sim("doctor", "--json", "--reader", FIRST_SLOT)
    assert json.loads(done.stdout)["findings"][-1]["code"] == "no-card"
    with in_reader(EmulatedCard(None)):
        done = _tally_sim("doctor", "--json", "--reader", FIRST_SLOT)
        assert json.loads(done.stdout)["findings"][-1]["code"] == "not-found"
    with in_reader(fresh_emulator()):
        done = _tally_sim("doctor", "--json", "--reader", FIRST_SLOT)
        assert json.loads(done.stdout)["healthy"] is True
        assert done.returncode == 0


def test_emulate_runs_a_command_beside_a_card() -> None:
    """The two commands of docs/sim.md."""
    inner = [sys.executable, "-c", "from sim_applet_tools.cli import sim; sim()", "info", "--json"]
    done = _tally_sim("emulate", "-", "--", *inner)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["applet"]["is_emulator"] is True


def test_scripts_run_through_the_command(tmp_path: Path) -> None:
    scripts = Path(__file__).parent / "scripts"
    with in_reader(fresh_emulator()):
        done = _tally_sim("script", "--json", "--reader", FIRST_SLOT, str(scripts / "keys.apdu"))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["scripts"][0]["commands"] > 20
        wrong = tmp_path / "wrong.apdu"
        wrong.write_text("> 00 A4 04 00 ( F054414C4C590101 )\n< 6A82\n")
        done = _tally_sim("script", "--json", "--reader", FIRST_SLOT, str(wrong))
        assert done.returncode == 1
        assert json.loads(done.stderr)["error"] == "script-failed"


def test_two_cards_are_served_to_a_pcscd_that_dials_out() -> None:
    """`--serve`: both of the driver's slots get a card, and pcscd is stopped before the server."""
    server = at_free_ports(lambda port: CardServer(fresh_emulator(), EmulatedCard(None), port))
    server.start()
    try:
        with PrivatePcscd(server.port) as pcscd:
            environment = {SOCKET_VARIABLE: str(pcscd.socket_path)}
            first = _tally_sim("info", "--json", "--wait", "20", "--reader", FIRST_SLOT, **environment)
            second = _tally_sim("info", "--json", "--wait", "20", "--reader", SECOND_SLOT, **environment)
    finally:
        server.close()
    assert json.loads(first.stdout)["applet"]["is_emulator"] is True
    assert json.loads(second.stdout)["applet"] is None


def test_emulate_is_stopped_in_the_right_order() -> None:
    """pcscd first, then the card; nothing is left behind."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from sim_applet_tools.cli import sim; sim()", "emulate", "-", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        socket_path = Path(json.loads("".join(lines))["socket"])
        assert socket_path.exists()
        process.terminate()
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert errors.strip() == "stopped"
    assert process.returncode == 0
    assert not socket_path.parent.parent.exists()
