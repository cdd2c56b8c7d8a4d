"""Wycheproof: every signature of the collection gets the verdict that it asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.signature import parse_ecdsa_signature, verify_signature
from tests.certificates import integer, sequence

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "wycheproof"


def is_accepted(public_key: bytes, message: bytes, signature: bytes) -> bool:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    try:
        parse_ecdsa_signature(signature)
        verify_signature(key, signature, message)
    except CertificateRefusedError:
        return False
    return True


@pytest.mark.parametrize(("file", "count"), [("ecdsa_p256_sha256_der.json", 484), ("ecdsa_p256_sha256_raw.json", 262)])
def test_vectors(file: str, count: int) -> None:
    groups = json.loads((VECTORS / file).read_text())["testGroups"]
    wrong, accepted, total = [], 0, 0
    for group in groups:
        for vector in group["tests"]:
            signature = bytes.fromhex(vector["sig"])
            if "raw" in file:
                if len(signature) != 64:
                    assert vector["result"] == "invalid"
                    total += 1
                    continue
                signature = sequence(*(integer(int.from_bytes(half)) for half in (signature[:32], signature[32:])))
            verdict = is_accepted(
                bytes.fromhex(group["publicKeyUncompressed"]), bytes.fromhex(vector["msg"]), signature
            )
            total += 1
            accepted += verdict
            if verdict != (vector["result"] == "valid"):
                wrong.append((file, vector["tcId"], vector["flags"]))
    assert not wrong
    assert total == count
    assert 0 < accepted < total
