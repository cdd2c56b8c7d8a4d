"""The proof route over a real ledger: JSON and CBOR, presence and absence, and what it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from pki_chain.config import GatewaySection, LedgerSection, MemberConfig, MemberSection
from pki_chain.gateway.app import create_app
from pki_chain.gateway.services import INDEX_FILE
from pki_chain.index.indexer import Indexer
from pki_chain.ports import Status
from pki_chain.proof.proof import parse_proof
from pki_chain.proof.verifier import Verifier, identify
from tests.gateway.conftest import Clock, Gateway, problem_code
from tests.proof.conftest import ProofLedger, consortium, ledger, ledger_engine

__all__ = ["consortium", "ledger", "ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("proof-ledger")]
UNKNOWN = "/v1/certificates/" + "0" * 64 + "/proof"


@pytest.fixture
def clock(ledger: ProofLedger) -> Clock:
    return Clock(ledger.now() + 1.0)


@pytest.fixture
def client(ledger: ProofLedger, clock: Clock, tmp_path: Path) -> Iterator[FlaskClient]:
    """A gateway that follows the ledger of the proofs."""
    ledger.consortium.file.store(tmp_path / "consortium.json")
    config = MemberConfig(
        path=tmp_path / "tally.toml",
        member=MemberSection(1, "Tiger Mobile"),
        ledger=LedgerSection(tmp_path / "consortium.json", timeout_s=10.0),
        gateway=GatewaySection(data=tmp_path / "data"),
    )
    reader = ledger.consortium.ledger
    with Indexer(config.gateway.data / INDEX_FILE, reader, ledger.consortium.file.founding_block) as indexer:
        while indexer.advance().number < ledger.trust.checkpoint.number:
            pass
        yield create_app(config, clock).test_client()


def _path(der: bytes) -> str:
    return f"/v1/certificates/{hashlib.sha256(der).hexdigest()}/proof"


@pytest.mark.parametrize("media_type", ["application/json", "application/cbor"])
def test_a_proof_is_had_in_both_forms_and_verifies(
    ledger: ProofLedger, client: FlaskClient, clock: Clock, media_type: str
) -> None:
    der = ledger.certificates["held"]
    answer = client.get(_path(der), headers={"Accept": media_type})
    assert (answer.status_code, answer.content_type) == (200, media_type)
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "max-age=5, must-revalidate"
    verifier = Verifier(ledger.trust, unsafe_unsealed=True)
    proven = verifier.verify(parse_proof(answer.data), identify(der), int(clock()))
    assert proven.status.state is Status.HELD


ISSUED = (
    "issued",
    "issued and held",
    "issued below three",
    "issued by a withdrawn CA",
    "issued, replaced CA withdrawn",
)


@pytest.mark.parametrize("name", ISSUED)
@pytest.mark.parametrize("query", [False, True])
def test_a_proof_says_what_the_gateway_says_of_what_a_ca_issued(
    ledger: ProofLedger, client: FlaskClient, clock: Clock, name: str, *, query: bool
) -> None:
    der = ledger.certificates[name]
    identity = identify(der)
    asked = f"?spki={identity.spki_hash.hex()}&tbs={identity.tbs_hash.hex()}" if query else ""
    answer = client.get(_path(der) + asked)
    assert answer.status_code == 200
    made = parse_proof(answer.data)
    assert made.authorities == ledger.paths[name]
    proven = Verifier(ledger.trust, unsafe_unsealed=True).verify(made, identity, int(clock())).status
    said = client.get(f"/v1/certificates/{hashlib.sha256(der).hexdigest()}/status").get_json()
    assert said["state"] == proven.state.name.lower()
    assert said["since"] == proven.since
    assert (said["reason"] or {"number": 0})["number"] == proven.reason


def test_absence_is_proven_by_the_two_hashes(ledger: ProofLedger, client: FlaskClient, clock: Clock) -> None:
    der = ledger.certificates["unknown"]
    identity = identify(der)
    assert problem_code(client.get(_path(der)), 404) == "not-found"
    answer = client.get(f"{_path(der)}?spki={identity.spki_hash.hex()}&tbs={identity.tbs_hash.hex()}")
    assert answer.status_code == 200
    verifier = Verifier(ledger.trust, unsafe_unsealed=True)
    assert verifier.verify(parse_proof(answer.data), identity, int(clock())).status.state is Status.UNKNOWN


def test_a_ledger_that_stands_still_gives_no_proof(ledger: ProofLedger, client: FlaskClient, clock: Clock) -> None:
    clock.seconds += 100
    assert problem_code(client.get(_path(ledger.certificates["valid"])), 503) == "stale"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/certificates/zz/proof", 400, "bad-sha256"),
        (UNKNOWN + "?spki=" + "0" * 64, 400, "bad-proof-arguments"),
        (UNKNOWN + "?spki=1&tbs=" + "0" * 64, 400, "bad-spki"),
        (UNKNOWN + "?tbs=1&spki=" + "0" * 64, 400, "bad-tbs"),
        (UNKNOWN + "?tbs=1&tbs=1&spki=" + "0" * 64, 400, "bad-proof-arguments"),
    ],
)
def test_questions_of_the_wrong_form_are_refused(client: FlaskClient, path: str, status: int, code: str) -> None:
    assert problem_code(client.get(path), status) == code


def test_a_form_that_there_is_not_is_refused(client: FlaskClient) -> None:
    assert problem_code(client.get(UNKNOWN, headers={"Accept": "text/html"}), 406) == "not-acceptable"


def test_without_a_ledger_there_is_no_proof(gateway: Gateway) -> None:
    answer = gateway.client.get(UNKNOWN + "?spki=" + "0" * 64 + "&tbs=" + "0" * 64)
    assert problem_code(answer, 503) == "ledger-unavailable"
