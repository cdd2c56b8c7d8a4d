"""`tally trust`: make, sign, renew and show trust files, by which proofs are verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki_chain.cli.member import load_signer, member_command
from pki_chain.cli.output import command_group, json_option, print_result
from pki_chain.cli.verify import load_trust, store, trust_option
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError

if TYPE_CHECKING:
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.config import ConsortiumFile
    from pki_chain.proof.sealer_set import SealerState, Sealing
    from pki_chain.proof.trust import Trust, TrustTerms

_MODES = ("none", "header", "contract")


@command_group("trust", short_help="Make, sign, renew and show trust files for proofs.")
def trust() -> None:
    """Make, sign, renew and show trust files: by them alone `tally verify` believes a proof."""


@trust.command(short_help="Write an unsigned trust file for the ledger's head.")
@trust_option
@click.option("--threshold", type=click.IntRange(1, 255), default=2, show_default=True, help="Members that must sign.")
@click.option("--mode", type=click.Choice(_MODES), default="none", show_default=True, help="Where the sealers stand.")
@click.option(
    "--epoch-length", type=click.IntRange(1), help="Header mode: blocks after which open votes are forgotten."
)
@click.option("--boundary-vote-counts", is_flag=True, help="Header mode: the vote of such a block counts (GoQuorum).")
@click.option("--sealer-contract", metavar="ADDRESS", help="Contract mode: the contract with the sealers' addresses.")
@click.option("--sealer-slot", type=click.IntRange(0), default=0, help="Contract mode: slot of its address[].")
@member_command
@json_option
def export(
    config: MemberConfig,
    trust_path: Path,
    threshold: int,
    mode: str,
    epoch_length: int | None,
    sealer_contract: str | None,
    sealer_slot: int,
    *,
    boundary_vote_counts: bool,
    as_json: bool,
) -> None:
    """Write an unsigned trust file: this member's contracts, the administrators of all members, the ledger's head.

    It is worth nothing until administrators signed it: `tally trust checkpoint`.
    """
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.proof.sealer_set import Sealing
    from pki_chain.proof.seals import SealerMode
    from pki_chain.proof.trust import Trust

    consortium = config.load_consortium()
    ledger = LedgerClient(consortium, config.ledger.timeout_s)
    sealing = Sealing(SealerMode(mode))
    if sealing.mode is SealerMode.HEADER:
        if epoch_length is None:
            raise InputError("header mode wants --epoch-length, as in the genesis file")
        sealing = Sealing(SealerMode.HEADER, epoch_length, boundary_vote_counts)
    if sealing.mode is SealerMode.CONTRACT:
        sealing = _contract(ledger, sealer_contract, sealer_slot)
    made = Trust(_terms(ledger, consortium, sealing, threshold), _checkpoint(ledger, sealing), ())
    store(trust_path, made.encoded())
    _print(
        made, f"{trust_path} written; let {threshold} members sign it with `tally trust checkpoint`", as_json=as_json
    )


@trust.command(short_help="Sign a trust file as administrator.")
@trust_option
@click.option("--key", default="administrator", show_default=True, help="Label or address of the administrator's key.")
@member_command
@json_option
def checkpoint(config: MemberConfig, trust_path: Path, key: str, *, as_json: bool) -> None:
    """Sign the checkpoint of a trust file, after comparing it with this member's own ledger node and consortium.json.

    Nothing is taken from the file that this member does not find itself.
    """
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.proof.trust import sealers_hash

    found = load_trust(trust_path)
    consortium = config.load_consortium()
    ledger = LedgerClient(consortium, config.ledger.timeout_s)
    if _terms(ledger, consortium, found.terms.sealing, found.terms.threshold) != found.terms:
        raise InputError(f"{trust_path} has other terms than this member finds: export a new one, or ask who made it")
    at = found.checkpoint
    if at != _state_at(ledger, found.terms.sealing, at.number):
        raise InputError(f"{trust_path}: block {at.number} or its sealers are others at this member's node")
    text = TypedTexts(consortium).trust_checkpoint(
        found.terms.hash(), at.number, at.block_hash, at.time, sealers_hash(at.sealers)
    )
    signed = found.with_signature(load_signer(config, key).sign(text))
    store(trust_path, signed.encoded())
    _print(signed, f"{trust_path} is signed by {len(signed.signatures)} of {signed.terms.threshold}", as_json=as_json)


@trust.command(short_help="Take a newer checkpoint, or follow the sealers to the head.")
@trust_option
@click.option(
    "--checkpoint",
    "newer_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A newer trust file, which must be signed by administrators that the old one names.",
)
@click.option(
    "--endpoint", "endpoints", multiple=True, metavar="URL", help="A ledger node to follow; need not be trusted."
)
@json_option
def update(trust_path: Path, newer_path: Path | None, endpoints: tuple[str, ...], *, as_json: bool) -> None:
    """Bring a trust file up to date: by a newer one that enough known administrators signed, or by following the
    sealers from block to block over any node."""
    from dataclasses import replace

    known = load_trust(trust_path)
    known.verify_signatures()
    if (newer_path is None) == (not endpoints):
        raise InputError("give either --checkpoint with a newer trust file, or --endpoint of a node to follow")
    if newer_path is not None:
        renewed = known.renewed(load_trust(newer_path))
    else:
        renewed = replace(known, followed=_follow(known, endpoints))
    store(trust_path, renewed.encoded())
    _print(renewed, f"{trust_path} is at block {renewed.state.number}", as_json=as_json)


@trust.command(short_help="Show a trust file and the digest to compare.")
@trust_option
@json_option
def show(trust_path: Path, *, as_json: bool) -> None:
    """Show a trust file: its digest, which is to be compared out of band the first time, and who signed."""
    found = load_trust(trust_path)
    _print(found, str(trust_path), as_json=as_json)
    found.verify_signatures()


def _follow(known: Trust, endpoints: tuple[str, ...]) -> SealerState:
    import time

    from pki_chain.chain.connection import Connection
    from pki_chain.chain.sealers import SealerFollower

    known.require_young(int(time.time()))
    connection = Connection(endpoints, chain_id=known.terms.chain_id)
    return SealerFollower(connection, known.terms.sealing).follow(known.state)[0]


def _terms(ledger: LedgerClient, consortium: ConsortiumFile, sealing: Sealing, threshold: int) -> TrustTerms:
    """As this member's node and consortium.json have them."""
    from types import MappingProxyType

    from pki_chain.chain.proofs import address_bytes
    from pki_chain.proof.directory_state import PINNED, Contracts
    from pki_chain.proof.trust import TrustTerms

    parameters = ledger.parameters()
    hashes = {name: consortium.code_hashes[name] for name in PINNED}
    return TrustTerms(
        chain_id=consortium.chain_id,
        salt=consortium.salt,
        contracts=Contracts(address_bytes(consortium.directory), MappingProxyType(hashes)),
        sealing=sealing,
        age_bound_s=parameters.age_bound_s,
        governance_window_s=parameters.governance_window_s,
        administrators=_administrators(ledger, consortium),
        threshold=threshold,
    )


def _administrators(ledger: LedgerClient, consortium: ConsortiumFile) -> tuple[tuple[int, bytes], ...]:
    """Active administrators of active members: (member, account), in order."""
    from pki_chain.chain.proofs import address_bytes
    from pki_chain.ports import AccountChanged, MemberChanged, MemberState, Role

    head = ledger.head().number
    accounts: dict[str, tuple[int, bool]] = {}
    members: dict[int, bool] = {}
    for first in range(consortium.founding_block, head + 1, _BLOCKS_A_REQUEST):
        for event in ledger.events(first, min(first + _BLOCKS_A_REQUEST - 1, head)):
            match event.content:
                case AccountChanged(account, member, Role.ADMINISTRATOR, active):
                    accounts[account] = member, active
                case MemberChanged(member, _, state, _):
                    members[member] = state is MemberState.ACTIVE
    found = [
        (member, address_bytes(account))  # type: ignore[arg-type]
        for account, (member, active) in accounts.items()
        if active and members.get(member)
    ]
    return tuple(sorted(found))


_BLOCKS_A_REQUEST = 5_000


def _checkpoint(ledger: LedgerClient, sealing: Sealing) -> SealerState:
    """The head; in header mode the last epoch boundary, where no vote is open."""
    from pki_chain.proof.seals import SealerMode

    number = ledger.head().number
    if sealing.mode is SealerMode.HEADER:
        number -= number % sealing.epoch_length
    return _state_at(ledger, sealing, number)


def _state_at(ledger: LedgerClient, sealing: Sealing, number: int) -> SealerState:
    """A block and the sealers after it, as this member's node has them."""
    from pki_chain.chain.sealers import SealerFollower, checkpoint_at
    from pki_chain.proof.sealer_set import SealerState
    from pki_chain.proof.seals import SealerMode

    block = ledger.block(number)
    sealers: tuple[bytes, ...] = ()
    if sealing.mode is SealerMode.CONTRACT:
        sealers = SealerFollower(ledger.connection, sealing).sealers_at(number)
    elif sealing.mode is SealerMode.HEADER:
        sealers = checkpoint_at(ledger.connection, sealing, number)
    return SealerState(number, block.hash, block.time, sealers)


def _contract(ledger: LedgerClient, address: str | None, slot: int) -> Sealing:
    from eth_utils.address import is_address, to_checksum_address

    from pki_chain.chain.proofs import address_bytes
    from pki_chain.ports import Address
    from pki_chain.proof.sealer_set import Sealing
    from pki_chain.proof.seals import SealerMode

    if address is None or not is_address(address):
        raise InputError("contract mode wants --sealer-contract with an address")
    contract = Address(to_checksum_address(address))
    return Sealing(
        SealerMode.CONTRACT, contract=address_bytes(contract), code_hash=ledger.code_hash(contract), slot=slot
    )


def _print(found: Trust, text: str, *, as_json: bool) -> None:
    members = sorted(found.signing_members(found.terms))
    content: dict[str, Any] = {
        "digest": "0x" + found.digest().hex(),
        "chain_id": found.terms.chain_id,
        "mode": found.terms.sealing.mode.value,
        "checkpoint": found.checkpoint.number,
        "block": found.state.number,
        "sealers": len(found.state.sealers),
        "signed_by": members,
        "threshold": found.terms.threshold,
    }
    lines = "\n".join(f"  {name:<11} {value}" for name, value in content.items())
    print_result(content, f"{text}\n{lines}", as_json=as_json)
