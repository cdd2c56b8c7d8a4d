"""The published vectors of the approval, through the provider's own checks; its text beside the agent's."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from identity_oidc import base64url
from identity_oidc.authentication.approval import (
    HandedIn,
    StoredChallenge,
    build_context,
    parse_approval,
    verify_context,
    verify_identity,
    verify_signature,
)
from identity_oidc.clients import Client
from identity_oidc.consent.text import ConsentItem, consent_text, text_digest
from identity_oidc.errors import AgentError
from identity_oidc.ports import Attestation, IdentityId, IdentityState, LedgerIdentity

FOLDER = Path(__file__).parent.parent / "vectors" / "approval"
APPROVALS: dict[str, Any] = json.loads((FOLDER / "approvals.json").read_text("utf-8"))
TAMPERED: list[dict[str, str]] = json.loads((FOLDER / "tampered.json").read_text("utf-8"))["siblings"]
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in APPROVALS["cases"]}
IDENTITY = IdentityId(bytes.fromhex(APPROVALS["identity"][2:]))
NOW = 1_800_000_010


def on_ledger(
    state: IdentityState = IdentityState.ACTIVE, age_s: float = 0, *, emulator: bool = False
) -> LedgerIdentity:
    key = b"".join(base64url.parse(APPROVALS["card_key"][name]) for name in ("x", "y"))
    return LedgerIdentity(
        identity=IDENTITY,
        public_key=key,
        state=state,
        attestation=Attestation.PERSONALISER,
        is_card_enforced=True,
        is_emulator=emulator,
        block=7,
        age_s=age_s,
    )


def stored(case: dict[str, Any]) -> StoredChallenge:
    challenge = case["challenge"]
    return StoredChallenge(
        jti=challenge["challenge_id"],
        identity=IDENTITY,
        session_hash=base64url.parse(challenge["session"]["digest"]),
        code=case["code"],
        ctx_salt=base64url.parse(challenge["ctx_salt"]),
        leaf_salt=base64url.parse(challenge["leaf_salt"]),
        fetched={
            **{name: challenge[name] for name in ("kind", "mode", "language", "exp", "sub", "app", "request")},
            "text_digest": base64url.encode(text_digest(case["text_shown"])),
        },
    )


def verify(case: dict[str, Any], approval: str, ledger: LedgerIdentity | None = None) -> None:
    handed_in = HandedIn(approval, tuple(case["granted"]), tuple(case["refused"]))
    jws = parse_approval(handed_in, stored(case), APPROVALS["issuer"], NOW, 0)
    verify_signature(verify_context(jws, handed_in, stored(case)), ledger or on_ledger())


@pytest.mark.parametrize("name", CASES)
def test_each_vector_and_its_signature_twin_pass(name: str) -> None:
    case = CASES[name]
    assert build_context(stored(case), case["granted"], case["refused"]).decode() == case["canonical_context"]
    verify(case, case["approval"])
    verify(case, case["approval_twin"])


@pytest.mark.parametrize("sibling", TAMPERED, ids=lambda sibling: sibling["field"])
def test_each_tampered_sibling_is_refused_by_its_check(sibling: dict[str, str]) -> None:
    with pytest.raises(AgentError) as refused:
        verify(APPROVALS["cases"][0], sibling["approval"])
    assert refused.value.problem == sibling["code"]


def test_what_was_granted_must_split_what_was_asked() -> None:
    case = APPROVALS["cases"][0]
    for granted, refused in (
        (["email"], ["phone_number"]),
        (["email", "name", "phone_number"], ["phone_number"]),
        (["name", "email"], ["phone_number"]),
        (["email", "name", "address"], ["phone_number"]),
    ):
        with pytest.raises(AgentError, match="something else") as error:
            verify(case | {"granted": granted, "refused": refused}, case["approval"])
        assert error.value.problem == "context-mismatch"


@pytest.mark.parametrize(
    ("ledger", "problem", "status"),
    [
        (on_ledger(IdentityState.HELD), "identity-not-active", 403),
        (on_ledger(IdentityState.REVOKED), "identity-not-active", 403),
        (on_ledger(IdentityState.REGISTERED), "identity-not-active", 403),
        (on_ledger(IdentityState.REPLACING), "identity-not-active", 403),
        (on_ledger(emulator=True), "identity-not-active", 403),
        (on_ledger(age_s=60.5), "ledger-stale", 503),
    ],
)
def test_only_an_active_key_at_a_fresh_block_logs_in(ledger: LedgerIdentity, problem: str, status: int) -> None:
    verify_identity(on_ledger(age_s=60), 60, accept_emulators=False)
    with pytest.raises(AgentError) as refused:
        verify_identity(ledger, 60, accept_emulators=False)
    assert (refused.value.problem, refused.value.status) == (problem, status)


def test_the_texts_are_those_of_the_agent() -> None:
    ours = files("identity_oidc").joinpath("consent/texts/consent.json").read_bytes()
    assert ours == files("sim_applet_tools").joinpath("agent/texts/consent.json").read_bytes()


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name]["challenge"]["kind"] == "login"])
def test_the_text_shown_is_made_here_byte_by_byte(name: str) -> None:
    case = CASES[name]
    challenge, request = case["challenge"], case["challenge"]["request"]
    client = Client.parse({"redirect_uris": ["https://shop.example/"]}, challenge["app"])
    text = consent_text(
        client,
        request["redirect_uri"],
        [ConsentItem(item["name"], item["purpose"], item["essential"]) for item in request["items"]],
        request["purpose"],
        request["grant_expires_at"],
        request["sso_seconds"],
        challenge["language"],
    )
    assert text == case["text_shown"]
