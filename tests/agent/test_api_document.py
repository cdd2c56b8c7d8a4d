"""docs/sim-agent-api.yaml is OpenAPI, and what goes over the wire between agent and provider fits it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.provider_client import _EXPLAINED
from tests.agent.conftest import IDENTITY, PIN
from tests.agent.provider import Provider

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "sim-agent-api.yaml").read_text(encoding="utf-8")
)
REGISTRY: Any = Registry().with_resource("urn:api", Resource(contents=DOCUMENT, specification=DRAFT202012))


def fits(name: str, value: Any) -> None:
    schema = {"$ref": f"urn:api#/components/schemas/{name}"}
    Draft202012Validator(schema, registry=REGISTRY).validate(value)


def test_it_is_openapi() -> None:
    validate(DOCUMENT)


def test_each_code_of_the_document_is_explained_to_the_person() -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", json.dumps(DOCUMENT)))
    codes = named & {
        "acr-not-reached",
        "unknown-challenge",
        "challenge-taken",
        "challenge-expired",
        "session-unbound",
        "wrong-code",
        "malformed-approval",
        "context-mismatch",
        "signature-invalid",
        "identity-not-active",
    }
    assert codes == set(_EXPLAINED)


@pytest.mark.parametrize("mode", ["local", "remote", "ciba"])
def test_what_goes_over_the_wire_fits_it(
    agent: Agent, provider: Provider, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Every call of a login, recorded at the provider, against the document's schemas."""
    calls: list[tuple[str, str, Any, Any]] = []
    plain = Provider.answer

    def recorded(self: Provider, method: str, path: str, headers: Any, raw: bytes) -> Any:
        status, answer = plain(self, method, path, headers, raw)
        calls.append((method, re.sub(r"challenges/[^/]{22,}/", "challenges/{challenge_id}/", path), raw, answer))
        return status, answer

    monkeypatch.setattr(Provider, "answer", recorded)
    login = provider.begin(mode=mode)
    login.identity = IDENTITY
    fits("Challenge", login.challenge)
    fits("AppRecord", provider.record())
    agent.inbox()
    handle = {"local": login.local_handle, "remote": login.remote_handle, "ciba": login.inbox_handle}[mode]
    prompt = agent.open(handle, login.local_secret if mode == "local" else None, "zh")
    agent.approve(prompt, PIN, {"email"}, login.code if mode == "remote" else "")
    other = provider.begin(mode="ciba")
    agent.refuse(agent.open(other.inbox_handle, None, "en"), "declined")
    agent.hold("lost")
    fits("Configuration", provider.configuration())
    seen = set()
    for method, path, raw, answer in calls:
        operation = DOCUMENT["paths"][path][method.lower()]
        seen.add(path)
        if raw:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            fits(reference.rpartition("/")[2], json.loads(raw))
        if answer is not None:
            found = next(value for key, value in operation["responses"].items() if key.startswith("2"))
            fits(found["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2], answer)
    left = set(DOCUMENT["paths"]) - seen
    assert left == {"/agent/v1/configuration", "/agent/v1/enrolments", "/agent/v1/enrolments/current", "/agent/v1/wake"}


def test_the_schemas_refuse_what_is_more() -> None:
    from jsonschema import ValidationError  # noqa: PLC0415

    for name, value in {
        "Fetch": {"handle": "h" * 22, "language": "en", "pin": "1"},
        "Refusal": {"reason": "no"},
        "Hold": {"reason": "because"},
        "Approval": {"approval": "x", "granted": [], "refused": []},
    }.items():
        with pytest.raises(ValidationError):
            fits(name, value)
