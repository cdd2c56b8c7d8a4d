"""What accounts sign: EIP-712 texts of the contracts, with the consortium's salt in the domain.

Every text names chain id, contract and salt, so a signature means nothing on another consortium's ledger.
Source: EIP-712; types in docs/ledger.md and `contracts/interfaces/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_hash.auto import keccak

from pki_chain.chain.abi import encode_values
from pki_chain.chain.accounts import Account
from pki_chain.chain.eip712 import TYPES, Domain, TypedData
from pki_chain.chain.founding import FOUNDING_TYPE, TERMS_TYPE, FullFounding, terms_value
from pki_chain.chain.identity_texts import IdentityTexts
from pki_chain.chain.trust_texts import TrustTexts
from pki_chain.config import ConsortiumFile
from pki_chain.errors import InputError
from pki_chain.ports import Address, HoldKind, LotTerms, Role, Submission

__all__ = [
    "TYPES",
    "Domain",
    "TypedData",
    "TypedTexts",
    "batch_digest",
    "content_hash",
    "founding_hash",
    "recover",
    "terms_hash",
]

_ORDER_HALF = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: contracts refuse a greater s."""


class TypedTexts(IdentityTexts, TrustTexts):
    """Makes the texts of one consortium; those of its identity registry and trust list are in the base classes."""

    def __init__(self, consortium_file: ConsortiumFile) -> None:
        IdentityTexts.__init__(self, consortium_file)
        TrustTexts.__init__(self, consortium_file)
        self._consortium = Domain(consortium_file.chain_id, consortium_file.consortium, consortium_file.salt)
        self._registry = Domain(consortium_file.chain_id, consortium_file.certificate_registry, consortium_file.salt)
        self._directory = Domain(consortium_file.chain_id, consortium_file.directory, consortium_file.salt)

    def submission(self, submission: Submission, batch_digest: bytes) -> TypedData:
        """A station's submission of the batch with this digest (see `batch_digest`)."""
        return TypedData(
            self._registry,
            "Submission",
            {
                "station": submission.station,
                "batchDigest": batch_digest,
                "profile": submission.profile,
                "lot": submission.lot,
                "nonce": submission.nonce,
                "deadline": submission.deadline,
            },
        )

    def hold(self, certificate: bytes, kind: HoldKind, reason: int, counter: int, deadline: int) -> TypedData:
        """A hold of a certificate (its id), bound to its hold counter."""
        return TypedData(self._registry, "Hold", _hold_message(certificate, kind, reason, counter, deadline))

    def release(self, certificate: bytes, kind: HoldKind, reason: int, counter: int, deadline: int) -> TypedData:
        """The release from a hold of this kind, bound to the hold counter."""
        return TypedData(self._registry, "Release", _hold_message(certificate, kind, reason, counter, deadline))

    def revoke(self, certificate: bytes, reason: int, deadline: int) -> TypedData:
        """A revocation; `reason` is RFC 5280's CRLReason."""
        return TypedData(self._registry, "Revoke", {"certificate": certificate, "reason": reason, "deadline": deadline})

    def revoke_key(self, spki_hash: bytes, reason: int, deadline: int) -> TypedData:
        """A revocation of one's own certificates under a key (SHA-256 of its SPKI)."""
        return TypedData(self._registry, "RevokeKey", {"spkiHash": spki_hash, "reason": reason, "deadline": deadline})

    def key_compromise(self, spki_hash: bytes) -> TypedData:
        """A key's own declaration that it is compromised: sign `signing_input` with ECDSA P-256, SHA-256."""
        return TypedData(self._registry, "KeyCompromise", {"spkiHash": spki_hash})

    def open_lot(self, terms: LotTerms, nonce: int, deadline: int) -> TypedData:
        """The opening of a lot on these terms."""
        message = {"termsHash": terms_hash(terms), "nonce": nonce, "deadline": deadline}
        return TypedData(self._registry, "OpenLot", message)

    def close_lot(self, lot: int, deadline: int) -> TypedData:
        """The closing of a lot."""
        return TypedData(self._registry, "CloseLot", {"lot": lot, "deadline": deadline})

    def set_account(
        self, member: int, account: Address, role: Role, nonce: int, deadline: int, *, active: bool
    ) -> TypedData:
        """Adding, suspending or restoring an account of one's own member."""
        message = {
            "member": member,
            "account": account,
            "role": int(role),
            "active": active,
            "nonce": nonce,
            "deadline": deadline,
        }
        return TypedData(self._consortium, "SetAccount", message)

    def join(self, member: int, account: Address, role: Role) -> TypedData:
        """A new account's own consent to act for this member in this role, for good."""
        return TypedData(self._consortium, "Join", {"member": member, "account": account, "role": int(role)})

    def propose(self, kind: int, content: bytes, nonce: int, deadline: int) -> TypedData:
        """A proposal of this kind with this content (`abi.encode` of the kind's arguments)."""
        hashed = content_hash(kind, content)
        message = {"kind": int(kind), "contentHash": hashed, "nonce": nonce, "deadline": deadline}
        return TypedData(self._consortium, "Propose", message)

    def vote(self, proposal: int, content_hash: bytes, deadline: int, *, support: bool) -> TypedData:
        """A vote on a proposal, bound to its kind and content (see the function `content_hash`)."""
        message = {"proposal": proposal, "contentHash": content_hash, "support": support, "deadline": deadline}
        return TypedData(self._consortium, "Vote", message)

    def found(self, founding_hash: bytes) -> TypedData:
        """A founder's consent to the founding with this hash (see `founding_hash`)."""
        return TypedData(self._consortium, "Found", {"foundingHash": founding_hash})

    def trust_checkpoint(
        self, terms_hash: bytes, number: int, block_hash: bytes, time: int, sealers_hash: bytes
    ) -> TypedData:
        """A checkpoint for relying parties' trust files (docs/proofs.md); no contract reads it."""
        message = {
            "termsHash": terms_hash,
            "number": number,
            "blockHash": block_hash,
            "time": time,
            "sealersHash": sealers_hash,
        }
        return TypedData(self._directory, "TrustCheckpoint", message)


def _hold_message(certificate: bytes, kind: HoldKind, reason: int, counter: int, deadline: int) -> dict[str, Any]:
    return {
        "certificate": certificate,
        "kind": int(kind),
        "reason": reason,
        "counter": counter,
        "deadline": deadline,
    }


def batch_digest(certificates: Sequence[bytes]) -> bytes:
    """keccak256 of the concatenated keccak256 of each DER certificate, 32 bytes (EIP-712 `bytes[]`)."""
    return keccak(b"".join(keccak(der) for der in certificates))


def content_hash(kind: int, content: bytes) -> bytes:
    """keccak256 of the kind's octet and the content of a proposal, 32 bytes: what members vote on.

    Raises `InputError` for a kind that is no octet.
    """
    if not 0 <= kind <= 0xFF:
        raise InputError(f"{kind} is no kind of proposal: give 0 to 255")
    return keccak(bytes([kind]) + content)


def terms_hash(terms: LotTerms) -> bytes:
    """keccak256(abi.encode(terms)), 32 bytes."""
    return keccak(encode_values([TERMS_TYPE], [terms_value(terms)], what="terms of a lot"))


def founding_hash(founding: FullFounding) -> bytes:
    """keccak256(abi.encode(founding)), 32 bytes: what founders compare out of band and sign."""
    return keccak(encode_values([FOUNDING_TYPE], [founding.value()], what="founding"))


def recover(typed: TypedData, signature: bytes) -> Address:
    """The account whose key made this signature.

    Raises `InputError` for a signature that the contracts would not take either: not 65 bytes, v other than 27 or 28,
    s over half the order (EIP-2).
    """
    if len(signature) != 65 or signature[64] not in {27, 28} or int.from_bytes(signature[32:64]) > _ORDER_HALF:
        raise InputError("The signature is not 65 bytes r, s, v with low s and v 27 or 28. Sign the text again.")
    try:
        return Address(Account.recover_message(typed.signable(), signature=signature))
    except Exception as error:  # eth_keys raises several unrelated types for r or s that are no signature
        raise InputError("The signature is not one by any key. Sign the text again.") from error
