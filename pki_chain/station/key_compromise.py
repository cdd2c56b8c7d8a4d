"""A key's own declaration that it is compromised: whoever has it can end it for everybody, member or not."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pki_chain.chain.typed_data import TypedTexts


def subject_public_key_info(key: ec.EllipticCurvePrivateKey) -> bytes:
    """DER of the key's SubjectPublicKeyInfo, whose SHA-256 names it on the ledger."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def declare_compromise(texts: TypedTexts, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """The order `block-key`, signed by the key itself with ECDSA over SHA-256 of the text `KeyCompromise`."""
    info = subject_public_key_info(key)
    typed = texts.key_compromise(hashlib.sha256(info).digest())
    r, s = decode_dss_signature(key.sign(typed.signing_input(), ec.ECDSA(hashes.SHA256())))
    return {
        "order": "block-key",
        "subject_public_key_info": "0x" + info.hex(),
        "r": f"0x{r:064x}",
        "s": f"0x{s:064x}",
    }
