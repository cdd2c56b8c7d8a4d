"""Access rules of phone apps: published answers, the emulated card's ARA-M, and what a real one may answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from sim_applet_tools.access_rules import (
    AccessRule,
    AccessRuleApplet,
    agent_rule,
    encode_all,
    parse_all,
    parse_rule,
    store_command,
)
from sim_applet_tools.apdu import CommandApdu
from sim_applet_tools.cli import sim
from sim_applet_tools.emulator import keystore
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore, MemoryStore
from sim_applet_tools.errors import CardResponseError, InputError
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, ApprovalCard
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.status_words import ConflictingRuleError, NotFoundError, PinRequiredError, StatusWordError
from sim_applet_tools.tlv import parse_strict
from sim_applet_tools.transport.base import exchange
from sim_applet_tools.transport.loopback import LoopbackTransport
from tests.sim.card_targets import fresh_emulator
from tests.sim.scripted_card import ScriptedCard

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/access_rules/carrier_privileges.json").read_text())
APPLET = load_profile("tally").application_ids[0]
RULE = AccessRule(APPLET, b"\x11" * 32, apdu=True)


@pytest.mark.parametrize("vector", VECTORS["accepted"])
def test_published_answers_are_read_and_written(vector: dict[str, Any]) -> None:
    (rule,) = parse_all(bytes.fromhex(vector["raw"]))
    assert (None if rule.application_id is None else rule.application_id.hex()) == vector["aid"]
    assert rule.app_hash.hex() == vector["app_hash"]
    assert (rule.package, rule.apdu, rule.nfc) == (vector["package"], vector["apdu"], vector["nfc"])
    assert (None if rule.permissions is None else rule.permissions.hex()) == vector["permissions"]
    assert encode_all([rule]) == bytes.fromhex(vector["raw"])


@pytest.mark.parametrize("raw", VECTORS["refused"])
def test_answers_that_the_specification_does_not_know_are_refused(raw: str) -> None:
    with pytest.raises(CardResponseError):
        parse_all(bytes.fromhex(raw))


RULES = st.builds(
    AccessRule,
    st.one_of(st.none(), st.just(b""), st.binary(min_size=5, max_size=16)),
    st.sampled_from([b"", bytes(20), bytes(range(32))]),
    st.one_of(st.booleans(), st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=3).map(tuple)),
    st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.just("com.example.agent")),
    st.one_of(st.none(), st.binary(min_size=8, max_size=8)),
)


@given(st.lists(RULES, max_size=5))
def test_rules_are_read_back_as_written(rules: list[AccessRule]) -> None:
    assert parse_all(encode_all(rules)) == rules


@given(st.binary(max_size=80))
def test_any_bytes_are_rules_or_refused(raw: bytes) -> None:
    for whole in (raw, b"\xff\x40" + bytes((len(raw),)) + raw):
        try:
            rules = parse_all(whole)
        except CardResponseError:
            continue
        assert encode_all(rules) == whole


@pytest.mark.parametrize(
    "fields",
    [
        {"application_id": b"1234"},
        {"app_hash": bytes(19)},
        {"apdu": None},
        {"apdu": ()},
        {"apdu": (bytes(7),)},
        {"package": ""},
        {"package": "é"},
        {"permissions": bytes(2)},
    ],
)
def test_a_rule_that_none_may_write(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        AccessRule(**{"application_id": APPLET, "app_hash": bytes(20), "apdu": True, **fields})


def test_the_rule_of_the_agents_app() -> None:
    rule = agent_rule(APPLET, b"a certificate")
    assert rule.app_hash == sha256(b"a certificate").digest()
    raw = store_command(rule).encode()
    assert raw == bytes.fromhex(
        "80E29000 37 F035 E233 E12C 4F08"
    ) + APPLET + b"\xc1\x20" + rule.app_hash + bytes.fromhex("E303 D00101")
    assert parse_rule(parse_strict(parse_strict(raw[5:])[0].value)[0]) == rule


@pytest.mark.parametrize("is_t1", [False, True])
def test_rules_are_stored_listed_and_deleted(is_t1: bool) -> None:
    transport = LoopbackTransport(fresh_emulator(is_t1=is_t1))
    applet = AccessRuleApplet(transport)
    assert applet.rules() == []
    assert applet.store(RULE) is True
    assert applet.store(RULE) is False
    many = [AccessRule(APPLET, bytes((number,)) * 32, apdu=True) for number in range(12)]
    assert all(applet.store(rule) for rule in many)
    assert applet.rules() == [RULE, *many]  # longer than one answer
    applet.delete(RULE)
    assert applet.rules() == many
    with pytest.raises(NotFoundError):
        applet.delete(RULE)
    with pytest.raises(ConflictingRuleError):
        applet.store(AccessRule(APPLET, many[0].app_hash, apdu=False))


def test_the_refresh_tag_changes_with_the_rules() -> None:
    transport = LoopbackTransport(fresh_emulator())
    applet = AccessRuleApplet(transport)

    def tag() -> bytes:
        return exchange(transport, CommandApdu(0x80, 0xCA, 0xDF, 0x20, le=256)).data

    before = tag()
    assert (before[:3], len(before)) == (bytes.fromhex("DF2008"), 11)
    applet.store(RULE)
    after = tag()
    assert after != before
    applet.store(RULE)
    assert tag() == after


@pytest.mark.parametrize(
    ("text", "status_word"),
    [
        ("80E2900000", 0x6A80),
        ("80E2800002F000", 0x6A86),
        ("80E2900002F000", 0x6A80),
        ("80E2900004F002E200", 0x6A80),
        ("80E2900003F10200", 0x6A80),
        ("80E2900004F1024F00", 0x6A88),
        ("80E2900002F200", 0x6A80),
        ("80CAFF5000", 0x6A86),
        ("80CAFF6000", 0x6985),
        ("00CAFF4000", 0x6E00),
        ("80CB000000", 0x6D00),
        ("00B0000000", 0x6E00),
    ],
)
def test_commands_that_the_rule_applet_refuses(text: str, status_word: int) -> None:
    card = fresh_emulator()
    AccessRuleApplet(LoopbackTransport(card)).rules()
    assert int.from_bytes(card.transmit(bytes.fromhex(text))[-2:], "big") == status_word


def test_rules_are_for_the_personaliser_and_stay(tmp_path: Path) -> None:
    store = MemoryStore(new_image())
    transport = LoopbackTransport(EmulatedCard(store))
    AccessRuleApplet(transport).store(RULE)
    applet = find_applet(transport, [load_profile("tally")])
    applet.generate_key_pair(APPROVAL_KEY)
    ApprovalCard(applet).personalise("123456", "11223344")
    again = AccessRuleApplet(LoopbackTransport(EmulatedCard(store)))
    assert again.rules() == [RULE]
    with pytest.raises(PinRequiredError):
        again.store(AccessRule(APPLET, bytes(20), apdu=True))
    with pytest.raises(PinRequiredError):
        again.delete(RULE)


def test_a_card_without_rules_or_rule_applet() -> None:
    with pytest.raises(NotFoundError):
        AccessRuleApplet(LoopbackTransport(EmulatedCard(None)))
    empty = AccessRuleApplet(LoopbackTransport(ScriptedCard([b"\x90\x00", b"\x6a\x88"])))
    assert empty.rules() == []


@pytest.mark.parametrize(
    "answers",
    [
        [b"\xff\x40\x10" + bytes(4) + b"\x90\x00", b"\x90\x00"],  # nothing more comes
        [b"\xff\x40\x02" + bytes(1) + b"\x90\x00", bytes(9) + b"\x90\x00"],  # too much comes
        [b"\xff\x41\x00\x90\x00"],
        [b"\x90\x00"],
        [b"\xff\x40\x82\xff\xff\x90\x00", *[bytes(200) + b"\x90\x00"] * 200],  # no end
    ],
)
def test_malformed_answers_of_the_rule_applet(answers: list[bytes]) -> None:
    applet = AccessRuleApplet(LoopbackTransport(ScriptedCard([b"\x90\x00", *answers])))
    with pytest.raises((CardResponseError, StatusWordError)):
        applet.rules()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "SCRYPT_COST", 1 << 4)
    monkeypatch.chdir(tmp_path)
    Path("passphrase").write_text("a passphrase")
    EncryptedFileStore(Path("card"), "a passphrase", image_if_new=new_image()).close()
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=app"), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    Path("app.pem").write_bytes(certificate.public_bytes(Encoding.PEM))

    def run(*arguments: str) -> Any:
        options = ["--card-file", "card", "--passphrase-file", "passphrase", "--json"]
        return CliRunner().invoke(sim, ["access-rule", *arguments, *options])

    assert json.loads(run().stdout) == {"stored": None, "rules": []}
    printed = json.loads(run("--certificate", "app.pem", "--print-only").stdout)["command"]
    fingerprint = certificate.fingerprint(hashes.SHA256())
    assert printed == store_command(AccessRule(APPLET, fingerprint, apdu=True)).encode().hex().upper()
    stored = json.loads(run("--certificate", "app.pem", "--store").stdout)
    assert stored["stored"] is True
    (rule,) = stored["rules"]
    assert (rule["aid"], rule["app_hash"], rule["apdu"]) == (APPLET.hex().upper(), fingerprint.hex(), "always")
    assert json.loads(run("--certificate", "app.pem", "--store").stdout)["stored"] is False
    assert run("--store").exit_code == 65
    assert run("--certificate", "passphrase").exit_code == 65
