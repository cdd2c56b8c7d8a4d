"""`tally identity` with cards, in a whole consortium: from ids for cards to the ledger, and what is refused."""

from __future__ import annotations

import hashlib
import json
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_hash.auto import keccak

from identity_oidc.subscribers.base import IdentityId
from identity_oidc.subscribers.demo import assign_identities, create_demo_people, load_demo_people
from identity_oidc.subscribers.sql import SqlSubscriberBase
from pki_chain.demo.processes import Result, wait_until
from pki_chain.demo.stage import OPERATOR, VENDOR, Stage
from pki_chain.errors import LedgerUnavailableError
from pki_chain.identity.card_files import load_registrations
from pki_chain.identity.register import IdentityRegister, PreparedState
from pki_chain.identity.watch import GatewayWatch
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore
from tests.e2e.identity_desk import Batch, Desk
from tests.identity.cards import TestCard, write_lines

pytestmark = [pytest.mark.e2e, pytest.mark.chain, pytest.mark.xdist_group("identities")]

REFUSED, NOT_FOUND, BAD_INPUT, CONFIGURATION, TRY_AGAIN = 77, 66, 65, 78, 75
PIN = "246810"


@pytest.fixture(scope="module")
def operator(shared_stage: Stage) -> Stage:
    """A stage whose operator has a registrar."""
    shared_stage.tally(OPERATOR, "consortium", "account", "add", "registrar", "--role", "registrar")
    return shared_stage


@pytest.fixture(scope="module")
def desk(operator: Stage) -> Desk:
    return Desk(operator)


def prepare(stage: Stage, directory: Path, count: int = 1, *more: str) -> Batch:
    file = directory / f"{secrets.token_hex(4)}.json"
    stage.tally(OPERATOR, "identity", "prepare", "--count", str(count), "--out", str(file), *more)
    content = json.loads(file.read_text())
    return Batch(file, content, {identity: TestCard() for identity in content["identities"]})


@pytest.fixture
def batch(desk: Desk, tmp_path: Path) -> Batch:
    return desk.prepare(tmp_path, 2)


@pytest.fixture
def registered(desk: Desk, batch: Batch, tmp_path: Path) -> Batch:
    """A batch whose two cards are registered; by the library, as each command costs a second."""
    lines = [batch.registration(*pair) for pair in batch.cards.items()]
    desk.register(batch.registrations(tmp_path / "r.jsonl", *lines))
    return batch


@pytest.fixture
def active(desk: Desk, registered: Batch, tmp_path: Path) -> str:
    """An identity that is active."""
    first = next(iter(registered.cards))
    desk.activate(registered.activations(tmp_path / "a.jsonl", first))
    return first


def state(stage: Stage, identity: str) -> str:
    return str(stage.get(f"/v1/identities/{identity}")["state"])


def test_from_ids_to_an_active_identity(operator: Stage, tmp_path: Path) -> None:
    registered = prepare(operator, tmp_path, 2)
    first, second = registered.cards
    lines = [registered.registration(*pair) for pair in registered.cards.items()]
    file = registered.registrations(tmp_path / "r.jsonl", *lines)
    assert operator.tally(OPERATOR, "identity", "register", file).content["refused"] == {}
    shown = operator.tally(OPERATOR, "identity", "show", first).content
    assert shown["state"] == "registered"
    assert shown["key"] == registered.cards[first].jwk
    assert [key["until"] for key in shown["keys"]] == [None]
    result = operator.tally(OPERATOR, "identity", "activate", registered.activations(tmp_path / "a.jsonl", first))
    assert result.content["refused"] == {}
    assert (state(operator, first), state(operator, second)) == ("active", "registered")
    again = operator.tally(OPERATOR, "identity", "activate", registered.activations(tmp_path / "a.jsonl", first))
    assert again.content["refused"] == {}


def test_every_other_member_reads_the_same(operator: Stage, active: str) -> None:
    named = operator.get(f"/v1/identities/{active}", OPERATOR)
    operator_block = named.pop("block"), named.pop("age_s")
    assert operator_block
    other = operator.get(f"/v1/identities/{active}", VENDOR)
    other.pop("block")
    other.pop("age_s")
    assert other == named
    sight = GatewayWatch(",".join(operator.gateways.values()), 5.0).look(active)
    assert sight.state == "active"
    assert len(sight.keys) == 1


def test_what_cards_sign_is_checked_before_anything_is_sent(operator: Stage, batch: Batch, tmp_path: Path) -> None:
    """Each bad line is named with its reason; the good one beside them is registered."""
    first, second = batch.cards
    card = batch.cards[second]
    other = prepare(operator, tmp_path, 1, "--register-in", "29d")
    bad = {
        "purpose": {"proof": batch.proof(second, card, "activate")},
        "identity": {"proof": batch.proof(first, card)},
        "key": {"proof": batch.proof(second, TestCard())},
        "deadline": {"proof": other.proof(second, card)},
    }
    good = batch.registration(first, batch.cards[first])
    for name, changes in bad.items():
        path = batch.registrations(tmp_path / f"{name}.jsonl", good, batch.registration(second, card, **changes))
        result = operator.tally(OPERATOR, "identity", "register", path, expected=(REFUSED,))
        assert list(result.content["refused"]) == [second], name
    assert state(operator, first) == "registered"
    operator.tally(OPERATOR, "identity", "show", second, expected=(NOT_FOUND,))
    unknown = "0x" + secrets.token_hex(32)
    path = batch.registrations(tmp_path / "u.jsonl", batch.registration(unknown, TestCard()))
    result = operator.tally(OPERATOR, "identity", "register", path, expected=(REFUSED,))
    assert "none that this operator prepared" in result.content["refused"][unknown]


def test_a_key_belongs_to_one_identity(operator: Stage, desk: Desk, registered: Batch, tmp_path: Path) -> None:
    """The ledger says so, and the operator reads its reason."""
    other = desk.prepare(tmp_path, 1)
    identity = next(iter(other.cards))
    taken = next(iter(registered.cards.values()))
    path = other.registrations(tmp_path / "t.jsonl", other.registration(identity, taken))
    result = operator.tally(OPERATOR, "identity", "register", path, expected=(REFUSED,))
    assert "belongs to another identity" in result.content["refused"][identity]
    path = other.registrations(tmp_path / "t.jsonl", other.registration(identity, other.cards[identity]))
    assert operator.tally(OPERATOR, "identity", "register", path).content["refused"].get(identity) is None


def test_an_emulator_is_taken_where_that_is_meant(operator: Stage, batch: Batch, tmp_path: Path) -> None:
    first = next(iter(batch.cards))
    path = batch.registrations(tmp_path / "e.jsonl", batch.registration(first, batch.cards[first], emulator=True))
    refused = operator.tally(OPERATOR, "identity", "register", path, expected=(REFUSED,))
    assert "protects no key" in refused.content["refused"][first]
    operator.tally(OPERATOR, "identity", "register", path, "--allow-emulators")
    assert operator.tally(OPERATOR, "identity", "show", first).content["emulator"] is True


def test_only_a_registrar_registers(operator: Stage, batch: Batch, tmp_path: Path) -> None:
    """The whole order is refused, and nothing is lost: with the right account it goes on."""
    first = next(iter(batch.cards))
    path = batch.registrations(tmp_path / "r.jsonl", batch.registration(first, batch.cards[first]))
    wrong = operator.processes.run(
        ["identity", "register", path],
        operator.home(OPERATOR),
        expected=(REFUSED,),
        settings={"TALLY_IDENTITY_ACCOUNT": "duty"},
    )
    assert "IdentityNotAuthorised" in wrong.error
    operator.tally(OPERATOR, "identity", "register")
    assert state(operator, first) == "registered"


def test_hold_release_revoke(operator: Stage, active: str) -> None:
    operator.tally(OPERATOR, "identity", "hold", active)
    assert state(operator, active) == "held"
    again = operator.tally(OPERATOR, "identity", "hold", active, expected=(REFUSED,))
    assert "IdentityWrongState" in again.error
    duty = operator.tally(OPERATOR, "identity", "release", active, "--key", "duty", expected=(REFUSED,))
    assert "IdentityNotAuthorised" in duty.error
    operator.tally(OPERATOR, "identity", "release", active)
    assert state(operator, active) == "active"
    foreign = operator.tally(VENDOR, "identity", "hold", active, expected=(REFUSED,))
    assert "IdentityNotAuthorised" in foreign.error
    operator.tally(OPERATOR, "identity", "revoke", active, "--reason", "key-compromise")
    assert state(operator, active) == "revoked"
    final = operator.tally(OPERATOR, "identity", "release", active, expected=(REFUSED,))
    assert "IdentityWrongState" in final.error
    operator.tally(OPERATOR, "identity", "hold", "0x" + "55" * 32, expected=(NOT_FOUND,))
    operator.tally(OPERATOR, "identity", "hold", "me", expected=(BAD_INPUT,))


def test_one_that_cannot_be_held_hinders_no_other(operator: Stage, registered: Batch) -> None:
    first, second = registered.cards
    nobody = "0x" + "56" * 32
    result = operator.tally(OPERATOR, "identity", "hold", first, nobody, second, expected=(REFUSED,))
    assert [each["identity"] for each in result.content["held"]] == [first, second]
    assert list(result.content["refused"]) == [nobody]
    assert {state(operator, each) for each in (first, second)} == {"held"}


def test_replacement_with_the_old_card_s_word(operator: Stage, active: str, registered: Batch, tmp_path: Path) -> None:
    new = prepare(operator, tmp_path, 1, "--replace", active)
    card = new.cards[active]
    file = new.registrations(tmp_path / "new.jsonl", new.registration(active, card))
    text = tmp_path / "old-card.txt"
    operator.tally(OPERATOR, "identity", "replace", "text", active, file, "--out", str(text))
    signature = tmp_path / "signature"
    # Not the old card's word, then the old card's.
    for signer, expected in ((TestCard(), REFUSED), (registered.cards[active], 0)):
        signature.write_text(signer.sign_text(text.read_bytes()) + "\n")
        arguments = ("identity", "replace", "now", active, file, "--signature", str(signature))
        result = operator.tally(OPERATOR, *arguments, expected=(expected,))
        assert expected == 0 or "IdentityBadProof" in result.error
    shown = operator.tally(OPERATOR, "identity", "show", active).content
    assert shown["state"] == "registered"
    assert shown["key"] == card.jwk
    assert [key["by_old_key"] for key in shown["keys"]] == [False, True]
    operator.tally(OPERATOR, "identity", "activate", new.activations(tmp_path / "b.jsonl", active))
    assert state(operator, active) == "active"
    old = registered.activations(tmp_path / "c.jsonl", active)
    assert operator.tally(OPERATOR, "identity", "activate", old).content["refused"] == {}
    assert operator.tally(OPERATOR, "identity", "show", active).content["key"] == card.jwk


def test_replacement_of_a_lost_card_waits(operator: Stage, active: str, tmp_path: Path) -> None:
    new = prepare(operator, tmp_path, 1, "--replace", active)
    file = new.registrations(tmp_path / "new.jsonl", new.registration(active, new.cards[active]))
    operator.tally(OPERATOR, "identity", "replace", "start", active, file)
    shown = operator.tally(OPERATOR, "identity", "show", active).content
    assert shown["state"] == "replacing"
    assert shown["replacement"]["key"] == new.cards[active].jwk
    assert shown["replacement"]["executable_at"] > time.time() + 3_000
    sight = GatewayWatch(operator.gateways[VENDOR], 5.0).look(active)
    assert sight.replacement_due_at == shown["replacement"]["executable_at"]
    early = operator.tally(OPERATOR, "identity", "replace", "confirm", active, expected=(REFUSED,))
    assert "IdentityTooEarly" in early.error
    operator.tally(OPERATOR, "identity", "replace", "cancel", active)
    assert state(operator, active) == "active"
    nothing = operator.tally(OPERATOR, "identity", "replace", "cancel", active, expected=(REFUSED,))
    assert "no replacement waits" in nothing.error


def test_the_old_card_s_veto_needs_no_operator(operator: Stage, active: str, registered: Batch, tmp_path: Path) -> None:
    """The person stands outside of every member's directory, with the public file and another member's gateway."""
    new = prepare(operator, tmp_path, 1, "--replace", active)
    file = new.registrations(tmp_path / "new.jsonl", new.registration(active, new.cards[active]))
    public = str(operator.root / "consortium" / "consortium.json")
    text, signature = tmp_path / "veto.txt", tmp_path / "word"
    gateway = ("--gateway", operator.gateways[VENDOR])

    def person(*arguments: str, expected: int = 0, consortium: tuple[str, ...] = ("--consortium", public)) -> Result:
        return tally(operator, "identity", "replace", *arguments, *consortium, *gateway, expected=(expected,))

    nothing = person("veto-text", active, "--out", str(text), expected=REFUSED)
    assert "no replacement waits" in nothing.error
    operator.tally(OPERATOR, "identity", "replace", "start", active, file)
    wait_until(
        "the other gateway has it", lambda: bool(operator.get(f"/v1/identities/{active}", VENDOR)["replacement"])
    )
    unnamed = person("veto-text", active, "--out", str(text), expected=BAD_INPUT, consortium=())
    assert "--consortium" in unnamed.error
    person("veto-text", active, "--out", str(text))
    # Not the thief's card, not the right card over something else, then its word.
    for signer, said, expected in (
        (new.cards[active], text.read_bytes(), REFUSED),
        (registered.cards[active], text.read_bytes() + b"A", REFUSED),
        (registered.cards[active], text.read_bytes(), 0),
    ):
        signature.write_text(signer.sign_text(said) + "\n")
        result = person("veto", active, "--signature", str(signature), expected=expected)
        assert expected == 0 or "not the current card's word" in result.error
    assert operator.get(f"/v1/identities/{active}", VENDOR)["state"] == "active"
    again = person("veto", active, "--signature", str(signature), expected=REFUSED)
    assert "no replacement waits" in again.error
    never = operator.tally(OPERATOR, "identity", "replace", "start", active, file, expected=(REFUSED,))
    assert "IdentityKeyRefused" in never.error


def test_an_attestation_is_believed_by_the_personaliser_s_key(operator: Stage, desk: Desk, tmp_path: Path) -> None:
    """Emulated cards are never attested; so the personaliser's own word is made here, over a card of the test."""
    batch = desk.prepare(tmp_path, 1)
    identity, card = next(iter(batch.cards.items()))
    line = batch.registration(identity, card, attestation="personaliser")
    path = batch.registrations(tmp_path / "registrations.jsonl", line)
    personaliser, stranger = TestCard(), TestCard()
    keys = {}
    for name, each in (("personaliser", personaliser), ("stranger", stranger)):
        keys[name] = tmp_path / f"{name}.pem"
        keys[name].write_bytes(each.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    bare = operator.tally(OPERATOR, "identity", "register", path, expected=(REFUSED,))
    assert "--personaliser-key" in bare.content["refused"][identity]
    claims = {
        "registry": batch.content["registry"].lower(),
        "chain_id": batch.content["chain_id"],
        "operator": batch.content["operator"],
        "identity": identity,
        "x": card.jwk["x"],
        "y": card.jwk["y"],
        "card_enforced": True,
    }
    for signed, name, expected in (
        ({**claims, "card_enforced": False}, "personaliser", REFUSED),
        (claims, "stranger", REFUSED),
        (claims, "personaliser", 0),
    ):
        jws = personaliser.sign_claims({"alg": "ES256", "typ": "tally-key-attestation+jws"}, signed)
        write_lines(tmp_path / "attestations.jsonl", {"identity": identity, "attestation": jws})
        arguments = ("identity", "register", path, "--personaliser-key", str(keys[name]))
        operator.tally(OPERATOR, *arguments, expected=(expected,))
    assert operator.tally(OPERATOR, "identity", "show", identity).content["attestation"] == "personaliser"


def test_the_same_bytes_go_out_again_after_a_crash(operator: Stage, desk: Desk, tmp_path: Path) -> None:
    """Signed and stored while no gateway answers; the next process sends that, and twice does no harm."""
    batch = desk.prepare(tmp_path, 2)
    lines = [batch.registration(*pair) for pair in batch.cards.items()]
    file = Path(batch.registrations(tmp_path / "r.jsonl", *lines))
    data = desk.config.identity.data
    with IdentityRegister(data) as register:
        work = desk.enrolment(register, ["http://127.0.0.1:9"])
        assert [work.take_registration(line) for line in load_registrations(file, desk.addressee)] == ["", ""]
        with pytest.raises(LedgerUnavailableError):
            work.step()
        (signed,) = register.open_orders()
    with IdentityRegister(data) as register:
        assert register.open_orders() == [signed]
        both = list(operator.gateways.values())
        posted = [requests.post(f"{each}/v1/orders", json=dict(signed.content), timeout=30) for each in both]
        assert {response.status_code for response in posted} == {202}
        assert desk.enrolment(register, both).run(threading.Event(), timeout_s=60)
        for identity in batch.cards:
            found = register.find(bytes.fromhex(identity[2:]))
            assert found is not None
            assert (found.state, found.explanation) == (PreparedState.REGISTERED, "")
    assert {state(operator, identity) for identity in batch.cards} == {"registered"}


def test_an_order_that_waited_too_long_is_signed_anew(operator: Stage, desk: Desk, tmp_path: Path) -> None:
    """No gateway answered for longer than the signature is good for."""
    batch = desk.prepare(tmp_path, 1)
    (identity,) = batch.cards
    file = Path(batch.registrations(tmp_path / "r.jsonl", batch.registration(identity, batch.cards[identity])))
    with IdentityRegister(desk.config.identity.data) as register:
        before = desk.enrolment(register, ["http://127.0.0.1:9"], clock=lambda: time.time() - 7_200)
        assert [before.take_registration(line) for line in load_registrations(file, desk.addressee)] == [""]
        with pytest.raises(LedgerUnavailableError):
            before.step()
        (stale,) = register.open_orders()
        assert stale.deadline < time.time()
        now = desk.enrolment(register)
        assert not now.step()
        assert now.run(threading.Event(), timeout_s=60)
    assert state(operator, identity) == "registered"


def test_killed_in_the_middle(operator: Stage, desk: Desk, tmp_path: Path) -> None:
    """Whatever was taken in when it was killed comes to the ledger with the next run, each once."""
    batch = desk.prepare(tmp_path, 120)
    lines = [batch.registration(*pair) for pair in batch.cards.items()]
    path = batch.registrations(tmp_path / "r.jsonl", *lines)
    arguments = [sys.executable, "-m", "pki_chain.cli.main", "identity", "register", path, "--json"]
    data = desk.config.identity.data
    process = subprocess.Popen(
        arguments, cwd=operator.home(OPERATOR), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        if _open_orders(data) >= 2:
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    result = operator.tally(OPERATOR, "identity", "register", path)
    assert not set(result.content["refused"]) & set(batch.cards)
    named = operator.get(f"/v1/identities/{next(iter(batch.cards))}")
    assert named["key_count"] == 1
    assert {operator.get(f"/v1/identities/{each}")["state"] for each in batch.cards} == {"registered"}


def _open_orders(data: Path) -> int:
    with sqlite3.connect(f"file:{data / 'identities.sqlite'}?mode=ro", uri=True) as connection:
        (count,) = connection.execute("SELECT count(*) FROM orders WHERE over = 0").fetchone()
    connection.close()
    return int(count)


def test_one_process_at_a_time(operator: Stage, desk: Desk) -> None:
    data = desk.config.identity.data
    with IdentityRegister(data):
        busy = operator.tally(OPERATOR, "identity", "register", expected=(CONFIGURATION,))
    assert "another process" in busy.error
    assert (data / "identities.sqlite").stat().st_mode & 0o077 == 0


def test_emulated_cards_from_personaliser_to_ledger(operator: Stage, tmp_path: Path) -> None:
    """The real personaliser and the real emulator, in the operator's commands."""
    batch = prepare(operator, tmp_path, 2)
    cards, secret = tmp_path / "cards", tmp_path / "passphrase"
    cards.mkdir()
    secret.write_text("a passphrase of a test\n")
    for number in range(2):
        EncryptedFileStore(cards / f"{number}.card", "a passphrase of a test", image_if_new=new_image()).close()
    opened = ("--passphrase-file", str(secret))
    made = tally(operator, "sim", "personalise", str(batch.file), "--card-dir", str(cards), *opened).content
    assert made["cards"]["finished"] == 2
    registrations = made["registrations"]
    refused = operator.tally(OPERATOR, "identity", "register", registrations, expected=(REFUSED,))
    assert set(refused.content["refused"]) == set(batch.cards)
    operator.tally(OPERATOR, "identity", "register", registrations, "--allow-emulators")
    folder = Path(registrations).parent
    private = [json.loads(line) for line in (folder / "cards.jsonl").read_text().splitlines()]
    letters = {each["iccid"]: each for each in map(json.loads, (folder / "pin-letters.jsonl").read_text().splitlines())}
    (tmp_path / "new").write_text(PIN + "\n")
    files = []
    for number in range(2):
        info = tally(operator, "sim", "info", "--card-file", str(cards / f"{number}.card"), *opened).content
        identity = next(each["identity"] for each in private if each["iccid"] == info["iccid"])
        (tmp_path / "transport").write_text(letters[info["iccid"]]["transport_pin"] + "\n")
        files.append(str(tmp_path / f"{number}.jsonl"))
        arguments = ["sim", "activate", str(batch.file), "--identity", identity, "--output", files[-1], *opened]
        pins = ("--pin-file", str(tmp_path / "transport"), "--new-pin-file", str(tmp_path / "new"))
        tally(operator, *arguments, *pins, "--card-file", str(cards / f"{number}.card"))
    operator.tally(OPERATOR, "identity", "activate", *files)
    for each in private:
        shown = operator.tally(OPERATOR, "identity", "show", each["identity"]).content
        assert (shown["state"], shown["emulator"], shown["card_enforced"]) == ("active", True, True)
    everything = all_of_the_ledger(operator)
    for each in private:
        for raw in (each["iccid"].encode(), hashlib.sha256(each["iccid"].encode()).digest(), bcd(each["iccid"])):
            assert raw not in everything, "which card it is, is nobody's business"


def bcd(digits: str) -> bytes:
    """As EF.ICCID has it: nibbles swapped."""
    padded = digits + "f" * (len(digits) % 2)
    return bytes.fromhex("".join(padded[at + 1] + padded[at] for at in range(0, len(padded), 2)))


def tally(stage: Stage, *arguments: str, expected: tuple[int, ...] = (0,)) -> Result:
    return stage.processes.run(arguments, stage.root, expected=expected)


def all_of_the_ledger(stage: Stage) -> bytes:
    """Every byte of calldata and of logs that the ledger has."""
    session = requests.Session()
    numbers = iter(range(1 << 30))

    def ask(method: str, *parameters: Any) -> Any:
        content = {"jsonrpc": "2.0", "id": next(numbers), "method": method, "params": parameters}
        answer = session.post(stage.ledger, json=content, timeout=30).json()
        assert "error" not in answer, answer
        return answer["result"]

    head = int(ask("eth_blockNumber"), 16)
    found = []
    for number in range(head + 1):
        block = ask("eth_getBlockByNumber", *(hex(number), True))
        found += [transaction["input"] for transaction in block["transactions"]]
        if block["transactions"]:
            logs = ask("eth_getLogs", {"fromBlock": hex(number), "toBlock": hex(number)})
            found += [text for log in logs for text in (*log["topics"], log["data"])]
    session.close()
    return b"|".join(bytes.fromhex(text[2:]) for text in found)


def test_nothing_personal_is_on_the_ledger(operator: Stage, active: str, tmp_path: Path) -> None:
    """R-ID-2: no name, number, birthdate, address or ICCID of anybody, and no plain hash of one."""
    url = f"sqlite:///{tmp_path / 'people.sqlite'}"
    people = create_demo_people(url)
    assign_identities(url, [bytes.fromhex(active[2:])])
    base = SqlSubscriberBase.open(url)
    assert base.person_of(IdentityId(bytes.fromhex(active[2:]))) == people[0]
    base.close()
    everything = all_of_the_ledger(operator)
    assert bytes.fromhex(active[2:]) in everything, "the scan sees what is there"
    texts = {text for person in load_demo_people() for text in (*person.personal_texts(), person.customer_no)}
    assert len(texts) > 60
    for text in texts:
        for form in {text, text.lower(), text.lstrip("+"), text.replace("-", "")}:
            raw = form.encode()
            assert len(raw) < 6 or raw not in everything, form
            hashes = [hashlib.new(name, raw).digest() for name in ("md5", "sha1", "sha256", "sha512", "sha3_256")]
            for digest in (*hashes, keccak(raw)):
                assert digest[:16] not in everything, form
