"""Identities of people on a running ledger, with keys that emulated cards made and never gave away."""

from __future__ import annotations

import base64
import dataclasses
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain import ports
from pki_chain.chain.calls import Call
from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.journal import Genesis
from pki_chain.chain.identity_ledger import REFUSED_KEY, Identity, IdentityLedger
from pki_chain.chain.identity_texts import activations_hash, registration_hash, registrations_hash
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedData, TypedTexts
from pki_chain.errors import RefusedError
from pki_chain.ports import (
    Activation,
    Attestation,
    CardKey,
    CardProof,
    IdentityRefusal,
    IdentityState,
    PossessionPurpose,
    Registration,
    Role,
)
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, ApprovalCard
from sim_applet_tools.iot_safe.session import IotSafeApplet
from sim_applet_tools.iot_safe.signature_check import SeenInMemory
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.transport.loopback import LoopbackTransport
from tests.ledger import OPERATOR, VENDOR, Consortium, found_consortium
from tests.sim.card_targets import fresh_emulator

pytestmark = pytest.mark.chain

TRANSPORT_PIN, PIN = "123456", "65432100"
HEADER = b'{"alg":"ES256","typ":"tally-possession+jws"}'
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Card:
    """A card as it comes from the factory; `own` does what its person does first."""

    def __init__(self, texts: TypedTexts, operator: int = OPERATOR) -> None:
        profile = load_profile("tally")
        self._applet = IotSafeApplet(LoopbackTransport(fresh_emulator()), profile, profile.application_ids[0])
        self._applet.select()
        self._public = self._applet.generate_key_pair(APPROVAL_KEY)
        self._texts, self._operator = texts, operator
        self._sign: Callable[[bytes], bytes] = lambda text: self._applet.sign(APPROVAL_KEY, text, self._public)
        numbers: ec.EllipticCurvePublicNumbers = self._public.public_numbers()
        self.key = CardKey(
            numbers.x.to_bytes(32), numbers.y.to_bytes(32), Attestation.NONE, card_enforced=True, emulator=True
        )

    def own(self) -> None:
        card = ApprovalCard(self._applet)
        card.personalise(TRANSPORT_PIN, "11223344")
        card.change_pin(TRANSPORT_PIN, PIN)
        seen = SeenInMemory()
        self._sign = lambda text: card.sign_approval(text, PIN, self._public, seen=seen)

    def proof(
        self, identity: bytes, purpose: PossessionPurpose, deadline: int, about: CardKey | None = None
    ) -> CardProof:
        key = about or self.key
        return self._signed(self._texts.possession(self._operator, identity, key.x, key.y, purpose, deadline), deadline)

    def word(
        self, stands: Identity, identity: bytes, purpose: PossessionPurpose, deadline: int, about: CardKey
    ) -> CardProof:
        typed = self._texts.word(self._operator, identity, about.x, about.y, purpose, stands.activated_at, deadline)
        return self._signed(typed, deadline)

    def _signed(self, typed: TypedData, deadline: int) -> CardProof:
        digest = typed.digest()
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (HEADER, digest))
        assert len(text) == 103
        signature = self._sign(text)
        return CardProof(deadline, signature[:32], signature[32:])


class People:
    """What an operator does, on the session's ledger."""

    def __init__(self, consortium: Consortium) -> None:
        self.consortium = consortium
        self.texts, self.calls = consortium.texts, consortium.calls
        self.ledger = IdentityLedger(consortium.file, consortium.ledger.connection)
        self.administrator = consortium.members[OPERATOR].keys["administrator"]
        self.duty = consortium.members[OPERATOR].keys["duty"]
        self.registrar = Signer.ephemeral()
        deadline, nonce = consortium.deadline(), secrets.randbits(256)
        account = self.registrar.address
        text = self.texts.set_account(OPERATOR, account, Role.REGISTRAR, nonce, deadline, active=True)
        self.send(
            self.calls.set_account(
                OPERATOR,
                account,
                Role.REGISTRAR,
                administrator=self.administrator.address,
                nonce=nonce,
                deadline=deadline,
                signature=self.administrator.sign(text),
                consent=self.registrar.sign(self.texts.join(OPERATOR, account, Role.REGISTRAR)),
                active=True,
            )
        )

    def send(self, call: Call) -> list[ports.EventContent]:
        """The events of a transaction that must succeed."""
        receipt = self.consortium.send(call)
        assert receipt.succeeded, receipt.revert
        events = self.consortium.ledger.events(receipt.block_number, receipt.block_number)
        return [event.content for event in events if event.transaction_hash == receipt.transaction_hash]

    def refused(self, call: Call, error: str) -> None:
        with pytest.raises(RefusedError, match=error):
            self.consortium.ledger.simulate(call, self.registrar.address)

    def signed(self, signer: Signer, typed: TypedData) -> dict[str, Any]:
        return {"deadline": typed.message["deadline"], "signer": signer.address, "signature": signer.sign(typed)}

    def register(self, entries: Sequence[Registration], signer: Signer | None = None) -> Call:
        typed = self.texts.register_identities(entries, self.consortium.deadline())
        return self.calls.register_identities(entries, **self.signed(signer or self.registrar, typed))

    def activate(self, entries: Sequence[Activation]) -> Call:
        typed = self.texts.activate_identities(entries, self.consortium.deadline())
        return self.calls.activate_identities(entries, **self.signed(self.registrar, typed))

    def hold(self, identity: bytes, counter: int, signer: Signer) -> Call:
        typed = self.texts.hold_identity(identity, counter, self.consortium.deadline())
        return self.calls.hold_identity(identity, counter, **self.signed(signer, typed))

    def release(self, identity: bytes, counter: int, signer: Signer) -> Call:
        typed = self.texts.release_identity(identity, counter, self.consortium.deadline())
        return self.calls.release_identity(identity, counter, **self.signed(signer, typed))

    def new_card(self) -> Card:
        return Card(self.texts)

    def entry(
        self, card: Card, purpose: PossessionPurpose = PossessionPurpose.REGISTER, identity: bytes = b""
    ) -> Registration:
        identity = identity or secrets.token_bytes(32)
        return Registration(identity, card.key, card.proof(identity, purpose, self.consortium.deadline()))

    def active(self) -> tuple[bytes, Card]:
        """An identity that is registered and activated by its person's card."""
        card = self.new_card()
        entry = self.entry(card)
        self.send(self.register([entry]))
        card.own()
        proof = card.proof(entry.identity, PossessionPurpose.ACTIVATE, self.consortium.deadline())
        self.send(self.activate([Activation(entry.identity, proof)]))
        return entry.identity, card

    def stands(self, identity: bytes) -> Identity:
        found = self.ledger.identity(identity)
        assert found is not None
        assert found.state == self.ledger.state_of(identity)
        return found


@pytest.fixture(scope="session")
def people(consortium: Consortium) -> People:
    return People(consortium)


def test_from_the_card_to_the_ledger(people: People) -> None:
    """A fresh card proves possession, its person activates it, the operator holds, releases and revokes it."""
    card = people.new_card()
    entry = people.entry(card)
    identity, by = entry.identity, people.registrar.address
    assert people.ledger.identity(identity) is None
    assert people.ledger.state_of(identity) is IdentityState.NONE
    assert people.send(people.register([entry])) == [ports.IdentityRegistered(identity, OPERATOR, by, card.key)]
    stands = people.stands(identity)
    assert (stands.state, stands.operator, stands.key) == (IdentityState.REGISTERED, OPERATOR, card.key)
    assert stands.registered_at == stands.key_since == stands.changed_at == people.consortium.now()
    assert people.ledger.identity_of_key(card.key.x) == identity

    card.own()
    word = Activation(identity, card.proof(identity, PossessionPurpose.ACTIVATE, people.consortium.deadline()))
    assert people.send(people.activate([word])) == [ports.IdentityActivated(identity, OPERATOR, by)]
    assert people.stands(identity).state is IdentityState.ACTIVE
    assert people.stands(identity).activated_at == people.consortium.now()

    duty, administrator = people.duty, people.administrator
    assert people.send(people.hold(identity, 0, duty)) == [ports.IdentityHeld(identity, OPERATOR, duty.address, 1)]
    assert people.stands(identity).state is IdentityState.HELD
    people.refused(people.release(identity, 1, duty), "IdentityNotAuthorised")
    people.refused(people.release(identity, 0, administrator), "IdentityCounter")
    released = ports.IdentityReleased(identity, OPERATOR, administrator.address, 2)
    assert people.send(people.release(identity, 1, administrator)) == [released]
    assert people.stands(identity).state is IdentityState.ACTIVE

    typed = people.texts.revoke_identity(identity, 1, people.consortium.deadline())
    revoke = people.calls.revoke_identity(identity, 1, **people.signed(administrator, typed))
    assert people.send(revoke) == [ports.IdentityRevoked(identity, OPERATOR, administrator.address, 1)]
    assert (people.stands(identity).state, people.stands(identity).reason) == (IdentityState.REVOKED, 1)
    assert people.send(revoke) == []


def test_one_bad_entry_hinders_no_other(people: People) -> None:
    cards = [people.new_card() for _ in range(3)]
    entries = [people.entry(card) for card in cards]
    proof = dataclasses.replace(entries[1].proof, s=entries[2].proof.s)
    entries[1] = dataclasses.replace(entries[1], proof=proof)
    events = people.send(people.register(entries))
    assert [type(event) for event in events] == [
        ports.IdentityRegistered,
        ports.IdentityEntryRefused,
        ports.IdentityRegistered,
    ]
    assert events[1] == ports.IdentityEntryRefused(
        entries[1].identity, OPERATOR, cards[1].key.x, IdentityRefusal.BAD_PROOF
    )
    assert people.send(people.register(entries)) == [events[1]], "what had its effect leaves nothing"


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda _: {"identity": secrets.token_bytes(32)}, IdentityRefusal.BAD_PROOF),
        (lambda _: {"identity": bytes(32)}, IdentityRefusal.BAD_IDENTITY),
        (lambda entry: {"proof": dataclasses.replace(entry.proof, deadline=1)}, IdentityRefusal.DEADLINE_PASSED),
        (lambda entry: {"key": dataclasses.replace(entry.key, y=bytes(32))}, IdentityRefusal.BAD_KEY),
        (
            lambda entry: {"key": dataclasses.replace(entry.key, attestation=Attestation.PERSONALISER)},
            IdentityRefusal.BAD_ATTESTATION,
        ),
    ],
)
def test_what_is_refused(
    people: People, spoil: Callable[[Registration], dict[str, Any]], refusal: IdentityRefusal
) -> None:
    entry = people.entry(people.new_card())
    bad = dataclasses.replace(entry, **spoil(entry))
    events = people.send(people.register([bad]))
    assert events == [ports.IdentityEntryRefused(bad.identity, OPERATOR, bad.key.x, refusal)]
    assert people.ledger.identity_of_key(entry.key.x) is None


def test_the_twin_signature_is_the_same_proof(people: People) -> None:
    entry = people.entry(people.new_card())
    twin = (ORDER - int.from_bytes(entry.proof.s)).to_bytes(32)
    proof = dataclasses.replace(entry.proof, s=twin)
    assert len(people.send(people.register([dataclasses.replace(entry, proof=proof)]))) == 1
    assert people.send(people.register([entry])) == []


def test_another_members_proof_and_another_members_order(people: People) -> None:
    card = Card(people.texts, operator=VENDOR)
    entry = people.entry(card)
    (event,) = people.send(people.register([entry]))
    assert isinstance(event, ports.IdentityEntryRefused)
    assert event.refusal is IdentityRefusal.BAD_PROOF
    vendor = people.consortium.members[VENDOR].keys["administrator"]
    people.refused(people.register([entry], vendor), "IdentityNotAuthorised")
    identity, _ = people.active()
    people.refused(people.hold(identity, 0, vendor), "IdentityNotAuthorised")


def test_the_old_card_agrees_to_a_new_one(people: People) -> None:
    identity, old = people.active()
    new = people.new_card()
    entry = people.entry(new, PossessionPurpose.REPLACE, identity)
    soon, by = people.consortium.now() + 3600, people.registrar.address
    typed = people.texts.replace_key(entry, 0, people.consortium.deadline())
    early = Activation(identity, old.proof(identity, PossessionPurpose.REPLACE, soon, new.key))
    without_time = people.calls.replace_key(entry, early, 0, **people.signed(people.registrar, typed))
    people.refused(without_time, "IdentityBadProof")
    agreement = Activation(
        identity, old.word(people.stands(identity), identity, PossessionPurpose.REPLACE, soon, new.key)
    )
    call = people.calls.replace_key(entry, agreement, 0, **people.signed(people.registrar, typed))
    replaced = ports.IdentityKeyReplaced(identity, OPERATOR, by, 1, new.key, by_old_key=True, counter=1)
    assert people.send(call) == [replaced]
    people.refused(call, "IdentityCounter")
    stands = people.stands(identity)
    assert (stands.state, stands.key, stands.key_count) == (IdentityState.REGISTERED, new.key, 2)
    first, second = people.ledger.keys(identity)
    assert (first.key, first.until) == (old.key, stands.key_since)
    assert (second.key, second.since, second.until) == (new.key, stands.key_since, 0)
    new.own()
    word = Activation(identity, new.proof(identity, PossessionPurpose.ACTIVATE, people.consortium.deadline()))
    people.send(people.activate([word]))
    assert people.stands(identity).state is IdentityState.ACTIVE


def test_a_lost_card_is_replaced_by_two_and_not_before_its_time(people: People) -> None:
    identity, card = people.active()
    stranger = people.new_card()
    entry = people.entry(stranger, PossessionPurpose.REPLACE, identity)

    def start(counter: int) -> Call:
        typed = people.texts.start_replacement(entry, counter, people.consortium.deadline())
        return people.calls.start_replacement(entry, counter, **people.signed(people.registrar, typed))

    x, y = stranger.key.x, stranger.key.y
    (started,) = people.send(start(0))
    due = people.consortium.now() + people.ledger.replacement_delay_s()
    assert started == ports.ReplacementStarted(identity, OPERATOR, people.registrar.address, stranger.key, due, 1)
    assert people.stands(identity).state is IdentityState.REPLACING
    waiting = people.ledger.replacement(identity)
    assert waiting is not None
    assert (waiting.key, waiting.started_by, waiting.executable_at) == (stranger.key, people.registrar.address, due)
    typed = people.texts.confirm_replacement(identity, x, y, 1, people.consortium.deadline())
    confirm = people.calls.confirm_replacement(identity, x, y, 1, **people.signed(people.administrator, typed))
    people.refused(confirm, f"IdentityTooEarly.*executableAt={due}")

    typed = people.texts.cancel_replacement(identity, 1, people.consortium.deadline())
    cancel = people.calls.cancel_replacement(identity, 1, **people.signed(people.duty, typed))
    cancelled = ports.ReplacementCancelled(identity, OPERATOR, people.duty.address, by_card=False, counter=2)
    assert people.send(cancel) == [cancelled]
    assert people.ledger.replacement(identity) is None
    people.send(start(2))

    soon = people.consortium.now() + 3600
    stands = people.stands(identity)
    wrong = Activation(identity, card.word(stands, identity, PossessionPurpose.REPLACE, soon, stranger.key))
    people.refused(people.calls.cancel_replacement_by_card(wrong), "IdentityBadProof")
    veto = Activation(identity, card.word(stands, identity, PossessionPurpose.CANCEL, soon, stranger.key))
    (event,) = people.send(people.calls.cancel_replacement_by_card(veto))
    assert isinstance(event, ports.ReplacementCancelled)
    assert event.by_card
    assert people.stands(identity).state is IdentityState.ACTIVE
    assert people.ledger.identity_of_key(x) == REFUSED_KEY
    people.refused(start(4), "IdentityKeyRefused")


def test_after_its_time_another_account_confirms(tmp_path: Path) -> None:
    """On a ledger whose clock a test may push on."""
    child = Child(Genesis(4711, int(time.time()), 120_000_000))
    try:
        child.request("evm_setAutomine", True)  # noqa: FBT003  the method's own argument
        founded = found_consortium([f"http://127.0.0.1:{child.port}"], tmp_path)
        people = People(founded)
        identity, old = people.active()
        new = people.new_card()
        entry = people.entry(new, PossessionPurpose.REPLACE, identity)
        typed = people.texts.start_replacement(entry, 0, founded.deadline())
        people.send(people.calls.start_replacement(entry, 0, **people.signed(people.registrar, typed)))
        due = founded.now() + people.ledger.replacement_delay_s()
        typed = people.texts.confirm_replacement(identity, new.key.x, new.key.y, 1, founded.deadline())
        confirm = people.calls.confirm_replacement(
            identity, new.key.x, new.key.y, 1, **people.signed(people.administrator, typed)
        )
        child.request("evm_mine", due - 1)
        people.refused(confirm, "IdentityTooEarly")
        child.request("evm_mine", due)
        by = people.administrator.address
        replaced = ports.IdentityKeyReplaced(identity, OPERATOR, by, 1, new.key, by_old_key=False, counter=2)
        assert people.send(confirm) == [replaced]
        assert people.stands(identity).state is IdentityState.REGISTERED
        assert [each.key for each in people.ledger.keys(identity)] == [old.key, new.key]
        founded.close()
    finally:
        child.stop()


def test_hashes_of_entries_are_the_contracts_own(people: People) -> None:
    """A change of any field changes the hash, so that an order signs every one of them."""
    entry = people.entry(people.new_card())
    others = [
        dataclasses.replace(entry, identity=bytes(32)),
        dataclasses.replace(entry, key=dataclasses.replace(entry.key, x=bytes(32))),
        dataclasses.replace(entry, key=dataclasses.replace(entry.key, y=bytes(32))),
        dataclasses.replace(entry, key=dataclasses.replace(entry.key, attestation=Attestation.VENDOR_CERTIFICATE)),
        dataclasses.replace(entry, key=dataclasses.replace(entry.key, card_enforced=False)),
        dataclasses.replace(entry, key=dataclasses.replace(entry.key, emulator=False)),
        dataclasses.replace(entry, proof=dataclasses.replace(entry.proof, deadline=1)),
        dataclasses.replace(entry, proof=dataclasses.replace(entry.proof, r=bytes(32))),
        dataclasses.replace(entry, proof=dataclasses.replace(entry.proof, s=bytes(32))),
    ]
    assert len({registrations_hash([each]) for each in [entry, *others]}) == len(others) + 1
    assert len({registration_hash(each) for each in [entry, *others]}) == len(others) + 1
    assert registrations_hash([entry]) != registrations_hash([entry, entry])
    words = [Activation(entry.identity, entry.proof), Activation(entry.identity, others[-1].proof)]
    assert len({activations_hash([words[0]]), activations_hash([words[1]]), activations_hash(words)}) == 3
    call = people.register([entry])
    for other in others:
        typed = people.texts.register_identities([entry], people.consortium.deadline())
        changed = people.calls.register_identities([other], **people.signed(people.registrar, typed))
        people.refused(changed, "IdentityBadSignature")
    people.consortium.ledger.simulate(call, people.registrar.address)
