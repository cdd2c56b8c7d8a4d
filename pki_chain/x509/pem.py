"""Textual encodings. Source: RFC 7468."""

from __future__ import annotations

import base64
from collections.abc import Iterable

_LINE = 64


def encode_pem(label: str, content: bytes) -> str:
    """One text of this label, such as CERTIFICATE. Source: RFC 7468 §3."""
    text = base64.b64encode(content).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def encode_pem_certificates(certificates: Iterable[bytes]) -> str:
    """Several certificates, one after the other."""
    return "".join(encode_pem("CERTIFICATE", der) for der in certificates)
