"""`tally gateway`: the REST service of a member."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pki_chain.cli.member import member_command
from pki_chain.cli.output import command_group, json_option, print_result
from pki_chain.config import MemberConfig
from pki_chain.errors import StorageError


@command_group("gateway", short_help="Relay to the ledger, and answer over REST.")
def gateway() -> None:
    """Relay submissions and orders, and answer about certificates over REST."""


@gateway.command(short_help="Serve REST until SIGTERM or SIGINT.")
@member_command
@json_option
def run(config: MemberConfig, *, as_json: bool) -> None:
    """Serve REST on [gateway] host and port until SIGTERM or SIGINT."""
    from pki_chain.gateway.serve import run as serve

    address = f"http://{config.gateway.host}:{config.gateway.port}"
    starting = {"member": config.member.name, "address": address}
    click.echo(json.dumps(starting) if as_json else f"gateway of {config.member.name} starts at {address}")
    serve(config)


@gateway.command(short_help="Read the ledger anew into the read model.")
@member_command
@json_option
def rebuild(config: MemberConfig, *, as_json: bool) -> None:
    """Throw the read model away and make it anew from the ledger; stop the gateway first.

    For a read model that is damaged, or at odds with the ledger: find out why first.
    """
    from pki_chain.gateway.relayer_process import rebuild as read_anew

    block = read_anew(config)
    print_result(
        {"block": {"number": block.number, "time": block.time, "hash": "0x" + block.hash.hex()}},
        f"the read model of {config.member.name} is read anew up to block {block.number} (0x{block.hash.hex()})",
        as_json=as_json,
    )


@gateway.command(short_help="List the keys that sign answers about status, or add one.")
@click.option("--new", is_flag=True, help="Make a key that signs from then on.")
@click.option(
    "--in-days", type=click.IntRange(0, 300), default=14, show_default=True, help="When --new begins to sign."
)
@member_command
@json_option
def status_key(config: MemberConfig, in_days: int, *, new: bool, as_json: bool) -> None:
    """List the keys that sign OCSP answers, revocation lists and manifests, or add one.

    Relying parties need a key's certificate before it signs: the gateway's /bundles/signers.pem has it at once.
    A new key is a file or, with [gateway] pkcs11_module, made in that token, which it never leaves.
    """
    import hashlib
    import time

    from pki_chain.gateway.services import open_status_keys

    keys, now = open_status_keys(config), int(time.time())
    if new:
        keys.create(config.member.name, now + in_days * 86_400 if in_days else now - 60)
    shown = [
        {
            "sha256": hashlib.sha256(key.certificate).hexdigest(),
            "begins": key.begins,
            "ends": key.ends,
            "in_token": key.is_in_token,
        }
        for key in keys.published(now)
    ]
    text = "\n".join(
        f"{key['sha256']} signs from {key['begins']} to {key['ends']} (seconds since 1970),"
        f" {'in the token' if key['in_token'] else 'file'}"
        for key in shown
    )
    print_result({"keys": shown}, text or "no key: the gateway makes one when it starts", as_json=as_json)


@gateway.command(short_help="Make a key that a CA may let sign about its certificates.")
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--kind", type=click.Choice(["ocsp", "crl"]), required=True, help="What it will sign.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Write the request here.")
@member_command
@json_option
def delegation_key(config: MemberConfig, certificate: Path, kind: str, out: Path, *, as_json: bool) -> None:
    """Make a key of this gateway, and a request (PKCS#10 in PEM) to the CA whose certificate is in FILE.

    The CA certifies it (`tally ca delegate --request`, or its own software); from the moment that the certificate is on
    the ledger, the gateway signs with it, and no file is put anywhere. Make the next one before it ends. The key is a
    file or, with [gateway] pkcs11_module, made in that token, which it never leaves.
    """
    from pki_chain.founding.authority_terms import load_authority_certificate
    from pki_chain.gateway.services import open_delegated_keys
    from pki_chain.ports import DelegationKind
    from pki_chain.x509.authority import parse_authority
    from pki_chain.x509.pem import encode_pem

    authority = parse_authority(load_authority_certificate(certificate))
    if out.exists():
        raise StorageError(f"{out} exists already; nothing was made: choose another name")
    request = open_delegated_keys(config).create(DelegationKind[f"{kind.upper()}_SIGNING"], authority.der)
    try:
        out.write_text(encode_pem("CERTIFICATE REQUEST", request), encoding="ascii")
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror}); choose another place") from error
    print_result(
        {"request": str(out), "kind": kind, "authority": "0x" + authority.id.hex()},
        f"{out}: request to sign {kind} for authority 0x{authority.id.hex()}; have the CA certify it",
        as_json=as_json,
    )
