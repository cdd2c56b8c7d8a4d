"""base64url without padding, strictly. Source: RFC 7515 §2."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Final

_FORM: Final = re.compile(r"[A-Za-z0-9_-]*")


def encode(content: bytes) -> str:
    """The text of these octets."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def parse(text: str) -> bytes:
    """The octets. Raises `ValueError` for what is not the one canonical form: padding, spare bits, other characters."""
    if not _FORM.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(content) != text:
        raise ValueError("not canonical base64url")
    return content


def digest(text: str) -> bytes:
    """SHA-256 of a text: how secrets that come back to us are kept."""
    return sha256(text.encode("utf-8")).digest()
