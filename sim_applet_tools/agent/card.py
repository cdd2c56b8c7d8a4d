"""What the agent does with the card: look at it, and have it sign one text for one PIN."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.errors import InputError
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY, APPROVAL_PREFIX, ApprovalCard
from sim_applet_tools.iot_safe.session import IotSafeApplet
from sim_applet_tools.iot_safe.signature_check import SeenNonces

OpenCard = Callable[[], AbstractContextManager[IotSafeApplet]]
"""Reaches the card anew each time, so that other programs can use the reader in between."""
EMULATOR_FLAG = 0x01


@dataclass(frozen=True, slots=True)
class CardSight:
    """What a card tells without PIN."""

    state: str
    pin_tries: int
    signature_counter: int
    is_emulator: bool


def look_at_card(open_card: OpenCard) -> CardSight:
    """Raises `ReaderError`, `InputError` (another applet) or the error of a status word."""
    with open_card() as applet:
        status = ApprovalCard(applet).status()
    return CardSight(status.state_name, status.pin_tries, status.signature_counter, bool(status.flags & EMULATOR_FLAG))


def sign_with_card(
    open_card: OpenCard, text: bytes, pin: str, card_key: ec.EllipticCurvePublicKey, seen: SeenNonces
) -> bytes:
    """r and s by the approval key, verified under `card_key`; VERIFY to signature is one transaction with a reset.

    Raises `SignatureRefusedError` where the card in the reader is another one, `WrongPinError`, `PinBlockedError`, ...
    """
    with open_card() as applet:
        return ApprovalCard(applet).sign_approval(text, pin, card_key, seen=seen)


def sign_and_learn_key(
    open_card: OpenCard, text: bytes, pin: str, seen: SeenNonces
) -> tuple[bytes, ec.EllipticCurvePublicKey]:
    """As `sign_with_card`, before the card's public key is known: it is read in the same transaction."""
    if not text.startswith(APPROVAL_PREFIX):
        raise InputError("the approval key signs only texts that begin with the header of a tally JWS")
    with open_card() as applet:
        card = ApprovalCard(applet)
        with card.transaction():
            card.verify_pin(pin)
            key = applet.public_key(APPROVAL_KEY)
            return applet.sign(APPROVAL_KEY, text, key, seen=seen), key
