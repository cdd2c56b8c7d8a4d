"""Signing keys in a real token: rotated into it without a gap, and nothing is issued while it is away."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from shutil import move
from typing import Any

import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import KeySet

from identity_oidc.command import oidc
from identity_oidc.config import KeySettings, ProviderConfig
from identity_oidc.errors import ConfigurationError, KeyTokenError
from identity_oidc.provider import Provider
from identity_oidc.tokens.id_token import read_own_id_token, sign
from identity_oidc.tokens.key_ring import ALGORITHMS, KeyRing, load_entries, rotate
from tally_service import pkcs11_session
from tally_service.key_token import KeyToken, close_session
from tests.key_token import PIN, token
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, RelyingParty, ask

__all__ = ["token"]

CLAIMS = {"iss": "me", "sub": "x"}


class At:
    """A clock that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def settings_of(directory: Path, token: KeyToken) -> KeySettings:
    return KeySettings(
        directory=directory,
        look_every_s=0,
        pkcs11_module=token.module,
        pkcs11_token=token.label,
        pkcs11_pin_file=token.pin_file,
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_keys_rotate_from_files_into_a_token_without_a_gap(tmp_path: Path, token: KeyToken, algorithm: str) -> None:
    clock, files = At(), KeySettings(directory=tmp_path / "keys", look_every_s=0)
    for each in ALGORITHMS:
        rotate(files, clock, each)
    settings = settings_of(files.directory, token)
    ring = KeyRing.open(settings, clock)
    first = sign(ring, algorithm, "JWT", CLAIMS)
    made = rotate(settings, clock, algorithm)
    published = {key["kid"]: key for key in ring.jwks()["keys"]}
    assert made.kid in published, "seen without a restart, before it signs"
    assert not {"d", "p", "q"} & set(published[made.kid])
    assert ring.signing_key(algorithm).entry.token_id is None
    clock.now += settings.publish_before_s
    assert ring.signing_key(algorithm).entry.kid == made.kid
    second = sign(ring, algorithm, "JWT", CLAIMS)
    strangers = KeySet.import_key_set({"keys": list(published.values())})
    for text in (first, second):
        assert jwt.decode(text, strangers, algorithms=[algorithm]).claims == CLAIMS
        assert read_own_id_token(ring, "me", text) is not None
    assert not list(files.directory.glob(f"{made.kid}.pem"))
    back = rotate(files, clock, algorithm)
    clock.now += settings.publish_before_s
    assert ring.signing_key(algorithm).entry.kid == back.kid, "and back to a file"
    assert read_own_id_token(ring, "me", second) is not None
    clock.now += settings.keep_after_s
    assert read_own_id_token(ring, "me", second) is None


@pytest.fixture
def ring_settings(tmp_path: Path, token: KeyToken) -> KeySettings:
    settings = settings_of(tmp_path / "keys", token)
    for algorithm in ALGORITHMS:
        rotate(settings, At(), algorithm)
    return settings


def test_without_its_token_a_provider_does_not_start(
    ring_settings: KeySettings, token: KeyToken, tmp_path: Path
) -> None:
    KeyRing.open(ring_settings, At())
    close_session()
    (place,) = (token.pin_file.parent / "tokens").iterdir()
    move(place, tmp_path / "pulled")
    with pytest.raises(KeyTokenError, match="not there"):
        KeyRing.open(ring_settings, At())
    move(tmp_path / "pulled", place)
    close_session()
    token.pin_file.write_text("wrong")
    with pytest.raises(KeyTokenError, match="refuses the PIN"):
        KeyRing.open(ring_settings, At())
    with pytest.raises(ConfigurationError, match=r"keys\.pkcs11_module"):
        KeyRing.open(replace(ring_settings, pkcs11_module=None), At())


def test_a_check_that_anybody_may_ask_for_reaches_the_token_now_and_then(
    ring_settings: KeySettings, token: KeyToken
) -> None:
    clock = At()
    ring = KeyRing.open(replace(ring_settings, look_every_s=5), clock)
    ring.check()
    (place,) = (token.pin_file.parent / "tokens").iterdir()
    move(place, token.pin_file.parent / "pulled")
    clock.now += 4
    ring.check()
    clock.now += 1
    with pytest.raises(KeyTokenError):
        ring.check()


def test_a_public_file_of_another_key_is_refused(ring_settings: KeySettings) -> None:
    (one, other) = (entry.kid for entry in load_entries(ring_settings.directory))
    (ring_settings.directory / f"{one}.pub").write_bytes((ring_settings.directory / f"{other}.pub").read_bytes())
    with pytest.raises(ConfigurationError, match="another kind"):
        KeyRing.open(ring_settings, At())
    stranger = replace(ring_settings, directory=ring_settings.directory.parent / "strangers")
    of_stranger = rotate(stranger, At(), "ES256").kid
    (ring_settings.directory / f"{one}.pub").write_bytes((stranger.directory / f"{of_stranger}.pub").read_bytes())
    with pytest.raises(KeyTokenError, match="not the one"):
        KeyRing.open(ring_settings, At())
    (ring_settings.directory / f"{one}.pub").write_text("x")
    with pytest.raises(ConfigurationError, match="no public key"):
        KeyRing.open(ring_settings, At())


@pytest.fixture
def in_token(provider: Provider, token: KeyToken, clock: TestClock) -> Provider:
    """A provider that runs, whose keys move into a token at once."""
    for name, value in (("module", token.module), ("token", token.label), ("pin_file", token.pin_file)):
        object.__setattr__(provider.config.keys, f"pkcs11_{name}", value)
    for algorithm in ALGORITHMS:
        rotate(provider.config.keys, clock, algorithm, at_once=True)
    return provider


def test_a_login_ends_with_a_signature_of_the_token_or_not_at_all(
    in_token: Provider,
    token: KeyToken,
    app: RelyingParty,
    ledger: LedgerInMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pkcs11_session, "_PAUSE_S", 0.0)
    soft = SoftAgent.enrolled(in_token.issuer, ledger, IDENTITY, in_token.clock)
    browser = Browser()
    challenge = soft.challenge(app.begin(browser))
    approved = soft.approve(challenge, soft.approval(challenge))
    code = browser.get(approved.json["completion_uri"]).parameters["code"]
    (place,) = (token.pin_file.parent / "tokens").iterdir()
    move(place, token.pin_file.parent / "pulled")
    refused = app.redeem(code)
    assert refused.status == 503, refused.text
    assert not [each for each in (PIN, "not there", str(token.pin_file)) if each in refused.text]
    assert ask("GET", f"{in_token.issuer}/readyz").json["failing"] == ["keys"]
    assert ask("GET", f"{in_token.issuer}/jwks").status == 200
    move(token.pin_file.parent / "pulled", place)
    assert ask("GET", f"{in_token.issuer}/readyz").status == 200
    answer = app.redeem(code)
    assert answer.status == 200, "the code was not used up"
    app.verify_id_token(answer.json["id_token"], answer.json["access_token"])


def test_the_command_makes_keys_in_the_token_and_says_why_not(tmp_path: Path, token: KeyToken) -> None:
    lines = f'module = "{token.module}"\npkcs11_pin_file = "{token.pin_file}"\n'
    (tmp_path / "oidc.toml").write_text(
        f'[provider]\nissuer = "https://login.example"\n[keys]\ndirectory = "keys"\npkcs11_{lines}'
    )
    config = ["--config", str(tmp_path / "oidc.toml")]
    made = CliRunner().invoke(oidc, ["keys", "new", *config, "--json"])
    assert made.exit_code == 0, made.output
    assert CliRunner().invoke(oidc, ["keys", "list", *config]).output.count("\ttoken\t") == 2
    listed: Any = json.loads(CliRunner().invoke(oidc, ["keys", "list", *config, "--json"]).output)
    assert all(len(key["token_id"]) == 32 for key in listed["keys"])
    assert not list((tmp_path / "keys").glob("*.pem"))
    close_session()
    token.pin_file.write_text("wrong-pin")
    refused = CliRunner().invoke(oidc, ["keys", "new", *config])
    assert (refused.exit_code, "refuses the PIN" in refused.output, "wrong-pin" in refused.output) == (69, True, False)
    os.chmod(token.pin_file, 0o644)  # noqa: PTH101
    refused = CliRunner().invoke(oidc, ["keys", "new", *config])
    assert (refused.exit_code, "set it to 600" in refused.output) == (69, True)
    assert len(load_entries(tmp_path / "keys")) == 2, "nothing was written"


@pytest.mark.parametrize("line", ['pkcs11_module = "x.so"', 'pkcs11_pin_file = "pin"'])
def test_module_and_pin_file_go_together(tmp_path: Path, line: str) -> None:
    (tmp_path / "oidc.toml").write_text(f'[provider]\nissuer = "https://login.example"\n[keys]\n{line}\n')
    with pytest.raises(ConfigurationError, match=r"pkcs11_module and keys\.pkcs11_pin_file"):
        ProviderConfig.load(tmp_path / "oidc.toml", {})
