"""The steps about a person: a card is personalised in a reader, its identity registered, activated and read back."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pki_chain.demo.processes import Result, wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, require

Say = Callable[[str], None]

_PROGRAMS: Final = ("pcscd", "unshare", "setpriv", "ip")
_READER_DRIVER: Final = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")


@dataclass(frozen=True, slots=True)
class SimDesk:
    """Where the demonstration's card is: its file, what opens it, and the batch that it is of."""

    folder: Path

    @property
    def batch(self) -> Path:
        return self.folder / "batch.json"

    @property
    def made(self) -> Path:
        """The personaliser's folder."""
        return self.folder / "batch.cards"

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A file of the personaliser."""
        return [json.loads(line) for line in (self.made / name).read_text(encoding="utf-8").splitlines()]

    def secret(self, name: str, text: str) -> str:
        """A file with a secret, mode 0600."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text + "\n", encoding="ascii")
        return str(path)

    def run(self, stage: Stage, *command: str, is_new: bool = False) -> Result:
        """Run a `tally sim` command beside a pcscd of its own, in whose reader the emulated card is."""
        emulate = ("sim", "emulate", str(self.folder / "card.tally"), *(("--new",) if is_new else ()))
        inner = (sys.executable, "-m", "pki_chain.cli.main", "sim", *command)
        opened = ("--passphrase-file", str(self.folder / "passphrase"), "--")
        return stage.processes.run(
            [*emulate, *opened, *inner], self.folder, settings={"XDG_STATE_HOME": str(self.folder)}
        )


def missing_for_cards() -> str:
    """What a card in a reader needs and this machine has not; "" where nothing is missing."""
    searched = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = {
        **{program: shutil.which(program, path=searched) is not None for program in _PROGRAMS},
        "vsmartcard-vpcd": _READER_DRIVER.exists(),
        "pyscard": importlib.util.find_spec("smartcard") is not None,
    }
    return ", ".join(name for name, there in found.items() if not there)


def personalise_card(stage: Stage, say: Say) -> None:
    """The operator prepares an id, the personaliser makes the key on a card, through a real pcscd."""
    if missing := missing_for_cards():
        say(f"left out: this machine has no {missing}; tools/setup.sh installs it")
        return
    desk = _desk(stage)
    desk.folder.mkdir(mode=0o700)
    desk.secret("passphrase", secrets.token_urlsafe(24))
    stage.tally(OPERATOR, "consortium", "account", "add", "registrar", "--role", "registrar")
    stage.tally(OPERATOR, "identity", "prepare", "--count", "1", "--out", str(desk.batch))
    people = f"sqlite:///{desk.folder / 'people.sqlite'}"
    given = stage.processes.run(("subscribers", "demo", people, "--batch", str(desk.batch)), desk.folder).content
    (person,) = given["identities"]
    with stage.timed("a card: key, possession proof, PIN, through pcscd"):
        made = desk.run(stage, "personalise", str(desk.batch), is_new=True).content
    require(made["cards"]["finished"] == 1, f"no card was finished: {made['cards']}")
    line = desk.lines("registrations.jsonl")[1]
    say("an emulated card in the reader of a real pcscd made its key, and signed that it has it; the key never left it")
    say(f"identity {line['identity'][:18]}... is random; that it is person {person} stands in the operator's SQL only")


def register_identity(stage: Stage, say: Say) -> None:
    """The identity on the ledger: registered, activated by the person's own signature, read back, held, released."""
    if missing_for_cards():
        say("left out, as there is no card")
        return
    desk = _desk(stage)
    registrations = str(desk.made / "registrations.jsonl")
    line = desk.lines("registrations.jsonl")[1]
    identity = line["identity"]
    refused = stage.tally(OPERATOR, "identity", "register", registrations, expected=(77,))
    require("protects no key" in str(refused.content), f"an emulated card was taken: {refused.content}")
    with stage.timed("its identity registered; the contract verified the card's proof"):
        stage.tally(OPERATOR, "identity", "register", registrations, "--allow-emulators")
    _wait_for_state(stage, identity, "registered")
    say("registered, as the trial asks for an emulator to be taken; production policy refuses its mark")
    letter = desk.lines("pin-letters.jsonl")[0]
    old = ("--pin-file", desk.secret("transport-pin", letter["transport_pin"]))
    new = ("--new-pin-file", desk.secret("new-pin", f"{secrets.randbelow(10**6):06}"))
    desk.run(stage, "activate", str(desk.batch), "--output", str(desk.folder / "activation.jsonl"), *old, *new)
    stage.tally(OPERATOR, "identity", "activate", str(desk.folder / "activation.jsonl"))
    _wait_for_state(stage, identity, "active")
    answer = stage.get(f"/v1/identities/{identity}", VENDOR)
    require(answer["key"] == line["key"], f"the ledger has another key than the card: {answer['key']}")
    block = answer["block"]["number"]
    say(f"the person changed the PIN, the card signed, and the vendor's gateway reads it back: active, block {block}")
    stage.tally(OPERATOR, "identity", "hold", identity)
    _wait_for_state(stage, identity, "held")
    stage.tally(OPERATOR, "identity", "release", identity)
    _wait_for_state(stage, identity, "active")
    say("held by the operator's duty account, and released by its administrator")
    stage.identity = identity


def _desk(stage: Stage) -> SimDesk:
    return SimDesk(stage.root / "sim")


def _wait_for_state(stage: Stage, identity: str, state: str) -> None:
    """Ask another member's gateway until it answers this state."""
    path = f"/v1/identities/{identity}"

    def has_come() -> bool:
        response = stage.ask(path, VENDOR)
        return response.status_code == 200 and response.json()["state"] == state

    wait_until(f"identity {identity} is {state}", has_come)
