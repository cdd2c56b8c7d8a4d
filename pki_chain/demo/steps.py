"""The steps of the demonstration, in order; each tells what it does, does it, and fails if it gives anything else."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from pki_chain.chain.typed_data import batch_digest
from pki_chain.demo.bad_certificates import bad_certificates, certificate, taken_name_certificate, weak_key_certificate
from pki_chain.demo.handshake_steps import ask_by_ocsp, meet_over_tls
from pki_chain.demo.identity_steps import personalise_card, register_identity
from pki_chain.demo.login_steps import log_in
from pki_chain.demo.processes import wait_until
from pki_chain.demo.relying_steps import follow_with_tunnels, prove_status
from pki_chain.demo.stage import (
    AUTHORITY,
    FIRST_EUI,
    LAST_EUI,
    OEM,
    OPERATOR,
    ORGANISATION,
    REALM,
    VENDOR,
    Stage,
    raise_stage,
    require,
    start_validator,
)
from pki_chain.x509.reasons import Reason

Say = Callable[[str], None]

_MEMBER_NUMBERS = {OPERATOR: 1, VENDOR: 2, OEM: 3, AUTHORITY: 4}


def start(stage: Stage, say: Say) -> None:
    """A ledger, a consortium of four, their validators and two gateways."""
    with stage.timed("ledger, contracts, founding, 4 validators, 2 gateways"):
        raise_stage(stage)
    say(f"ledger at {stage.ledger}, founded by four members; each has a directory and processes of its own:")
    for member, number in _MEMBER_NUMBERS.items():
        gateway = f", gateway {stage.gateways[member]}" if member in stage.gateways else ""
        careless = "; careless: no rules of its own" if member == OEM else ""
        say(f"  {number} {member:<10} validator{gateway}{careless}")


def make_devices(stage: Stage, say: Say) -> None:
    """Keys and certificates of small cells; no authority is asked."""
    arguments = ["device", "new", str(stage.root / "devices"), "--organisation", ORGANISATION, "--realm", REALM]
    arguments += ["--first-eui", f"{FIRST_EUI:012x}", "--count", str(stage.count)]
    with stage.timed(f"{stage.count:,} keys and certificates", stage.count):
        stage.processes.run(arguments, stage.root, show_progress=True)
    require(len(stage.devices()) == stage.count, "not every device got a certificate")
    example = stage.devices()[0]
    say(f"for example {example.name}: {example.stat().st_size} bytes, key beside it with mode 600")


def open_lot(stage: Stage, say: Say) -> None:
    """What the vendor's station may make."""
    stage.lot = stage.tally(VENDOR, *_lot_arguments(stage.count + 500)).content["lot"]
    say(f"lot {stage.lot}: the vendor's administrator allows its station {stage.count + 500:,} small cells of {REALM}")


def _lot_arguments(maximum: int, *more: str) -> tuple[str, ...]:
    allowed = f"eui:{FIRST_EUI:012x}-{LAST_EUI:012x}.{REALM}"
    return ("lot", "open", "--profile", "small-cell", "--maximum", str(maximum), "--range", allowed, *more)


def submit_devices(stage: Stage, say: Say) -> None:
    """All certificates to the gateways of two members, endorsed by the others' validators."""
    arguments = ("station", "submit", str(stage.root / "devices"), "--lot", str(stage.lot), "--copies", "2")
    with stage.timed(f"{stage.count:,} certificates submitted, checked, endorsed", stage.count):
        stage.processes.run(arguments, stage.home(VENDOR), show_progress=True)
    say("each was checked by the contract and endorsed by 2 of the 3 members that do not belong to the lot")


def ask_for_all(stage: Stage, say: Say) -> None:
    """Every certificate's status from another member's gateway, one request each."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in stage.devices()]
    stage.wait_for_state(hashes[-1], "valid")
    with stage.timed(f"{stage.count:,} status requests, one client", stage.count):
        states = [stage.state(each) for each in hashes]
    valid = states.count("valid")
    require(valid == stage.count, f"only {valid} of {stage.count} certificates are valid")
    say(f"the operator's gateway answers: {valid:,} of {stage.count:,} are valid")


def hold_and_revoke(stage: Stage, say: Say) -> None:
    """One device is cut off and restored, another is revoked."""
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in stage.devices()[:2])
    stage.tally(VENDOR, "certificate", "hold", first)
    seconds = stage.wait_for_state(first, "held")
    say(f"hold by the vendor's duty account: {first[:16]}... is held, seen {seconds:.1f} s later at the operator's")
    refused = stage.tally(VENDOR, "certificate", "release", first, "--key", "duty", expected=(77,))
    require("NotAuthorised" in refused.error, f"a duty account could release: {refused.error}")
    stage.tally(VENDOR, "certificate", "release", first)
    stage.wait_for_state(first, "valid")
    say(f"release by the administrator: {first[:16]}... is valid again (the duty account was refused)")
    stage.tally(VENDOR, "certificate", "revoke", second, "--reason", "key-compromise")
    stage.wait_for_state(second, "revoked")
    refused = stage.tally(VENDOR, "certificate", "release", second, expected=(77,))
    say(f"revocation: {second[:16]}... is revoked, for good")


def refuse_bad_certificates(stage: Stage, say: Say) -> None:
    """One certificate of every bad kind, each between good ones."""
    known = stage.devices()[2].read_bytes()
    second_lot = stage.tally(VENDOR, *_lot_arguments(500)).content["lot"]
    line = stage.line()
    bad = list(bad_certificates(line, known))
    mates = [(f"mate {number}", certificate(line)) for number in range(len(bad) + 1)]
    batch = [mates[0]]
    for each, mate in zip(bad, mates[1:], strict=True):
        batch += [(each.kind, each.der), mate]
    with stage.timed(f"{len(bad)} bad certificates among {len(mates)} good ones"):
        outcomes = stage.submit(second_lot, batch)
    _require_reasons(outcomes, {each.kind: ("refused", each.reason) for each in bad})
    valid = sum(outcomes[name]["state"] == "valid" for name, _ in mates)
    require(valid == len(mates), f"only {valid} of {len(mates)} good certificates beside bad ones are valid")
    for each in bad:
        say(f"  {each.kind:<38} refused: {each.reason.text}")
    say(f"{len(bad)} refused, each with its reason; all {valid} good ones of the same batches are valid")


def outvote_careless_endorser(stage: Stage, say: Say) -> None:
    """What only validators can see, with one validator that sees nothing."""
    line = stage.line()
    weak = weak_key_certificate(line)
    taken = taken_name_certificate(line, f"{FIRST_EUI + 2:012x}.{REALM}")
    mates = [("mate 1", certificate(line)), ("mate 2", certificate(line))]
    stage.validators[AUTHORITY].stop()
    stage.processes.daemons.remove(stage.validators[AUTHORITY])
    batch = [mates[0], (weak.kind, weak.der), (taken.kind, taken.der), mates[1]]
    submitted = stage.begin_submit(stage.lot, batch, wait_s=1)
    digest = "0x" + batch_digest([der for _, der in batch]).hex()
    wait_until("operator and OEM have endorsed", lambda: len(_submission(stage, digest)["endorsements"]) == 2)
    entries = _submission(stage, digest)["entries"]
    for entry in (entries[1], entries[2]):
        against = {verdict["member"] for verdict in entry["verdicts"]}
        require(against == {_MEMBER_NUMBERS[OPERATOR]}, f"rejected by {against}, not by the operator alone")
        require(entry["state"] == "submitted", f"one rejection and one acceptance gave {entry['state']}")
    say("the contract finds no fault in two certificates; the operator rejects both, the careless OEM accepts both")
    start_validator(stage, AUTHORITY)
    outcomes = stage.continue_submit(submitted)
    _require_reasons(outcomes, {weak.kind: ("rejected", weak.reason), taken.kind: ("rejected", taken.reason)})
    require(all(outcomes[name]["state"] == "valid" for name, _ in mates), "a good mate did not become valid")
    say(
        "the certificate authority's validator comes back, catches up and rejects both: 2 of 3 outvote the careless one"
    )
    for each in (weak, taken):
        say(f"  {each.kind:<38} rejected: {each.reason.text}")


def stop_thief(stage: Stage, say: Say) -> None:
    """A stolen station key: its keystore, passphrase and settings, in the hands of somebody else."""
    thief = stage.root / "thief"
    shutil.copytree(stage.home(VENDOR), thief, ignore=shutil.ignore_patterns("data", "administrator.json", "duty.json"))
    line = stage.line()
    outside = [
        ("name of another member", certificate(line, names=[f"{FIRST_EUI:012x}.nordlicht.example"])),
        ("number outside the lot", certificate(line, names=[f"02b0f2000001.{REALM}"])),
    ]
    outcomes = stage.submit(stage.lot, outside, home=thief)
    _require_reasons(outcomes, {name: ("refused", Reason.NAME_NOT_IN_LOT) for name, _ in outside})
    other = stage.tally(VENDOR, "station", "add", "second-line").content["station"]
    others_lot = stage.tally(VENDOR, *_lot_arguments(10, "--station", other)).content["lot"]
    outcomes = stage.submit(others_lot, [("lot of another station", certificate(line))], home=thief)
    _require_refused(outcomes, "does not name station")
    stage.tally(VENDOR, "lot", "close", str(stage.lot))
    outcomes = stage.submit(stage.lot, [("closed lot", certificate(line))], home=thief)
    _require_refused(outcomes, "takes no certificates any more")
    say("a thief with the station's key gets nothing in outside its lot, in another station's lot, nor in a closed one")
    fresh = stage.tally(VENDOR, *_lot_arguments(10)).content["lot"]
    stage.tally(VENDOR, "station", "suspend", "station")
    outcomes = stage.submit(fresh, [("open lot, suspended station", certificate(line))], home=thief)
    _require_refused(outcomes, "suspended")
    say("and after its suspension nothing at all, not even in a lot that is open for it")


def _submission(stage: Stage, digest: str) -> dict[str, Any]:
    return stage.get(f"/v1/submissions/{digest}")


def _require_reasons(outcomes: Mapping[str, Mapping[str, Any]], expected: Mapping[str, tuple[str, Reason]]) -> None:
    for name, (state, reason) in expected.items():
        got = outcomes[name]
        require(
            got["state"] == state and got["reason"] == reason.label,
            f"{name}: {got['state']} ({got['explanation']}) instead of {state} ({reason.label})",
        )


def _require_refused(outcomes: Mapping[str, Mapping[str, Any]], text: str) -> None:
    for name, got in outcomes.items():
        require(
            got["state"] == "not-sent" and text in str(got["explanation"]),
            f"{name}: {got['state']} ({got['explanation']}) instead of a refusal that says {text!r}",
        )


STEPS: tuple[tuple[str, Callable[[Stage, Say], None]], ...] = (
    ("Start a ledger and found a consortium", start),
    ("Make keys and certificates on the line", make_devices),
    ("Open a lot", open_lot),
    ("Submit, check, endorse", submit_devices),
    ("Ask for every certificate", ask_for_all),
    ("Hold, release, revoke", hold_and_revoke),
    ("Refuse every bad kind", refuse_bad_certificates),
    ("Outvote an endorser that accepts everything", outvote_careless_endorser),
    ("Stop a thief with a station's key", stop_thief),
    ("Answer openssl by OCSP", ask_by_ocsp),
    ("Let two devices meet over mutual TLS", meet_over_tls),
    ("Prove a status to somebody who trusts no gateway", prove_status),
    ("Build a tunnel that ends with a hold", follow_with_tunnels),
    ("Personalise a SIM in a reader", personalise_card),
    ("Put its identity on the ledger", register_identity),
    ("Log in to an app with the card", log_in),
)
