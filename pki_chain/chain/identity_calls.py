"""Calls about people's identities; arguments as in contracts/interfaces/IIdentityRegistry.sol. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pki_chain.chain.abi import load_interface
from pki_chain.chain.call import TRANSACTION_GAS, Call
from pki_chain.chain.identity_texts import activation_value, registration_value
from pki_chain.config import ConsortiumFile
from pki_chain.ports import Activation, Address, Registration

MAXIMUM_ENTRIES: Final = 100
"""Of one order to register or to activate."""

_ORDER_GAS: Final = 1_000_000
_REGISTRATION_GAS: Final = 150_000
_ACTIVATION_GAS: Final = 60_000


class IdentityCalls:
    """Makes the calls of one consortium's identity registry; what is signed: `IdentityTexts`."""

    def __init__(self, consortium_file: ConsortiumFile) -> None:
        self._identities = consortium_file.identity_registry

    def register_identities(
        self, entries: Sequence[Registration], *, deadline: int, signer: Address, signature: bytes
    ) -> Call:
        values = [registration_value(entry) for entry in entries]
        gas = _ORDER_GAS + len(entries) * _REGISTRATION_GAS
        return self._identity_call("register", [values, deadline, signer, signature], gas)

    def activate_identities(
        self, entries: Sequence[Activation], *, deadline: int, signer: Address, signature: bytes
    ) -> Call:
        values = [activation_value(entry) for entry in entries]
        gas = _ORDER_GAS + len(entries) * _ACTIVATION_GAS
        return self._identity_call("activate", [values, deadline, signer, signature], gas)

    def hold_identity(self, identity: bytes, counter: int, *, deadline: int, signer: Address, signature: bytes) -> Call:
        return self._identity_call("hold", [identity, counter, deadline, signer, signature])

    def hold_blocked_identity(self, identity: bytes) -> Call:
        """Hold an identity whose key is blocked in the certificate registry; nobody's signature is needed."""
        return self._identity_call("holdBlocked", [identity])

    def release_identity(
        self, identity: bytes, counter: int, *, deadline: int, signer: Address, signature: bytes
    ) -> Call:
        return self._identity_call("release", [identity, counter, deadline, signer, signature])

    def revoke_identity(
        self, identity: bytes, reason: int, *, deadline: int, signer: Address, signature: bytes
    ) -> Call:
        return self._identity_call("revoke", [identity, reason, deadline, signer, signature])

    def replace_key(
        self,
        entry: Registration,
        agreement: Activation,
        counter: int,
        *,
        deadline: int,
        signer: Address,
        signature: bytes,
    ) -> Call:
        """`agreement` is the old key's proof of purpose replace, over the new key."""
        arguments = [registration_value(entry), activation_value(agreement), counter, deadline, signer, signature]
        return self._identity_call("replaceKey", arguments)

    def start_replacement(
        self, entry: Registration, counter: int, *, deadline: int, signer: Address, signature: bytes
    ) -> Call:
        return self._identity_call(
            "startReplacement", [registration_value(entry), counter, deadline, signer, signature]
        )

    def confirm_replacement(
        self,
        identity: bytes,
        x: bytes,
        y: bytes,
        counter: int,
        *,
        deadline: int,
        signer: Address,
        signature: bytes,
    ) -> Call:
        return self._identity_call("confirmReplacement", [identity, x, y, counter, deadline, signer, signature])

    def cancel_replacement(
        self, identity: bytes, counter: int, *, deadline: int, signer: Address, signature: bytes
    ) -> Call:
        return self._identity_call("cancelReplacement", [identity, counter, deadline, signer, signature])

    def cancel_replacement_by_card(self, veto: Activation) -> Call:
        """`veto` is the current key's proof of purpose cancel, over the waiting key; nobody else has to sign."""
        return self._identity_call("cancelByCard", [activation_value(veto)])

    def _identity_call(self, function: str, arguments: Sequence[object], gas: int = _ORDER_GAS) -> Call:
        data = load_interface("IdentityRegistry").encode(function, arguments)
        return Call(self._identities, data, min(TRANSACTION_GAS, gas))
