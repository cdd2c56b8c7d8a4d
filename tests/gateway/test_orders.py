"""Orders over REST: their form, and that they are done only when the gateway's own answers show it."""

from __future__ import annotations

from typing import Any

import pytest

from pki_chain.chain.ledger import LedgerClient
from pki_chain.errors import RefusedError
from pki_chain.gateway.inbox import InboxState
from tests.gateway.conftest import Gateway, problem_code

HOLD: dict[str, Any] = {
    "order": "hold",
    "certificate": "0x" + "11" * 32,
    "kind": 1,
    "reason": 0,
    "counter": 0,
    "deadline": 2_000_000_000,
    "signer": "0x" + "22" * 20,
    "signature": "0x" + "33" * 65,
}


@pytest.fixture
def taking(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A gateway whose ledger would carry every order out; what the contracts refuse is shown in test_service.py."""
    monkeypatch.setattr(LedgerClient, "simulate", lambda *_: b"")
    return gateway


def test_an_order_is_on_disk_when_it_is_acknowledged(taking: Gateway) -> None:
    response = taking.client.post("/v1/orders", json=HOLD)
    assert response.status_code == 202
    answer = response.get_json()
    assert (answer["order"], answer["state"], answer["transaction"]) == ("hold", "stored", None)
    stored = taking.inbox.order(answer["id"])
    assert stored is not None
    assert taking.client.get(response.headers["Location"]).get_json() == answer
    assert taking.client.post("/v1/orders", json=HOLD).get_json() == answer


def test_done_is_what_our_own_answers_show(taking: Gateway) -> None:
    """Until the read model has come to the order's block, it is still on its way."""
    identifier = taking.client.post("/v1/orders", json=HOLD).get_json()["id"]
    block = taking.ledger.head().number + 1
    taking.inbox.mark_order(identifier, InboxState.DONE, transaction_hash=b"\x01" * 32, block_number=block)
    assert taking.client.get(f"/v1/orders/{identifier}").get_json()["state"] == "sent"
    taking.ledger.mine()
    taking.catch_up()
    assert taking.client.get(f"/v1/orders/{identifier}").get_json()["state"] == "done"


def test_what_the_ledger_refuses_is_not_taken(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise RefusedError("RegistryHoldCounter(0x11, 1, 0)")

    monkeypatch.setattr(LedgerClient, "simulate", refuse)
    response = gateway.client.post("/v1/orders", json=HOLD)
    assert problem_code(response, 409) == "refused"
    assert "RegistryHoldCounter" in response.get_json()["detail"]
    assert gateway.inbox.counts() == {}


def test_ledger_away_takes_no_order(gateway: Gateway) -> None:
    response = gateway.client.post("/v1/orders", json=HOLD)
    assert problem_code(response, 503) == "ledger-unavailable"
    assert "127.0.0.1" not in response.get_data(as_text=True), "endpoints are nobody's business"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({}, "missing-field"),
        ({**HOLD, "order": "seize"}, "unknown-order"),
        ({**HOLD, "order": 1}, "bad-field"),
        ({**HOLD, "more": 1}, "unknown-field"),
        ({name: value for name, value in HOLD.items() if name != "signer"}, "missing-field"),
        ({**HOLD, "certificate": "0x11"}, "bad-field"),
        ({**HOLD, "kind": 0}, "bad-field"),
        ({**HOLD, "kind": 4}, "bad-field"),
        ({**HOLD, "reason": 256}, "bad-field"),
        ({**HOLD, "counter": -1}, "bad-field"),
        ({**HOLD, "deadline": 1.5}, "not-json"),
        (
            {
                "order": "close-lot",
                "lot": 1 << 40,
                **{name: HOLD[name] for name in ("deadline", "signer", "signature")},
            },
            "bad-field",
        ),
        ({"order": "execute", "proposal": 1, "content": "0x1"}, "bad-field"),
    ],
)
def test_bad_order(taking: Gateway, content: dict[str, Any], code: str) -> None:
    assert problem_code(taking.client.post("/v1/orders", json=content), 400) == code
    assert taking.inbox.counts() == {}


def test_unknown_order(gateway: Gateway) -> None:
    assert problem_code(gateway.client.get("/v1/orders/" + "ab" * 16), 404) == "not-found"
    assert problem_code(gateway.client.get("/v1/orders/xyz"), 400) == "bad-order-id"
