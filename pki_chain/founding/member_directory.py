"""A member's own directory: tally.toml, rules.toml, keystore/ and data/; no other member's process needs to read it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pki_chain.chain.founding import MemberPlan
from pki_chain.chain.signer import Keystore, create_passphrase, load_passphrase
from pki_chain.errors import ConfigurationError, StorageError
from pki_chain.founding.founders import Founder
from pki_chain.ports import Address

ADMINISTRATOR = "administrator"
DUTY = "duty"
ENDORSER = "endorser"
STATION = "station"
RELAYER = "relayer"
"""Labels of a member's keys in its keystore."""

SETTINGS = "tally.toml"
FOUNDER_FILE = "founder.json"
CONSORTIUM_FILE = "consortium.json"
_NO_NUMBER = re.compile(r"^id = 0$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Services:
    """Where a member's services listen, and what they talk to. A port of 0 is chosen when the service starts."""

    gateway_port: int = 8080
    gateways: tuple[str, ...] = ()
    workers: int = 1
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class MemberDirectory:
    """The directory of one founder and the accounts in its keystore, by label."""

    path: Path
    founder: Founder
    accounts: Mapping[str, Address] = field(default_factory=dict)

    @property
    def passphrase_file(self) -> Path:
        return self.path / "keystore" / "passphrase"

    def keystore(self) -> Keystore:
        """Open the member's keystore."""
        return Keystore(self.path / "keystore", load_passphrase(self.passphrase_file))

    def plan(self) -> MemberPlan:
        """This member as founders plan it."""

        def accounts(label: str) -> tuple[Address, ...]:
            return (self.accounts[label],) if label in self.accounts else ()

        return MemberPlan(
            kind=self.founder.kind,
            name=self.founder.name,
            administrators=accounts(ADMINISTRATOR),
            duty_accounts=accounts(DUTY),
            endorsers=accounts(ENDORSER),
            stations=accounts(STATION),
            spaces=self.founder.spaces,
        )


def create_member_directory(path: Path, founder: Founder) -> MemberDirectory:
    """Make the directory (mode 0700) with a fresh passphrase and keys.

    Raises `StorageError` when it exists or cannot be written: keys are never written over.
    """
    try:
        path.mkdir(mode=0o700, parents=True)
        (path / "data").mkdir(mode=0o700)
        (path / "keystore").mkdir(mode=0o700)
    except FileExistsError as error:
        raise StorageError(f"{path} exists already: choose another directory, keys are never written over") from error
    except OSError as error:
        raise StorageError(f"cannot make {path}: {error.strerror}") from error
    directory = MemberDirectory(path, founder)
    create_passphrase(directory.passphrase_file)
    keystore = directory.keystore()
    labels = [ADMINISTRATOR, DUTY, ENDORSER]
    labels += [STATION] if founder.has_station else []
    labels += [RELAYER] if founder.has_relayer else []
    return MemberDirectory(path, founder, {label: keystore.create(label) for label in labels})


def write_settings(directory: MemberDirectory, services: Services) -> None:
    """Write tally.toml, with the number 0 until `number_member`, and rules.toml. Raises `StorageError`."""
    founder = directory.founder
    sections: list[tuple[str, dict[str, object]]] = [
        ("member", {"id": 0, "name": founder.name}),
        ("ledger", {"consortium": CONSORTIUM_FILE, "timeout_s": services.timeout_s}),
        ("keystore", {"directory": "keystore", "passphrase_file": "keystore/passphrase"}),
        ("validator", {"rules": "rules.toml", "data": "data/validator", "endorser": ENDORSER}),
        (
            "station",
            {"data": "data/station", "account": STATION, "gateways": list(services.gateways)},
        ),
    ]
    if founder.has_relayer:
        gateway: dict[str, object] = {
            "host": "127.0.0.1",
            "port": services.gateway_port,
            "data": "data/gateway",
            "relayer": RELAYER,
            "workers": services.workers,
        }
        sections.append(("gateway", gateway))
    # JSON's strings, numbers, booleans and lists of strings are TOML's as well.
    text = "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items())
        for name, table in sections
    )
    try:
        (directory.path / SETTINGS).write_text(f"# {founder.name}\n{text}", encoding="utf-8")
        (directory.path / "rules.toml").write_text(DEFAULT_RULES, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write the settings of {founder.label} in {directory.path}: {error}") from error


def number_member(path: Path, number: int) -> None:
    """Put the member's number, which the plan gives, into the settings in its directory.

    Raises `ConfigurationError` when they have another already, `StorageError`.
    """
    settings = path / SETTINGS
    try:
        text = settings.read_text(encoding="utf-8")
        if re.search(rf"^id = {number}$", text, re.MULTILINE):
            return
        numbered, count = _NO_NUMBER.subn(f"id = {number}", text)
        if count != 1:
            raise ConfigurationError(f"{settings}: member.id is not 0, nor {number} as in the plan: correct it")
        settings.write_text(numbered, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot put the member's number into {settings}: {error}") from error


DEFAULT_RULES = """\
# What this member's validator looks at beside the certificate itself, in this order. Each table is a rule:
# a module of pki_chain/policy. docs/operations.md says what they do and which settings they take.
[rules.clock]

[rules.weak_keys]

[rules.live_names]

[rules.repeated_serials]
"""
