"""Founding is refused where it could not hold, and what was founded is compared with the plan."""

from __future__ import annotations

import dataclasses

import pytest

from pki_chain.chain.connection import Connection
from pki_chain.chain.deployment import deploy, verify_code, verify_founding, verify_p256
from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.journal import Genesis
from pki_chain.chain.founding import FoundingPlan, MemberPlan
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import Signer
from pki_chain.errors import ConfigurationError, RefusedError
from pki_chain.ports import MemberKind
from tests.ledger import VENDOR, Consortium

pytestmark = pytest.mark.chain


def test_a_chain_without_p256_is_refused() -> None:
    child = Child(Genesis(77, 1_700_000_000, 120_000_000), hardfork="cancun")
    try:
        connection = Connection([f"http://127.0.0.1:{child.port}"], chain_id=77)
        with pytest.raises(ConfigurationError, match="does not verify P-256 signatures at address 0x100"):
            deploy(connection, Signer.ephemeral(), bytes(32), _plan(Signer.ephemeral()), lambda _: [])
        assert connection.request("eth_blockNumber", []) == "0x0", "nothing was sent"
    finally:
        child.stop()


def test_a_chain_with_p256_is_taken(connection: Connection) -> None:
    verify_p256(connection)


def test_a_precompile_that_says_yes_to_all_is_refused() -> None:
    child = Child(Genesis(77, 1_700_000_000, 120_000_000), hardfork="cancun")
    try:
        # PUSH1 1, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
        child.request("anvil_setCode", "0x" + "00" * 18 + "0100", "0x60015f5260205ff3")
        with pytest.raises(ConfigurationError, match="does not verify"):
            verify_p256(Connection([f"http://127.0.0.1:{child.port}"]))
    finally:
        child.stop()


def _plan(administrator: Signer) -> FoundingPlan:
    member = MemberPlan(MemberKind.OPERATOR, "Alone", (administrator.address,))
    return FoundingPlan((member,), (administrator.address,), (), (1,), 1)


def test_a_founding_that_the_contract_refuses_is_named(connection: Connection) -> None:
    administrator, stranger = Signer.ephemeral(), Signer.ephemeral()
    with pytest.raises(RefusedError, match="ConsortiumBadSignature"):
        deploy(
            connection,
            Signer.ephemeral(),
            b"\x01" * 32,
            _plan(administrator),
            lambda typed: [stranger.sign(typed)],
        )


def test_what_stands_is_compared_with_the_plan(consortium: Consortium) -> None:
    file, plan, ledger = consortium.file, consortium.plan, consortium.ledger
    members = list(plan.members)
    members[VENDOR - 1] = dataclasses.replace(members[VENDOR - 1], name="Acme Cell")
    stranger = dataclasses.replace(plan.members[0], stations=(Signer.ephemeral().address,))
    for other, named in (
        (dataclasses.replace(plan, members=tuple(members)), "member 2 is"),
        (dataclasses.replace(plan, members=plan.members[:3]), "members is 4"),
        (dataclasses.replace(plan, members=(stranger, *plan.members[1:])), "account 0x"),
        (dataclasses.replace(plan, quorum=3), "quorum is 2"),
        (dataclasses.replace(plan, parameters=dataclasses.replace(plan.parameters, age_bound_s=9)), "parameters"),
        (dataclasses.replace(plan, profiles=(dataclasses.replace(plan.profiles[0], id=3),)), "profile 3"),
    ):
        with pytest.raises(RefusedError, match=named):
            verify_founding(file, other, ledger)


def test_other_code_is_refused(consortium: Consortium) -> None:
    verify_code(consortium.file, consortium.ledger)
    hashes = dict(consortium.file.code_hashes) | {"Consortium": b"\x01" * 32}
    with pytest.raises(RefusedError, match="code of Consortium"):
        verify_code(dataclasses.replace(consortium.file, code_hashes=hashes), consortium.ledger)
    moved = dataclasses.replace(consortium.file, certificate_registry=consortium.file.directory)
    with pytest.raises(RefusedError, match="code of CertificateRegistry"):
        verify_code(moved, LedgerClient(moved))
