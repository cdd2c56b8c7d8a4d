"""PIN and PUK of the emulated card. A try is spent, durably, before values are compared. Source: docs/apdu.md."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace

from sim_applet_tools.emulator.image import PIN_TRIES, PUK_TRIES, CardImage, LifeCycle
from sim_applet_tools.emulator.refusal import BLOCKED, CONDITIONS, INCORRECT_DATA, WRONG_LENGTH, Refusal

PIN_BYTES = 8
Commit = Callable[[CardImage], None]


def is_pin(value: bytes) -> bool:
    digits = value.rstrip(b"\xff")
    return len(value) == PIN_BYTES and len(digits) >= 6 and digits.isdigit()


def is_puk(value: bytes) -> bool:
    return len(value) == PIN_BYTES and value.isdigit()


def verify(image: CardImage, data: bytes, commit: Commit) -> None:
    """Return where the PIN is right."""
    if len(data) != PIN_BYTES:
        raise Refusal(WRONG_LENGTH)
    if not is_pin(data):
        raise Refusal(INCORRECT_DATA)
    _spend_pin_try(image, data, commit)


def change(image: CardImage, data: bytes, commit: Commit) -> None:
    """Set a new PIN, and activate a personalised card."""
    if len(data) != 2 * PIN_BYTES:
        raise Refusal(WRONG_LENGTH)
    old, new = data[:PIN_BYTES], data[PIN_BYTES:]
    if not is_pin(old) or not is_pin(new) or old == new:
        raise Refusal(INCORRECT_DATA)
    _spend_pin_try(image, old, commit, replace(image, pin=new, pin_tries=PIN_TRIES, state=LifeCycle.ACTIVE))


def unblock(image: CardImage, data: bytes, commit: Commit) -> None:
    """Set a new PIN by the PUK; does not activate."""
    if len(data) != 2 * PIN_BYTES:
        raise Refusal(WRONG_LENGTH)
    puk, new = data[:PIN_BYTES], data[PIN_BYTES:]
    if not is_puk(puk) or not is_pin(new):
        raise Refusal(INCORRECT_DATA)
    _require_personalised(image)
    if image.puk_tries == 0:
        raise Refusal(BLOCKED)
    left = image.puk_tries - 1
    commit(replace(image, puk_tries=left))
    if not hmac.compare_digest(puk, image.puk):
        raise Refusal(0x63C0 | left)
    commit(replace(image, puk_tries=PUK_TRIES, pin_tries=PIN_TRIES, pin=new))


def _spend_pin_try(image: CardImage, pin: bytes, commit: Commit, after: CardImage | None = None) -> None:
    _require_personalised(image)
    if image.pin_tries == 0:
        raise Refusal(BLOCKED)
    left = image.pin_tries - 1
    commit(replace(image, pin_tries=left))
    if not hmac.compare_digest(pin, image.pin):
        raise Refusal(0x63C0 | left)
    commit(after or replace(image, pin_tries=PIN_TRIES))


def _require_personalised(image: CardImage) -> None:
    if image.state is LifeCycle.FRESH:
        raise Refusal(CONDITIONS)
