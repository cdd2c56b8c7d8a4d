"""The whole program: its own process and terminal, a card file or a card in a reader of a real pcscd, a provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim_applet_tools.cli import sim
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore, MemoryStore
from sim_applet_tools.emulator.pcscd import SOCKET_VARIABLE
from sim_applet_tools.errors import ReaderError
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.profiles import load_profile
from tests.agent.conftest import IDENTITY, PIN, Person, assembled, enrolled, make_active, opener
from tests.agent.ledger import Ledger
from tests.agent.person_at_terminal import person_at
from tests.agent.provider import Provider
from tests.agent.provider_http import hand_over_fields
from tests.agent.test_login import complete
from tests.agent.test_page import Browser
from tests.sim.card_targets import FIRST_SLOT, Readers, fresh_emulator, in_reader
from tests.sim.scripted_card import LeavingCard


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values = {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TALLY_AGENT_HOME": str(tmp_path / "agent"),
        "LC_ALL": "C.UTF-8",
        "BROWSER": str(tmp_path / "browser"),
        "TALLY_SIM_READER": FIRST_SLOT,
        "TALLY_SIM_WAIT": "20",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "pin").write_text(PIN + "\n")
    (tmp_path / "browser").write_text(f'#!/bin/sh\necho "$1" >{tmp_path}/opened\n')
    (tmp_path / "browser").chmod(0o755)
    return values


@pytest.mark.pcsc
@pytest.mark.xdist_group("pcsc")
def test_a_card_in_a_reader_logs_in(
    provider: Provider, ledger: Ledger, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Enrolment, a login with a wrong PIN first, and what another process then finds: a card that was reset."""
    with in_reader(fresh_emulator()) as transport:
        ledger.register(IDENTITY, make_active(find_applet(transport, [load_profile("tally")])))
        arguments = ["agent", "enrol", provider.issuer, "--identity", IDENTITY, "--pin-file", str(tmp_path / "pin")]
        done = CliRunner().invoke(sim, arguments, input="y\n", catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        login = provider.begin()
        socket = {SOCKET_VARIABLE: str(Readers.pcscd().socket_path)}
        with person_at(["sim", "agent", "open", login.link(local=True)], {**environment, **socket}) as person:
            person.wait_for("Corner Shop (shop.example) asks you to log in.")
            person.wait_for("Numbers of items to refuse")
            person.type("1 3")
            person.wait_for("PIN")
            person.type("000000")
            person.wait_for("2 tries left")
            person.wait_for("PIN")
            person.type(PIN)
            person.wait_for("Approved.")
            assert person.end() == 0
        assert login.state == "approved"
        assert PIN not in person.shown
        assert (tmp_path / "opened").read_text().startswith(f"{provider.issuer}/complete?c=")


@contextmanager
def card_in_reader() -> Iterator[IotSafeApplet]:
    """As the command reaches it."""
    from sim_applet_tools.transport.pcsc import connect  # noqa: PLC0415  after the environment is set

    with closing(connect(FIRST_SLOT)) as transport:
        yield find_applet(transport, [load_profile("tally")])


@pytest.mark.pcsc
@pytest.mark.xdist_group("pcsc")
def test_a_card_that_is_pulled_and_put_back(provider: Provider, ledger: Ledger, tmp_path: Path) -> None:
    """Pulled during the signature: nothing is sent, the prompt holds, and with the card back the login is approved."""
    store = MemoryStore(new_image())
    with in_reader(EmulatedCard(store)) as transport:
        key = make_active(find_applet(transport, [load_profile("tally")]))
        ledger.register(IDENTITY, key)
        person = Person(IDENTITY, EmulatedCard(store), card_in_reader, key, SeenInMemory())
        with enrolled(provider, person, tmp_path, ledger=ledger):
            pass
    with assembled(provider.issuer, person, tmp_path, ledger=ledger) as agent:
        login = provider.begin()
        prompt = agent.open(login.local_handle, login.local_secret, "en")
        assert "no-card" in {notice.code for notice in prompt.notices}
        with pytest.raises(ReaderError):
            agent.approve(prompt, PIN)
        with in_reader(LeavingCard(EmulatedCard(store), 0x2B)), pytest.raises(ReaderError):
            agent.approve(prompt, PIN)
        assert login.state == "open"
        with in_reader(EmulatedCard(store)):
            agent.approve(prompt, PIN)
        assert login.state == "approved"


@pytest.mark.e2e
def test_waiting_with_a_page(
    provider: Provider, person: Person, ledger: Ledger, tmp_path: Path, environment: dict[str, str]
) -> None:
    """`run --terminal` takes a login over from the provider's page and asks in the terminal; Ctrl-C ends it."""
    with enrolled(provider, person, tmp_path / "agent"):
        pass
    login = provider.begin()
    arguments = ["sim", "agent", "run", "--terminal", "--port", "0", "--wait", "0"]
    with person_at(arguments, environment) as waiting:
        waiting.wait_for("Waiting for logins.")
        port = _listening_port(waiting.process.pid)
        sent = Browser(f"127.0.0.1:{port}").post("/hand-over", hand_over_fields(login), provider.issuer)
        assert "terminal" in sent.text
        waiting.wait_for("asks you to log in")
        waiting.type("n")
        waiting.wait_for("Refused")
        waiting.process.send_signal(2)
        assert waiting.end() == 0
    assert login.refusal == "declined"


@pytest.mark.e2e
def test_the_page_of_a_running_agent(
    provider: Provider, ledger: Ledger, tmp_path: Path, environment: dict[str, str]
) -> None:
    """`run` with a card file: the browser is sent from the provider's page to the agent's, and back by its cookie."""
    (tmp_path / "passphrase").write_text("a passphrase\n")
    store = EncryptedFileStore(tmp_path / "card", "a passphrase", image_if_new=new_image())
    card = EmulatedCard(store)
    with opener(card)() as applet:
        key = make_active(applet)
    ledger.register(IDENTITY, key)
    with enrolled(provider, Person(IDENTITY, card, opener(card), key, SeenInMemory()), tmp_path / "agent"):
        store.close()
    files = ["--card-file", str(tmp_path / "card"), "--passphrase-file", str(tmp_path / "passphrase")]
    login = provider.begin()
    with person_at(["sim", "agent", "run", "--port", "0", *files], environment) as running:
        running.wait_for("Waiting for logins.")
        browser = Browser(f"127.0.0.1:{_listening_port(running.process.pid)}")
        path = browser.post("/hand-over", hand_over_fields(login), provider.issuer).location
        fields = {"form": browser.get(path).hidden(), "action": "approve", "pin": PIN}
        done = browser.post(path, fields, f"http://{browser.host}")
        assert login.state == "approved"
        assert complete(done.onward, login.cookie)
        running.process.send_signal(2)
        assert running.end() == 0
        assert PIN not in running.shown


def _listening_port(pid: int) -> int:
    """Of the only socket that the process listens at."""
    sockets = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            return int(fields[1].partition(":")[2], 16)
    raise AssertionError("the program does not listen")
