"""The steps about a person: a card is personalised in a reader, its identity registered, activated and read back."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pki_chain.demo.processes import Result, wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, require

Say = Callable[[str], None]

_NO_READER: Final = (69, 78)
"""Exit codes of a machine on which no pcscd can be started: programs or rights are missing."""


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

    @property
    def card(self) -> Path:
        return self.folder / "card.tally"

    @property
    def opened(self) -> tuple[str, str]:
        """What opens the card's file."""
        return "--passphrase-file", str(self.folder / "passphrase")

    def run_with_reader(self, stage: Stage, *command: str, is_new: bool = False) -> Result:
        """Run a `tally sim` command beside a pcscd of its own, in whose reader the emulated card is."""
        emulate = ("sim", "emulate", str(self.card), *(("--new",) if is_new else ()), *self.opened, "--")
        inner = (sys.executable, "-m", "pki_chain.cli.main", "sim", *command)
        expected = (0, *_NO_READER) if is_new else (0,)
        return stage.processes.run([*emulate, *inner], self.folder, expected=expected, settings=self._state())

    def run_without_reader(self, stage: Stage, *command: str) -> Result:
        """Run a `tally sim` command with the emulated card inside of it."""
        return stage.processes.run(("sim", *command, *self.opened), self.folder, settings=self._state())

    def _state(self) -> dict[str, str]:
        return {"XDG_STATE_HOME": str(self.folder)}


def personalise_card(stage: Stage, say: Say) -> None:
    """The operator prepares an id, the personaliser makes the key on a card, through a real pcscd."""
    desk = _desk(stage)
    desk.folder.mkdir(mode=0o700)
    desk.secret("passphrase", secrets.token_urlsafe(24))
    stage.tally(OPERATOR, "consortium", "account", "add", "registrar", "--role", "registrar")
    stage.tally(OPERATOR, "identity", "prepare", "--count", "1", "--out", str(desk.batch))
    people = f"sqlite:///{desk.folder / 'people.sqlite'}"
    given = stage.processes.run(("subscribers", "demo", people, "--batch", str(desk.batch)), desk.folder).content
    (person,) = given["identities"]
    with stage.timed("a card: key, possession proof, PIN"):
        made = desk.run_with_reader(stage, "personalise", str(desk.batch), is_new=True)
        stage.has_reader = made.exit_code == 0
        if not stage.has_reader:
            say(f"no reader on this machine, so the card runs inside of the commands: {made.error}")
            made = desk.run_without_reader(stage, "personalise", str(desk.batch), "--card-dir", str(desk.folder))
    cards = made.content["cards"]
    require(cards["finished"] == 1, f"no card was finished: {cards}")
    line = desk.lines("registrations.jsonl")[1]
    where = "in the reader of a real pcscd " if stage.has_reader else ""
    say(f"an emulated card {where}made its key, and signed that it has it; the key never left the card")
    say(f"identity {line['identity'][:18]}... is random; that it is person {person} stands in the operator's SQL only")


def register_identity(stage: Stage, say: Say) -> None:
    """The identity on the ledger: registered, activated by the person's own signature, and read back."""
    desk = _desk(stage)
    registrations = str(desk.made / "registrations.jsonl")
    line = desk.lines("registrations.jsonl")[1]
    identity = line["identity"]
    refused = stage.tally(OPERATOR, "identity", "register", registrations, expected=(77,))
    require("protects no key" in str(refused.content), f"an emulated card was taken: {refused.content}")
    with stage.timed("its identity registered; the contract verified the card's proof"):
        stage.tally(OPERATOR, "identity", "register", registrations, "--allow-emulators")
    wait_for_identity(stage, identity, "registered")
    say("registered, as the trial asks for an emulator to be taken; production policy refuses its mark")
    letter = desk.lines("pin-letters.jsonl")[0]
    old = ("--pin-file", desk.secret("transport-pin", letter["transport_pin"]))
    new = ("--new-pin-file", desk.secret("new-pin", f"{secrets.randbelow(10**6):06}"))
    activate = ("activate", str(desk.batch), "--output", str(desk.folder / "activation.jsonl"), *old, *new)
    if stage.has_reader:
        desk.run_with_reader(stage, *activate)
    else:
        desk.run_without_reader(stage, *activate, "--card-file", str(desk.card))
    stage.tally(OPERATOR, "identity", "activate", str(desk.folder / "activation.jsonl"))
    wait_for_identity(stage, identity, "active")
    answer = stage.get(f"/v1/identities/{identity}", VENDOR)
    require(answer["key"] == line["key"], f"the ledger has another key than the card: {answer['key']}")
    block = answer["block"]["number"]
    say(f"the person changed the PIN, the card signed, and the vendor's gateway reads it back: active, block {block}")
    stage.identity = identity


def _desk(stage: Stage) -> SimDesk:
    return SimDesk(stage.root / "sim")


def wait_for_identity(stage: Stage, identity: str, state: str) -> None:
    """Ask another member's gateway until it answers this state."""
    path = f"/v1/identities/{identity}"

    def has_come() -> bool:
        response = stage.ask(path, VENDOR)
        return response.status_code == 200 and response.json()["state"] == state

    wait_until(f"identity {identity} is {state}", has_come)
