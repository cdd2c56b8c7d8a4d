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
    from pki_chain.x509.certificate import Certificate

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HOLD_REASON = 6
_MOST_OF_A_KEY = 100
"""A gateway lists no more certificates of a key."""

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


@certificate.command(short_help="Hold a certificate at once.")
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
@click.option("--by-key", is_flag=True, help="All of this member's certificates under the same key, by one signature.")
@click.option("--reason", type=click.Choice(list(_REVOCATION_REASONS)), default="unspecified", show_default=True)
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@gateway_option
@member_command
@json_option
def revoke(
    config: MemberConfig, which: str, reason: str, key: str, gateways: tuple[str, ...], *, by_key: bool, as_json: bool
) -> None:
    """Revoke a certificate for good."""
    client = gateway_client(config, gateways)
    if by_key:
        _revoke_by_key(config, client, which, _REVOCATION_REASONS[reason], key, as_json=as_json)
        return
    identifier, _ = _identify(client, which)
    outcome = _orders(config, key, client).revoke(identifier, _REVOCATION_REASONS[reason])
    print_result(_done(which, outcome.transaction, "revoked"), f"{which} is revoked for good", as_json=as_json)


def _revoke_by_key(
    config: MemberConfig, client: GatewayClient, which: str, reason: int, key: str, *, as_json: bool
) -> None:
    spki_hash = _certificate(client, which).spki_hash
    found = _certificates_of_key(client, spki_hash)
    own = [each for each, owner in found if _is_of(config, each, owner)]
    if not own:
        raise RefusedError(
            f"none of the {len(found)} certificates of this key is of {config.member.name}: its owner revokes it, "
            "or a vote blocks the key"
        )
    if len(found) >= _MOST_OF_A_KEY:
        raise RefusedError(f"this key has {_MOST_OF_A_KEY} certificates or more: have it blocked by vote")
    outcome = _orders(config, key, client).revoke_by_key(spki_hash, own, reason)
    revoked = [each.sha256.hex() for each in own]
    result = {"key": spki_hash.hex(), "revoked": revoked, "transaction": "0x" + outcome.transaction.hex()}
    text = f"{len(own)} certificates of key {spki_hash.hex()} are revoked for good"
    print_result(result, "\n".join([text, *(f"  {each}" for each in revoked)]), as_json=as_json)


def _is_of(config: MemberConfig, certificate: Certificate, owner: object) -> bool:
    """By its O; one without a subject, by what the gateway says: the contract revokes none that is another's."""
    if certificate.organisation:
        return certificate.organisation == config.member.name
    return owner == config.member.id


@certificate.command(short_help="Prove a device key compromised; it is blocked for good.")
@click.option(
    "--key-file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PKCS#8 PEM."
)
@click.option("--passphrase-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Opens the key.")
@gateway_option
@member_command
@json_option
def block_key(
    config: MemberConfig, key_file: Path, passphrase_file: Path | None, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Prove that a device's key is compromised by signing that with it: it is blocked for everybody, for good.

    No account signs: whoever has the key may do this. All its certificates are revoked by it, whoever owns them.
    """
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.station.key_compromise import declare_compromise, subject_public_key_info
    from pki_chain.station.orders import relay
    from pki_chain.x509.self_signed import load_key

    device_key = load_key(key_file, passphrase_file.read_bytes().strip() if passphrase_file else None)
    spki_hash = hashlib.sha256(subject_public_key_info(device_key)).hexdigest()
    order = declare_compromise(TypedTexts(config.load_consortium()), device_key)
    outcome = relay(gateway_client(config, gateways), order)
    result = {"key": spki_hash, "blocked": True, "transaction": "0x" + outcome.transaction.hex()}
    print_result(result, f"key {spki_hash} is blocked for everybody", as_json=as_json)


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
    sha256 = read_sha256(which)
    found = _certificate(client, which)
    counter = client.get(f"/v1/certificates/{sha256}/status").get("hold_counter")
    if not isinstance(counter, int):
        raise NotFoundError(f"the ledger does not know {sha256}: submit it first, or correct the hash")
    return found.certificate_id, counter


def _certificate(client: GatewayClient, which: str) -> Certificate:
    """The certificate that was named, from the gateway's bytes once they have that SHA-256."""
    from pki_chain.x509.certificate import parse_certificate

    sha256 = read_sha256(which)
    der = _der(client.get(f"/v1/certificates/{sha256}"))
    if hashlib.sha256(der).hexdigest() != sha256:
        raise InputError(f"the gateway gave other bytes than those of {sha256}: ask another gateway")
    return parse_certificate(der)


def _certificates_of_key(client: GatewayClient, spki_hash: bytes) -> list[tuple[Certificate, object]]:
    """All that the gateway has of a key, read here, with their owners: what is not of this key is not taken."""
    from pki_chain.x509.certificate import parse_certificate

    listed = client.get(f"/v1/certificates?key={spki_hash.hex()}").get("certificates")
    found = [(parse_certificate(_der(each)), each.get("owner")) for each in listed] if isinstance(listed, list) else []
    if not found or any(each.spki_hash != spki_hash for each, _ in found):
        raise InputError(f"the gateway gave other certificates than those of key {spki_hash.hex()}: ask another")
    return found


def _der(answer: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(str(answer.get("der")), validate=True)
    except ValueError:
        return b""


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
