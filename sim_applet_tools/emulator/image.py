"""What the emulated card remembers without power, as one value."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Any

from sim_applet_tools.errors import StorageError

PIN_TRIES = 3
PUK_TRIES = 10
FRESH_SIGNATURES = 3
MAX_COUNTER = 0xFFFFFFFF
EMULATOR_FLAG = 0x01


class LifeCycle(IntEnum):
    FRESH = 1
    PERSONALISED = 2
    ACTIVE = 3


@dataclass(frozen=True, slots=True)
class CardImage:
    """Everything durable. Keys are private scalars of 32 bytes, or empty; PIN and PUK are 8 bytes, or empty;
    `access_rules` are REF-AR-DOs, one after the other."""

    iccid: str
    state: LifeCycle = LifeCycle.FRESH
    pin: bytes = b""
    pin_tries: int = PIN_TRIES
    puk: bytes = b""
    puk_tries: int = PUK_TRIES
    counter: int = 0
    approval_key: bytes = b""
    device_key: bytes = b""
    file: bytes = b""
    file_size: int = 0
    flags: int = EMULATOR_FLAG
    access_rules: bytes = b""

    @property
    def is_file_filled(self) -> bool:
        return self.file_size > 0 and len(self.file) == self.file_size


def new_image() -> CardImage:
    """A fresh card with an invented ICCID. 999 is no country's code."""
    digits = "8999901" + "".join(str(secrets.randbelow(10)) for _ in range(11))
    return CardImage(iccid=digits + luhn_digit(digits))


def luhn_digit(digits: str) -> str:
    """The check digit of an ICCID. Source: ITU-T E.118, ISO/IEC 7812-1 annex B."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def encode_image(image: CardImage) -> bytes:
    """JSON with bytes in hexadecimal."""
    document = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(image).items()}
    return json.dumps(document, sort_keys=True).encode()


def parse_image(raw: bytes) -> CardImage:
    """Inverse of `encode_image`; keys or types that differ are a `StorageError`."""
    try:
        document = {"access_rules": "", **json.loads(raw)}  # files made before there were rules lack them
        values: dict[str, Any] = {
            field.name: bytes.fromhex(document.pop(field.name)) if field.type == "bytes" else document.pop(field.name)
            for field in fields(CardImage)
        }
        image = CardImage(**{**values, "state": LifeCycle(values["state"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError("the card file is of another version of this program: make a new card") from error
    if document:
        raise StorageError("the card file has unknown keys: it is of another version of this program")
    return image
