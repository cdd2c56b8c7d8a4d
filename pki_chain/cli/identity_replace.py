"""`tally identity replace`: another key for an identity, with the old card's word or with two accounts and a delay."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki_chain.cli.identity_acts import administrator_option, identity_argument, print_done
from pki_chain.cli.member import gateway_client, gateway_option, member_command
from pki_chain.cli.operator import addressee, fetch_identity, identity_orders, open_register, read_identity, time_text
from pki_chain.cli.output import Function, command_group, json_option, print_result
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, RefusedError, StorageError

if TYPE_CHECKING:
    from pki_chain.identity.register import IdentityRegister
    from pki_chain.ports import Registration

_HOUR_S = 3_600

card_file_argument = click.argument(
    "card_file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
registrar_option = click.option("--key", help="Label or address of the key. [default: account of [identity]]")
emulator_option = click.option("--allow-emulators", is_flag=True, help="Take an emulated card too; it protects no key.")


def signature_option(asked_by: str) -> Callable[[Function], Function]:
    """`--signature`, over the text that the command of that name writes."""
    return click.option(
        "--signature",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"What `tally sim sign` printed over the text of `{asked_by}`.",
    )


@command_group("replace", short_help="Another key for an identity: a new SIM.")
def replace() -> None:
    """Give an identity the key of a new card, which `tally identity prepare --replace IDENTITY` was made for.

    FILE is the new card's registration file. With the old card at hand: `text`, have it sign, `now`. Without it:
    `start`, wait out the delay, `confirm` with another account; meanwhile the person may `veto`. The identity is then
    registered, until the new card activates it.
    """


@replace.command(short_help="Write what the old card signs to agree.")
@identity_argument
@card_file_argument
@click.option("--hours", default=12, show_default=True, type=click.IntRange(1, 23), help="How long its word is good.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("old-card.txt"), show_default=True)
@emulator_option
@gateway_option
@member_command
@json_option
def text(
    config: MemberConfig,
    identity_id: str,
    card_file: Path,
    hours: int,
    out: Path,
    gateways: tuple[str, ...],
    *,
    allow_emulators: bool,
    as_json: bool,
) -> None:
    """Write what the old card signs to agree to the new one's key.

    The holder signs it by `tally sim sign --key approval old-card.txt`; the signature goes to `now`.
    """
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.identity.possession import signing_input
    from pki_chain.ports import PossessionPurpose

    identity = read_identity(identity_id)
    deadline = int(time.time()) + hours * _HOUR_S
    with open_register(config) as register:
        key = load_new_card(config, register, identity, card_file, allow_emulators=allow_emulators).key
        activated_at = fetch_identity(gateway_client(config, gateways), identity)["activated_at"]
        if not activated_at:
            raise InputError("the old card was never activated: it has no word in this; use `start` and `confirm`")
        typed = TypedTexts(config.load_consortium()).word(
            config.member.id, identity, key.x, key.y, PossessionPurpose.REPLACE, activated_at, deadline
        )
        register.store_word(identity, key.x, deadline)
    try:
        out.write_bytes(signing_input(typed.digest()))
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror}") from error
    result = {"text_file": str(out), "deadline": deadline}
    print_result(result, f"{out}: have the old card sign it; good until {time_text(deadline)}", as_json=as_json)


@replace.command(short_help="Replace at once, with the old card's word.")
@identity_argument
@card_file_argument
@signature_option("text")
@registrar_option
@emulator_option
@gateway_option
@member_command
@json_option
def now(
    config: MemberConfig,
    identity_id: str,
    card_file: Path,
    signature: Path,
    key: str | None,
    gateways: tuple[str, ...],
    *,
    allow_emulators: bool,
    as_json: bool,
) -> None:
    """Replace the key at once: the new card proves itself, the old one agrees."""
    from pki_chain.ports import CardProof

    identity = read_identity(identity_id)
    client = gateway_client(config, gateways)
    r, s = read_signature(signature)
    with open_register(config) as register:
        entry = load_new_card(config, register, identity, card_file, allow_emulators=allow_emulators)
        deadline = register.word(identity, entry.key.x)
        if deadline is None:
            raise InputError("the old card was asked nothing from here: run `tally identity replace text` first")
        agreement = CardProof(deadline, r, s)
        counter = fetch_identity(client, identity)["counter"]
        signer = identity_orders(config, key or config.identity.account, client)
        outcome = signer.replace_key(entry, agreement, counter)
        register.mark_replaced(identity, entry.key)
    print_done(identity, "replaced", outcome.transaction, as_json=as_json)


@replace.command(short_help="Begin, where the old card is lost.")
@identity_argument
@card_file_argument
@registrar_option
@emulator_option
@gateway_option
@member_command
@json_option
def start(
    config: MemberConfig,
    identity_id: str,
    card_file: Path,
    key: str | None,
    gateways: tuple[str, ...],
    *,
    allow_emulators: bool,
    as_json: bool,
) -> None:
    """Begin to replace the key of a lost card; logins are refused, or of the lowest level, until it is over."""
    identity = read_identity(identity_id)
    client = gateway_client(config, gateways)
    with open_register(config) as register:
        entry = load_new_card(config, register, identity, card_file, allow_emulators=allow_emulators)
        counter = fetch_identity(client, identity)["counter"]
        signer = identity_orders(config, key or config.identity.account, client)
        outcome = signer.start_replacement(entry, counter)
        register.keep_key(identity, entry.key)
    print_done(identity, "replacement started", outcome.transaction, as_json=as_json)


@replace.command(short_help="Confirm with another account, after the delay.")
@identity_argument
@administrator_option
@gateway_option
@member_command
@json_option
def confirm(config: MemberConfig, identity_id: str, key: str, gateways: tuple[str, ...], *, as_json: bool) -> None:
    """Carry out a replacement whose delay is over; with another account than the one that began it."""
    identity = read_identity(identity_id)
    client = gateway_client(config, gateways)
    answer = fetch_identity(client, identity)
    waiting = waiting_key(answer)
    with open_register(config) as register:
        prepared = register.find(identity)
        if prepared is None or prepared.key is None or (prepared.key.x, prepared.key.y) != waiting:
            raise RefusedError("the key that waits on the ledger is none that was started from here: cancel it")
        signer = identity_orders(config, key, client)
        outcome = signer.confirm_replacement(identity, *waiting, answer["counter"])
        register.mark_replaced(identity, prepared.key)
    print_done(identity, "replaced", outcome.transaction, as_json=as_json)


@replace.command(short_help="Call off a replacement that waits.")
@identity_argument
@click.option("--key", default="duty", show_default=True, help="Label or address: duty, registrar or administrator.")
@gateway_option
@member_command
@json_option
def cancel(config: MemberConfig, identity_id: str, key: str, gateways: tuple[str, ...], *, as_json: bool) -> None:
    """Call off a replacement that waits."""
    identity = read_identity(identity_id)
    client = gateway_client(config, gateways)
    answer = fetch_identity(client, identity)
    waiting_key(answer)
    outcome = identity_orders(config, key, client).cancel_replacement(identity, answer["counter"])
    print_done(identity, "replacement cancelled", outcome.transaction, as_json=as_json)


def read_signature(path: Path) -> tuple[bytes, bytes]:
    """r and s of a signature as `tally sim sign` prints it. Raises `InputError`."""
    from pki_chain.identity.possession import parse_base64url

    raw = parse_base64url(path.read_text(encoding="utf-8", errors="replace").strip()) or b""
    if len(raw) != 64:
        raise InputError(f"{path} is no signature as `tally sim sign` prints it")
    return raw[:32], raw[32:]


def load_new_card(
    config: MemberConfig, register: IdentityRegister, identity: bytes, card_file: Path, *, allow_emulators: bool
) -> Registration:
    """The new card's key and proof, checked. Raises `InputError`, `RefusedError`."""
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.identity.card_files import load_registrations
    from pki_chain.identity.possession import verify_possession
    from pki_chain.ports import PossessionPurpose, Registration

    prepared = register.find(identity)
    lines = [line for line in load_registrations(card_file, addressee(config)) if line.identity == identity]
    if prepared is None or prepared.purpose != PossessionPurpose.REPLACE or not lines:
        raise InputError(
            f"{card_file} has no card for a batch of `tally identity prepare --replace {identity_text(identity)}`"
        )
    line = lines[0]
    if line.key.emulator and not allow_emulators:
        raise RefusedError("an emulator protects no key: give --allow-emulators where that is meant")
    typed = TypedTexts(config.load_consortium()).possession(
        config.member.id, identity, line.key.x, line.key.y, PossessionPurpose.REPLACE, prepared.register_by
    )
    verify_possession(line.possession, typed.digest(), line.key.x, line.key.y)
    return Registration(identity, line.key, line.possession.proof(prepared.register_by))


def identity_text(identity: bytes) -> str:
    """An id as people write it."""
    return "0x" + identity.hex()


def waiting_key(answer: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Coordinates of the key that waits. Raises `RefusedError`."""
    waiting = answer.get("replacement")
    if not isinstance(waiting, dict):
        raise RefusedError("no replacement waits for this identity")
    return key_coordinates(waiting)


def key_coordinates(answer: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """X and Y of the JWK in an answer's field `key`. Raises `InputError`."""
    from pki_chain.identity.possession import parse_base64url

    key = answer.get("key")
    if not isinstance(key, dict):
        raise InputError("the gateway's answer has no key: ask another gateway")
    x, y = (parse_base64url(str(key.get(name))) for name in ("x", "y"))
    if x is None or y is None:
        raise InputError("the gateway's answer has no key: ask another gateway")
    return x, y
