"""`tally identity`: an operator's identities of people, from ids for cards to the ledger."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from pki_chain.cli.identity_acts import hold, release, revoke, show
from pki_chain.cli.identity_replace import replace
from pki_chain.cli.identity_veto import veto, veto_text
from pki_chain.cli.lot import parse_duration
from pki_chain.cli.member import gateway_client, gateway_option, member_command
from pki_chain.cli.operator import addressee, identity_orders, open_register, read_identity, time_text
from pki_chain.cli.output import command_group, json_option, print_result, progress_bar
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, RefusedError, StaleError

if TYPE_CHECKING:
    from pki_chain.identity.enrolment import Enrolment
    from pki_chain.identity.register import IdentityRegister, PreparedState

_SHOWN = 20
_COMMAND = {"registered": "register", "active": "activate"}

batch_file_option = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("batch.json"), show_default=True
)
wait_option = click.option(
    "--wait", "timeout_s", default=600.0, show_default=True, type=click.FloatRange(1, 604_800), help="Seconds."
)


@command_group("identity", short_help="People's identities: prepare, register, hold, replace.")
def identity() -> None:
    """An operator's identities of people. Who a person is stands in the operator's subscriber base alone."""


@identity.command(short_help="Make ids, and the batch file for the personaliser.")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 10_000), help="Cards.")
@click.option("--register-in", default="30d", show_default=True, help="Time to register, such as 12h, 30d.")
@click.option("--activate-in", default="365d", show_default=True, help="Time in which people may activate.")
@click.option("--replace", "replaced", metavar="IDENTITY", help="One new card, for this identity of this operator.")
@batch_file_option
@member_command
@json_option
def prepare(
    config: MemberConfig,
    count: int,
    register_in: str,
    activate_in: str,
    replaced: str | None,
    out: Path,
    *,
    as_json: bool,
) -> None:
    """Make random ids, keep them on record, and write the batch file for `tally sim personalise`.

    It says nothing of any person: which of them gets which card is for the subscriber base.
    """
    from pki_chain.identity.batch_file import BatchPlan, batch_content, create_identities, store_batch
    from pki_chain.ports import PossessionPurpose

    now = int(time.time())
    plan = BatchPlan(
        operator=config.member.id,
        operator_name=config.member.name,
        purpose=PossessionPurpose.REGISTER if replaced is None else PossessionPurpose.REPLACE,
        register_by=now + parse_duration(register_in),
        activate_by=now + parse_duration(activate_in),
    )
    if replaced is not None and count != 1:
        raise InputError("--replace is for one card: leave out --count")
    identities = create_identities(count) if replaced is None else (read_identity(replaced),)
    if out.exists():
        raise InputError(f"{out} exists already: choose another name with --out")
    content = batch_content(config.load_consortium(), plan, identities)
    with open_register(config) as register:
        register.prepare(identities, out.name, plan.purpose, register_by=plan.register_by, activate_by=plan.activate_by)
    store_batch(out, content)
    result = {"batch_file": str(out), "identities": content["identities"], "register_by": plan.register_by}
    result["activate_by"] = plan.activate_by
    times = f"register by {time_text(plan.register_by)}, activate by {time_text(plan.activate_by)}"
    text = f"{out}: {len(identities)} ids; {times}"
    print_result(result, text, as_json=as_json)


@identity.command(short_help="Register personalised cards, and wait for each.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[FILE]...")
@click.option("--allow-emulators", is_flag=True, help="Take emulated cards too; they protect no key.")
@click.option("--personaliser-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM, public.")
@wait_option
@gateway_option
@member_command
@json_option
def register(
    config: MemberConfig,
    files: tuple[Path, ...],
    personaliser_key: Path | None,
    timeout_s: float,
    gateways: tuple[str, ...],
    *,
    allow_emulators: bool,
    as_json: bool,
) -> None:
    """Register cards from the personaliser's registrations.jsonl; the ledger checks each card's proof again.

    A card that is said to be attested is taken where --personaliser-key verifies its line in attestations.jsonl, which
    lies beside FILE. What was taken in is on disk: after an interruption run the same command again, also without
    FILE. Exit code 0: all are registered; 77: some are not; 75: some are on their way.
    """
    from pki_chain.identity.attestation import Attestations
    from pki_chain.identity.card_files import load_registrations

    with enrolment(config, gateways) as (record, work):
        refusals: dict[bytes, str] = {}
        for file in files:
            attested = Attestations.load(file, personaliser_key, config.load_consortium(), config.member.id)
            for line in load_registrations(file, addressee(config)):
                refusal = attested.refusal(line)
                if line.key.emulator and not allow_emulators:
                    refusal = "an emulator protects no key: give --allow-emulators where that is meant"
                refusals[line.identity] = refusal or work.take_registration(line)
        _finish(record, work, refusals, timeout_s, done="registered", as_json=as_json)


@identity.command(short_help="Activate identities with the proofs of people's cards.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[FILE]...")
@wait_option
@gateway_option
@member_command
@json_option
def activate(
    config: MemberConfig, files: tuple[Path, ...], timeout_s: float, gateways: tuple[str, ...], *, as_json: bool
) -> None:
    """Put on the ledger that people have taken over their cards: each file is one of `tally sim activate`.

    As with `register`, run it again without FILE after an interruption. Exit codes likewise.
    """
    from pki_chain.identity.card_files import load_activations

    with enrolment(config, gateways) as (record, work):
        refusals = {}
        for file in files:
            for line in load_activations(file, addressee(config)):
                refusals[line.identity] = work.take_activation(line)
        _finish(record, work, refusals, timeout_s, done="active", as_json=as_json)


@contextmanager
def enrolment(config: MemberConfig, gateways: tuple[str, ...]) -> Iterator[tuple[IdentityRegister, Enrolment]]:
    """The operator's record, and what works on it with the registrar's key."""
    from pki_chain.chain.ledger import LedgerClient
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.identity.enrolment import Enrolment

    consortium = config.load_consortium()
    client = gateway_client(config, gateways)
    with open_register(config) as record:
        yield (
            record,
            Enrolment(
                record,
                config.member.id,
                texts=TypedTexts(consortium),
                orders=identity_orders(config, config.identity.account, client),
                gateways=client,
                ledger=LedgerClient(consortium, config.ledger.timeout_s),
            ),
        )


def _finish(
    record: IdentityRegister,
    work: Enrolment,
    refusals: Mapping[bytes, str],
    timeout_s: float,
    *,
    done: str,
    as_json: bool,
) -> None:
    """Bring everything to the ledger, and tell what became of what this call is about: `refusals` has an entry for each
    line that was read, empty where it was taken in."""
    about = record.on_their_way() | refusals.keys()
    finished = _run(work, sum(record.counts().values()), timeout_s, quiet=as_json)
    counts = {state.value: count for state, count in sorted(record.counts().items())}
    refused = {"0x" + each.hex(): text for each, text in refusals.items() if text}
    refused |= {"0x" + each.identity.hex(): each.explanation for each in record.explained() if each.identity in about}
    lines = [", ".join(f"{count} {state}" for state, count in counts.items()) or "nothing on record"]
    lines += [f"  {each}: {text}" for each, text in list(refused.items())[:_SHOWN]]
    if len(refused) > _SHOWN:
        lines.append(f"  and {len(refused) - _SHOWN} more: --json lists them all")
    print_result({"counts": counts, "refused": refused}, "\n".join(lines), as_json=as_json)
    if not finished:
        raise StaleError(f"some identities are on their way yet: run `tally identity {_COMMAND[done]}` again")
    if refused:
        raise RefusedError(f"{len(refused)} identities are not {done}: see the reasons above")


def _run(work: Enrolment, total: int, timeout_s: float, *, quiet: bool) -> bool:
    from pki_chain.identity.register import MOVING

    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with progress_bar("identities at rest", total, quiet=quiet) as progress:

            def report(counts: Mapping[PreparedState, int]) -> None:
                progress(sum(count for state, count in counts.items() if state not in MOVING))

            return work.run(stop, timeout_s=timeout_s, report=report)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


for command in (veto_text, veto):
    replace.add_command(command)
for command in (show, hold, release, revoke, replace):
    identity.add_command(command)
