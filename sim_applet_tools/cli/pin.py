"""`tally sim pin change|unblock`: the extension of our own card."""

from __future__ import annotations

import click

from sim_applet_tools.cli.card_choice import CardChoice, card_options
from sim_applet_tools.cli.output import SimGroup, json_option, print_result, read_secret, secret_option
from sim_applet_tools.iot_safe.pin import ApprovalCard


@click.group(cls=SimGroup)
def pin() -> None:
    """Change or unblock the PIN (cards with our applet)."""


@pin.command(short_help="Change the PIN.")
@card_options
@secret_option("--pin-file", "PIN that holds now")
@secret_option("--new-pin-file", "new PIN")
@json_option
def change(card: CardChoice, pin_file: str | None, new_pin_file: str | None, as_json: bool) -> None:
    """Change the PIN, 6 to 8 digits. On a new card: from the transport PIN to your own, which activates it."""
    with card.applet() as applet:
        approval = ApprovalCard(applet)
        old, new = read_secret(pin_file, "PIN that holds now"), read_new_pin(new_pin_file)
        with approval.transaction():
            approval.change_pin(old, new)
            state = approval.status().state_name
    print_result({"changed": True, "state": state}, f"PIN changed; the card is {state}", as_json=as_json)


@pin.command()
@card_options
@secret_option("--puk-file", "PUK")
@secret_option("--new-pin-file", "new PIN")
@json_option
def unblock(card: CardChoice, puk_file: str | None, new_pin_file: str | None, as_json: bool) -> None:
    """Set a new PIN with the PUK."""
    with card.applet() as applet:
        approval = ApprovalCard(applet)
        puk, new = read_secret(puk_file, "PUK"), read_new_pin(new_pin_file)
        with approval.transaction():
            approval.unblock_pin(puk, new)
            state = approval.status().state_name
    print_result({"unblocked": True, "state": state}, f"PIN set; the card is {state}", as_json=as_json)


def read_new_pin(path: str | None) -> str:
    """From a file, or typed twice without echo."""
    if path is not None:
        return read_secret(path, "new PIN")
    return str(click.prompt("new PIN", hide_input=True, confirmation_prompt=True, err=True))
