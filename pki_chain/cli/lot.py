"""`tally lot`: what a production line may make, how many and until when."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pki_chain.cli.account import find
from pki_chain.cli.member import gateway_client, gateway_option, load_signer, member_command
from pki_chain.cli.output import command_group, json_option, print_result
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pki_chain.ports import Address

_PROFILES = {"tls-device": 1, "small-cell": 2, "iot-device": 3, "cell-ca": 4, "tls-ca": 5}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@command_group("lot", short_help="Open, close and show lots.")
def lot() -> None:
    """Open, close and show lots: a stolen station key can do no more than its open lots allow."""


@lot.command("open", short_help="Open a lot.")
@click.option("--profile", required=True, help="Name or number of a profile: small-cell, tls-device, iot-device.")
@click.option("--maximum", required=True, type=click.IntRange(1, 2**32 - 1), help="Most certificates.")
@click.option("--range", "ranges", multiple=True, required=True, help="dns:, urn:, ip: or eui:<first>-<last>.<realm>")
@click.option("--station", "stations", multiple=True, help="Label or account; may be repeated. [default: the member's]")
@click.option("--closes-in", default="30d", show_default=True, help="Such as 90s, 30m, 12h, 30d.")
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@gateway_option
@member_command
@json_option
def open_lot(
    config: MemberConfig,
    profile: str,
    maximum: int,
    ranges: tuple[str, ...],
    stations: tuple[str, ...],
    closes_in: str,
    key: str,
    gateways: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Open a lot of this member, signed by its administrator on this machine."""
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.cli.names import format_range, parse_range
    from pki_chain.ports import LotOpened, LotTerms
    from pki_chain.station.orders import Orders

    number = _PROFILES.get(profile) or (int(profile) if profile.isascii() and profile.isdigit() else 0)
    if not number:
        raise InputError(f"--profile {profile!r} is neither {', '.join(_PROFILES)} nor a number")
    terms = LotTerms(
        owner=config.member.id,
        profile=number,
        maximum=maximum,
        closes_at=int(time.time()) + parse_duration(closes_in),
        stations=tuple(_station(config, each) for each in stations)
        or (load_signer(config, config.station.account).address,),
        ranges=tuple(parse_range(each) for each in ranges),
    )
    consortium = config.load_consortium()
    orders = Orders(TypedTexts(consortium), load_signer(config, key), gateway_client(config, gateways))
    ledger = LedgerClient(consortium, config.ledger.timeout_s)
    before = ledger.head().number
    outcome = orders.open_lot(terms)
    opened = next(
        event.content
        for event in ledger.events(before, ledger.head().number)
        if isinstance(event.content, LotOpened) and event.transaction_hash == outcome.transaction
    )
    result = {
        "lot": opened.lot,
        "owner": terms.owner,
        "profile": number,
        "maximum": maximum,
        "closes_at": terms.closes_at,
        "stations": list(terms.stations),
        "ranges": [format_range(each) for each in terms.ranges],
        "transaction": "0x" + outcome.transaction.hex(),
    }
    print_result(result, f"lot {opened.lot} is open for {maximum} certificates", as_json=as_json)


@lot.command()
@click.argument("number", type=click.IntRange(1, 2**40 - 1))
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@gateway_option
@member_command
@json_option
def close(config: MemberConfig, number: int, key: str, gateways: tuple[str, ...], *, as_json: bool) -> None:
    """Close lot NUMBER: nothing more gets in."""
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.station.orders import Orders

    texts = TypedTexts(config.load_consortium())
    outcome = Orders(texts, load_signer(config, key), gateway_client(config, gateways)).close_lot(number)
    print_result(
        {"lot": number, "transaction": "0x" + outcome.transaction.hex()}, f"lot {number} is closed", as_json=as_json
    )


@lot.command()
@click.argument("number", type=click.IntRange(1, 2**40 - 1))
@member_command
@json_option
def show(config: MemberConfig, number: int, *, as_json: bool) -> None:
    """Show lot NUMBER as the ledger has it."""
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.cli.names import format_range
    from pki_chain.station.lot import fetch_lot

    consortium = config.load_consortium()
    found = fetch_lot(LedgerClient(consortium, config.ledger.timeout_s), consortium, number)
    terms = found.terms
    closes = datetime.fromtimestamp(terms.closes_at, UTC).isoformat()
    is_open = not found.closed and time.time() <= terms.closes_at
    result = {
        "lot": number,
        "owner": terms.owner,
        "organisation": found.organisation,
        "profile": found.profile.name,
        "maximum": terms.maximum,
        "used": found.used,
        "open": is_open,
        "closes_at": terms.closes_at,
        "stations": list(terms.stations),
        "ranges": [format_range(each) for each in terms.ranges],
    }
    text = (
        f"lot {number} of {found.organisation}, {found.profile.name}: {'open' if is_open else 'closed'}\n"
        f"  {found.used} of {terms.maximum} certificates, closes at {closes}\n"
        f"  stations: {', '.join(terms.stations)}\n"
        f"  ranges: {', '.join(format_range(each) for each in terms.ranges)}"
    )
    print_result(result, text, as_json=as_json)


def _station(config: MemberConfig, label: str) -> Address:
    """Of a label in the member's keystore, or the address itself, such as another member's. Raises `NotFoundError`."""
    account = find(config, label)
    if account is None:
        raise NotFoundError(f"the keystore has no key {label!r}: give its label, or the account's address")
    return account


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `30m`, `12h`, `30d`. Raises `InputError`."""
    found = _DURATION.fullmatch(text)
    if not found or int(found[1]) == 0:
        raise InputError(f"duration {text!r} is not a number with s, m, h or d, such as 30d")
    return int(found[1]) * _SECONDS[found[2]]
