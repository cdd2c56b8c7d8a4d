"""Texts about the trust list that administrators sign. Source: contracts/interfaces/ITrustList.sol. Pure."""

from __future__ import annotations

from eth_hash.auto import keccak

from pki_chain.chain.eip712 import Domain, TypedData
from pki_chain.config import ConsortiumFile
from pki_chain.ports import TrustScope


class TrustTexts:
    """Makes the texts of one consortium's trust list."""

    def __init__(self, consortium_file: ConsortiumFile) -> None:
        self._trust_list = Domain(consortium_file.chain_id, consortium_file.trust_list, consortium_file.salt)

    def publish_authority(self, der: bytes, member: int, scope: TrustScope, until: int, deadline: int) -> TypedData:
        """Putting a CA of this member on the list, whose certificate one of the signer's member's CAs signed."""
        message = {
            "certificateHash": keccak(der),
            "member": member,
            "scope": int(scope),
            "until": until,
            "deadline": deadline,
        }
        return TypedData(self._trust_list, "PublishAuthority", message)

    def withdraw(self, identity: bytes, reason: int, deadline: int) -> TypedData:
        """The end of an authority and all below it, or of a delegation; `reason` is RFC 5280's CRLReason."""
        return TypedData(self._trust_list, "Withdraw", {"id": identity, "reason": reason, "deadline": deadline})
