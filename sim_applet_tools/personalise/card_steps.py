"""One card, from fresh to personalised, in steps that may be cut off anywhere and taken up again.

Before a step changes the card the journal says what is about to be, so that a card that comes back is known:

1. recognise the card by its ICCID; a new one must be fresh and empty, and gets an identity;
2. make the approval key, and the device key where wanted;
3. have it sign the possession proof, checked under its key;
4. store the access rule of the phone app, where one is wanted;
5. write the PIN letter, then set PIN and PUK, which ends the fresh state for good;
6. read the key back with the transport PIN.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sim_applet_tools.access_rules import AccessRule, AccessRuleApplet
from sim_applet_tools.errors import CardResponseError, ReaderError, SimError
from sim_applet_tools.iot_safe.commands import Kind, ObjectName
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, DEVICE_KEY, ApprovalCard
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory, SeenNonces
from sim_applet_tools.personalise.attestation import Attester
from sim_applet_tools.personalise.batch import Batch
from sim_applet_tools.personalise.journal import CardRecord, Journal
from sim_applet_tools.personalise.letters import PinLetters
from sim_applet_tools.personalise.possession import compact_jws, coordinates, public_key_of
from sim_applet_tools.profiles import CardProfile
from sim_applet_tools.status_words import EmptyContainerError, NotFoundError, StatusWordError
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.uicc import read_eid, read_iccid

FRESH, PERSONALISED = 1, 2


class Outcome(StrEnum):
    FINISHED = "finished"
    KNOWN = "known"
    """Finished earlier."""
    SET_ASIDE = "set aside"
    """Its identity is spent; the journal says why."""
    REFUSED = "refused"
    """No card of this batch, and no identity was given to it."""
    INTERRUPTED = "interrupted"
    """Pulled, or its reader failed: insert it again."""


@dataclass(frozen=True, slots=True)
class CardReport:
    """What became of a card; `record` is None where it has no identity of this batch."""

    outcome: Outcome
    detail: str
    record: CardRecord | None = None


class _UnfitCardError(SimError):
    """The card is not in the state that the journal says; the text says what is."""

    code = "unfit-card"


@dataclass(frozen=True, slots=True)
class CardSteps:
    """How the cards of one batch are personalised."""

    batch: Batch
    journal: Journal
    letters: PinLetters
    profiles: Sequence[CardProfile]
    application_ids: Sequence[bytes] = ()
    container: ObjectName = APPROVAL_KEY
    """Where a card without our applet makes the key."""
    with_device_key: bool = False
    attester: Attester | None = None
    access_rule: AccessRule | None = None
    """For the phone app of the agent; stored where the card has an ARA-M that takes it."""
    seen: SeenNonces = field(default_factory=SeenInMemory)
    clock: Callable[[], float] = time.time

    def take(self, transport: Transport) -> CardReport:
        """Bring one card as far as it goes. Errors of storage and of the batch's deadline are raised."""
        record: CardRecord | None = None
        try:
            iccid, eid, applet = self._identify(transport)
            record = self.journal.record(iccid)
            if record is not None and not record.is_open:
                return _report_of_closed(record, applet)
            if record is None:
                _require_new(applet, self.container)
                self.batch.register.require_open(int(self.clock()))
                record = self.journal.assign(iccid, eid)
            return self._finish(applet, record)
        except ReaderError as error:
            return CardReport(Outcome.INTERRUPTED, error.message, record)
        except (StatusWordError, CardResponseError, _UnfitCardError) as error:
            latest = self.journal.record(record.iccid) if record is not None else None
            if latest is None:
                return CardReport(Outcome.REFUSED, error.message)
            latest = self.journal.note(latest, set_aside=error.message)
            return CardReport(Outcome.SET_ASIDE, error.message, latest)

    def _identify(self, transport: Transport) -> tuple[str, str, IotSafeApplet]:
        transport.reset()
        iccid, eid = read_iccid(transport), read_eid(transport)
        if iccid is None:
            raise _UnfitCardError("the card has no ICCID, and could not be recognised after an interruption")
        return iccid, eid or "", find_applet(transport, self.profiles, self.application_ids)

    def _finish(self, applet: IotSafeApplet, record: CardRecord) -> CardReport:
        card = ApprovalCard(applet) if applet.profile.has_pin else None
        state = card.status().state if card is not None else FRESH
        if state == FRESH:
            record = self._make_key(applet, record)
            record = self._prove(applet, record)
            record = self._allow_app(applet, record)
        elif state != PERSONALISED or not record.proof:
            raise _UnfitCardError("the card was personalised elsewhere after it had got its identity")
        elif self.letters.letter(record.iccid) is None:
            raise _UnfitCardError("the card is personalised, and its PIN letter is gone: nobody knows its PIN")
        if card is not None:
            self._set_pin(card, record, is_done=state == PERSONALISED)
        attestation = ""
        if self.attester is not None and not record.is_emulator:
            attestation = self.attester.attest(self.batch, record)
        record = self.journal.note(record, is_finished=True, attestation=attestation)
        detail = "finished" if record.access_rule in {"", "stored"} else f"finished; access rule: {record.access_rule}"
        return CardReport(Outcome.FINISHED, detail, record)

    def _make_key(self, applet: IotSafeApplet, record: CardRecord) -> CardRecord:
        name = APPROVAL_KEY if applet.profile.has_pin else self.container
        data = applet.application_data()
        if not record.key:
            if applet.profile.has_pin and ApprovalCard(applet).status().signature_counter:
                raise _UnfitCardError("the card has signed elsewhere after it had got its identity")
            record = self.journal.note(
                record,
                key=_made_or_found(applet, name),
                is_card_enforced=applet.profile.has_pin,
                is_emulator=data.is_emulator,
            )
        elif _key_on_card(applet, name) != record.key:
            raise _UnfitCardError("the card holds another key than the one made for its identity")
        if self.with_device_key and applet.profile.has_pin and not record.device_key:
            record = self.journal.note(record, device_key=_made_or_found(applet, DEVICE_KEY))
        return record

    def _prove(self, applet: IotSafeApplet, record: CardRecord) -> CardRecord:
        if record.proof:
            return record
        self.batch.register.require_open(int(self.clock()))
        key = public_key_of(record.key[:32], record.key[32:])
        text = self.batch.register.text(record.identity, key)
        name = APPROVAL_KEY if applet.profile.has_pin else self.container
        signature = applet.sign(name, text, key, seen=self.seen)
        return self.journal.note(record, proof=compact_jws(text, signature))

    def _allow_app(self, applet: IotSafeApplet, record: CardRecord) -> CardRecord:
        if self.access_rule is None or record.access_rule:
            return record
        try:
            AccessRuleApplet(applet.transport).store(self.access_rule)
            result = "stored"
        except NotFoundError:
            result = "the card has no ARA-M"
        except StatusWordError as error:
            result = error.message
        applet.select()
        return self.journal.note(record, access_rule=result)

    def _set_pin(self, card: ApprovalCard, record: CardRecord, *, is_done: bool) -> None:
        letter = self.letters.letter(record.iccid) or self.letters.write(record.iccid)
        if not is_done:
            card.personalise(letter.transport_pin, letter.puk)
        if b"".join(coordinates(card.read_public_key(letter.transport_pin))) != record.key:
            raise _UnfitCardError("the card, once personalised, holds another key than the one made for its identity")


def _require_new(applet: IotSafeApplet, container: ObjectName) -> None:
    """A card that was used before is refused: its keys may be somebody's."""
    if applet.profile.has_pin:
        status = ApprovalCard(applet).status()
        if status.state != FRESH:
            raise _UnfitCardError(f"the card is {status.state_name}, not fresh: it is no card of this batch")
        if status.signature_counter:
            raise _UnfitCardError("the card has signed before: it is no card of this batch")
    names = (APPROVAL_KEY, DEVICE_KEY) if applet.profile.has_pin else (container,)
    if any(_is_filled(applet, name) for name in names):
        raise _UnfitCardError("the card holds a key already, which is not replaced: it is no card of this batch")


def _made_or_found(applet: IotSafeApplet, name: ObjectName) -> bytes:
    """A new key; or, where a card was pulled before its answer came, the one that it made then."""
    return _key_on_card(applet, name) or b"".join(coordinates(applet.generate_key_pair(name)))


def _key_on_card(applet: IotSafeApplet, name: ObjectName) -> bytes:
    if not _is_filled(applet, name):
        return b""
    return b"".join(coordinates(applet.public_key(name)))


def _is_filled(applet: IotSafeApplet, name: ObjectName) -> bool:
    try:
        return applet.object_info(Kind.PRIVATE_KEY, name).is_filled
    except (EmptyContainerError, NotFoundError):
        return False


def _report_of_closed(record: CardRecord, applet: IotSafeApplet) -> CardReport:
    if not record.is_finished:
        return CardReport(Outcome.SET_ASIDE, record.set_aside, record)
    if applet.profile.has_pin and ApprovalCard(applet).status().state == FRESH:
        return CardReport(Outcome.REFUSED, "another card of this ICCID was finished earlier: one of the two is wrong")
    return CardReport(Outcome.KNOWN, "finished earlier", record)
