"""Orders about people's identities: signed on the operator's machine, carried to the ledger by any gateway."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedData, TypedTexts
from pki_chain.ports import Activation, CardProof, Registration
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.station.orders import OrderOutcome, relay

DEADLINE_S: Final = 3_600


class IdentityOrders:
    """Signs with one key of the operator and sends; each method but the two of batches waits until the ledger has it.

    Every method raises `RefusedError` when gateway or ledger refuse, and `LedgerUnavailableError` when no gateway
    answers or the outcome is not known in time.
    """

    def __init__(
        self,
        texts: TypedTexts,
        signer: Signer,
        gateways: GatewayClient,
        *,
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._texts = texts
        self._signer = signer
        self._gateways = gateways
        self._timeout_s = timeout_s
        self._clock = clock

    def register_content(self, entries: Sequence[Registration]) -> dict[str, Any]:
        """The signed order that registers a batch, not sent."""
        deadline = self._deadline()
        fields = {"entries": [registration_fields(each) for each in entries], "deadline": deadline}
        return self._signed("register-identities", self._texts.register_identities(entries, deadline), fields)

    def activate_content(self, entries: Sequence[Activation]) -> dict[str, Any]:
        """The signed order that activates a batch, not sent."""
        deadline = self._deadline()
        fields = {"entries": [activation_fields(each) for each in entries], "deadline": deadline}
        return self._signed("activate-identities", self._texts.activate_identities(entries, deadline), fields)

    def hold(self, identity: bytes, counter: int) -> OrderOutcome:
        """Hold an identity; `counter` is its counter as it stands."""
        deadline = self._deadline()
        typed = self._texts.hold_identity(identity, counter, deadline)
        return self._send("hold-identity", typed, _counted(identity, counter, deadline))

    def release(self, identity: bytes, counter: int) -> OrderOutcome:
        """Lift the hold."""
        deadline = self._deadline()
        typed = self._texts.release_identity(identity, counter, deadline)
        return self._send("release-identity", typed, _counted(identity, counter, deadline))

    def revoke(self, identity: bytes, reason: int) -> OrderOutcome:
        """Revoke an identity for good; `reason` is RFC 5280's CRLReason."""
        deadline = self._deadline()
        typed = self._texts.revoke_identity(identity, reason, deadline)
        fields = {"identity": _hex(identity), "reason": reason, "deadline": deadline}
        return self._send("revoke-identity", typed, fields)

    def replace_key(self, entry: Registration, agreement: CardProof, counter: int) -> OrderOutcome:
        """Replace the key at once: the new card proves itself, and the old one agrees to it."""
        deadline = self._deadline()
        fields = {
            "entry": registration_fields(entry),
            "agreement": activation_fields(Activation(entry.identity, agreement)),
            "counter": counter,
            "deadline": deadline,
        }
        return self._send("replace-key", self._texts.replace_key(entry, counter, deadline), fields)

    def start_replacement(self, entry: Registration, counter: int) -> OrderOutcome:
        """Begin to replace the key of a lost card; another account confirms it after the delay."""
        deadline = self._deadline()
        fields = {"entry": registration_fields(entry), "counter": counter, "deadline": deadline}
        return self._send("start-replacement", self._texts.start_replacement(entry, counter, deadline), fields)

    def confirm_replacement(self, identity: bytes, x: bytes, y: bytes, counter: int) -> OrderOutcome:
        """Carry out a replacement whose delay is over."""
        deadline = self._deadline()
        typed = self._texts.confirm_replacement(identity, x, y, counter, deadline)
        fields = {**_counted(identity, counter, deadline), "x": _hex(x), "y": _hex(y)}
        return self._send("confirm-replacement", typed, fields)

    def cancel_replacement(self, identity: bytes, counter: int) -> OrderOutcome:
        """Call a replacement off."""
        deadline = self._deadline()
        typed = self._texts.cancel_replacement(identity, counter, deadline)
        return self._send("cancel-replacement", typed, _counted(identity, counter, deadline))

    def _deadline(self) -> int:
        return int(self._clock()) + DEADLINE_S

    def _send(self, order: str, typed: TypedData, fields: Mapping[str, Any]) -> OrderOutcome:
        return relay(self._gateways, self._signed(order, typed, fields), self._timeout_s)

    def _signed(self, order: str, typed: TypedData, fields: Mapping[str, Any]) -> dict[str, Any]:
        signature = self._signer.sign(typed)
        return {"order": order, **fields, "signer": self._signer.address, "signature": _hex(signature)}


def cancel_by_card(gateways: GatewayClient, veto: Activation, timeout_s: float = 60.0) -> OrderOutcome:
    """The person's own word against a waiting replacement; no account signs. Raises as the methods above."""
    fields = {"order": "cancel-replacement-by-card", "veto": activation_fields(veto)}
    return relay(gateways, fields, timeout_s)


def hold_blocked(gateways: GatewayClient, identity: bytes, timeout_s: float = 60.0) -> OrderOutcome:
    """Have an identity held whose key is blocked; anyone may. Raises as the methods above."""
    return relay(gateways, {"order": "hold-blocked-identity", "identity": _hex(identity)}, timeout_s)


def registration_fields(entry: Registration) -> dict[str, Any]:
    """A key with its proof, as REST takes it."""
    return {
        "identity": _hex(entry.identity),
        "x": _hex(entry.key.x),
        "y": _hex(entry.key.y),
        "attestation": int(entry.key.attestation),
        "card_enforced": entry.key.card_enforced,
        "emulator": entry.key.emulator,
        **_proof_fields(entry.proof),
    }


def activation_fields(entry: Activation) -> dict[str, Any]:
    """A proof by an identity's current key, as REST takes it."""
    return {"identity": _hex(entry.identity), **_proof_fields(entry.proof)}


def _proof_fields(proof: CardProof) -> dict[str, Any]:
    return {"deadline": proof.deadline, "r": _hex(proof.r), "s": _hex(proof.s)}


def _counted(identity: bytes, counter: int, deadline: int) -> dict[str, Any]:
    return {"identity": _hex(identity), "counter": counter, "deadline": deadline}


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
