"""`tally consortium prepare|plan|sign|found`: founding by members at several places; no key leaves its machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pki_chain.cli.output import json_option, print_result
from pki_chain.errors import InputError, StorageError

if TYPE_CHECKING:
    from pki_chain.chain.deployment import Deployment
    from pki_chain.chain.founding import MemberPlan

_KINDS = ("operator", "vendor", "oem", "certificate-authority", "service", "regulator")

endpoints_option = click.option(
    "--rpc", "endpoints", multiple=True, required=True, metavar="URL", help="This member's own ledger; may be repeated."
)
founding_argument = click.argument("founding", type=click.Path(dir_okay=False, path_type=Path), metavar="FOUNDING.json")


@click.command(short_help="Make a founder's directory, keys and public file.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--kind", required=True, type=click.Choice(_KINDS))
@click.option("--name", required=True, help="Registered name: the O of its devices' subjects.")
@click.option("--space", "spaces", multiple=True, help="Such as dns:cells.acme.example, oui:02a0f2; may be repeated.")
@click.option("--station", "has_station", is_flag=True, help="It has a production line.")
@click.option("--port", type=click.IntRange(0, 65_535), help="It runs a gateway on this port of the loopback.")
@click.option("--gateway", "gateways", multiple=True, metavar="URL", help="Gateways it uses. [default: its own]")
@json_option
def prepare(
    directory: Path,
    kind: str,
    name: str,
    spaces: tuple[str, ...],
    port: int | None,
    gateways: tuple[str, ...],
    *,
    has_station: bool,
    as_json: bool,
) -> None:
    """Make DIRECTORY for a member to be: keystore/, tally.toml, rules.toml, and the public founder.json.

    Give founder.json to whoever makes the plan, or, where the consortium stands already, to the member that proposes
    to admit it (`tally consortium propose admit founder.json`). Everything else stays in DIRECTORY.
    """
    from pki_chain.founding.ceremony import prepare_member
    from pki_chain.founding.founders import KINDS, Founder, parse_space
    from pki_chain.founding.member_directory import FOUNDER_FILE, Services

    if not 1 <= len(name.encode()) <= 64:
        raise InputError("--name must have 1 to 64 octets in UTF-8")
    founder = Founder(
        label=directory.name,
        kind=KINDS[kind],
        name=name,
        spaces=tuple(parse_space(each) for each in spaces),
        has_station=has_station,
        has_relayer=port is not None,
    )
    own = () if port is None else (f"http://127.0.0.1:{port}",)
    member = prepare_member(directory, founder, Services(gateway_port=port or 0, gateways=gateways or own))
    public = directory / FOUNDER_FILE
    result = {"directory": str(directory), "founder_file": str(public), "accounts": dict(member.accounts)}
    lines = [f"{name}: {directory}", *(f"  {label:<14} {account}" for label, account in member.accounts.items())]
    print_result(result, "\n".join([*lines, f"public file, to give away: {public}"]), as_json=as_json)


@click.command(short_help="Make the plan of all founders, and deploy.")
@click.argument("founders", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE...")
@click.option("--rpc", "endpoints", multiple=True, required=True, metavar="URL", help="Ledger; may be repeated.")
@click.option("--quorum", default=2, show_default=True, type=click.IntRange(2, 255), help="k of the electorate.")
@click.option("--electorate", help="Numbers of the members whose validators decide, as 1,2,4. [default: all]")
@click.option("--delay", "delay_s", default=172_800, show_default=True, help="Delay on quorum and Directory, seconds.")
@click.option(
    "--replacement-delay",
    "replacement_delay_s",
    default=86_400,
    show_default=True,
    type=click.IntRange(3_600, 30 * 86_400),
    help="Until a lost card's key is replaced, seconds; for good.",
)
@click.option("--parameters", "parameters_file", type=click.Path(dir_okay=False, path_type=Path), help="JSON, all.")
@click.option(
    "--profile", "profiles", nargs=2, multiple=True, metavar="NUMBER FILE", help="In place of a built-in one."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("founding.json"), show_default=True
)
@json_option
def plan(
    founders: tuple[Path, ...],
    endpoints: tuple[str, ...],
    quorum: int,
    electorate: str | None,
    delay_s: int,
    replacement_delay_s: int,
    parameters_file: Path | None,
    profiles: tuple[tuple[str, str], ...],
    out: Path,
    *,
    as_json: bool,
) -> None:
    """Plan the consortium of these founders (their founder.json, in the order of their numbers).

    Deploys the contracts, which give nobody a right until every founder has signed, and writes founding.json: give it
    to every founder. Anyone may do this; nobody has to be trusted for it.
    """
    from pki_chain.chain.connection import Connection
    from pki_chain.chain.founding import Parameters
    from pki_chain.founding.ceremony import deploy_founding, plan_founding
    from pki_chain.founding.founding_file import read_parameters, store_founding
    from pki_chain.founding.member_file import load_json, load_member_plan
    from pki_chain.founding.proposal import load_profile_plan

    if out.exists():
        raise StorageError(f"{out} exists already: move it away, or choose another name with --out")
    parameters = Parameters(delay_s=delay_s)
    if parameters_file is not None:
        parameters = read_parameters(str(parameters_file), load_json(parameters_file))
    try:
        chosen = tuple(int(each) for each in electorate.split(",")) if electorate else ()
    except ValueError as error:
        raise InputError(f"--electorate {electorate!r} is not numbers with commas, such as 1,2,4") from error
    made = plan_founding(
        [load_member_plan(path) for path in founders],
        quorum=quorum,
        parameters=parameters,
        electorate=chosen,
        profiles=[load_profile_plan(number, file) for number, file in profiles],
        replacement_delay_s=replacement_delay_s,
    )
    deployment = deploy_founding(Connection(endpoints), made)
    store_founding(out, deployment)
    hashed = "0x" + deployment.file.founding_hash.hex()
    result = {"founding_file": str(out), "founding_hash": hashed, "consortium": deployment.file.consortium}
    text = f"{out}: founding hash {hashed}\ngive it to all founders; each runs `tally consortium sign`"
    print_result(result, text, as_json=as_json)


@click.command(short_help="Verify the plan on the ledger, and sign it.")
@founding_argument
@endpoints_option
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The member's, as prepared. [default: this one]",
)
@click.option("--founding-hash", help="Sign only if this is the hash, as told by a way of your own.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="[default: signature.json in the directory]"
)
@json_option
def sign(
    founding: Path,
    endpoints: tuple[str, ...],
    directory: Path,
    founding_hash: str | None,
    out: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what FOUNDING.json founds, verify it on this member's own ledger, and sign it.

    Refused when the plan says anything else of this member than its founder.json, and when a contract's code is not
    what this package makes. Writes the signature, which is public, and consortium.json and the member's number into
    the directory. Compare the founding hash with the other founders, by telephone for example.
    """
    from pki_chain.chain.connection import Connection
    from pki_chain.chain.signer import Keystore
    from pki_chain.founding.ceremony import find_founder, sign_founding, signature_content
    from pki_chain.founding.founding_file import load_founding
    from pki_chain.founding.member_file import store_json

    deployment = load_founding(founding, endpoints)
    hashed = "0x" + deployment.file.founding_hash.hex()
    number = find_founder(directory, deployment)
    written = out or directory / "signature.json"
    if written.exists():
        raise StorageError(f"{written} exists already: move it away, or choose another name with --out")
    if founding_hash is not None and founding_hash.lower().removeprefix("0x") != hashed[2:]:
        raise InputError(f"the founding hash is {hashed}, not {founding_hash}: do not sign, ask who made the plan")
    click.echo("\n".join(_describe(deployment, number)), err=True)
    if not yes and not click.confirm("Sign this?", err=True):
        raise click.Abort
    keystore = Keystore.open(directory / "keystore", directory / "keystore" / "passphrase")
    signature = sign_founding(directory, keystore, deployment, Connection(endpoints))
    founder = deployment.founding.plan.founders[number - 1]
    store_json(written, signature_content(deployment, founder, signature))
    result = {"signature_file": str(written), "founding_hash": hashed, "founder": founder, "member": number}
    print_result(result, f"signed as member {number}; to give away: {written}", as_json=as_json)


@click.command(short_help="Found, with every founder's signature.")
@founding_argument
@click.argument("signatures", nargs=-1, type=click.Path(dir_okay=False, path_type=Path), metavar="SIGNATURE.json...")
@endpoints_option
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("consortium.json"), show_default=True
)
@json_option
def found(
    founding: Path, signatures: tuple[Path, ...], endpoints: tuple[str, ...], out: Path, *, as_json: bool
) -> None:
    """Found the consortium of FOUNDING.json with a signature of every founder, in any order; anyone may.

    Writes the public consortium.json; founders have theirs already.
    """
    from pki_chain.chain.connection import Connection
    from pki_chain.founding.ceremony import complete_founding, load_signatures, store_consortium
    from pki_chain.founding.founding_file import load_founding

    deployment = load_founding(founding, endpoints)
    file = complete_founding(Connection(endpoints), deployment, load_signatures(signatures, deployment))
    store_consortium(out, file)
    result = {"consortium_file": str(out), "consortium": file.consortium, "chain_id": file.chain_id}
    print_result(result, f"consortium {file.consortium} is founded on chain {file.chain_id}: {out}", as_json=as_json)


def _describe(deployment: Deployment, own: int) -> Iterator[str]:
    """The whole plan, for the person who signs it."""
    from pki_chain.founding.founders import format_space
    from pki_chain.x509.profile import BUILT_IN_PROFILES

    plan, file = deployment.founding.plan, deployment.file
    yield f"consortium {file.consortium} on chain {file.chain_id}, salt 0x{file.salt.hex()}"
    yield f"  Directory {file.directory}, CertificateRegistry {file.certificate_registry}"
    yield f"  TrustList {file.trust_list}"
    yield f"  IdentityRegistry {file.identity_registry}; a lost card is replaced after {plan.replacement_delay_s} s"
    for number, member in enumerate(plan.members, 1):
        yield f"member {number}: {member.name}, {member.kind.name.lower()}" + (
            " (this member)" if number == own else ""
        )
        yield f"  name spaces: {', '.join(map(format_space, member.spaces)) or 'none'}"
        yield from (f"  {line}" for line in _accounts(member))
    built_in = {each.profile_id: each.content() for each in BUILT_IN_PROFILES}
    for profile in plan.profiles:
        same = dict(profile.content) == built_in.get(profile.id)
        told = "as in this package" if same else ", ".join(f"{key} {value}" for key, value in profile.content.items())
        yield f"profile {profile.id} {profile.content['name']}: {told}"
    yield f"electorate: {', '.join(map(str, plan.electorate))}; k = {plan.quorum}"
    parameters = plan.parameters
    yield (
        f"age bound {parameters.age_bound_s} s, cut-off {parameters.cut_off_s} s, emergency hold "
        f"{parameters.emergency_hold_h} h, delay {parameters.delay_s} s, window of votes "
        f"{parameters.governance_window_s} s"
    )
    yield f"founding hash: 0x{file.founding_hash.hex()}"


def _accounts(member: MemberPlan) -> Iterator[str]:
    for role in ("administrators", "duty_accounts", "endorsers", "stations"):
        if accounts := getattr(member, role):
            yield f"{role.replace('_', ' ')}: {', '.join(accounts)}"
