"""The vectors: made anew byte by byte, reached by the agent, and each tampering found by the provider's checks."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from sim_applet_tools.agent.app_record import AppRecord
from sim_applet_tools.agent.approval import approval_text, compact
from sim_applet_tools.agent.base64url import decode_base64url
from sim_applet_tools.agent.challenge import PLAIN_BYTES, Challenge, parse_challenge
from sim_applet_tools.agent.consent_text import consent_text
from sim_applet_tools.agent.context import build_context, canonical
from sim_applet_tools.iot_safe.pin import APPROVAL_PREFIX, POSSESSION_PREFIX
from tests.agent.ledger import Ledger
from tests.agent.make_vectors import FOLDER, NOW, documents
from tests.agent.provider import AgentOf, Login, Provider
from tests.agent.provider_checks import RefusedError

APPROVALS: dict[str, Any] = json.loads((FOLDER / "approvals.json").read_text(encoding="utf-8"))
TAMPERED: list[dict[str, str]] = json.loads((FOLDER / "tampered.json").read_text(encoding="utf-8"))["siblings"]
CASES = {case["name"]: case for case in APPROVALS["cases"]}


def card_key() -> ec.EllipticCurvePublicKey:
    x, y = (decode_base64url(APPROVALS["card_key"][name]) for name in ("x", "y"))
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)


def challenge_of(case: dict[str, Any]) -> Challenge:
    plain = json.dumps(case["challenge"]).encode().ljust(PLAIN_BYTES)
    return parse_challenge(plain, issuer=APPROVALS["issuer"], now=NOW + 5)


def record_of(challenge: Challenge) -> AppRecord:
    """The record as it would be once its signature was verified."""
    text, _, _ = challenge.app.rpartition(".")
    content = json.loads(decode_base64url(text.partition(".")[2]))
    content["verified_domains"] = tuple(content["verified_domains"])
    return AppRecord(**content, digest=sha256(text.encode()).digest())


def verify(case: dict[str, Any], approval: str) -> None:
    """The provider's checks from the form of the JWS on."""
    ledger = Ledger()
    ledger.register(APPROVALS["identity"], card_key())
    provider = Provider(ledger, issuer=APPROVALS["issuer"], clock=lambda: NOW + 10)
    agent = AgentOf(APPROVALS["identity"], ECKey.import_key(card_key()), "jkt", "token", "PC")
    login = Login(case["challenge"], "cookie", "h", "s", "h", "h", case["code"], agent="token")
    body = {"approval": approval, "granted": case["granted"], "refused": case["refused"]}
    provider.verify_approval(agent, login, body, case["code"], NOW + 10)


@pytest.mark.parametrize("name", ["approvals.json", "tampered.json"])
def test_the_generator_writes_the_same_bytes(name: str) -> None:
    assert json.loads((FOLDER / name).read_text(encoding="utf-8")) == documents()[name]


@pytest.mark.parametrize("name", CASES)
def test_the_agent_arrives_at_the_same_bytes(name: str) -> None:
    case = CASES[name]
    challenge = challenge_of(case)
    record = record_of(challenge)
    assert consent_text(challenge, record) == case["text_shown"]
    context = build_context(challenge, record, case["refused"], case["code"])
    assert context == case["context"]
    assert canonical(context).decode() == case["canonical_context"]
    text = approval_text(APPROVALS["identity"], challenge, context, NOW + 5)
    signature = decode_base64url(case["approval"].rpartition(".")[2])
    assert compact(text, signature) == case["approval"]
    assert text.startswith(APPROVAL_PREFIX)
    assert not text.startswith(POSSESSION_PREFIX)
    assert len(text) < 510, "two UPDATE commands"


@pytest.mark.parametrize("name", CASES)
def test_the_provider_takes_each_and_its_twin(name: str) -> None:
    verify(CASES[name], CASES[name]["approval"])
    verify(CASES[name], CASES[name]["approval_twin"])
    assert CASES[name]["approval"] != CASES[name]["approval_twin"]


@pytest.mark.parametrize("sibling", TAMPERED, ids=[each["field"] for each in TAMPERED])
def test_the_provider_refuses_each_tampered_sibling(sibling: dict[str, str]) -> None:
    case = APPROVALS["cases"][0]
    assert sibling["approval"] != case["approval"]
    with pytest.raises(RefusedError) as refused:
        verify(case, sibling["approval"])
    assert refused.value.code == sibling["code"]


def test_each_member_of_context_and_claims_has_a_sibling() -> None:
    case = APPROVALS["cases"][0]
    fields = {each["field"] for each in TAMPERED}
    assert {f"context.{name}" for name in case["context"]} <= fields
    assert case["claims"].keys() - {"ctx", "leaf"} <= fields
    assert {"ctx_salt", "leaf_salt"} <= fields


@pytest.mark.parametrize(
    "change", [{"granted": ["email", "name", "phone_number"]}, {"refused": []}, {"code": "111111"}]
)
def test_what_the_agent_says_must_fit_what_was_signed(change: dict[str, Any]) -> None:
    case = {**APPROVALS["cases"][0], **change}
    with pytest.raises(RefusedError, match="context-mismatch"):
        verify(case, case["approval"])
