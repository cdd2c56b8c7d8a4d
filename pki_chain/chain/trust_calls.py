"""Calls of the trust list; arguments as in contracts/interfaces/ITrustList.sol. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pki_chain.chain.abi import load_interface
from pki_chain.chain.call import Call
from pki_chain.config import ConsortiumFile
from pki_chain.ports import Address, TrustScope

_ORDER_GAS: Final = 1_000_000
_CERTIFICATE_GAS: Final = 3_000_000


class TrustCalls:
    """Makes the calls of one consortium's trust list; what is signed: `TrustTexts`."""

    def __init__(self, consortium_file: ConsortiumFile) -> None:
        self._trust_list = consortium_file.trust_list

    def publish_authority(
        self,
        der: bytes,
        member: int,
        scope: TrustScope,
        until: int,
        *,
        deadline: int,
        administrator: Address,
        signature: bytes,
    ) -> Call:
        """Put a CA on the list that one on the list signed."""
        arguments = [der, member, int(scope), until, deadline, administrator, signature]
        return self._trust_call("publishAuthority", arguments, _CERTIFICATE_GAS)

    def delegate(self, der: bytes) -> Call:
        """Put a certificate on the list by which a CA on the list lets its status be signed. Anybody may."""
        return self._trust_call("delegate", [der], _CERTIFICATE_GAS)

    def withdraw_authority(
        self, identity: bytes, reason: int, *, deadline: int, administrator: Address, signature: bytes
    ) -> Call:
        """End an authority and all below it, or a delegation."""
        return self._trust_call("withdraw", [identity, reason, deadline, administrator, signature], _ORDER_GAS)

    def _trust_call(self, function: str, arguments: Sequence[object], gas: int) -> Call:
        return Call(self._trust_list, load_interface("TrustList").encode(function, arguments), gas)
