"""Texts about people's identities: what an operator's accounts sign, and what cards prove possession with.

Types and rights: contracts/interfaces/IIdentityRegistry.sol, docs/ledger.md. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_hash.auto import keccak

from pki_chain.chain.abi import encode_values
from pki_chain.chain.eip712 import Domain, TypedData
from pki_chain.config import ConsortiumFile
from pki_chain.ports import Activation, PossessionPurpose, Registration

REGISTRATION_TYPE: Final = "(bytes32,bytes32,bytes32,uint8,bool,bool,uint64,bytes32,bytes32)"
ACTIVATION_TYPE: Final = "(bytes32,uint64,bytes32,bytes32)"


def registration_value(entry: Registration) -> tuple[Any, ...]:
    """As `IIdentityRegistry.Registration`, for eth_abi."""
    key, proof = entry.key, entry.proof
    return (
        entry.identity,
        key.x,
        key.y,
        int(key.attestation),
        key.card_enforced,
        key.emulator,
        proof.deadline,
        proof.r,
        proof.s,
    )


def activation_value(entry: Activation) -> tuple[Any, ...]:
    """As `IIdentityRegistry.Activation`, for eth_abi."""
    return (entry.identity, entry.proof.deadline, entry.proof.r, entry.proof.s)


def registrations_hash(entries: Sequence[Registration]) -> bytes:
    """keccak256(abi.encode(entries)), 32 bytes: what an order to register is bound to."""
    values = [registration_value(entry) for entry in entries]
    return keccak(encode_values([f"{REGISTRATION_TYPE}[]"], [values], what="registrations"))


def registration_hash(entry: Registration) -> bytes:
    """keccak256(abi.encode(entry)), 32 bytes: what an order to replace a key is bound to."""
    return keccak(encode_values([REGISTRATION_TYPE], [registration_value(entry)], what="registration"))


def activations_hash(entries: Sequence[Activation]) -> bytes:
    """keccak256(abi.encode(entries)), 32 bytes: what an order to activate is bound to."""
    values = [activation_value(entry) for entry in entries]
    return keccak(encode_values([f"{ACTIVATION_TYPE}[]"], [values], what="activations"))


class IdentityTexts:
    """Makes the texts of one consortium's identity registry. `counter` is the identity's own, as the ledger has it."""

    def __init__(self, consortium_file: ConsortiumFile) -> None:
        self._identities = Domain(consortium_file.chain_id, consortium_file.identity_registry, consortium_file.salt)

    def register_identities(self, entries: Sequence[Registration], deadline: int) -> TypedData:
        """The registration of these identities."""
        message = {"entriesHash": registrations_hash(entries), "deadline": deadline}
        return TypedData(self._identities, "Register", message)

    def activate_identities(self, entries: Sequence[Activation], deadline: int) -> TypedData:
        """The activation of these identities."""
        message = {"entriesHash": activations_hash(entries), "deadline": deadline}
        return TypedData(self._identities, "Activate", message)

    def hold_identity(self, identity: bytes, counter: int, deadline: int) -> TypedData:
        """A hold of an identity (its id, 32 bytes)."""
        return self._counted("HoldIdentity", identity, counter, deadline)

    def release_identity(self, identity: bytes, counter: int, deadline: int) -> TypedData:
        """The release of a held identity."""
        return self._counted("ReleaseIdentity", identity, counter, deadline)

    def revoke_identity(self, identity: bytes, reason: int, deadline: int) -> TypedData:
        """The revocation of an identity; `reason` is RFC 5280's CRLReason."""
        message = {"identity": identity, "reason": reason, "deadline": deadline}
        return TypedData(self._identities, "RevokeIdentity", message)

    def replace_key(self, entry: Registration, counter: int, deadline: int) -> TypedData:
        """A replacement that the old key agrees to."""
        return self._keyed("ReplaceKey", entry, counter, deadline)

    def start_replacement(self, entry: Registration, counter: int, deadline: int) -> TypedData:
        """The beginning of a replacement without the old card."""
        return self._keyed("StartReplacement", entry, counter, deadline)

    def confirm_replacement(self, identity: bytes, x: bytes, y: bytes, counter: int, deadline: int) -> TypedData:
        """The confirmation of a waiting replacement by this key."""
        message = {"identity": identity, "x": x, "y": y, "counter": counter, "deadline": deadline}
        return TypedData(self._identities, "ConfirmReplacement", message)

    def cancel_replacement(self, identity: bytes, counter: int, deadline: int) -> TypedData:
        """The end of a waiting replacement."""
        return self._counted("CancelReplacement", identity, counter, deadline)

    def possession(  # noqa: PLR0917  the fields of the text, in its order
        self, operator: int, identity: bytes, x: bytes, y: bytes, purpose: PossessionPurpose, deadline: int
    ) -> TypedData:
        """What a card proves possession with: its digest is the payload of the JWS that the card signs.

        `operator` is its member number; coordinates have 32 bytes.
        """
        message = {
            "operator": operator,
            "identity": identity,
            "x": x,
            "y": y,
            "purpose": int(purpose),
            "deadline": deadline,
        }
        return TypedData(self._identities, "Possession", message)

    def word(  # noqa: PLR0917  the fields of the text, in its order
        self,
        operator: int,
        identity: bytes,
        x: bytes,
        y: bytes,
        purpose: PossessionPurpose,
        activated_at: int,
        deadline: int,
    ) -> TypedData:
        """What an identity's current key says of another key (x, y), to replace or to cancel; signed as `possession`.

        `activated_at` is the identity's own, as the ledger has it: a card that nobody activated has no word to replace.
        """
        message = {
            "operator": operator,
            "identity": identity,
            "x": x,
            "y": y,
            "purpose": int(purpose),
            "activatedAt": activated_at,
            "deadline": deadline,
        }
        return TypedData(self._identities, "Word", message)

    def _counted(self, kind: str, identity: bytes, counter: int, deadline: int) -> TypedData:
        return TypedData(self._identities, kind, {"identity": identity, "counter": counter, "deadline": deadline})

    def _keyed(self, kind: str, entry: Registration, counter: int, deadline: int) -> TypedData:
        message = {"entryHash": registration_hash(entry), "counter": counter, "deadline": deadline}
        return TypedData(self._identities, kind, message)
