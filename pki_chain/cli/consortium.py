"""`tally consortium`: founding, members, proposals and votes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki_chain.cli.account import account
from pki_chain.cli.founding import found, plan, prepare, sign
from pki_chain.cli.member import gateway_client, gateway_option, load_signer, member_command
from pki_chain.cli.output import command_group, json_option, print_result
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, LedgerUnavailableError, NotFoundError

if TYPE_CHECKING:
    from pki_chain.ports import ProposalMade
    from pki_chain.station.orders import Orders

_KINDS = (
    "admit",
    "suspend",
    "restore",
    "remove",
    "block-key",
    "set-profile",
    "set-electorate",
    "set-parameters",
    "add-name-space",
    "remove-name-space",
    "set-directory",
    "hold-certificate",
    "release-certificate",
    "trust-root",
    "withdraw-authority",
)

key_option = click.option(
    "--key", default="administrator", show_default=True, help="Label or address of the administrator's key."
)


@command_group("consortium", short_help="Founding, members, proposals and votes.")
def consortium() -> None:
    """Who is in the consortium, and what it decides: more than two thirds of all members."""


for command in (prepare, plan, sign, found, account):
    consortium.add_command(command)


@consortium.command(short_help="Found a consortium on one machine, for a trial.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--rpc", "endpoints", multiple=True, required=True, metavar="URL", help="Ledger; may be repeated.")
@click.option("--founders", "founders_file", type=click.Path(dir_okay=False, path_type=Path), help="TOML: see below.")
@click.option("--quorum", default=2, show_default=True, type=click.IntRange(2, 255), help="k of the electorate.")
@click.option("--port", "ports", multiple=True, metavar="LABEL=PORT", help="Port of a member's gateway.")
@click.option("--delay", "delay_s", default=172_800, show_default=True, help="Delay on quorum and Directory, seconds.")
@json_option
def init(
    directory: Path,
    endpoints: tuple[str, ...],
    founders_file: Path | None,
    quorum: int,
    ports: tuple[str, ...],
    delay_s: int,
    *,
    as_json: bool,
) -> None:
    """Found a consortium on a running ledger.

    Makes DIRECTORY/<label>/ for each founder, with tally.toml, rules.toml, keystore/ and data/, and the public
    DIRECTORY/consortium.json. Without --founders: an operator, a vendor, an OEM and a certificate authority.

    \b
    [[founder]]
    label = "operator"
    kind = "operator"        # operator, vendor, oem, certificate-authority, service, regulator
    name = "Nordlicht Mobil"
    spaces = ["dns:nordlicht.example", "urn:urn:dev:nordlicht:", "oui:02a0f1"]
    relayer = true           # runs a gateway
    station = false          # has a production line
    """
    from pki_chain.chain.founding import Parameters
    from pki_chain.founding.consortium import found_consortium
    from pki_chain.founding.founders import DEMO_FOUNDERS, load_founders
    from pki_chain.founding.member_directory import Services

    founders = load_founders(founders_file) if founders_file else DEMO_FOUNDERS
    numbers = {founder.label: 8080 + number for number, founder in enumerate(founders) if founder.has_relayer}
    for given in ports:
        label, _, port = given.partition("=")
        if label not in numbers or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise InputError(f"--port {given!r} is not LABEL=PORT with one of {', '.join(numbers)}")
        numbers[label] = int(port)
    gateways = tuple(f"http://127.0.0.1:{port}" for port in numbers.values())

    def near(label: str) -> tuple[str, ...]:
        own = f"http://127.0.0.1:{numbers[label]}" if label in numbers else ""
        return tuple(sorted(gateways, key=lambda each: each != own))

    founded = found_consortium(
        directory,
        founders,
        endpoints,
        quorum=quorum,
        parameters=Parameters(delay_s=delay_s),
        services={
            founder.label: Services(gateway_port=numbers.get(founder.label, 0), gateways=near(founder.label))
            for founder in founders
        },
        report=(lambda _: None) if as_json else (lambda text: click.echo(text, err=True)),
    )
    file = founded.consortium
    result = {
        "consortium_file": str(founded.consortium_path),
        "chain_id": file.chain_id,
        "consortium": file.consortium,
        "certificate_registry": file.certificate_registry,
        "identity_registry": file.identity_registry,
        "trust_list": file.trust_list,
        "members": [
            {
                "id": number,
                "label": member.founder.label,
                "name": member.founder.name,
                "kind": member.founder.kind.name.lower().replace("_", "-"),
                "directory": str(member.path),
                "accounts": dict(member.accounts),
            }
            for number, member in enumerate(founded.members, 1)
        ],
    }
    lines = [f"consortium {file.consortium} on chain {file.chain_id}, k = {quorum} of {len(founders)} members:"]
    lines += [
        f"  {number} {member.founder.name} ({member.founder.label}): {member.path}"
        for number, member in enumerate(founded.members, 1)
    ]
    lines.append(f"public file: {founded.consortium_path}")
    print_result(result, "\n".join(lines), as_json=as_json)


@consortium.command()
@member_command
@json_option
def members(config: MemberConfig, *, as_json: bool) -> None:
    """List the members as the ledger has them."""
    from pki_chain.chain.ledger import LedgerClient

    ledger = LedgerClient(config.load_consortium(), config.ledger.timeout_s)
    found = []
    for number in range(1, ledger.member_count() + 1):
        member = ledger.member(number)
        if member is not None:
            kind = member.kind.name.lower().replace("_", "-")
            found.append({"id": number, "name": member.name, "kind": kind, "state": member.state.name.lower()})
    electorate = ledger.electorate(ledger.current_electorate())
    result = {"members": found, "electorate": list(electorate.members), "quorum": electorate.quorum}
    lines = [f"{each['id']:>3}  {each['state']:<10} {each['kind']:<22} {each['name']}" for each in found]
    lines.append(f"electorate: {', '.join(map(str, electorate.members))}; k = {electorate.quorum}")
    print_result(result, "\n".join(lines), as_json=as_json)


@consortium.command(short_help="Propose a change, and vote for it.")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("arguments", nargs=-1)
@key_option
@gateway_option
@member_command
@json_option
def propose(
    config: MemberConfig, kind: str, arguments: tuple[str, ...], key: str, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Propose KIND with its ARGUMENTS; the proposer's vote for it is included.

    \b
    admit FILE.json                     suspend|restore|remove MEMBER
    block-key SPKI-SHA256 REASON        set-electorate MEMBER,MEMBER,... QUORUM
    set-profile NUMBER FILE.json        set-parameters FILE.json
    add-name-space MEMBER SPACE         remove-name-space MEMBER SPACE
    set-directory NAME ADDRESS HASH     hold-certificate ID REASON
    release-certificate ID              trust-root MEMBER FILE SCOPE,... UNTIL
    withdraw-authority ID REASON
    """
    from pki_chain.chain.typed_data import content_hash
    from pki_chain.founding.proposal import ProposalKind, encode_content
    from pki_chain.ports import ProposalMade

    number = ProposalKind[kind.upper().replace("-", "_")]
    content = encode_content(number, arguments)
    hashed = content_hash(number, content)
    outcome = _orders(config, key, gateways).propose(number, content)
    proposal = next(
        event.content.proposal
        for event in _logged(config, ProposalMade)
        if event.transaction_hash == outcome.transaction
    )
    result = {"proposal": proposal, "kind": kind, "content_hash": "0x" + hashed.hex()}
    print_result(
        result, f"proposal {proposal} ({kind}), content {hashed.hex()}: others vote, then execute", as_json=as_json
    )


@consortium.command()
@click.argument("proposal", type=click.IntRange(1, 2**63 - 1))
@click.option("--against", is_flag=True, help="Vote against it. [default: for it]")
@click.option(
    "--content-hash", help="Vote only if this is the hash of its kind and content, as told by a way of your own."
)
@key_option
@gateway_option
@member_command
@json_option
def vote(
    config: MemberConfig,
    proposal: int,
    content_hash: str | None,
    key: str,
    gateways: tuple[str, ...],
    *,
    against: bool,
    as_json: bool,
) -> None:
    """Vote on PROPOSAL."""
    made = _proposal(config, proposal)
    if content_hash is not None and content_hash.removeprefix("0x") != made.content_hash.hex():
        raise InputError(f"kind and content of proposal {proposal} have hash {made.content_hash.hex()}: do not vote")
    _orders(config, key, gateways).vote(proposal, made.content_hash, support=not against)
    said = "against" if against else "for"
    print_result({"proposal": proposal, "support": not against}, f"voted {said} proposal {proposal}", as_json=as_json)


@consortium.command(short_help="Carry out an adopted proposal.")
@click.argument("proposal", type=click.IntRange(1, 2**63 - 1))
@gateway_option
@member_command
@json_option
def execute(config: MemberConfig, proposal: int, gateways: tuple[str, ...], *, as_json: bool) -> None:
    """Carry out PROPOSAL once enough members voted for it, and after its delay where it has one."""
    made = _proposal(config, proposal)
    _orders(config, "administrator", gateways).execute(proposal, made.content)
    print_result({"proposal": proposal, "executed": True}, f"proposal {proposal} is carried out", as_json=as_json)


@consortium.command()
@click.argument("proposal", type=click.IntRange(1, 2**63 - 1))
@member_command
@json_option
def show(config: MemberConfig, proposal: int, *, as_json: bool) -> None:
    """Show PROPOSAL with its votes."""
    from pki_chain.founding.proposal import ProposalKind
    from pki_chain.ports import ProposalAdopted, ProposalExecuted, VoteCast

    made = _proposal(config, proposal)
    votes = {each.member: each.support for each in _events(config, VoteCast) if each.proposal == proposal}
    adopted = [each for each in _events(config, ProposalAdopted) if each.proposal == proposal]
    executed = any(each.proposal == proposal for each in _events(config, ProposalExecuted))
    state = "executed" if executed else "adopted" if adopted else "open"
    result = {
        "proposal": proposal,
        "kind": ProposalKind(made.kind).label,
        "by": made.member,
        "content": "0x" + made.content.hex(),
        "content_hash": "0x" + made.content_hash.hex(),
        "expires_at": adopted[-1].expires_at if adopted else made.expires_at,
        "state": state,
        "executable_at": adopted[-1].executable_at if adopted else None,
        "votes": {str(member): support for member, support in sorted(votes.items())},
    }
    lines = [
        f"proposal {proposal}: {result['kind']} by member {made.member}: {state}",
        f"  content 0x{made.content.hex()}",
    ]
    lines += [f"  member {member}: {'for' if support else 'against'}" for member, support in sorted(votes.items())]
    print_result(result, "\n".join(lines), as_json=as_json)


def _orders(config: MemberConfig, key: str, gateways: tuple[str, ...]) -> Orders:
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.station.orders import Orders

    texts = TypedTexts(config.load_consortium())
    return Orders(texts, load_signer(config, key), gateway_client(config, gateways))


def _logged(config: MemberConfig, kind: type[Any]) -> list[Any]:
    """Logged events of one kind, of the whole ledger: governance is rare, so that this stays small."""
    from pki_chain.chain.ledger import LedgerClient

    consortium_file = config.load_consortium()
    ledger = LedgerClient(consortium_file, config.ledger.timeout_s)
    found = ledger.events(consortium_file.founding_block, ledger.head().number)
    return [event for event in found if isinstance(event.content, kind)]


def _events(config: MemberConfig, kind: type[Any]) -> list[Any]:
    return [event.content for event in _logged(config, kind)]


def _proposal(config: MemberConfig, number: int) -> ProposalMade:
    """The proposal, with the kind and content that its hash is of. Raises `NotFoundError`, `LedgerUnavailableError`."""
    from pki_chain.chain.typed_data import content_hash
    from pki_chain.ports import ProposalMade

    for made in _events(config, ProposalMade):
        if made.proposal == number:
            # A vote is for this hash: what an endpoint shows beside it has to be what it is a hash of.
            if content_hash(made.kind, made.content) != made.content_hash:
                raise LedgerUnavailableError(
                    f"the endpoint's content of proposal {number} does not have its hash: use another endpoint"
                )
            return made  # type: ignore[no-any-return]
    raise NotFoundError(f"the ledger has no proposal {number}: correct the number")
