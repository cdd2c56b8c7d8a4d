"""A lost card's replacement by `tally identity replace`, on a ledger whose clock the test pushes past the delay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pki_chain.chain.connection import Connection
from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.journal import Genesis
from pki_chain.chain.founding import Parameters
from pki_chain.demo.processes import Processes, free_port, wait_until
from pki_chain.demo.stage import OPERATOR, Stage, wait_for_gateways
from pki_chain.founding.ceremony import (
    complete_founding,
    deploy_founding,
    plan_founding,
    prepare_member,
    sign_founding,
)
from pki_chain.founding.consortium import CONSORTIUM_FILE
from pki_chain.founding.founders import DEMO_FOUNDERS
from pki_chain.founding.member_directory import ADMINISTRATOR, Services
from tests.e2e.identity_desk import Batch, Desk
from tests.identity.cards import TestCard

pytestmark = [pytest.mark.e2e, pytest.mark.chain]

REFUSED = 77
DELAY_S = 3_600
"""The shortest that a consortium may choose."""
BEHIND_S = 5_400
"""The ledger begins that long ago: pushed past the delay it is still no clock of the future, which gateways refuse."""
AGE_BOUND_S = 7_200


@pytest.fixture
def child() -> Iterator[Child]:
    engine = Child(Genesis(4711, int(time.time()) - BEHIND_S, 120_000_000))
    try:
        engine.request("evm_setAutomine", True)  # noqa: FBT003  the method's own argument
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def operator(child: Child, tmp_path: Path) -> Iterator[Stage]:
    """A consortium with a short delay on that ledger, and its operator's gateway and registrar."""
    port = free_port()
    stage = Stage(tmp_path, Processes(tmp_path, quiet=True), count=0, ledger=f"http://127.0.0.1:{child.port}")
    stage.gateways = {OPERATOR: f"http://127.0.0.1:{port}"}
    services = Services(gateway_port=port, gateways=(stage.gateways[OPERATOR],))
    made = [prepare_member(stage.home(each.label), each, services) for each in DEMO_FOUNDERS]
    plan = plan_founding(
        [member.plan() for member in made],
        quorum=2,
        parameters=Parameters(age_bound_s=AGE_BOUND_S, cut_off_s=AGE_BOUND_S),
        replacement_delay_s=DELAY_S,
    )
    connection = Connection((stage.ledger,))
    deployment = deploy_founding(connection, plan)
    signatures = {
        member.accounts[ADMINISTRATOR]: sign_founding(member.path, member.keystore(), deployment, connection)
        for member in made
    }
    complete_founding(connection, deployment, signatures).store(tmp_path / "consortium" / CONSORTIUM_FILE)
    try:
        stage.processes.daemon("gateway", ("gateway", "run"), stage.home(OPERATOR))
        wait_for_gateways(stage)
        stage.tally(OPERATOR, "consortium", "account", "add", "registrar", "--role", "registrar")
        yield stage
    finally:
        stage.processes.stop()


def test_another_account_confirms_after_the_delay(operator: Stage, child: Child, tmp_path: Path) -> None:
    """Too early, by the account that began it, then by the administrator; twice does nothing."""
    desk = Desk(operator)
    old = desk.prepare(tmp_path, 1)
    (identity,) = old.cards
    desk.register(old.registrations(tmp_path / "r.jsonl", old.registration(identity, old.cards[identity])))
    desk.activate(old.activations(tmp_path / "a.jsonl", identity))
    file = tmp_path / "new.json"
    operator.tally(OPERATOR, "identity", "prepare", "--replace", identity, "--out", str(file))
    new = Batch(file, json.loads(file.read_text()), {identity: TestCard()})
    card = new.cards[identity]
    lines = new.registrations(tmp_path / "new.jsonl", new.registration(identity, card))
    operator.tally(OPERATOR, "identity", "replace", "start", identity, lines)
    due = operator.get(f"/v1/identities/{identity}")["replacement"]["executable_at"]
    confirm = ("identity", "replace", "confirm", identity)

    def push(moment: int) -> None:
        child.request("evm_mine", moment)
        path = f"/v1/identities/{identity}"
        wait_until("the gateway has that block", lambda: operator.get(path)["block"]["time"] >= moment)

    push(due - 600)
    early = operator.tally(OPERATOR, *confirm, expected=(REFUSED,))
    assert "IdentityTooEarly" in early.error
    push(due)
    alone = operator.tally(OPERATOR, *confirm, "--key", "registrar", expected=(REFUSED,))
    assert "IdentityNotAuthorised" in alone.error
    assert operator.tally(OPERATOR, *confirm).content["done"] == "replaced"
    shown = operator.tally(OPERATOR, "identity", "show", identity).content
    assert (shown["state"], shown["key"], shown["replacement"]) == ("registered", card.jwk, None)
    assert [key["by_old_key"] for key in shown["keys"]] == [False, False]
    again = operator.tally(OPERATOR, *confirm, expected=(REFUSED,))
    assert "no replacement waits" in again.error
    operator.tally(OPERATOR, "identity", "activate", new.activations(tmp_path / "b.jsonl", identity))
    assert operator.get(f"/v1/identities/{identity}")["state"] == "active"
