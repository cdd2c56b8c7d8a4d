"""What a person says of a CA that is to be trusted: its certificate, for what, until when."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pki_chain.errors import InputError
from pki_chain.ports import TrustScope

_MOST_BYTES: Final = 8_192
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


def parse_scope(text: str) -> TrustScope:
    """`ike`, `tls`, `slice`, or several with commas between. Raises `InputError`."""
    scope = TrustScope(0)
    for word in text.split(","):
        if word.upper() not in TrustScope.__members__ or word != word.lower():
            raise InputError(f"scope {text!r} is not made of ike, tls and slice, with commas between")
        scope |= TrustScope[word.upper()]
    return scope


def format_scope(scope: TrustScope) -> str:
    """The text that `parse_scope` reads."""
    return ",".join((each.name or "").lower() for each in TrustScope if each in scope)


def parse_until(text: str) -> int:
    """A day (2031-12-31, until its end, UTC) or seconds since 1970: the last second. Raises `InputError`."""
    if _SECONDS.fullmatch(text):
        return int(text)
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(f"{text!r} is neither a day such as 2031-12-31 nor seconds since 1970") from error
    return int(day.timestamp()) + 86_399


def load_authority_certificate(path: Path) -> bytes:
    """DER of the one certificate in a file, DER or PEM. Raises `InputError`."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if _BEGIN in content:
            if content.count(_BEGIN) > 1:
                raise InputError(f"{path} holds more than one certificate: give the CA's own alone")
            text = content[content.index(_BEGIN) :].decode("ascii")
            content = ssl.PEM_cert_to_DER_cert(text.strip())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read a certificate from {path}: {error}") from error
    if not content:
        raise InputError(f"cannot read a certificate from {path}: nothing is in it")
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} is longer than {_MOST_BYTES} bytes: it is no CA's certificate")
    return content
