"""`tally` commands against a whole consortium: what they do, what they refuse, and with which exit code."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import Keystore
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.config import MemberConfig
from pki_chain.demo.bad_certificates import certificate
from pki_chain.demo.processes import free_port
from pki_chain.demo.stage import AUTHORITY, FIRST_EUI, LAST_EUI, OEM, OPERATOR, ORGANISATION, REALM, VENDOR, Stage
from pki_chain.errors import RefusedError
from pki_chain.ports import Role
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.station.key_compromise import declare_compromise
from pki_chain.station.orders import relay
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import SMALL_CELL, SanType
from pki_chain.x509.reasons import Reason
from pki_chain.x509.self_signed import create_key, issue, store_key

pytestmark = [pytest.mark.e2e, pytest.mark.chain, pytest.mark.xdist_group("commands")]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "device"

REFUSED, NOT_FOUND, UNAVAILABLE, BAD_INPUT, CONFIGURATION = 77, 66, 69, 65, 78


@pytest.fixture(scope="module")
def lot(shared_stage: Stage) -> int:
    allowed = f"eui:{FIRST_EUI:012x}-{LAST_EUI:012x}.{REALM}"
    arguments = ("lot", "open", "--profile", "small-cell", "--maximum", "50", "--range", allowed)
    return int(shared_stage.tally(VENDOR, *arguments).content["lot"])


@pytest.fixture
def device(shared_stage: Stage, lot: int) -> str:
    """SHA-256 of a certificate that is valid."""
    der = certificate(shared_stage.line())
    assert shared_stage.submit(lot, [("one", der)])["one"]["state"] == "valid"
    sha256 = hashlib.sha256(der).hexdigest()
    shared_stage.wait_for_state(sha256, "valid")
    return sha256


def test_members_have_private_directories_and_nothing_of_each_other(shared_stage: Stage) -> None:
    for member in (OPERATOR, VENDOR, OEM, AUTHORITY):
        home = shared_stage.home(member)
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        for secret in (home / "keystore").iterdir():
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        text = (home / "tally.toml").read_text()
        assert not [other for other in (OPERATOR, VENDOR, OEM, AUTHORITY) if f"/{other}" in text]


def test_status_tells_by_its_exit_code(shared_stage: Stage, device: str) -> None:
    ask = ("certificate", "status", device)
    assert shared_stage.tally(OPERATOR, *ask).content["state"] == "valid"
    shared_stage.tally(VENDOR, "certificate", "hold", device)
    shared_stage.wait_for_state(device, "held")
    held = shared_stage.tally(OPERATOR, *ask, expected=(REFUSED,))
    assert held.content["state"] == "held"
    assert "not valid: held" in held.error
    unknown = shared_stage.tally(OPERATOR, "certificate", "status", "ab" * 32, expected=(NOT_FOUND,))
    assert unknown.content["state"] == "unknown"


def test_hold_release_revoke(shared_stage: Stage, device: str) -> None:
    shared_stage.tally(VENDOR, "certificate", "hold", device)
    shared_stage.wait_for_state(device, "held")
    again = shared_stage.tally(VENDOR, "certificate", "hold", device, expected=(REFUSED,))
    assert "RegistryAlreadyHeld" in again.error
    shared_stage.tally(VENDOR, "certificate", "release", device)
    shared_stage.wait_for_state(device, "valid")
    duty = shared_stage.tally(VENDOR, "certificate", "revoke", device, "--key", "duty", expected=(REFUSED,))
    assert "RegistryNotAuthorised" in duty.error
    shared_stage.tally(VENDOR, "certificate", "revoke", device)
    shared_stage.wait_for_state(device, "revoked")


def test_another_member_may_hold_in_an_emergency_only(shared_stage: Stage, device: str) -> None:
    refused = shared_stage.tally(OPERATOR, "certificate", "hold", device, expected=(REFUSED,))
    assert "RegistryNotAuthorised" in refused.error
    shared_stage.tally(OPERATOR, "certificate", "hold", device, "--emergency")
    shared_stage.wait_for_state(device, "held")
    foreign = shared_stage.tally(VENDOR, "certificate", "release", device, "--emergency", expected=(REFUSED,))
    assert "Registry" in foreign.error


def test_an_order_binds_no_other_certificate_than_the_one_that_was_named(shared_stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "unknown.cer"
    file.write_bytes(certificate(shared_stage.line()))
    refused = shared_stage.tally(VENDOR, "certificate", "revoke", str(file), expected=(NOT_FOUND,))
    assert "no certificate with SHA-256" in refused.error


def test_lot_show_and_close(shared_stage: Stage, lot: int) -> None:
    shown = shared_stage.tally(AUTHORITY, "lot", "show", str(lot)).content
    assert shown["organisation"] == "Acme Cells"
    assert shown["open"] is True
    missing = shared_stage.tally(AUTHORITY, "lot", "show", "4711", expected=(NOT_FOUND,))
    assert "no lot 4711" in missing.error
    foreign = shared_stage.tally(OPERATOR, "lot", "close", str(lot), expected=(REFUSED,))
    assert "RegistryNotAuthorised" in foreign.error


def test_a_lot_outside_of_the_member_s_name_space_is_refused(shared_stage: Stage) -> None:
    arguments = ("lot", "open", "--profile", "small-cell", "--maximum", "5", "--range", "dns:nordlicht.example")
    refused = shared_stage.tally(VENDOR, *arguments, expected=(REFUSED,))
    assert "RegistryBadLot" in refused.error


def test_a_lot_for_a_station_by_its_label(shared_stage: Stage) -> None:
    """As the README's commands by hand do; a label that is none is named."""
    arguments = ("lot", "open", "--profile", "small-cell", "--maximum", "5")
    allowed = ("--range", f"eui:{FIRST_EUI:012x}-{LAST_EUI:012x}.{REALM}")
    added = shared_stage.tally(VENDOR, "station", "add", "by-hand").content["station"]
    lot = shared_stage.tally(VENDOR, *arguments, *allowed, "--station", "by-hand").content["lot"]
    assert shared_stage.tally(OEM, "lot", "show", str(lot)).content["stations"] == [added.lower()]
    nobody = shared_stage.tally(VENDOR, *arguments, *allowed, "--station", "nobody", expected=(NOT_FOUND,))
    assert "no key 'nobody'" in nobody.error


def test_stations_are_added_and_suspended_by_their_member(shared_stage: Stage) -> None:
    added = shared_stage.tally(VENDOR, "station", "add", "third-line").content["station"]
    again = shared_stage.tally(VENDOR, "station", "add", "third-line").content["station"]
    assert added == again
    foreign = shared_stage.tally(OEM, "station", "suspend", added, expected=(REFUSED,))
    assert "Consortium" in foreign.error
    shared_stage.tally(VENDOR, "station", "suspend", "third-line")


def test_a_member_is_suspended_by_vote_and_restored(shared_stage: Stage) -> None:
    proposal = str(shared_stage.tally(OPERATOR, "consortium", "propose", "suspend", "4").content["proposal"])
    shared_stage.tally(VENDOR, "consortium", "vote", proposal)
    early = shared_stage.tally(VENDOR, "consortium", "execute", proposal, expected=(REFUSED,))
    assert "ConsortiumNotAdopted" in early.error
    other = ("consortium", "vote", proposal, "--content-hash", "ab" * 32)
    assert "do not vote" in shared_stage.tally(OEM, *other, expected=(BAD_INPUT,)).error
    shared_stage.tally(OEM, "consortium", "vote", proposal)
    shown = shared_stage.tally(OEM, "consortium", "show", proposal).content
    assert (shown["state"], shown["votes"]) == ("adopted", {"1": True, "2": True, "3": True})
    shared_stage.tally(OEM, "consortium", "execute", proposal)
    assert _states(shared_stage)[4] == "suspended"
    back = str(shared_stage.tally(OPERATOR, "consortium", "propose", "restore", "4").content["proposal"])
    shared_stage.tally(VENDOR, "consortium", "vote", back)
    shared_stage.tally(OEM, "consortium", "vote", back)
    shared_stage.tally(OPERATOR, "consortium", "execute", back)
    assert _states(shared_stage)[4] == "active"


def test_own_certificates_of_one_key_are_revoked_by_one_signature(shared_stage: Stage, lot: int) -> None:
    key = create_key()
    certificates = [_issue(key, shared_stage) for _ in range(3)]
    outcomes = shared_stage.submit(lot, [(str(number), der) for number, der in enumerate(certificates)])
    assert {each["state"] for each in outcomes.values()} == {"valid"}
    hashes = [hashlib.sha256(der).hexdigest() for der in certificates]
    for sha256 in hashes:
        shared_stage.wait_for_state(sha256, "valid")
    by_key = ("certificate", "revoke", hashes[0], "--by-key", "--reason", "superseded")
    foreign = shared_stage.tally(OPERATOR, *by_key, expected=(REFUSED,))
    assert "none of the 3 certificates of this key is of Nordlicht Mobil" in foreign.error
    duty = shared_stage.tally(VENDOR, *by_key, "--key", "duty", expected=(REFUSED,))
    assert "RegistryNotAuthorised" in duty.error
    assert {shared_stage.state(each) for each in hashes} == {"valid"}
    revoked = shared_stage.tally(VENDOR, *by_key).content["revoked"]
    assert sorted(revoked) == sorted(hashes)
    for sha256 in hashes:
        shared_stage.wait_for_state(sha256, "revoked")


def test_a_key_that_proves_its_own_compromise_is_blocked_for_everybody(
    shared_stage: Stage, lot: int, tmp_path: Path
) -> None:
    """By a member who owns nothing of it, with the key alone."""
    key = create_key()
    der = _issue(key, shared_stage)
    assert shared_stage.submit(lot, [("one", der)])["one"]["state"] == "valid"
    store_key(tmp_path / "device.key", key)
    block = ("certificate", "block-key", "--key-file", str(tmp_path / "device.key"))
    done = shared_stage.tally(AUTHORITY, *block).content
    assert done["key"] == parse_certificate(der).spki_hash.hex()
    shared_stage.wait_for_state(hashlib.sha256(der).hexdigest(), "revoked")
    refused = shared_stage.submit(
        lot, [("again", certificate(shared_stage.line())), ("blocked", _issue(key, shared_stage))]
    )
    assert refused["again"]["state"] == "valid"
    assert refused["blocked"]["reason"] == "key_blocked"


def test_a_proof_by_no_such_key_is_refused(shared_stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "none.key").write_text("no key")
    wrong = ("certificate", "block-key", "--key-file", str(tmp_path / "none.key"))
    assert "cannot be read" in shared_stage.tally(VENDOR, *wrong, expected=(BAD_INPUT,)).error
    texts = TypedTexts(MemberConfig.load(shared_stage.home(VENDOR) / "tally.toml", {}).load_consortium())
    order = declare_compromise(texts, create_key())
    order |= {"subject_public_key_info": declare_compromise(texts, create_key())["subject_public_key_info"]}
    with pytest.raises(RefusedError, match="RegistryBadKey"):
        relay(GatewayClient(tuple(shared_stage.gateways.values())), order)


def _issue(key: ec.EllipticCurvePrivateKey, stage: Stage) -> bytes:
    return issue(
        key,
        profile=SMALL_CELL,
        organisation="Acme Cells",
        names=[SubjectAltName(SanType.DNS, stage.line().next_name().encode())],
        not_before=stage.line().now - 60,
        lifetime_days=300,
    )


@pytest.mark.parametrize("role", ["endorser", "duty", "administrator", "station", "registrar"])
def test_accounts_are_added_suspended_and_restored(shared_stage: Stage, device: str, role: str) -> None:
    account = ("consortium", "account")
    label = f"second-{role}"
    added = shared_stage.tally(VENDOR, *account, "add", label, "--role", role).content["account"]
    ledger = LedgerClient(MemberConfig.load(shared_stage.home(VENDOR) / "tally.toml", {}).load_consortium())
    assert ledger.acting_member(added, Role[role.upper()]) == 2
    other = "duty" if role != "duty" else "station"
    refused = shared_stage.tally(VENDOR, *account, "add", label, "--role", other, expected=(REFUSED,))
    assert "ConsortiumBadAccount" in refused.error
    shared_stage.tally(VENDOR, *account, "suspend", label)
    assert ledger.acting_member(added, Role[role.upper()]) == 0
    if role == "duty":
        held = shared_stage.tally(VENDOR, "certificate", "hold", device, "--key", label, expected=(REFUSED,))
        assert "RegistryNotAuthorised" in held.error
    shared_stage.tally(VENDOR, *account, "restore", added, "--role", role)
    assert ledger.acting_member(added, Role[role.upper()]) == 2
    if role == "duty":
        shared_stage.tally(VENDOR, "certificate", "hold", device, "--key", label)
    shared_stage.tally(VENDOR, *account, "suspend", added)


def test_a_key_kept_elsewhere_consents_where_it_is(shared_stage: Stage) -> None:
    """Nobody registers an address without its key's word: an address of somebody else, another role, no word at all."""
    account = ("consortium", "account")
    made = shared_stage.tally(VENDOR, *account, "consent", "elsewhere", "--role", "duty").content
    address, consent = made["account"], made["consent"]
    add = (*account, "add", address, "--role")
    assert "account consent" in shared_stage.tally(OPERATOR, *add, "duty", expected=(BAD_INPUT,)).error
    taken = shared_stage.tally(OPERATOR, *add, "duty", "--consent", consent, expected=(REFUSED,))
    assert "ConsortiumBadSignature" in taken.error
    other = shared_stage.tally(VENDOR, *add, "station", "--consent", consent, expected=(REFUSED,))
    assert "ConsortiumBadSignature" in other.error
    shared_stage.tally(VENDOR, *add, "duty", "--consent", "0xyz", expected=(BAD_INPUT,))
    missing = shared_stage.tally(OPERATOR, *account, "consent", address, "--role", "duty", expected=(NOT_FOUND,))
    assert "where the key is kept" in missing.error
    shared_stage.tally(VENDOR, *add, "duty", "--consent", consent)
    shared_stage.tally(VENDOR, *account, "suspend", address)


def test_accounts_are_their_own_member_s_affair(shared_stage: Stage) -> None:
    account = ("consortium", "account")
    missing = shared_stage.tally(VENDOR, *account, "suspend", "nobody", expected=(NOT_FOUND,))
    assert "no key 'nobody'" in missing.error
    stranger = shared_stage.tally(VENDOR, *account, "restore", "0x" + "11" * 20, expected=(NOT_FOUND,))
    assert "nobody's account" in stranger.error
    keystore = Keystore.open(shared_stage.home(OEM) / "keystore", shared_stage.home(OEM) / "keystore" / "passphrase")
    foreign = keystore.load("endorser").address
    refused = shared_stage.tally(VENDOR, *account, "suspend", foreign, expected=(REFUSED,))
    assert "ConsortiumBadAccount" in refused.error
    duty = shared_stage.tally(
        VENDOR, *account, "add", "third", "--role", "endorser", "--key", "duty", expected=(REFUSED,)
    )
    assert "ConsortiumNotAuthorised" in duty.error
    last = shared_stage.tally(VENDOR, *account, "suspend", "administrator", expected=(REFUSED,))
    assert "ConsortiumBadAccount" in last.error


def _states(stage: Stage) -> dict[int, str]:
    members = stage.tally(OPERATOR, "consortium", "members").content["members"]
    return {member["id"]: member["state"] for member in members}


def test_a_proposal_with_wrong_arguments_is_not_signed(shared_stage: Stage) -> None:
    few = shared_stage.tally(OPERATOR, "consortium", "propose", "block-key", "ab" * 32, expected=(BAD_INPUT,))
    assert "takes SPKI-SHA256 REASON" in few.error
    wrong = shared_stage.tally(OPERATOR, "consortium", "propose", "suspend", "nobody", expected=(BAD_INPUT,))
    assert "takes MEMBER" in wrong.error


def test_no_gateway_is_69_and_names_the_remedy(shared_stage: Stage, lot: int) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    away = shared_stage.tally(VENDOR, "lot", "close", str(lot), "--gateway", nowhere, expected=(UNAVAILABLE,))
    failure = json.loads(away.error)
    assert failure["error"] == "ledger-unavailable"
    assert f"gateway {nowhere} does not answer: check that `tally gateway run` is up" in failure["message"]


def test_no_ledger_is_69(shared_stage: Stage) -> None:
    settings = {"TALLY_LEDGER_ENDPOINTS": f"http://127.0.0.1:{free_port()}"}
    away = shared_stage.processes.run(
        ("consortium", "members"), shared_stage.home(OEM), expected=(UNAVAILABLE,), settings=settings
    )
    assert "No endpoint of the ledger answers" in away.error


def test_a_second_validator_of_the_same_member_is_refused(shared_stage: Stage) -> None:
    second = shared_stage.tally(OEM, "validator", "run", expected=tuple(range(1, 256)))
    assert "nother process" in second.error


def test_a_consortium_is_founded_once(shared_stage: Stage) -> None:
    directory = str(shared_stage.root / "consortium")
    again = shared_stage.processes.run(
        ("consortium", "init", directory, "--rpc", shared_stage.ledger), shared_stage.root, expected=(74,)
    )
    assert "founded once" in again.error


def test_a_founding_that_fails_leaves_no_keys_behind(shared_stage: Stage, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    shared_stage.processes.run(
        ("consortium", "init", str(tmp_path / "new"), "--rpc", nowhere), tmp_path, expected=(UNAVAILABLE,)
    )
    assert not (tmp_path / "new").exists()
    shared_stage.processes.run(
        ("consortium", "init", str(tmp_path / "new"), "--rpc", shared_stage.ledger, "--quorum", "9"),
        tmp_path,
        expected=(BAD_INPUT,),
    )
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.openssl
@pytest.mark.java
@pytest.mark.go
def test_what_openssl_keytool_and_go_made_is_enrolled(shared_stage: Stage, lot: int, tmp_path: Path) -> None:
    """Devices without Python, from their own tool to a status at another member's gateway."""
    tools = (("./openssl.sh",), EXAMPLES), (("./keytool.sh",), EXAMPLES), (("go", "run", "."), EXAMPLES / "go")
    made = []
    for number, (tool, source) in enumerate(tools):
        name = f"{LAST_EUI - number:012x}.{REALM}"
        command = [*tool, ORGANISATION, name, "3653", str(tmp_path)]
        finished = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
        made.append(finished.stdout.strip())
    enrolled = shared_stage.tally(VENDOR, "station", "submit", *made, "--lot", str(lot)).content
    states = {each["source"]: each["state"] for each in enrolled["certificates"]}
    assert [states[Path(path).name] for path in made] == ["valid"] * 3
    for path in made:
        shared_stage.wait_for_state(hashlib.sha256(Path(path).read_bytes()).hexdigest(), "valid")
    outside = [*tools[0][0], ORGANISATION, f"{LAST_EUI + 1:012x}.{REALM}", "3653", str(tmp_path)]
    stranger = subprocess.run(outside, cwd=EXAMPLES, capture_output=True, text=True, check=True).stdout.strip()
    refused = shared_stage.tally(VENDOR, "station", "submit", stranger, "--lot", str(lot), expected=(REFUSED,)).content
    (entry,) = (each for each in refused["certificates"] if each["source"] == Path(stranger).name)
    assert entry["reason"] == Reason.NAME_NOT_IN_LOT.label
