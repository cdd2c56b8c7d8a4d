"""What a login needs beside the consortium: a provider, an app, and a person's agent with the card in its reader."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from identity_oidc import base64url
from pki_chain.demo.identity_steps import SimDesk
from pki_chain.demo.processes import Daemon, free_port, is_ready, wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage

_SOURCES: Final = Path(__file__).parents[2]
"""Where `examples` stands, in a checkout."""
_APP: Final = "examples.relying_party.app:create()"
_APP_HOST: Final = "shop.localhost"
_DAY_S: Final = 86_400
_SOCKET: Final = re.compile(r"(PCSCLITE_CSOCK_NAME)=(\S+)")


def missing() -> str:
    """Why the sample app cannot run here; empty where it can."""
    if not (_SOURCES / "examples" / "relying_party" / "app.py").is_file():
        return "the sample app stands in the source tree alone (examples/relying_party)"
    if importlib.util.find_spec("jose") is None:
        return "the Python package python-jose, which the sample app verifies with, is not installed"
    return ""


@dataclass(frozen=True, slots=True)
class LoginSite:
    """Addresses of provider, app and agent, and the folder of their files."""

    stage: Stage
    desk: SimDesk
    issuer: str
    app: str
    agent: str

    @property
    def folder(self) -> Path:
        return self.stage.root / "login"

    @classmethod
    def on_free_ports(cls, stage: Stage) -> LoginSite:
        """Nothing runs yet."""
        ports = [free_port() for _ in range(3)]
        issuer, agent = (f"http://127.0.0.1:{port}" for port in ports[:2])
        return cls(stage, SimDesk(stage.root / "sim"), issuer, f"http://{_APP_HOST}:{ports[2]}", agent)

    def start_provider(self) -> None:
        """Keys, `tally oidc serve`, and the app that the operator admits; returns before it is ready."""
        self.folder.mkdir(mode=0o700)
        self._write_settings()
        key = self._make_member_key()
        self._oidc("keys", "new")
        self.stage.processes.daemon("oidc", ("oidc", "serve"), self.folder)
        now = int(time.time())
        record = {
            "client_id": "shop",
            "name": "Corner Shop",
            "verified_domains": [_APP_HOST],
            "sector": _APP_HOST,
            "logo_digest": "",
            "is_native": False,
            "member": 1,
            "member_name": "Operator",
            "iat": now - 60,
            "exp": now + 30 * _DAY_S,
        }
        signed = self._oidc("app", "sign", self._json("record.json", record), "--key", str(key))
        registration = {
            "record": signed["record"],
            "redirect_uris": [f"{self.app}/callback"],
            "post_logout_redirect_uris": [f"{self.app}/"],
            "items": {"email": {"en": "to send the receipt", "zh": "发送收据"}, "email_verified": {}},
        }
        made = self._oidc("app", "add", self._json("registration.json", registration))
        self.desk.secret("app-secret", made["client_secret"])

    def start_app(self) -> None:
        """The sample app, as its README says; it wants the provider to answer. Returns before it is ready."""
        wait_until("the provider is ready", lambda: self._runs() and is_ready(self.issuer))
        settings = {
            "issuer": self.issuer,
            "client_id": "shop",
            "client_secret_file": str(self.desk.folder / "app-secret"),
            "address": self.app,
        }
        port = self.app.rpartition(":")[2]
        self.stage.processes.daemon(
            "shop",
            ("--app", _APP, "run", "--port", port),
            _SOURCES,
            program=(sys.executable, "-m", "flask"),
            settings={"RELYING_PARTY_SETTINGS": self._json("shop.json", settings)},
        )

    def start_reader(self) -> Daemon | None:
        """The card in the reader of a pcscd that stays; None where there is no reader. Returns before it is there."""
        if not self.stage.has_reader:
            return None
        command = ("sim", "emulate", str(self.desk.card), *self.desk.opened)
        return self.stage.processes.daemon("reader", command, self.desk.folder, settings=self._state())

    def start_agent(self, reader: Daemon | None) -> None:
        """The agent enrolled with the card, and waiting beside it."""
        card, settings = self._card(reader)
        pin = ("--pin-file", str(self.desk.folder / "new-pin"))
        members = ("--member-keys", str(self.folder / "members.json"))
        enrol = ("enrol", self.issuer, "--identity", self.stage.identity, "--label", "PC at home", *members, *pin)
        agent = ("sim", "agent")
        self.stage.processes.run([*agent, *enrol, *card], self.desk.folder, settings=settings)
        port = self.agent.rpartition(":")[2]
        run = ("run", "--port", port, "--gateway", self.stage.gateways[VENDOR], "--language", "en")
        waiting = self.stage.processes.daemon("agent", (*agent, *run, *card), self.desk.folder, settings=settings)
        wait_until("the agent waits for logins", lambda: waiting.log_has("Waiting for logins"))
        wait_until("the sample app answers", self._app_answers)

    def _state(self) -> dict[str, str]:
        return {"XDG_STATE_HOME": str(self.desk.folder)}

    def _card(self, reader: Daemon | None) -> tuple[tuple[str, ...], dict[str, str]]:
        """Options that lead to the card, and settings."""
        if reader is None:
            return ("--card-file", str(self.desk.card), *self.desk.opened), self._state()
        wait_until("the card is in a reader", lambda: reader.log_has("PCSCLITE_CSOCK_NAME="))
        found = _SOCKET.search(reader.log.read_text(encoding="utf-8"))
        name, path = found.groups() if found else ("", "")
        return (), self._state() | {name: path, "TALLY_SIM_WAIT": "10"}

    def _write_settings(self) -> None:
        port, agent_port = (address.rpartition(":")[2] for address in (self.issuer, self.agent))
        (self.folder / "oidc.toml").write_text(
            f"""[provider]
issuer = "{self.issuer}"
port = {port}
database = "sqlite:///{self.folder / "oidc.sqlite"}"
subscribers = "sqlite:///{self.desk.folder / "people.sqlite"}"
members = "members.json"

[ledger]
gateways = ["{self.stage.gateways[OPERATOR]}"]
poll_s = 0.3
accept_emulators = true

[login]
agent_loopback_port = {agent_port}
""",
            encoding="utf-8",
        )

    def _make_member_key(self) -> Path:
        """The key by which the operator admits apps, and the list of members with its public half."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = Path(self.desk.secret("member-key.pem", pem.decode("ascii")))
        numbers = key.public_key().public_numbers()
        x, y = (base64url.encode(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        self._json("members.json", [{"member": 1, "name": "Operator", "keys": [jwk]}])
        return path

    def _oidc(self, *arguments: str) -> dict[str, str]:
        return self.stage.processes.run(("oidc", *arguments), self.folder).content

    def _json(self, name: str, content: object) -> str:
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    def _runs(self) -> bool:
        self.stage.processes.require_running()
        return True

    def _app_answers(self) -> bool:
        self._runs()
        near = self.app.replace(_APP_HOST, "127.0.0.1")
        try:
            return requests.get(near, timeout=2).status_code == 200
        except requests.RequestException:
            return False
