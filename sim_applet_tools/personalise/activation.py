"""The person's part: the transport PIN is changed, then the card signs that it is in the right hands."""

from __future__ import annotations

from sim_applet_tools.errors import InputError
from sim_applet_tools.iot_safe.pin import ApprovalCard
from sim_applet_tools.iot_safe.signature_check import SeenNonces
from sim_applet_tools.personalise.possession import PossessionTemplate, compact_jws

ACTIVATIONS_FORMAT = "tally-identity-activations/1"


def activate_card(
    card: ApprovalCard,
    template: PossessionTemplate,
    identity: bytes,
    pin: str,
    *,
    now: int,
    seen: SeenNonces,
) -> str:
    """The compact JWS for `template` by the approval key of an active card, checked under that key."""
    template.require_open(now)
    state = card.status().state_name
    if state != "active":
        raise InputError(f"the card is {state}: its transport PIN must be changed first (`tally sim pin change`)")
    key = card.read_public_key(pin)
    text = template.text(identity, key)
    return compact_jws(text, card.sign_approval(text, pin, key, seen=seen))
