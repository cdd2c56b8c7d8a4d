"""Base64url without padding. Source: RFC 7515 §2, RFC 4648 §5."""

from __future__ import annotations

import base64
import binascii


def encode_base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """The bytes; a `ValueError` for padding, other letters, or a form that the same bytes would not encode to."""
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64url") from error
    if encode_base64url(value) != text:
        raise ValueError("no base64url in its shortest form")
    return value
