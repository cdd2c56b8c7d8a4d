"""`tally sim personalise|activate` as people run them: on card files, and on cards in readers of a real pcscd."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from sim_applet_tools.cli import sim
from sim_applet_tools.emulator import keystore
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore, MemoryStore
from sim_applet_tools.personalise.batch import parse_batch
from sim_applet_tools.personalise.card_steps import Outcome
from sim_applet_tools.personalise.workplace import Workplace
from sim_applet_tools.profiles import load_profile
from tests.sim.batches import ACTIVATE, batch_bytes, template
from tests.sim.card_targets import FIRST_SLOT, INSERTION_WAIT_S, SECOND_SLOT, TARGETS, Readers
from tests.sim.scripted_card import LeavingCard

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(keystore, "SCRYPT_COST", 1 << 4)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for name, secret in {"passphrase": "a passphrase", "wrong": "none", "new": "87654321"}.items():
        Path(name).write_text(secret + "\n")
    Path("cards").mkdir()
    for number in range(3):
        store = EncryptedFileStore(Path("cards") / f"{number}.card", "a passphrase", image_if_new=new_image())
        store.close()
    Path("batch.json").write_bytes(batch_bytes(3))
    runner = CliRunner()

    def call(*arguments: str) -> Result:
        return runner.invoke(sim, arguments)

    return call


def _json(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)


def _letters() -> list[dict[str, str]]:
    return [json.loads(line) for line in Path("batch.cards/pin-letters.jsonl").read_text().splitlines()]


FILES = ("personalise", "batch.json", "--card-dir", "cards", "--passphrase-file", "passphrase", "--json")


def test_a_folder_of_cards_and_the_persons_activation(run: Run) -> None:
    Path("cards/readme").write_text("no card")
    result = run(*FILES)
    document = _json(result)
    assert document["cards"]["finished"] == 3
    assert document["identities"] == {"finished": 3, "half_done": [], "set_aside": [], "left": 0}
    assert len(Path(document["registrations"]).read_text().splitlines()) == 4
    for letter in _letters():
        assert letter["transport_pin"] not in result.output
        assert letter["puk"] not in result.output
    before = Path(document["registrations"]).read_bytes()
    assert _json(run(*FILES))["cards"]["known"] >= 1
    assert Path(document["registrations"]).read_bytes() == before

    identity = json.loads(before.splitlines()[1])["identity"]
    Path("transport").write_text(_letters()[0]["transport_pin"])
    options = ("--card-file", "cards/0.card", "--passphrase-file", "passphrase", "--json")
    missing = run("activate", "batch.json", "--pin-file", "transport", "--new-pin-file", "new", *options)
    assert "say which with --identity" in missing.stderr
    arguments = ("activate", "batch.json", "--identity", identity, "--output", "activation.jsonl", *options)
    done = _json(run(*arguments, "--pin-file", "transport", "--new-pin-file", "new"))
    header, line = (json.loads(text) for text in Path("activation.jsonl").read_text().splitlines())
    assert header["format"] == "tally-identity-activations/1"
    assert line == {"identity": identity, "proof": done["proof"]}
    # again, with the PIN that holds now; and not with another
    assert _json(run(*arguments, "--pin-file", "new"))["proof"].split(".")[:2] == line["proof"].split(".")[:2]
    assert json.loads(run(*arguments, "--pin-file", "transport").stderr)["error"] == "wrong-pin"
    assert run("activate", "batch.json", "--identity", "0x12", "--pin-file", "new", *options).exit_code == 65


def test_new_cards_are_made_once(run: Run) -> None:
    arguments = ("--card-dir", "fresh", "--passphrase-file", "passphrase", "--new-cards", "2", "--json")
    assert _json(run("personalise", "batch.json", *arguments))["cards"]["finished"] == 2
    assert _json(run("personalise", "batch.json", *arguments))["cards"]["known"] == 2
    assert sorted(path.name for path in Path("fresh").glob("*.tally")) == ["card-0001.tally", "card-0002.tally"]


def test_a_trace_shows_no_pin(run: Run) -> None:
    result = run("trace", *FILES)
    assert result.exit_code == 0, result.stderr
    assert "> 80 D2 00 00 (data hidden)" in result.stderr
    for letter in _letters():
        for secret in (letter["transport_pin"], letter["puk"]):
            assert secret not in result.output
            assert secret.encode().hex(" ").upper() not in result.output


def test_an_activation_past_its_deadline_changes_no_pin(run: Run) -> None:
    Path("batch.json").write_bytes(batch_bytes(1, activate=template(ACTIVATE, deadline=1)))
    _json(run(*FILES))
    Path("transport").write_text(_letters()[0]["transport_pin"])
    options = ("--card-file", "cards/0.card", "--passphrase-file", "passphrase", "--json")
    late = run("activate", "batch.json", "--pin-file", "transport", "--new-pin-file", "new", *options)
    assert "deadline" in late.stderr
    assert _json(run("info", *options))["applet"]["status"]["state"] == "personalised"


def test_a_personalisers_key(run: Run) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase"))
    Path("key.pem").write_bytes(encrypted)
    Path("clear.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for file, passphrase in (("nowhere", "passphrase"), ("clear.pem", "passphrase"), ("key.pem", "wrong")):
        refused = run(*FILES, "--attester-key", file, "--attester-passphrase-file", passphrase)
        assert json.loads(refused.stderr)["error"] == "configuration"
    assert not Path("batch.cards").exists()
    _json(run(*FILES, "--attester-key", "key.pem", "--attester-passphrase-file", "passphrase"))
    lines = Path("batch.cards/registrations.jsonl").read_text().splitlines()[1:]
    assert {json.loads(line)["attestation"] for line in lines} == {"none"}  # they mark themselves as emulators
    assert not Path("batch.cards/attestations.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nowhere.json",), 2),
        (("passphrase",), 65),
        (("batch.json", "--card-dir", "nowhere", "--passphrase-file", "passphrase"), 65),
        (("batch.json", "--card-dir", "batch.json", "--passphrase-file", "passphrase"), 2),
        (("batch.json", "--card-dir", "no/where", "--passphrase-file", "passphrase", "--new-cards", "1"), 74),
        (("batch.json", "--new-cards", "1"), 65),
        (("batch.json", "--card-dir", ".", "--passphrase-file", "passphrase"), 65),
        (("batch.json", "--card-dir", "cards", "--passphrase-file", "wrong"), 74),
        (("batch.json", "--set-aside", "123"), 65),
        (("batch.json", "--container", "zz"), 65),
        (("batch.json", "--profile", "nobody"), 78),
    ],
)
def test_bad_options(run: Run, arguments: tuple[str, ...], code: int) -> None:
    result = run("personalise", *arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(name, marks=[pytest.mark.pcsc, pytest.mark.xdist_group("pcsc")] if needs_pcscd else [])
        for name, (_, _, needs_pcscd) in TARGETS.items()
    ],
)
def test_emulator_and_applet_are_personalised_alike(tmp_path: Path, target: str) -> None:
    """Two cards of each, also the applet's, and through a reader."""
    open_target, _, _ = TARGETS[target]
    batch = parse_batch(batch_bytes(2), "batch")
    with Workplace(tmp_path / "cards", batch) as work:
        steps = work.steps([load_profile("tally")], with_device_key=True)
        for _ in range(2):
            with open_target() as transport:
                report = steps.take(transport)
                assert report.outcome is Outcome.FINISHED, report.detail
                assert steps.take(transport).outcome is Outcome.KNOWN
    lines = [json.loads(line) for line in (tmp_path / "cards/registrations.jsonl").read_text().splitlines()[1:]]
    assert len({line["key"]["x"] for line in lines}) == 2
    assert len({line["proof"].rsplit(".", 1)[1][:43] for line in lines}) == 2  # r
    assert all(line["emulator"] and line["card_enforced"] for line in lines)


@pytest.mark.pcsc
@pytest.mark.xdist_group("pcsc")
def test_cards_in_two_readers_then_one_after_another(run: Run) -> None:
    """Two wait in their readers; a third is inserted once the first was taken out."""
    from sim_applet_tools.transport.pcsc import list_readers, wait_for_removal  # noqa: PLC0415

    pcscd = Readers.pcscd()
    stores = [MemoryStore(new_image()) for _ in range(3)]
    pcscd.insert(EmulatedCard(stores[0]), 0)
    pcscd.insert(EmulatedCard(stores[1], is_t1=True), 1)
    done = threading.Event()

    def change_cards() -> None:
        """As a person does who watches the list."""
        journal = Path("batch.cards/journal.jsonl")
        while not done.wait(0.02):
            if journal.exists() and journal.read_text().count('"is_finished": true') == 2:
                events = next(state.events for state in list_readers() if state.name == FIRST_SLOT)
                pcscd.pull(0)
                wait_for_removal(FIRST_SLOT, INSERTION_WAIT_S, events)
                pcscd.insert(EmulatedCard(stores[2]), 0)
                return

    person = threading.Thread(target=change_cards)
    person.start()
    try:
        document = _json(run("personalise", "batch.json", "--wait", "20", "--reader", "tiger*", "--json"))
    finally:
        done.set()
        person.join()
        for slot, name in enumerate((FIRST_SLOT, SECOND_SLOT)):
            pcscd.pull(slot)
            wait_for_removal(name, INSERTION_WAIT_S)
    assert document["cards"]["finished"] == 3
    letters = {letter["iccid"]: letter["transport_pin"].encode() for letter in _letters()}
    for store in stores:
        image = store.load()
        assert image.pin.rstrip(b"\xff") == letters[image.iccid]


@pytest.mark.pcsc
@pytest.mark.xdist_group("pcsc")
def test_a_card_pulled_out_of_its_reader_is_finished_when_it_comes_back(run: Run) -> None:
    from sim_applet_tools.transport.pcsc import list_readers, wait_for_removal  # noqa: PLC0415

    pcscd = Readers.pcscd()
    store = MemoryStore(new_image())
    arguments = ("personalise", "batch.json", "--reader", FIRST_SLOT, "--json")
    assert _json(run(*arguments))["cards"]["finished"] == 0  # no card: nothing to do
    for ins in (0xB9, 0x2B, 0xD2):
        pcscd.insert(LeavingCard(EmulatedCard(store), ins))
        document = _json(run(*arguments, "--wait", "2"), code=1)
        assert document["cards"]["interrupted"] == 1
        assert document["identities"]["half_done"] == [store.load().iccid]
        events = next(state.events for state in list_readers() if state.name == FIRST_SLOT)
        pcscd.pull()
        wait_for_removal(FIRST_SLOT, INSERTION_WAIT_S, events if events % 2 else None)
    pcscd.insert(EmulatedCard(store))
    try:
        assert _json(run(*arguments, "--wait", "2"))["cards"]["finished"] == 1
    finally:
        pcscd.pull()
        wait_for_removal(FIRST_SLOT, INSERTION_WAIT_S)
    assert _letters()[0]["transport_pin"].encode() == store.load().pin.rstrip(b"\xff")
