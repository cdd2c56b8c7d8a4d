"""`tally consortium account`: a member's own accounts, added, suspended and restored by its administrator alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pki_chain.cli.member import gateway_client, gateway_option, load_signer, member_command
from pki_chain.cli.output import command_group, json_option, print_result
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pki_chain.ports import Address, Role

ROLES = ("administrator", "duty", "endorser", "station", "registrar")

role_option = click.option("--role", type=click.Choice(ROLES), help="[default: the one that the ledger has it in]")
key_option = click.option(
    "--key", default="administrator", show_default=True, help="Label or address of the administrator's key."
)


@command_group("account", short_help="Add, suspend and restore this member's accounts.")
def account() -> None:
    """Add, suspend and restore this member's own accounts; its last administrator stays."""


@account.command(short_help="Make a key, and register its account.")
@click.argument("label")
@click.option("--role", required=True, type=click.Choice(ROLES))
@click.option(
    "--consent", metavar="HEX", help="Of a key that is kept elsewhere: see `tally consortium account consent`."
)
@key_option
@gateway_option
@member_command
@json_option
def add(
    config: MemberConfig,
    label: str,
    role: str,
    consent: str | None,
    key: str,
    gateways: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Make a key LABEL in the member's keystore, unless it has one, and register its account.

    LABEL may be an address as well, of a key that is kept elsewhere or of a contract: with its --consent. An endorser
    is used once [validator] endorser in tally.toml names it.
    """
    from pki_chain.ports import Role

    address = find_or_make(config, label)
    add_account(config, address, Role[role.upper()], key, gateways, consent=consent)
    print_result({"account": address, "label": label, "role": role}, f"{role} {label} is {address}", as_json=as_json)


@account.command("consent", short_help="Have a key consent to become an account.")
@click.argument("label")
@click.option("--role", required=True, type=click.Choice(ROLES))
@member_command
@json_option
def sign_consent(config: MemberConfig, label: str, role: str, *, as_json: bool) -> None:
    """Have the key LABEL (label or address) sign that it acts for this member in this role, for good.

    For a key on another machine than the administrator's, which takes the outcome as `account add ADDRESS --consent`.
    Nobody can register an account without its consent, and so keep it from being anybody else's.
    """
    from pki_chain.ports import Role

    address = find_or_make(config, label)
    signed = _join(config, address, Role[role.upper()])
    if signed is None:
        raise NotFoundError(f"the keystore has no key {address}: run this where the key is kept")
    result = {"account": address, "role": role, "consent": "0x" + signed.hex()}
    print_result(result, f"{address} consents to be {role}: 0x{signed.hex()}", as_json=as_json)


@account.command(short_help="Suspend an account at once.")
@click.argument("label")
@role_option
@key_option
@gateway_option
@member_command
@json_option
def suspend(
    config: MemberConfig, label: str, role: str | None, key: str, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Suspend the account LABEL (label or address) at once: nothing that its key does counts any more."""
    address, found = _known(config, label, role)
    set_account(config, address, found, key, gateways, active=False)
    result = {"account": address, "role": found.name.lower(), "active": False}
    print_result(result, f"{found.name.lower()} {address} is suspended", as_json=as_json)


@account.command(short_help="Restore a suspended account.")
@click.argument("label")
@role_option
@key_option
@gateway_option
@member_command
@json_option
def restore(
    config: MemberConfig, label: str, role: str | None, key: str, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Restore the account LABEL (label or address)."""
    address, found = _known(config, label, role)
    set_account(config, address, found, key, gateways, active=True)
    result = {"account": address, "role": found.name.lower(), "active": True}
    print_result(result, f"{found.name.lower()} {address} is restored", as_json=as_json)


def add_account(
    config: MemberConfig,
    address: Address,
    role: Role,
    key: str,
    gateways: tuple[str, ...],
    *,
    consent: str | None = None,
) -> None:
    """Register an account with its consent, by its key in the keystore if none is given.

    Raises `InputError` when there is neither, and as `Orders`.
    """
    signed = _join(config, address, role) if consent is None else _octets(consent)
    if signed is None:
        raise InputError(
            f"the keystore has no key {address}: run `tally consortium account consent {address} --role "
            f"{role.name.lower()}` where it is kept, and give what it prints as --consent"
        )
    set_account(config, address, role, key, gateways, active=True, consent=signed)


def _join(config: MemberConfig, address: Address, role: Role) -> bytes | None:
    """The account's signature over `Join`; None when its key is not in the keystore."""
    from pki_chain.chain.signer import Keystore
    from pki_chain.chain.typed_data import TypedTexts

    keystore = Keystore.open(config.keystore.directory, config.keystore.passphrase_file)
    if address not in {entry.address for entry in keystore.list()}:
        return None
    return keystore.load(address).sign(TypedTexts(config.load_consortium()).join(config.member.id, address, role))


def _octets(consent: str) -> bytes:
    try:
        return bytes.fromhex(consent.removeprefix("0x"))
    except ValueError as error:
        raise InputError("--consent is not 0x and hexadecimal digits: give what `account consent` prints") from error


def set_account(
    config: MemberConfig,
    address: Address,
    role: Role,
    key: str,
    gateways: tuple[str, ...],
    *,
    active: bool,
    consent: bytes = b"",
) -> None:
    """Have the administrator's `key` sign the change, and wait until the ledger has it. Raises as `Orders`."""
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.station.orders import Orders

    orders = Orders(TypedTexts(config.load_consortium()), load_signer(config, key), gateway_client(config, gateways))
    orders.set_account(config.member.id, address, role, active=active, consent=consent)


def find_or_make(config: MemberConfig, label: str) -> Address:
    """The account of this label or address; a label that the keystore has not gets a fresh key."""
    from pki_chain.chain.signer import Keystore

    found = find(config, label)
    return found or Keystore.open(config.keystore.directory, config.keystore.passphrase_file).create(label)


def find(config: MemberConfig, label: str) -> Address | None:
    """The account of a label in the member's keystore, or the address itself."""
    from eth_utils.address import is_address, to_checksum_address

    from pki_chain.chain.signer import Keystore
    from pki_chain.ports import Address

    if is_address(label):
        return Address(to_checksum_address(label))
    keystore = Keystore.open(config.keystore.directory, config.keystore.passphrase_file)
    return {entry.label: entry.address for entry in keystore.list()}.get(label)


def _known(config: MemberConfig, label: str, role: str | None) -> tuple[Address, Role]:
    """Account and role, as named or as the ledger has it. Raises `NotFoundError`."""
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.ports import Role

    address = find(config, label)
    if address is None:
        raise NotFoundError(f"the keystore has no key {label!r}: give its label or the account's address")
    if role is not None:
        return address, Role[role.upper()]
    stands = LedgerClient(config.load_consortium(), config.ledger.timeout_s).account(address)
    if stands is None:
        raise NotFoundError(f"{address} is nobody's account: register it with `tally consortium account add`")
    return address, stands.role
