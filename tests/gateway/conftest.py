"""A gateway's application over a recorded ledger, with a clock that stands still until it is told otherwise."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedTexts, batch_digest
from pki_chain.config import ConsortiumFile, GatewaySection, KeystoreSection, LedgerSection, MemberConfig, MemberSection
from pki_chain.gateway.app import create_app
from pki_chain.gateway.inbox import Inbox
from pki_chain.gateway.services import EXTENSION, INBOX_FILE, INDEX_FILE, Services
from pki_chain.index.indexer import Indexer
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Address, Submission
from tests.index.recorded_ledger import SMALL_CELL, RecordedLedger

CONSORTIUM = ConsortiumFile(
    chain_id=20_260_101,
    salt=b"\x07" * 32,
    consortium=Address("0x" + "0c" * 20),
    directory=Address("0x" + "0d" * 20),
    certificate_registry=Address("0x" + "0e" * 20),
    identity_registry=Address("0x" + "1d" * 20),
    trust_list=Address("0x" + "7e" * 20),
    code_hashes=MappingProxyType({}),
    endpoints=("http://127.0.0.1:9",),
    founding_block=1,
    founding_hash=b"\x01" * 32,
)
"""Nothing listens at the endpoint (port 9 is discard): a ledger that is down."""


NO_CODE = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""keccak256 of nothing: the code hash of an account that is no contract."""


@dataclass
class Clock:
    seconds: float

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Gateway:
    """An application, its client, and what stands behind it."""

    config: MemberConfig
    ledger: RecordedLedger
    indexer: Indexer
    clock: Clock
    client: FlaskClient
    consortium: ConsortiumFile = CONSORTIUM

    @property
    def services(self) -> Services:
        services: Services = self.client.application.extensions[EXTENSION]
        return services

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.config.gateway.data / INBOX_FILE)

    @property
    def read_model(self) -> ReadModel:
        return ReadModel(self.config.gateway.data / INDEX_FILE)

    def catch_up(self, age_s: float = 1.0) -> None:
        """The read model takes in everything, and the clock shows this much after the last block."""
        self.indexer.advance()
        self.clock.seconds = self.ledger.time + age_s

    def envelope(
        self,
        batch: Sequence[bytes],
        /,
        *,
        signer: Signer | None = None,
        consortium: ConsortiumFile | None = None,
        signed: dict[str, Any] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """A good submission; `changes` are made after it was signed, `signed` before."""
        submission = Submission(self.ledger.station.address, SMALL_CELL, 1, 7, int(self.clock()) + 3_600)
        submission = replace(submission, **(signed or {}))
        typed = TypedTexts(consortium or self.consortium).submission(submission, batch_digest(batch))
        return {
            "station": submission.station,
            "profile": submission.profile,
            "lot": submission.lot,
            "nonce": str(submission.nonce),
            "deadline": submission.deadline,
            "certificates": [base64.b64encode(der).decode() for der in batch],
            "signature": "0x" + (signer or self.ledger.station).sign(typed).hex(),
            **changes,
        }


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with opened(tmp_path, RecordedLedger()) as found:
        yield found


@contextmanager
def opened(directory: Path, ledger: RecordedLedger) -> Iterator[Gateway]:
    """A gateway over this ledger, its files in a directory."""
    CONSORTIUM.store(directory / "consortium.json")
    config = MemberConfig(
        path=directory / "tally.toml",
        member=MemberSection(1, "Example Mobile"),
        ledger=LedgerSection(directory / "consortium.json", timeout_s=1.0),
        keystore=KeystoreSection(directory / "keystore", directory / "keystore" / "passphrase"),
        gateway=GatewaySection(data=directory / "data"),
    )
    with Indexer(config.gateway.data / INDEX_FILE, ledger, 1) as indexer:
        indexer.advance()
        clock = Clock(ledger.time + 1.0)
        app = create_app(config, clock)
        yield Gateway(config, ledger, indexer, clock, app.test_client())


def problem_code_of(response: requests.Response, status: int) -> str:
    """As `problem_code`, of an answer that came over a socket."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    return str(response.json()["code"])


def problem_code(response: Any, status: int) -> str:
    """The code of a problem document, after checking its form. Source: RFC 9457 §3."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    content = response.get_json()
    assert content["type"] == "urn:tiger-tally:problem:" + content["code"]
    assert content["status"] == status
    assert content["detail"].endswith((".", ")"))
    return str(content["code"])
