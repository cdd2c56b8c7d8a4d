"""`tally certificate`: show, ask, hold, release, revoke; by SHA-256 of the DER, or by the file itself."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki_chain.cli.member import config_option, gateway_client, gateway_option, load_signer, member_command
from pki_chain.cli.output import command_group, json_option, print_result
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from pki_chain.ports import HoldKind
    from pki_chain.station.gateway_client import GatewayClient
    from pki_chain.station.orders import Orders

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HOLD_REASON = 6
_REVOCATION_REASONS = {
    "unspecified": 0,
    "key-compromise": 1,
    "affiliation-changed": 3,
    "superseded": 4,
    "cessation-of-operation": 5,
    "privilege-withdrawn": 9,
}
"""CRLReason of RFC 5280 §5.3.1; the others are not for devices or not final."""

certificate_argument = click.argument("which", metavar="SHA256|FILE")


@command_group("certificate")
def certificate() -> None:
    """Ask about a certificate, hold, release or revoke it."""


def _settings(config_path: Path) -> MemberConfig | None:
    """Settings if there are any: whoever only asks needs none beside --gateway."""
    return MemberConfig.load(config_path) if config_path.exists() else None


@certificate.command()
@certificate_argument
@gateway_option
@config_option
@json_option
def show(which: str, gateways: tuple[str, ...], config_path: Path, *, as_json: bool) -> None:
    """Show what the gateway knows of a certificate."""
    client = gateway_client(_settings(config_path), gateways)
    answer = client.get(f"/v1/certificates/{read_sha256(which)}")
    print_result(answer, _lines(answer), as_json=as_json)


@certificate.command()
@certificate_argument
@gateway_option
@config_option
@json_option
def status(which: str, gateways: tuple[str, ...], config_path: Path, *, as_json: bool) -> None:
    """Ask whether a certificate is valid now.

    Exit code 0: valid; 66: the ledger does not know it; 77: anything else, such as held or revoked.
    """
    client = gateway_client(_settings(config_path), gateways)
    answer = client.get(f"/v1/certificates/{read_sha256(which)}/status")
    print_result(answer, _lines(answer), as_json=as_json)
    state = answer.get("state")
    if state == "unknown":
        raise NotFoundError("the ledger does not know this certificate, which says nothing good about it")
    if state != "valid":
        raise RefusedError(f"the certificate is not valid: {state}")


@certificate.command()
@certificate_argument
@click.option("--emergency", is_flag=True, help="For a certificate of another member; for a bounded time, on record.")
@click.option("--key", default="duty", show_default=True, help="Label or address of the key; duty or administrator.")
@gateway_option
@member_command
@json_option
def hold(
    config: MemberConfig, which: str, key: str, gateways: tuple[str, ...], *, emergency: bool, as_json: bool
) -> None:
    """Hold a certificate at once: relying parties cut it off, and it can be released."""
    client = gateway_client(config, gateways)
    identifier, counter = _identify(client, which)
    kind = _kind(emergency=emergency)
    outcome = _orders(config, key, client).hold(identifier, kind, _HOLD_REASON, counter)
    print_result(_done(which, outcome.transaction, "held"), f"{which} is held", as_json=as_json)


@certificate.command()
@certificate_argument
@click.option("--emergency", is_flag=True, help="Lift this member's emergency hold.")
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@gateway_option
@member_command
@json_option
def release(
    config: MemberConfig, which: str, key: str, gateways: tuple[str, ...], *, emergency: bool, as_json: bool
) -> None:
    """Lift a hold."""
    client = gateway_client(config, gateways)
    identifier, counter = _identify(client, which)
    outcome = _orders(config, key, client).release(identifier, _kind(emergency=emergency), 0, counter)
    print_result(_done(which, outcome.transaction, "released"), f"{which} is released", as_json=as_json)


@certificate.command()
@certificate_argument
@click.option("--reason", type=click.Choice(list(_REVOCATION_REASONS)), default="unspecified", show_default=True)
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@gateway_option
@member_command
@json_option
def revoke(
    config: MemberConfig, which: str, reason: str, key: str, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Revoke a certificate for good."""
    client = gateway_client(config, gateways)
    identifier, _ = _identify(client, which)
    outcome = _orders(config, key, client).revoke(identifier, _REVOCATION_REASONS[reason])
    print_result(_done(which, outcome.transaction, "revoked"), f"{which} is revoked for good", as_json=as_json)


def read_sha256(which: str) -> str:
    """The hash given, or that of the certificate (DER or PEM) in the file given. Raises `InputError`."""
    from pki_chain.cli.station import read_certificates

    if _SHA256.fullmatch(which.lower()):
        return which.lower()
    path = Path(which)
    if not path.is_file():
        raise InputError(f"{which!r} is neither a SHA-256 of 64 hexadecimal digits nor a file")
    return hashlib.sha256(read_certificates((path,))[0][1]).hexdigest()


def _identify(client: GatewayClient, which: str) -> tuple[bytes, int]:
    """Id on the ledger and hold counter. The id is computed here from bytes of that SHA-256: an order binds no other
    certificate than the one that was named, whatever the gateway says."""
    from pki_chain.x509.certificate import parse_certificate

    sha256 = read_sha256(which)
    answer = client.get(f"/v1/certificates/{sha256}")
    try:
        der = base64.b64decode(str(answer.get("der")), validate=True)
    except ValueError:
        der = b""
    if hashlib.sha256(der).hexdigest() != sha256:
        raise InputError(f"the gateway gave other bytes than those of {sha256}: ask another gateway")
    counter = client.get(f"/v1/certificates/{sha256}/status").get("hold_counter")
    if not isinstance(counter, int):
        raise NotFoundError(f"the ledger does not know {sha256}: submit it first, or correct the hash")
    return parse_certificate(der).certificate_id, counter


def _kind(*, emergency: bool) -> HoldKind:
    from pki_chain.ports import HoldKind

    return HoldKind.EMERGENCY if emergency else HoldKind.OWNER


def _orders(config: MemberConfig, key: str, client: GatewayClient) -> Orders:
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.station.orders import Orders

    return Orders(TypedTexts(config.load_consortium()), load_signer(config, key), client)


def _done(which: str, transaction: bytes, state: str) -> dict[str, Any]:
    return {"certificate": read_sha256(which), "state": state, "transaction": "0x" + transaction.hex()}


_TIMES = frozenset({"since", "not_before", "not_after"})
_ENDLESS = 253_402_300_799
_HIDDEN = frozenset({"der", "status", "age_s"})


def _lines(answer: Mapping[str, Any]) -> str:
    """An answer as lines for people; the status of a shown certificate follows its fields."""
    shown = {**answer, **answer.get("status", {})}
    return "\n".join(
        f"{key:<14} {_text(key, value)}"
        for key, value in shown.items()
        if value not in (None, []) and key not in _HIDDEN
    )


def _text(key: str, value: Any) -> str:
    if key in _TIMES:
        return "never" if value == _ENDLESS else datetime.fromtimestamp(value, UTC).isoformat()
    if key == "reason":
        return str(value["name"])
    if key == "names":
        return ", ".join(f"{name['kind']}:{name['value']}" for name in value)
    if key == "block":
        return f"{value['number']} of {_text('since', value['time'])}, {value['hash']}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
