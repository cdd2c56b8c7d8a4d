"""The personaliser's word on keys that it made, checked before the operator answers for it on the ledger.

The ledger holds the level alone. Form: a compact JWS of type `tally-key-attestation+jws` in attestations.jsonl beside
the registration file, as docs/identity.md says.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pki_chain.config import ConsortiumFile
from pki_chain.errors import ConfigurationError, InputError
from pki_chain.identity.card_files import RegistrationLine, read_json_lines
from pki_chain.identity.possession import parse_base64url
from pki_chain.ports import Attestation

ATTESTATIONS_FILE = "attestations.jsonl"
_HEADER = {"alg": "ES256", "typ": "tally-key-attestation+jws"}
_MAX_KEY_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Attestations:
    """Attestations of one personaliser, by identity. Without its key none is believed."""

    consortium: ConsortiumFile
    operator: int
    key: ec.EllipticCurvePublicKey | None = None
    found: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, registrations: Path, key: Path | None, consortium: ConsortiumFile, operator: int) -> Self:
        """Those beside a registration file. Raises `ConfigurationError` for a bad key file, `InputError`."""
        if key is None:
            return cls(consortium, operator)
        beside = registrations.with_name(ATTESTATIONS_FILE)
        lines = read_json_lines(beside) if beside.exists() else []
        found = {}
        for number, line in enumerate(lines, 1):
            if set(line) != {"identity", "attestation"} or not all(isinstance(each, str) for each in line.values()):
                raise InputError(f"{beside}, line {number} is no attestation: ask the personaliser for another file")
            found[line["identity"]] = line["attestation"]
        return cls(consortium, operator, load_public_key(key), found)

    def refusal(self, line: RegistrationLine) -> str:
        """Why the attestation that a line claims is not believed; "" where it claims none, or it verifies."""
        level = line.key.attestation
        if level is Attestation.NONE:
            return ""
        if level is not Attestation.PERSONALISER:
            return "a vendor's certificate cannot be checked here: have the personaliser attest the card"
        if self.key is None:
            return "it is said to be attested: give --personaliser-key, by which that is checked"
        jws = self.found.get("0x" + line.identity.hex(), "")
        signed, _, signature = jws.rpartition(".")
        raw = parse_base64url(signature) or b""
        if signed != self._signing_input(line) or len(raw) != 64:
            return "the personaliser's attestation is missing, or is of another card, key or consortium"
        der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        try:
            self.key.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return "the attestation is not signed by the personaliser whose key was given"
        return ""

    def _signing_input(self, line: RegistrationLine) -> str:
        claims = {
            "registry": self.consortium.identity_registry.lower(),
            "chain_id": str(self.consortium.chain_id),
            "operator": self.operator,
            "identity": "0x" + line.identity.hex(),
            "x": _base64url(line.key.x),
            "y": _base64url(line.key.y),
            "card_enforced": line.key.card_enforced,
        }
        return f"{_base64url(_json(_HEADER))}.{_base64url(_json(claims))}"


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """A P-256 public key from a PEM file. Raises `ConfigurationError`."""
    try:
        with path.open("rb") as stream:
            key = load_pem_public_key(stream.read(_MAX_KEY_BYTES))
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path} is no public key in PEM: ask the personaliser for it") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(f"{path} holds another key than one on P-256: ask the personaliser for it")
    return key


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
