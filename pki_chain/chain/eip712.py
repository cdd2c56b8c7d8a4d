"""EIP-712 texts of the consortium's contracts: which types there are, in which domain, and their digest.

Source: EIP-712; types in docs/ledger.md and `contracts/interfaces/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from eth_abi.exceptions import EncodingError
from eth_hash.auto import keccak

from pki_chain.chain.accounts import SignableMessage, encode_typed_data
from pki_chain.errors import InputError
from pki_chain.ports import Address

NAME = "Tiger Tally"
VERSION = "1"
_DOMAIN_FIELDS = (
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
    {"name": "salt", "type": "bytes32"},
)

TYPES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "Found": (("foundingHash", "bytes32"),),
        "SetAccount": (
            ("member", "uint16"),
            ("account", "address"),
            ("role", "uint8"),
            ("active", "bool"),
            ("nonce", "uint256"),
            ("deadline", "uint64"),
        ),
        "Join": (("member", "uint16"), ("account", "address"), ("role", "uint8")),
        "Propose": (("kind", "uint8"), ("contentHash", "bytes32"), ("nonce", "uint256"), ("deadline", "uint64")),
        "Vote": (("proposal", "uint64"), ("contentHash", "bytes32"), ("support", "bool"), ("deadline", "uint64")),
        "Submission": (
            ("station", "address"),
            ("batchDigest", "bytes32"),
            ("profile", "uint16"),
            ("lot", "uint40"),
            ("nonce", "uint256"),
            ("deadline", "uint64"),
        ),
        "Hold": (
            ("certificate", "bytes32"),
            ("kind", "uint8"),
            ("reason", "uint8"),
            ("counter", "uint16"),
            ("deadline", "uint64"),
        ),
        "Release": (
            ("certificate", "bytes32"),
            ("kind", "uint8"),
            ("reason", "uint8"),
            ("counter", "uint16"),
            ("deadline", "uint64"),
        ),
        "Revoke": (("certificate", "bytes32"), ("reason", "uint8"), ("deadline", "uint64")),
        "OpenLot": (("termsHash", "bytes32"), ("nonce", "uint256"), ("deadline", "uint64")),
        "CloseLot": (("lot", "uint40"), ("deadline", "uint64")),
        "RevokeKey": (("spkiHash", "bytes32"), ("reason", "uint8"), ("deadline", "uint64")),
        "KeyCompromise": (("spkiHash", "bytes32"),),
        "Register": (("entriesHash", "bytes32"), ("deadline", "uint64")),
        "Activate": (("entriesHash", "bytes32"), ("deadline", "uint64")),
        "HoldIdentity": (("identity", "bytes32"), ("counter", "uint16"), ("deadline", "uint64")),
        "ReleaseIdentity": (("identity", "bytes32"), ("counter", "uint16"), ("deadline", "uint64")),
        "RevokeIdentity": (("identity", "bytes32"), ("reason", "uint8"), ("deadline", "uint64")),
        "ReplaceKey": (("entryHash", "bytes32"), ("counter", "uint16"), ("deadline", "uint64")),
        "StartReplacement": (("entryHash", "bytes32"), ("counter", "uint16"), ("deadline", "uint64")),
        "ConfirmReplacement": (
            ("identity", "bytes32"),
            ("x", "bytes32"),
            ("y", "bytes32"),
            ("counter", "uint16"),
            ("deadline", "uint64"),
        ),
        "CancelReplacement": (("identity", "bytes32"), ("counter", "uint16"), ("deadline", "uint64")),
        "Possession": (
            ("operator", "uint16"),
            ("identity", "bytes32"),
            ("x", "bytes32"),
            ("y", "bytes32"),
            ("purpose", "uint8"),
            ("deadline", "uint64"),
        ),
        "Word": (
            ("operator", "uint16"),
            ("identity", "bytes32"),
            ("x", "bytes32"),
            ("y", "bytes32"),
            ("purpose", "uint8"),
            ("activatedAt", "uint40"),
            ("deadline", "uint64"),
        ),
        "PublishAuthority": (
            ("certificateHash", "bytes32"),
            ("member", "uint16"),
            ("scope", "uint8"),
            ("until", "uint64"),
            ("deadline", "uint64"),
        ),
        "Withdraw": (("id", "bytes32"), ("reason", "uint8"), ("deadline", "uint64")),
        "TrustCheckpoint": (
            ("termsHash", "bytes32"),
            ("number", "uint64"),
            ("blockHash", "bytes32"),
            ("time", "uint64"),
            ("sealersHash", "bytes32"),
        ),
    }
)
"""Fields of each text, in the order in which they are hashed."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a text is valid: one contract of one consortium on one chain."""

    chain_id: int
    verifying_contract: Address
    salt: bytes


@dataclass(frozen=True, slots=True)
class TypedData:
    """A text to sign: `message` holds a value for each field of `primary_type` (see `TYPES`)."""

    domain: Domain
    primary_type: str
    message: Mapping[str, Any]

    def full_message(self) -> dict[str, Any]:
        """The text as `eth_signTypedData_v4` takes it, for wallets and hardware."""
        return {
            "types": {
                "EIP712Domain": list(_DOMAIN_FIELDS),
                self.primary_type: [{"name": name, "type": kind} for name, kind in TYPES[self.primary_type]],
            },
            "primaryType": self.primary_type,
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": self.domain.chain_id,
                "verifyingContract": self.domain.verifying_contract,
                "salt": self.domain.salt,
            },
            "message": dict(self.message),
        }

    def signable(self) -> SignableMessage:
        """The text as eth_account signs it. Raises `InputError` for a value that does not fit its field."""
        for name, kind in TYPES[self.primary_type]:
            if kind == "bytes32" and len(self.message[name]) != 32:
                # eth_abi would fill up what is shorter, and the text would say something else than was meant.
                raise InputError(f"{self.primary_type}: {name} must have 32 bytes. Give the whole value.")
        try:
            return encode_typed_data(full_message=self.full_message())
        except (EncodingError, ValueError, TypeError, OverflowError) as error:
            raise InputError(
                f"{self.primary_type}: a field is missing or out of range. Give every field its value.",
                detail=str(error),
            ) from error

    def signing_input(self) -> bytes:
        """The 66 bytes 0x1901, domain separator, struct hash: what a P-256 key signs (`KeyCompromise`)."""
        signable = self.signable()
        return b"\x19" + signable.version + signable.header + signable.body

    def digest(self) -> bytes:
        """keccak256 of `signing_input`, 32 bytes: what an account signs."""
        return keccak(self.signing_input())
