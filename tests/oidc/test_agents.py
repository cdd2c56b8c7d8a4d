"""Agents: enrolment and DPoP proofs, each check refusing. Source: docs/sim-agent-api.yaml, RFC 9449 §4.3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from identity_oidc.ports import IdentityState
from identity_oidc.provider import Provider
from tests.oidc.card_in_software import Bend, SoftAgent, new_key
from tests.oidc.conftest import IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import ask, public_jwk

RAW = bytes.fromhex(IDENTITY[2:])


def _set(name: str, value: object) -> Bend:
    def bend(content: dict[str, Any]) -> None:
        content[name] = value

    return bend


def _drop(name: str) -> Bend:
    def bend(content: dict[str, Any]) -> None:
        content.pop(name, None)

    return bend


@pytest.fixture
def soft(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> SoftAgent:
    return SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock)


def test_the_configuration_says_whose_keys_sign_records(provider: Provider) -> None:
    content = ask("GET", f"{provider.issuer}/agent/v1/configuration").json
    assert content["issuer"] == provider.issuer
    assert content["members"] == list(provider.members)


@pytest.mark.parametrize(
    "bend",
    [
        _set("aud", "https://other.example"),
        _set("iat", 1),
        _set("exp", 1),
        _set("exp", 253_402_300_799),
        _set("cnf", {"jkt": "A" * 43}),
        _set("cnf", {}),
        _set("jti", "short"),
        _set("iss", "5a" * 32),
        _set("iss", "0x" + "5A" * 32),
        _set("iss", 1),
        _set("extra", 1),
        _drop("jti"),
    ],
)
def test_an_enrolment_is_of_this_agent_for_this_provider(soft: SoftAgent, bend: Bend) -> None:
    refused = soft.enrol(bend)
    assert (refused.status, refused.json["code"]) == (400, "malformed-enrolment")
    assert soft.enrol().status == 201


def test_an_enrolment_is_signed_by_the_active_key_of_the_ledger(soft: SoftAgent, ledger: LedgerInMemory) -> None:
    assert soft.enrol(header=b'{"alg":"ES256","typ":"tally-approval+jwt"}').status == 400
    good, soft.card = soft.card, new_key()
    assert soft.enrol().json["code"] == "signature-invalid"
    soft.card = good
    assert soft.enrol(_set("iss", "0x" + "99" * 32)).json["code"] == "signature-invalid"
    ledger.change(RAW, "changed", state=IdentityState.REGISTERED)
    assert soft.enrol().json["code"] == "identity-not-active"
    ledger.is_away = True
    assert soft.enrol().status == 503
    ledger.is_away = False
    ledger.change(RAW, "changed", state=IdentityState.ACTIVE)
    assert soft.enrol().status == 201


def test_an_enrolment_is_taken_once_and_has_a_plain_label(soft: SoftAgent) -> None:
    same = _set("jti", "A" * 22)
    assert soft.enrol(same).status == 201
    assert soft.enrol(same).status == 400
    for label in ("", "x" * 65, "a\u202eb", "a\nb"):
        assert soft.enrol(label=label).status == 400


@pytest.mark.parametrize(
    ("bend", "bend_header"),
    [
        (_set("htm", "GET"), None),
        (_set("htu", "https://evil.example/agent/v1/enrolments/current"), None),
        (_set("htu", 1), None),
        (_set("iat", 1), None),
        (_set("iat", "now"), None),
        (_set("jti", ""), None),
        (_set("ath", "A" * 43), None),
        (_drop("ath"), None),
        (None, _set("typ", "jwt")),
        (None, _set("alg", "none")),
        (None, _set("alg", "HS256")),
        (None, _set("jwk", public_jwk(new_key()))),
        (None, _set("jwk", {})),
        (None, _set("kid", "x")),
        (None, _drop("jwk")),
    ],
)
def test_a_proof_is_for_this_call_by_this_key(soft: SoftAgent, bend: Bend | None, bend_header: Bend | None) -> None:
    path = "/enrolments/current"
    proof = soft.proof("DELETE", path, bend or _drop("x"), bend_header or _drop("x"))
    refused = soft.call("DELETE", path, proof=proof)
    assert refused.status == 401
    assert 'error="invalid_dpop_proof"' in refused.headers["www-authenticate"]
    assert soft.call("DELETE", path).status == 204


def test_a_private_key_in_a_proof_is_refused(soft: SoftAgent) -> None:
    jwk = public_jwk(soft.key) | {"d": "A" * 43}
    refused = soft.call("GET", "/inbox", proof=soft.proof("GET", "/inbox", bend_header=_set("jwk", jwk)))
    assert refused.status == 401


def test_a_proof_is_good_once_and_needs_a_fresh_nonce(soft: SoftAgent, clock: TestClock) -> None:
    assert soft.call("GET", "/inbox").status == 200
    proof = soft.proof("GET", "/inbox")
    assert soft.call("GET", "/inbox", proof=proof).status == 200
    again = soft.call("GET", "/inbox", proof=proof)
    assert 'error="invalid_dpop_proof"' in again.headers["www-authenticate"]
    for nonce in ("wrong", None):
        bare = soft.proof("GET", "/inbox", _set("nonce", nonce) if nonce else _drop("nonce"))
        refused = soft.call("GET", "/inbox", proof=bare)
        assert 'error="use_dpop_nonce"' in refused.headers["www-authenticate"]
        assert refused.headers["dpop-nonce"]
    clock.ahead_s = 900
    old = soft.call("GET", "/inbox", proof=soft.proof("GET", "/inbox"))
    assert 'error="use_dpop_nonce"' in old.headers["www-authenticate"]


def test_a_token_is_good_with_its_own_key_only(soft: SoftAgent) -> None:
    thief = SoftAgent(soft.issuer, soft.identity, token=soft.token, nonce=soft.nonce)
    refused = thief.call("GET", "/inbox")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    plain = ask("GET", f"{soft.issuer}/agent/v1/inbox", headers={"Authorization": f"Bearer {soft.token}"})
    assert plain.status == 401
    assert soft.call("GET", "/inbox").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"reason":"lost","reason":"lost"}',
        b'{"reason":"lost","x":1}',
        b'{"reason":"bored"}',
        b"\xff",
    ],
)
def test_bodies_are_exactly_what_the_api_says(soft: SoftAgent, body: bytes) -> None:
    headers = {"DPoP": soft.proof("POST", "/hold"), "Authorization": f"DPoP {soft.token}"}
    refused = ask("POST", f"{soft.issuer}/agent/v1/hold", headers=headers, body=body)
    assert (refused.status, json.loads(refused.body)["status"]) == (400, 400)


def test_bodies_are_bounded(soft: SoftAgent) -> None:
    assert soft.call("POST", "/hold", {"reason": "x" * 20_000}).status == 400
    assert soft.call("POST", "/hold", {"reason": "x" * 70_000}).status == 413


def test_an_agent_s_time_ends(soft: SoftAgent, clock: TestClock) -> None:
    clock.ahead_s = 3_700
    refused = soft.call("GET", "/inbox")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
