"""`tally identity show|hold|release|revoke`: what becomes of an identity that is on the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from pki_chain.cli.member import config_option, gateway_client, gateway_option, member_command
from pki_chain.cli.operator import fetch_identity, identity_orders, read_identity, time_text
from pki_chain.cli.output import json_option, print_result
from pki_chain.config import MemberConfig
from pki_chain.errors import NotFoundError, RefusedError

REASONS = {
    "unspecified": 0,
    "key-compromise": 1,
    "affiliation-changed": 3,
    "superseded": 4,
    "cessation-of-operation": 5,
    "privilege-withdrawn": 9,
}
"""CRLReason of RFC 5280 §5.3.1, as for certificates."""

identity_argument = click.argument("identity_id", metavar="IDENTITY")
administrator_option = click.option(
    "--key", default="administrator", show_default=True, help="Label or address of the administrator's key."
)


@click.command(short_help="Show what the ledger says of an identity.")
@identity_argument
@gateway_option
@config_option
@json_option
def show(identity_id: str, gateways: tuple[str, ...], config_path: Path, *, as_json: bool) -> None:
    """Show what the ledger says of an identity, with every key that it ever had."""
    named = read_identity(identity_id)
    client = gateway_client(MemberConfig.load(config_path) if config_path.exists() else None, gateways)
    answer = fetch_identity(client, named)
    history = client.get(f"/v1/identities/0x{named.hex()}/keys")
    result = {**answer, "keys": history.get("keys")}
    print_result(result, "\n".join(_lines(result)), as_json=as_json)


@click.command(short_help="Hold identities at once.")
@click.argument("identity_ids", nargs=-1, required=True, metavar="IDENTITY...")
@click.option("--key", default="duty", show_default=True, help="Label or address: duty, registrar or administrator.")
@gateway_option
@member_command
@json_option
def hold(
    config: MemberConfig, identity_ids: tuple[str, ...], key: str, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Hold identities at once: nobody logs in with them until they are released. It ends waiting replacements too.

    One that cannot be held hinders no other, and makes the exit code 77.
    """
    named = [read_identity(each) for each in identity_ids]
    client = gateway_client(config, gateways)
    signer = identity_orders(config, key, client)
    held, refused = [], {}
    for identity in named:
        shown = "0x" + identity.hex()
        try:
            outcome = signer.hold(identity, fetch_identity(client, identity)["counter"])
            held.append({"identity": shown, "done": "held", "transaction": "0x" + outcome.transaction.hex()})
        except (NotFoundError, RefusedError) as error:
            if len(named) == 1:
                raise
            refused[shown] = error.message
    lines = [f"{each['identity']}: held" for each in held] + [f"{each}: {text}" for each, text in refused.items()]
    print_result({"held": held, "refused": refused}, "\n".join(lines), as_json=as_json)
    if refused:
        raise RefusedError(f"{len(refused)} of {len(named)} identities are not held: see the reasons above")


@click.command(short_help="Lift a hold.")
@identity_argument
@administrator_option
@gateway_option
@member_command
@json_option
def release(config: MemberConfig, identity_id: str, key: str, gateways: tuple[str, ...], *, as_json: bool) -> None:
    """Lift a hold."""
    named = read_identity(identity_id)
    client = gateway_client(config, gateways)
    counter = fetch_identity(client, named)["counter"]
    outcome = identity_orders(config, key, client).release(named, counter)
    print_done(named, "released", outcome.transaction, as_json=as_json)


@click.command(short_help="Revoke an identity for good.")
@identity_argument
@click.option("--reason", type=click.Choice(list(REASONS)), default="unspecified", show_default=True)
@administrator_option
@gateway_option
@member_command
@json_option
def revoke(
    config: MemberConfig, identity_id: str, reason: str, key: str, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Revoke an identity for good."""
    named = read_identity(identity_id)
    client = gateway_client(config, gateways)
    fetch_identity(client, named)
    outcome = identity_orders(config, key, client).revoke(named, REASONS[reason])
    print_done(named, "revoked", outcome.transaction, as_json=as_json)


def print_done(identity: bytes, what: str, transaction: bytes, *, as_json: bool) -> None:
    """Say that an order is on the ledger."""
    named = "0x" + identity.hex()
    result = {"identity": named, "done": what, "transaction": "0x" + transaction.hex()}
    print_result(result, f"{named}: {what}", as_json=as_json)


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """An answer as lines for people."""
    for name in ("identity", "state", "operator", "attestation", "card_enforced", "emulator", "counter"):
        yield f"{name:<14} {answer.get(name)}"
    if answer.get("key_blocked"):
        yield "key            is blocked for everybody"
    for name in ("registered_at", "activated_at"):
        if answer.get(name):
            yield f"{name:<14} {time_text(answer[name])}"
    for key in answer.get("keys") or ():
        until = f" until {time_text(key['until'])}" if key["until"] else ""
        yield f"key {key['index']:<10} x {key['key']['x']} since {time_text(key['since'])}{until}"
    waiting = answer.get("replacement")
    if waiting:
        yield f"replacement    x {waiting['key']['x']}, not before {time_text(waiting['executable_at'])}"
    block = answer["block"]
    yield f"block          {block['number']} of {time_text(block['time'])}"
