"""An endorsement that the ledger refused, or that was given up, is judged again once it can succeed; no restart."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from pki_chain.chain import outbox as outbox_module
from pki_chain.chain.signer import Signer
from pki_chain.ports import Role
from pki_chain.validator.run import Validator
from tests.ledger import AUTHORITY, VENDOR, Consortium, issue_certificates
from tests.validator.opened import open_validator

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("refused endorsements")]

RULES = "[rules.weak_keys]\n"


class Ticks:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def validator(consortium: Consortium, ticks: Ticks) -> Iterator[Validator]:
    with open_validator(consortium, AUTHORITY, RULES) as opened:
        opened.ticks = ticks
        drain(opened)
        yield opened


@pytest.fixture
def unsent(monkeypatch: pytest.MonkeyPatch, validator: Validator) -> Callable[[], AbstractContextManager[None]]:
    """While this holds, what is enqueued stays on disk: as between two statements of a slow process."""

    @contextmanager
    def hold() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(validator.outbox, "pump", lambda: None)
            yield

    return hold


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "not so in time"


def drain(validator: Validator) -> None:
    """Step until nothing is judged and nothing is on its way."""
    until(lambda: validator.step() == 0 and validator.outbox.pending() == 0)


def deliver(validator: Validator) -> None:
    """Send until every transaction has an outcome; nothing is judged."""

    def delivered() -> bool:
        validator.outbox.pump()
        return validator.outbox.pending() == 0

    until(delivered)


def set_endorser(consortium: Consortium, *, active: bool) -> None:
    keys = consortium.members[AUTHORITY].keys
    nonce, deadline = secrets.randbits(256), consortium.deadline()
    account, administrator = keys["endorser"].address, keys["administrator"]
    typed = consortium.texts.set_account(AUTHORITY, account, Role.ENDORSER, nonce, deadline, active=active)
    call = consortium.calls.set_account(
        AUTHORITY,
        account,
        Role.ENDORSER,
        administrator=administrator.address,
        nonce=nonce,
        deadline=deadline,
        signature=administrator.sign(typed),
        active=active,
    )
    receipt = consortium.send(call)
    assert receipt.succeeded, receipt.revert


def submit(consortium: Consortium) -> int:
    certificates = issue_certificates(consortium.members[VENDOR], 1, now=consortium.now())
    return consortium.submit(certificates, consortium.open_lot())


def is_endorsed(consortium: Consortium, batch: int) -> bool:
    return consortium.ledger.endorsement(batch, AUTHORITY) is not None


def test_a_refused_endorsement_is_judged_again_after_a_pause(
    consortium: Consortium,
    validator: Validator,
    ticks: Ticks,
    unsent: Callable[[], AbstractContextManager[None]],
) -> None:
    """Suspended while its transaction was on its way, and restored before the validator looked again."""
    batch = submit(consortium)
    with unsent():
        assert validator.step() == 1
    set_endorser(consortium, active=False)
    deliver(validator)
    set_endorser(consortium, active=True)
    assert validator.step() == 0, "judged again without a pause"
    assert not is_endorsed(consortium, batch)
    ticks.now += 5
    assert validator.step() == 1
    until(lambda: validator.step() == 0 and is_endorsed(consortium, batch))


def test_pauses_grow_and_are_bounded(
    consortium: Consortium,
    validator: Validator,
    ticks: Ticks,
    unsent: Callable[[], AbstractContextManager[None]],
) -> None:
    batch = submit(consortium)
    for pause_s in (5, 10):
        with unsent():
            assert validator.step() == 1
        set_endorser(consortium, active=False)
        deliver(validator)
        set_endorser(consortium, active=True)
        ticks.now += pause_s - 1
        assert validator.step() == 0, "the pause begins when the refusal is seen"
        ticks.now += pause_s - 1
        assert validator.step() == 0
        ticks.now += 1
    drain(validator)
    assert is_endorsed(consortium, batch)


def test_nothing_is_sent_while_the_account_is_suspended_and_all_of_it_when_it_is_restored(
    consortium: Consortium, validator: Validator, caplog: pytest.LogCaptureFixture
) -> None:
    set_endorser(consortium, active=False)
    batch = submit(consortium)
    for _ in range(3):
        assert validator.step() == 0
    assert validator.outbox.pending() == 0
    assert [record.message for record in caplog.records if "may not endorse for member 4" in record.message]
    set_endorser(consortium, active=True)
    assert validator.step() == 1
    drain(validator)
    assert is_endorsed(consortium, batch)


def test_an_endorsement_whose_transaction_was_given_up_is_judged_again(
    consortium: Consortium,
    validator: Validator,
    ticks: Ticks,
    unsent: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key was used elsewhere: another transaction took the nonce."""
    monkeypatch.setattr(outbox_module, "GIVE_UP_S", 0.0)
    batch = submit(consortium)
    with unsent():
        assert validator.step() == 1
    key: Signer = consortium.members[AUTHORITY].keys["endorser"]
    connection = consortium.ledger.connection
    nonce = int(connection.request("eth_getTransactionCount", [key.address, "latest"]), 16)
    raw, digest = key.sign_transaction(
        consortium.file.directory, b"", nonce=nonce, gas=100_000, chain_id=consortium.file.chain_id
    )
    connection.request("eth_sendRawTransaction", ["0x" + raw.hex()])
    until(lambda: connection.request("eth_getTransactionReceipt", ["0x" + digest.hex()]))
    deliver(validator)
    assert validator.step() == 0
    ticks.now += 5
    assert validator.step() == 1
    drain(validator)
    assert is_endorsed(consortium, batch)


def test_what_is_endorsed_or_over_is_not_judged_again(
    consortium: Consortium, validator: Validator, ticks: Ticks
) -> None:
    batch = submit(consortium)
    drain(validator)
    assert is_endorsed(consortium, batch)
    ticks.now += 100_000
    assert validator.step() == 0
    assert validator.outbox.pending() == 0
