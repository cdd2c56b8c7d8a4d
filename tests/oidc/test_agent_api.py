"""The agent API beside its specification: each path and method that it names is served, and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from identity_oidc.app import create_app
from identity_oidc.provider import Provider
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, RelyingParty, ask

SPECIFICATION: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "sim-agent-api.yaml").read_text("utf-8")
)
WITHOUT = {("GET", "/agent/v1/wake")}
"""`configuration` says that there is none."""


def verify(content: object, schema: str) -> None:
    document = {"$ref": f"#/components/schemas/{schema}", "components": SPECIFICATION["components"]}
    Draft202012Validator(document).validate(content)


def test_the_routes_are_those_of_the_specification(provider: Provider) -> None:
    specified = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, methods in SPECIFICATION["paths"].items()
        for method in methods
    }
    served = {
        (method, rule.rule)
        for rule in create_app(provider).url_map.iter_rules()
        if rule.rule.startswith("/agent/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == specified - WITHOUT


def test_answers_are_of_the_specified_form(
    provider: Provider, app: RelyingParty, browser: Browser, ledger: LedgerInMemory
) -> None:
    configuration = ask("GET", f"{provider.issuer}/agent/v1/configuration").json
    verify(configuration, "Configuration")
    assert configuration["wake"] is False
    soft = SoftAgent(provider.issuer, IDENTITY)
    ledger.register(IDENTITY, soft.card.public_key())
    verify(soft.enrol().json, "Enrolled")
    verify(soft.call("GET", "/inbox").json, "Inbox")
    fetched = soft.fetch(app.begin(browser, claims='{"userinfo":{"name":{"essential":true}}}'))
    verify(fetched.json, "EncryptedChallenge")
    challenge = soft.decrypt(fetched.json["challenge"])
    verify(challenge, "Challenge")
    approved = soft.approve(challenge, soft.approval(challenge))
    verify(approved.json, "Approved")
    refused = soft.approve(challenge, soft.approval(challenge))
    verify(refused.json, "Problem")
    assert refused.headers["content-type"] == "application/problem+json"
    assert soft.call("GET", "/wake").status == 404


def test_the_specification_tells_a_wrong_answer(provider: Provider) -> None:

    for schema in ("Configuration", "Challenge", "Enrolled"):
        with pytest.raises(ValidationError):
            verify({}, schema)
