"""Identities of an operator on their way to the ledger: taken in from cards' files, signed for in batches, followed up.

`Enrolment.step` is idempotent and does what there is to do now; a process killed between any two statements goes on
with the next `step` of its successor, with the same signed bytes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from pki_chain import ports
from pki_chain.chain.identity_calls import MAXIMUM_ENTRIES
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.errors import InputError, LedgerUnavailableError, NotFoundError, RefusedError
from pki_chain.identity.card_files import ActivationLine, RegistrationLine
from pki_chain.identity.orders import IdentityOrders
from pki_chain.identity.possession import Possession, verify_possession
from pki_chain.identity.register import IdentityRegister, PreparedState, SignedOrder
from pki_chain.ports import Activation, CardKey, IdentityRefusal, LoggedEvent, PossessionPurpose, Registration
from pki_chain.station.gateway_client import GatewayClient, GatewayRefusedError

_MARGIN_S: Final = 120
_SHORTEST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

REFUSALS: Final[Mapping[IdentityRefusal, str]] = {
    IdentityRefusal.BAD_IDENTITY: "the id is zero: prepare another",
    IdentityRefusal.IDENTITY_TAKEN: "the id is on the ledger with another key: prepare another for this card",
    IdentityRefusal.BAD_KEY: "the key is no point of P-256: the card is defective",
    IdentityRefusal.KEY_TAKEN: "the key belongs to another identity: this card was registered before, or is a copy",
    IdentityRefusal.KEY_BLOCKED: "the key is blocked on the ledger: set the card aside",
    IdentityRefusal.BAD_ATTESTATION: "an emulator cannot be attested: register it without attestation",
    IdentityRefusal.DEADLINE_PASSED: "the card's proof is past its deadline: prepare and personalise anew",
    IdentityRefusal.BAD_PROOF: "the card's proof does not verify: have it sign again",
    IdentityRefusal.UNKNOWN_IDENTITY: "the ledger has no such identity of this operator: register it first",
    IdentityRefusal.WRONG_STATE: "its state does not allow that: see `tally identity show`",
}

log = logging.getLogger(__name__)

Outcome = tuple[PreparedState, str]


class Enrolment:
    """Works on one operator's record. `ledger` is where outcomes are read, `gateways` take the orders."""

    def __init__(
        self,
        register: IdentityRegister,
        operator: int,
        *,
        texts: TypedTexts,
        orders: IdentityOrders,
        gateways: GatewayClient,
        ledger: ports.LedgerReader,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._register = register
        self._operator = operator
        self._texts = texts
        self._orders = orders
        self._gateways = gateways
        self._ledger = ledger
        self._clock = clock
        self._posted: dict[int, str] = {}

    def take_registration(self, line: RegistrationLine) -> str:
        """Check a card's key and proof, and store it to be registered. Returns why not, or "".

        Raises `StorageError`.
        """
        prepared = self._register.find(line.identity)
        if prepared is None or prepared.purpose != PossessionPurpose.REGISTER:
            return "the id is none that this operator prepared for registration"
        if prepared.state not in {PreparedState.PREPARED, PreparedState.REFUSED}:
            same = prepared.key == line.key
            return "" if same else "the id was taken in before, with another key: one of the two cards has it wrongly"
        refusal = self._judge(
            line.possession, line.identity, line.key, PossessionPurpose.REGISTER, prepared.register_by
        )
        if not refusal:
            self._register.take_key(line.identity, line.key, line.possession.proof(prepared.register_by))
        return refusal

    def take_activation(self, line: ActivationLine) -> str:
        """Check a card's proof, and store it to be put on the ledger. Returns why not, or "". Raises `StorageError`."""
        prepared = self._register.find(line.identity)
        if prepared is None or prepared.key is None:
            return "the id is none that this operator registered from here"
        if prepared.state in {PreparedState.PREPARED, PreparedState.REFUSED}:
            return "its registration was refused, or is missing: run `tally identity register` first"
        if prepared.state in {PreparedState.TO_REGISTER, PreparedState.REGISTERING}:
            return "its registration is still on its way: run `tally identity register` again"
        if prepared.state is not PreparedState.REGISTERED:
            return ""
        due = prepared.activate_by
        refusal = self._judge(line.possession, line.identity, prepared.key, PossessionPurpose.ACTIVATE, due)
        if not refusal:
            self._register.take_activation(line.identity, line.possession.proof(due))
        return refusal

    def step(self) -> bool:
        """Sign what waits, send it, and read what became of it; returns whether anything is still on its way.

        Raises `RefusedError` when the ledger refuses a whole order, which then waits as before; `StorageError`,
        `LedgerUnavailableError`.
        """
        while self._sign():
            pass
        for order in self._register.open_orders():
            self._follow(order)
        return bool(self._register.open_orders())

    def run(
        self,
        stop: threading.Event,
        *,
        timeout_s: float,
        report: Callable[[Mapping[PreparedState, int]], None] = lambda _: None,
    ) -> bool:
        """Step until nothing is on its way (True), or until `stop` is set or the time is up (False).

        Gateways that do not answer are asked again; the last such error is raised when the time is up.
        """
        end = time.monotonic() + timeout_s
        pause_s = _SHORTEST_PAUSE_S
        while True:
            trouble: LedgerUnavailableError | None = None
            is_open = True
            try:
                is_open = self.step()
            except LedgerUnavailableError as error:
                trouble = error
                log.warning("%s", error.message)
            report(self._register.counts())
            if not is_open:
                return True
            if stop.is_set() or time.monotonic() > end:
                if trouble is not None:
                    raise trouble
                return False
            stop.wait(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def _judge(
        self, possession: Possession, identity: bytes, key: CardKey, purpose: PossessionPurpose, deadline: int
    ) -> str:
        """Why a proof is not taken, or ""."""
        if deadline <= self._clock():
            return "the card's proof is past its deadline: prepare and personalise anew"
        typed = self._texts.possession(self._operator, identity, key.x, key.y, purpose, deadline)
        try:
            verify_possession(possession, typed.digest(), key.x, key.y)
        except InputError as error:
            return error.message
        return ""

    def _sign(self) -> bool:
        """Sign for one batch of those that wait; False when nobody waits."""
        waiting = self._register.in_state(PreparedState.TO_REGISTER, MAXIMUM_ENTRIES)
        kind = "register"
        if waiting:
            entries = [
                Registration(each.identity, each.key, each.registration)
                for each in waiting
                if each.key is not None and each.registration is not None
            ]
            content = self._orders.register_content(entries)
        else:
            waiting = self._register.in_state(PreparedState.TO_ACTIVATE, MAXIMUM_ENTRIES)
            if not waiting:
                return False
            kind = "activate"
            proofs = [Activation(each.identity, each.activation) for each in waiting if each.activation is not None]
            content = self._orders.activate_content(proofs)
        identities = [each.identity for each in waiting]
        first_block = self._ledger.head().number
        self._register.store_order(
            kind, content, identities, deadline=int(content["deadline"]), first_block=first_block
        )
        return True

    def _follow(self, order: SignedOrder) -> None:
        if order.id not in self._posted and order.deadline <= self._clock():
            self._give_back(order, "its deadline passed before a gateway took it")  # signed anew by the next step
            return
        try:
            answer = self._ask(order)
        except GatewayRefusedError as refused:
            self._give_back(order, refused.message)
            raise RefusedError(f"the gateway refused to {order.kind} identities: {refused.message}") from refused
        state = answer.get("state")
        if state == "failed":
            reason = str(answer.get("reason"))
            self._give_back(order, reason)
            raise RefusedError(f"the ledger refused to {order.kind} identities: {reason}")
        if state == "done":
            transaction = bytes.fromhex(str(answer.get("transaction")).removeprefix("0x"))
            head = self._ledger.head()
            events = self._ledger.events(order.first_block, head.number, head.hash)
            self._settle(order, [event for event in events if event.transaction_hash == transaction])
        elif order.deadline + _MARGIN_S < self._clock():
            self._give_back(order, "no relayer brought the order to the ledger before its deadline")

    def _ask(self, order: SignedOrder) -> Mapping[str, object]:
        """Post it once in this process, then ask; a gateway that never heard of it is given the same bytes."""
        if order.id in self._posted:
            with suppress(NotFoundError):
                return self._gateways.get(f"/v1/orders/{self._posted[order.id]}")
        answer = self._gateways.post("/v1/orders", order.content)
        self._posted[order.id] = str(answer.get("id"))
        return answer

    def _settle(self, order: SignedOrder, events: list[LoggedEvent]) -> None:
        outcomes = dict(filter(None, (self._outcome(event) for event in events)))
        for identity in order.identities:
            if identity not in outcomes:
                outcomes[identity] = self._found_before(order, identity)
        self._register.settle(order, outcomes)

    def _outcome(self, event: LoggedEvent) -> tuple[bytes, Outcome] | None:
        match event.content:
            case ports.IdentityRegistered(identity=identity):
                return identity, (PreparedState.REGISTERED, "")
            case ports.IdentityActivated(identity=identity):
                return identity, (PreparedState.ACTIVE, "")
            case ports.IdentityEntryRefused(identity=identity, x=x, refusal=refusal):
                refused = PreparedState.REFUSED if any(x) else PreparedState.REGISTERED
                return identity, (refused, f"refused by the ledger: {REFUSALS[refusal]}")
            case _:
                return None

    def _found_before(self, order: SignedOrder, identity: bytes) -> Outcome:
        """An entry that left no event had its effect before: the gateway's read model has it."""
        try:
            stands = self._gateways.get(f"/v1/identities/0x{identity.hex()}")
        except NotFoundError:
            return _refused(order), "the ledger did not take it and gave no reason: run the command again"
        if order.kind == "activate":
            done = stands.get("activated_at") is not None
            return (PreparedState.ACTIVE, "") if done else (PreparedState.REGISTERED, "not active on the ledger")
        return PreparedState.REGISTERED, ""

    def _give_back(self, order: SignedOrder, why: str) -> None:
        """End an order that had no effect; its entries wait for another."""
        waiting = PreparedState.TO_REGISTER if order.kind == "register" else PreparedState.TO_ACTIVATE
        self._register.settle(order, dict.fromkeys(order.identities, (waiting, why)))


def _refused(order: SignedOrder) -> PreparedState:
    return PreparedState.REFUSED if order.kind == "register" else PreparedState.REGISTERED
