"""The personaliser's word that it made a key on a card it held: a JWS for the operator's files, not for the ledger.

The ledger holds the level only, on the operator's responsibility; this is what the operator can show for it. A card
that marks itself as an emulator is never attested.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sim_applet_tools.errors import ConfigurationError, InputError
from sim_applet_tools.personalise.batch import Batch
from sim_applet_tools.personalise.journal import CardRecord
from sim_applet_tools.personalise.possession import base64url, base64url_bytes

HEADER = {"alg": "ES256", "typ": "tally-key-attestation+jws"}
SIGNATURE_BYTES = 64
MAX_JWS_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Attester:
    """A personaliser with its key, which the operator knows."""

    key: ec.EllipticCurvePrivateKey

    def attest(self, batch: Batch, record: CardRecord) -> str:
        """A compact JWS over registry, operator, identity, key and what the card enforces."""
        if record.is_emulator:
            raise InputError("a card that marks itself as an emulator is not attested")
        signed = _signing_input(batch, record)
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def load_attester(path: Path, passphrase: str) -> Attester:
    """From an encrypted PKCS#8 PEM file with a P-256 key."""
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase.encode())
    except OSError as error:
        raise ConfigurationError(f"cannot read the personaliser's key {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{path} does not open: it must be a PKCS#8 PEM file encrypted under this passphrase"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(f"{path} holds another key than one on P-256")
    return Attester(key)


def verify_attestation(jws: str, batch: Batch, record: CardRecord, key: ec.EllipticCurvePublicKey) -> None:
    """Return where `jws` says of `record` what `Attester.attest` says, signed by `key`; an `InputError` else."""
    refused = InputError("the attestation is not of this personaliser, or not of this card's key: do not rely on it")
    head, _, body = jws[:MAX_JWS_CHARACTERS].partition(".")
    payload, _, signature = body.partition(".")
    try:
        raw = base64url_bytes(signature)
    except ValueError as error:
        raise refused from error
    if f"{head}.{payload}" != _signing_input(batch, record):
        raise refused
    if len(raw) != SIGNATURE_BYTES or record.is_emulator:
        raise refused
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    try:
        key.verify(der, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise refused from error


def _signing_input(batch: Batch, record: CardRecord) -> str:
    return f"{base64url(_json(HEADER))}.{base64url(_json(_claims(batch, record)))}"


def _claims(batch: Batch, record: CardRecord) -> dict[str, object]:
    return {
        "registry": batch.registry.lower(),
        "chain_id": batch.chain_id,
        "operator": batch.operator,
        "identity": "0x" + record.identity.hex(),
        "x": base64url(record.key[:32]),
        "y": base64url(record.key[32:]),
        "card_enforced": record.is_card_enforced,
    }


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
