"""`tally identity replace veto-text|veto`: a person's own word against a replacement."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki_chain.cli.identity_acts import identity_argument, print_done
from pki_chain.cli.identity_replace import key_coordinates, read_signature, signature_option, waiting_key
from pki_chain.cli.member import config_option, gateway_client, gateway_option
from pki_chain.cli.operator import fetch_identity, read_identity, time_text
from pki_chain.cli.output import json_option, print_result
from pki_chain.config import ConsortiumFile, MemberConfig
from pki_chain.errors import InputError, NotFoundError, RefusedError, StorageError

if TYPE_CHECKING:
    from pki_chain.chain.typed_data import TypedData

_HOUR_S = 3_600
_LONGEST_H = 24
"""The ledger takes a card's word for that long (docs/decisions/0009)."""

consortium_option = click.option(
    "--consortium",
    "consortium_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The consortium's public file, for whoever is no member. [default: as in tally.toml]",
)


@click.command("veto-text", short_help="Write what the card signs to refuse a replacement.")
@identity_argument
@click.option("--hours", default=12, show_default=True, type=click.IntRange(1, 22), help="How long its word is good.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("veto.txt"), show_default=True)
@consortium_option
@gateway_option
@config_option
@json_option
def veto_text(
    identity_id: str,
    hours: int,
    out: Path,
    consortium_path: Path | None,
    gateways: tuple[str, ...],
    config_path: Path,
    *,
    as_json: bool,
) -> None:
    """Write what a person's card signs to refuse the replacement that waits.

    The person signs it by `tally sim sign --key approval veto.txt`; the signature goes to `veto`. Needs neither member
    nor account, but --consortium and --gateway where there is no tally.toml.
    """
    from pki_chain.identity.possession import signing_input

    identity = read_identity(identity_id)
    config = _settings(config_path)
    answer = fetch_identity(gateway_client(config, gateways), identity)
    # A whole hour, so that `veto` finds it again without a file of its own.
    deadline = (int(time.time()) // _HOUR_S + 1 + hours) * _HOUR_S
    typed = _word(_consortium(config, consortium_path), identity, answer, deadline)
    try:
        out.write_bytes(signing_input(typed.digest()))
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror}") from error
    result = {"text_file": str(out), "deadline": deadline}
    print_result(result, f"{out}: have your card sign it; good until {time_text(deadline)}", as_json=as_json)


@click.command(short_help="Refuse a replacement, with the card's word.")
@identity_argument
@signature_option("veto-text")
@consortium_option
@gateway_option
@config_option
@json_option
def veto(
    identity_id: str,
    signature: Path,
    consortium_path: Path | None,
    gateways: tuple[str, ...],
    config_path: Path,
    *,
    as_json: bool,
) -> None:
    """Refuse the replacement that waits: the current card says no, and no account signs.

    The key that waited is never taken again, for anybody.
    """
    from pki_chain.identity.orders import cancel_by_card
    from pki_chain.identity.possession import Possession, verify_possession
    from pki_chain.ports import Activation

    identity = read_identity(identity_id)
    config = _settings(config_path)
    client = gateway_client(config, gateways)
    answer = fetch_identity(client, identity)
    r, s = read_signature(signature)
    current = key_coordinates(answer)
    consortium = _consortium(config, consortium_path)
    first = int(time.time()) // _HOUR_S + 1
    for deadline in range(first * _HOUR_S, (first + _LONGEST_H) * _HOUR_S, _HOUR_S):
        digest = _word(consortium, identity, answer, deadline).digest()
        possession = Possession(digest, r, s)
        try:
            verify_possession(possession, digest, *current)
        except InputError:
            continue
        outcome = cancel_by_card(client, Activation(identity, possession.proof(deadline)))
        print_done(identity, "replacement refused by the card", outcome.transaction, as_json=as_json)
        return
    raise RefusedError(
        f"{signature} is not the current card's word against the key that waits, or no longer good: sign the text of "
        "`tally identity replace veto-text` with that card"
    )


def _settings(path: Path) -> MemberConfig | None:
    return MemberConfig.load(path) if path.exists() else None


def _consortium(config: MemberConfig | None, path: Path | None) -> ConsortiumFile:
    if path is not None:
        return ConsortiumFile.load(path)
    if config is None:
        raise InputError("no tally.toml here: name the consortium's public file with --consortium")
    return config.load_consortium()


def _word(consortium: ConsortiumFile, identity: bytes, answer: Mapping[str, Any], deadline: int) -> TypedData:
    """The current key's word against the one that waits."""
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.ports import PossessionPurpose

    x, y = waiting_key(answer)
    operator, activated_at = answer.get("operator"), answer.get("activated_at")
    if not activated_at:
        raise RefusedError("this card was never activated: it has no word in this, ask the operator to cancel")
    if type(operator) is not int or type(activated_at) is not int:
        raise NotFoundError("the gateway's answer lacks operator or activation: ask another gateway")
    purpose = PossessionPurpose.CANCEL
    return TypedTexts(consortium).word(operator, identity, x, y, purpose, activated_at, deadline)
