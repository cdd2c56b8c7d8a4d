"""The OpenAPI document and the application say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks

from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import create_passphrase
from pki_chain.config import GatewaySection, KeystoreSection, LedgerSection, MemberConfig, MemberSection
from pki_chain.gateway.app import create_app
from pki_chain.gateway.operations import load_openapi
from pki_chain.gateway.order_forms import FORMS
from pki_chain.gateway.rate_limit import RateLimit
from pki_chain.gateway.services import EXTENSION, INDEX_FILE, open_status_keys
from pki_chain.index.indexer import Indexer
from tests.gateway.conftest import CONSORTIUM, NO_CODE, Clock, Gateway
from tests.index.recorded_ledger import RecordedLedger, certificates

schemathesis.serializer.alias("application/ocsp-request", "application/octet-stream")


def test_the_document_is_openapi() -> None:
    validate(load_openapi())


def test_every_route_is_described_and_every_description_has_a_route(gateway: Gateway) -> None:
    app: Flask = gateway.client.application
    routes = {
        (re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    paths: Any = load_openapi()["paths"]
    assert routes == {(path, method) for path, operations in paths.items() for method in operations}


def test_every_order_is_described_with_its_fields() -> None:
    schemas: Any = load_openapi()["components"]["schemas"]  # type: ignore[index]
    mapping = schemas["Order"]["discriminator"]["mapping"]
    assert list(mapping) == list(FORMS) == schemas["OrderState"]["properties"]["order"]["enum"]
    for kind, reference in mapping.items():
        described = schemas[reference.rpartition("/")[2]]
        assert set(described["required"]) == {"order", *FORMS[kind].fields}
        assert set(described["properties"]) == set(described["required"])


def test_it_is_served(gateway: Gateway) -> None:
    assert gateway.client.get("/openapi.json").get_json() == load_openapi()


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A gateway with certificates, without the limit on writes, and with a ledger that is away."""
    directory = tmp_path_factory.mktemp("openapi")
    CONSORTIUM.store(directory / "consortium.json")
    config = MemberConfig(
        path=directory / "tally.toml",
        member=MemberSection(1, "Example Mobile"),
        ledger=LedgerSection(directory / "consortium.json", timeout_s=1.0),
        keystore=KeystoreSection(directory / "keystore", directory / "keystore" / "passphrase"),
        gateway=GatewaySection(data=directory / "data"),
    )
    ledger = RecordedLedger()
    ledger.accept(certificates(3))
    with Indexer(config.gateway.data / INDEX_FILE, ledger, 1) as indexer:
        indexer.advance()
        create_passphrase(config.keystore.passphrase_file)
        open_status_keys(config).create("Example Mobile", ledger.time)
        app = create_app(config, Clock(ledger.time + 1.0))
        # These tests take longer than a head may stand still; the ledger is recorded, and time does not pass in it.
        app.extensions[EXTENSION].freshness._ticks = lambda: 0.0
        yield app


OPERATIONS = [
    f"{method.upper()} {path}"
    for path, operations in load_openapi()["paths"].items()
    for method in operations  # type: ignore[attr-defined]
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_answers_are_as_described(
    application: Flask, monkeypatch: pytest.MonkeyPatch, operation: str, mode: GenerationMode
) -> None:
    """Whatever is asked, well formed or not: a described answer, never 500."""
    monkeypatch.setattr(RateLimit, "take", lambda *_: None)
    monkeypatch.setattr(LedgerClient, "code_hash", lambda *_: NO_CODE)
    monkeypatch.setattr(LedgerClient, "simulate", lambda *_: b"")  # as if the ledger took every order
    document = schemathesis.openapi.from_wsgi("/openapi.json", application)
    method, _, path = operation.partition(" ")
    described = document[path][method]

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=described.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # OCSP tells who asks wrongly so in an answer of its own, with status 200.
        of_ocsp = [checks.negative_data_rejection] if path.startswith("/ocsp") else []
        # No proof is had while the ledger is away: 503, which is described.
        of_proofs = [checks.not_a_server_error] if path.endswith("/proof") else []
        case.call_and_validate(excluded_checks=[checks.positive_data_acceptance, *of_ocsp, *of_proofs])

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE
        assert not described.body
        assert not list(described.query)


def test_the_file_is_readable_as_it_ships() -> None:
    path = Path(__file__).parents[2] / "pki_chain" / "gateway" / "openapi.json"
    assert json.loads(path.read_text(encoding="utf-8")) == load_openapi()
