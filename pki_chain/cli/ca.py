"""`tally ca`: certificate authorities on the trust list, and who may sign for them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki_chain.cli.member import config_option, gateway_client, gateway_option, load_signer, member_command
from pki_chain.cli.output import command_group, json_option, print_result, print_table
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pki_chain.ports import CertificateId
    from pki_chain.station.orders import Orders

_ID = re.compile(r"0x[0-9a-f]{64}")
_REASONS = {
    "unspecified": 0,
    "key-compromise": 1,
    "ca-compromise": 2,
    "affiliation-changed": 3,
    "superseded": 4,
    "cessation-of-operation": 5,
    "privilege-withdrawn": 9,
}
"""CRLReason of RFC 5280 §5.3.1, those that end a CA."""
_KINDS = ("ocsp", "crl")

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
key_option = click.option(
    "--key", default="administrator", show_default=True, help="Label or address of the administrator's key."
)


@command_group("ca", short_help="Certificate authorities on the trust list.")
def ca() -> None:
    """Certificate authorities on the trust list: publish, delegate, withdraw, list, parts of their lists.

    A root comes by vote: `tally consortium propose trust-root MEMBER FILE SCOPE UNTIL`.
    """


@ca.command(short_help="Put a CA on the list that a CA of this member signed.")
@click.argument("certificate", type=_file, metavar="FILE")
@click.option("--scope", required=True, metavar="SCOPE,...", help="For what: ike, tls, slice.")
@click.option("--until", help="Day (2031-12-31) or seconds since 1970. [default: as long as it and its parent]")
@click.option("--member", "owner", type=click.IntRange(1, 65_535), help="Whose CA it is. [default: this member's]")
@key_option
@gateway_option
@member_command
@json_option
def publish(
    config: MemberConfig,
    certificate: Path,
    scope: str,
    until: str | None,
    owner: int | None,
    key: str,
    gateways: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Put the CA of the certificate in FILE (DER or PEM) on the trust list.

    The CA that signed it must be on the list and this member's. What it issues within its scope is taken from then on.
    """
    from pki_chain.founding.authority_terms import load_authority_certificate, parse_scope, parse_until
    from pki_chain.x509.authority import parse_authority

    der = load_authority_certificate(certificate)
    authority = parse_authority(der)
    if authority.is_self_issued:
        raise InputError(f"{certificate} is a root: members vote on it (`tally consortium propose trust-root`)")
    client = gateway_client(config, gateways)
    last = parse_until(until) if until else _longest(client.get("/v1/authorities"), authority.issuer, authority)
    wanted, member = parse_scope(scope), owner or config.member.id
    outcome = _orders(config, key, gateways).publish_authority(der, member, wanted, last)
    result = {
        "authority": "0x" + authority.id.hex(),
        "member": member,
        "scope": scope.split(","),
        "trusted_until": last,
        "transaction": "0x" + outcome.transaction.hex(),
    }
    text = f"authority 0x{authority.id.hex()} is on the trust list for {scope} until {_moment(last)}"
    print_result(result, text, as_json=as_json)


@ca.command(short_help="Let another key sign a CA's OCSP answers or CRLs.")
@click.argument("certificate", required=False, type=_file, metavar="[FILE]")
@click.option("--ca-key", type=_file, help="Make the certificate with this key of the CA (PKCS#8 PEM).")
@click.option("--ca", "ca_certificate", type=_file, help="With --ca-key: the CA's certificate.")
@click.option("--request", "request_file", type=_file, help="With --ca-key: PKCS#10 (PEM) of the key that will sign.")
@click.option("--kind", type=click.Choice(_KINDS), help="With --ca-key: what it will sign.")
@click.option("--days", type=click.IntRange(1, 397), help="With --ca-key. [default: 31 for ocsp, 397 for crl]")
@click.option("--passphrase-file", type=_file, help="Opens the CA's key.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="With --ca-key: write the certificate here."
)
@gateway_option
@member_command
@json_option
def delegate(
    config: MemberConfig,
    certificate: Path | None,
    ca_key: Path | None,
    ca_certificate: Path | None,
    request_file: Path | None,
    kind: str | None,
    days: int | None,
    passphrase_file: Path | None,
    out: Path | None,
    gateways: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Put the certificate in FILE on the list, by which a CA lets another key sign OCSP answers or CRLs for it.

    The CA makes it with its own software, and its signature is all that is needed: anybody may put it there. Without
    FILE it is made here, with --ca-key, --ca, --request and --kind, and stored with --out. The key that will sign stays
    with the gateway that made the request (`tally gateway delegation-key`), in a file or a PKCS#11 token.
    """
    from pki_chain.founding.authority_terms import load_authority_certificate
    from pki_chain.station.orders import relay_delegation
    from pki_chain.x509.delegation import parse_delegation

    made_here = (ca_key, ca_certificate, request_file, kind)
    if certificate is not None and not any((*made_here, days, passphrase_file, out)):
        der = load_authority_certificate(certificate)
    elif certificate is None and all(made_here):
        der = _make_delegation(made_here, days, passphrase_file)  # type: ignore[arg-type]  # none of them is None here
    else:
        raise InputError("give FILE alone, or all of --ca-key, --ca, --request and --kind")
    delegated = parse_delegation(der)
    if out is not None:
        _store(out, der)
    outcome = relay_delegation(gateway_client(config, gateways), der)
    result = {
        "delegation": "0x" + delegated.id.hex(),
        "kind": delegated.kind.name.lower().replace("_", "-"),
        "not_after": delegated.not_after,
        "transaction": "0x" + outcome.transaction.hex(),
    }
    text = f"delegation 0x{delegated.id.hex()} ({result['kind']}) holds until {_moment(delegated.not_after)}"
    print_result(result, text, as_json=as_json)


@ca.command(short_help="End a CA and all below it, or a delegation, for good.")
@click.argument("which", metavar="ID|FILE")
@click.option("--reason", type=click.Choice(list(_REASONS)), default="unspecified", show_default=True)
@key_option
@gateway_option
@member_command
@json_option
def withdraw(
    config: MemberConfig, which: str, reason: str, key: str, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """End a CA, or a delegation: by its id on the list, or by the file of its certificate.

    Final. Every certificate that it or a CA below it issued is revoked from then on.
    """
    identity = _identify(which)
    outcome = _orders(config, key, gateways).withdraw_authority(identity, _REASONS[reason])
    result = {"id": "0x" + identity.hex(), "reason": reason, "transaction": "0x" + outcome.transaction.hex()}
    print_result(result, f"0x{identity.hex()} is withdrawn for good ({reason})", as_json=as_json)


@ca.command(short_help="Tell how full the parts of a CA's list are.")
@click.argument("which", metavar="ID|FILE")
@gateway_option
@config_option
@json_option
def parts(which: str, gateways: tuple[str, ...], config_path: Path, *, as_json: bool) -> None:
    """Tell how full the parts of a CA's revocation list are, and which path its next certificates should name.

    The CA puts the address, at a gateway that relying parties reach, into cRLDistributionPoints. Of 15,000
    certificates a part stays below 1 MB if all of them are revoked.
    """
    from pki_chain.status.list_address import FULL_PART

    identity = _identify(which)
    settings = MemberConfig.load(config_path) if config_path.exists() else None
    answer = gateway_client(settings, gateways).get(f"/crl/{identity.hex()}")
    found = [(int(each["part"]), int(each["certificates"])) for each in answer["parts"]]
    last, certificates = max(found, default=(0, 0))
    following = f"/crl/{identity.hex()}/{last + (certificates >= FULL_PART)}.crl"
    if as_json:
        print_result({"parts": answer["parts"], "next": following}, "", as_json=True)
        return
    print_table("parts", ("part", "certificates"), [(str(part), str(count)) for part, count in found])
    print_result({}, f"the next certificates: {following}", as_json=False)


@ca.command(name="list", short_help="List the CAs and their delegations.")
@click.option("--member", "owner", type=click.IntRange(1, 65_535), help="Only this member's.")
@gateway_option
@config_option
@json_option
def list_authorities(owner: int | None, gateways: tuple[str, ...], config_path: Path, *, as_json: bool) -> None:
    """List the CAs on the trust list with their delegations, ended ones too."""
    settings = MemberConfig.load(config_path) if config_path.exists() else None
    path = "/v1/authorities" if owner is None else f"/v1/authorities?member={owner}"
    answer = gateway_client(settings, gateways).get(path)
    if as_json:
        print_result(answer, "", as_json=True)
        return
    rows = []
    for each in answer.get("authorities", []):
        below = "" if each["parent"] is None else f"below {each['parent'][:10]}"
        scope = ",".join(each["scope"])
        rows.append((each["id"], str(each["member"]), each["state"], scope, _moment(each["trusted_until"]), below))
        rows += [
            (
                each_delegation["id"],
                "",
                "withdrawn" if each_delegation["withdrawn"] else "given",
                each_delegation["kind"],
                _moment(each_delegation["not_after"]),
                f"by {each['id'][:10]}",
            )
            for each_delegation in each["delegations"]
        ]
    print_table("trust list", ("id", "member", "state", "for", "until", ""), rows)


def _longest(answer: Mapping[str, Any], issuer: bytes, authority: Any) -> int:
    """As long as certificate and parent allow. Raises `NotFoundError` when its parent is not on the list."""
    import base64

    from pki_chain.x509.authority import parse_authority

    named = (issuer, authority.authority_key_identifier)
    for each in reversed(answer.get("authorities", [])):
        parent = parse_authority(base64.b64decode(str(each.get("der"))))
        if (parent.subject, parent.key_identifier) == named:
            return min(int(each["trusted_until"]), int(authority.not_after))
    raise NotFoundError("the CA that signed it is not on the trust list: publish that one first, or have it voted on")


def _make_delegation(made_here: tuple[Path, Path, Path, str], days: int | None, passphrase_file: Path | None) -> bytes:
    from pki_chain.founding.authority_terms import load_authority_certificate
    from pki_chain.ports import DelegationKind
    from pki_chain.x509.authority import parse_authority
    from pki_chain.x509.delegation import LONGEST_S
    from pki_chain.x509.delegation_issue import issue_delegation, load_authority_key, load_request

    key_file, certificate, request_file, kind_name = made_here
    kind = DelegationKind[f"{kind_name.upper()}_SIGNING"]
    return issue_delegation(
        load_authority_key(key_file, passphrase_file.read_bytes().strip() if passphrase_file else None),
        parse_authority(load_authority_certificate(certificate)),
        load_request(request_file),
        kind,
        not_before=int(time.time()),
        lifetime_days=days or LONGEST_S[kind] // 86_400,
    )


def _store(path: Path, der: bytes) -> None:
    from pki_chain.x509.self_signed import store_certificate

    store_certificate(path, der)


def _identify(which: str) -> CertificateId:
    """An id, or that of the certificate in a file. Raises `InputError`, `AuthorityRefusedError`."""
    from pki_chain.founding.authority_terms import load_authority_certificate
    from pki_chain.ports import CertificateId
    from pki_chain.x509.authority import parse_authority
    from pki_chain.x509.delegation import parse_delegation
    from pki_chain.x509.errors import AuthorityRefusedError

    if _ID.fullmatch(which.lower()):
        return CertificateId(bytes.fromhex(which[2:]))
    path = Path(which)
    if not path.is_file():
        raise InputError(f"{which!r} is neither an id (0x and 64 hexadecimal digits) nor a file")
    der = load_authority_certificate(path)
    try:
        return parse_authority(der).id
    except AuthorityRefusedError:
        return parse_delegation(der).id


def _orders(config: MemberConfig, key: str, gateways: tuple[str, ...]) -> Orders:
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.station.orders import Orders

    texts = TypedTexts(config.load_consortium())
    return Orders(texts, load_signer(config, key), gateway_client(config, gateways))


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
