"""What the agent keeps on disk, one folder a provider: its key, its enrolment, and what it remembers.

All of it is readable by its owner only. Nothing here is personal data of a login, and no PIN is ever written.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.app_record import MemberKeys
from sim_applet_tools.agent.base64url import encode_base64url
from sim_applet_tools.agent.fields import IDENTITY_ID, RANDOM_ID, Fields, parse_object
from sim_applet_tools.agent.jws import parse_jwk, public_jwk
from sim_applet_tools.agent.provider_client import parse_members
from sim_applet_tools.errors import NotEnrolledError, ProviderAnswerError, StorageError

FOLDER_MODE = 0o700
FILE_MODE = 0o600
MAX_FILE_BYTES = 4 << 20
MAX_APPS = 2000
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What this agent is at one provider; `card_key` is the public half of the card's approval key."""

    issuer: str
    identity: str
    agent_id: str
    access_token: str
    expires_at: int
    card_key: ec.EllipticCurvePublicKey
    members: tuple[MemberKeys, ...]
    loopback_port: int
    has_wake: bool


@dataclass(frozen=True, slots=True)
class KnownApp:
    """An app that was approved here, or blocked; `sub` is empty where it was never approved."""

    name: str
    sub: str
    first_at: int
    last_at: int
    is_blocked: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """What the agent remembers between two looks.

    `counter` is the card's signature counter at the last look (None before the first), `own` how many signatures this
    agent has had made since. `keys` are X coordinates of the identity's keys on the ledger that were found right.
    """

    apps: dict[str, KnownApp] = field(default_factory=dict)
    counter: int | None = None
    own: int = 0
    keys: tuple[str, ...] = ()


class ProviderHome:
    """The folder of one provider."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def key_path(self) -> Path:
        return self.directory / "key.pem"

    @property
    def _enrolment_path(self) -> Path:
        return self.directory / "enrolment.json"

    def load_enrolment(self) -> Enrolment:
        """`NotEnrolledError` where there is none, `StorageError` where it is damaged."""
        raw = _read(self._enrolment_path)
        if raw is None:
            raise NotEnrolledError("this agent is not enrolled: `tally sim agent enrol`")
        return _parsed(self._enrolment_path, raw, _enrolment)

    def store_enrolment(self, enrolment: Enrolment) -> None:
        document = {
            "issuer": enrolment.issuer,
            "identity": enrolment.identity,
            "agent_id": enrolment.agent_id,
            "access_token": enrolment.access_token,
            "expires_at": enrolment.expires_at,
            "card_key": public_jwk(enrolment.card_key),
            "members": members_document(enrolment.members),
            "loopback_port": enrolment.loopback_port,
            "wake": enrolment.has_wake,
        }
        _write(self._enrolment_path, document)

    def memory(self) -> Memory:
        path = self.directory / "memory.json"
        raw = _read(path)
        return Memory() if raw is None else _parsed(path, raw, _memory)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One process of this agent at a time."""
        self.create()
        with (self.directory / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def change(self, change: Callable[[Memory], Memory]) -> Memory:
        """Read, change and write what is remembered, while no other process of this agent does."""
        with self.lock():
            memory = change(self.memory())
            _write(self.directory / "memory.json", _memory_document(memory))
        return memory

    def create(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        except OSError as error:
            raise StorageError(f"cannot make the agent's folder {self.directory}: {error.strerror}") from error

    def remove(self) -> None:
        """Forget the provider, key included."""
        shutil.rmtree(self.directory, ignore_errors=True)


class AgentHome:
    """The folder of all providers; by default `tally/agent` under the user's state folder."""

    def __init__(self, directory: Path | None = None) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        self.directory = directory or state / "tally" / "agent"

    def provider(self, issuer: str) -> ProviderHome:
        return ProviderHome(self.directory / sha256(issuer.encode()).hexdigest()[:32])

    def enrolled(self) -> list[ProviderHome]:
        """Folders of providers that this agent is enrolled at, in a stable order."""
        if not self.directory.is_dir():
            return []
        folders = sorted(path for path in self.directory.iterdir() if (path / "enrolment.json").is_file())
        return [ProviderHome(folder) for folder in folders]


def members_document(members: tuple[MemberKeys, ...]) -> list[dict[str, Any]]:
    """As `members` stands in the agent API's configuration."""
    return [
        {"member": member.member, "name": member.name, "keys": [public_jwk(key) for key in member.keys]}
        for member in members
    ]


def _enrolment(fields: Fields) -> Enrolment:
    key = Fields(fields.take("card_key"), "card_key")
    key.choice("kty", ("EC",))
    key.choice("crv", ("P-256",))
    return Enrolment(
        issuer=fields.text("issuer", 256),
        identity=fields.text("identity", 66, pattern=IDENTITY_ID),
        agent_id=fields.text("agent_id", 64, pattern=RANDOM_ID),
        access_token=fields.text("access_token", 512),
        expires_at=fields.time("expires_at"),
        card_key=parse_jwk(key.digest("x"), key.digest("y")),
        members=parse_members(fields.array("members", 64), "members"),
        loopback_port=fields.integer("loopback_port", 1, 65_535),
        has_wake=fields.boolean("wake"),
    )


def _memory(fields: Fields) -> Memory:
    apps = {}
    for client_id, value in Fields(fields.take("apps"), "apps").rest().items():
        app = Fields(value, f"app {client_id}")
        apps[client_id] = KnownApp(
            name=app.text("name", 64),
            sub=app.text("sub", 128, least=0),
            first_at=app.time("first_at"),
            last_at=app.time("last_at"),
            is_blocked=app.boolean("is_blocked"),
        )
    counter = fields.integer("counter", -1, (1 << 32) - 1)
    return Memory(
        apps=apps,
        counter=None if counter < 0 else counter,
        own=fields.integer("own", 0, (1 << 32) - 1),
        keys=tuple(encode_base64url(Fields({"x": key}, "keys").digest("x")) for key in fields.array("keys", 10_000)),
    )


def _memory_document(memory: Memory) -> dict[str, Any]:
    newest = sorted(memory.apps.items(), key=lambda entry: (entry[1].is_blocked, entry[1].last_at))[-MAX_APPS:]
    return {
        "apps": {
            client_id: {
                "name": app.name,
                "sub": app.sub,
                "first_at": app.first_at,
                "last_at": app.last_at,
                "is_blocked": app.is_blocked,
            }
            for client_id, app in newest
        },
        "counter": -1 if memory.counter is None else memory.counter,
        "own": memory.own,
        "keys": list(memory.keys),
    }


def _parsed(path: Path, raw: bytes, read: Callable[[Fields], Value]) -> Value:
    try:
        fields = Fields(parse_object(raw, path.name, MAX_FILE_BYTES), path.name)
        value = read(fields)
        fields.end()
    except ProviderAnswerError as error:
        raise StorageError(f"the agent's file {path} is damaged: remove it and enrol anew") from error
    return value


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read the agent's file {path}: {error.strerror}") from error


def _write(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all, also when the machine stops meanwhile."""
    new = path.with_suffix(".new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write the agent's file {path}: {error.strerror}") from error
