"""`tally sim personalise|activate`: cards get their keys, and persons take them over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from sim_applet_tools.cli.access_rule import rule_for
from sim_applet_tools.cli.card_choice import TRACE_KEY, CardChoice, card_options, seen_nonces
from sim_applet_tools.cli.output import json_option, print_result, read_secret, secret_option, write_file
from sim_applet_tools.cli.pin import read_new_pin
from sim_applet_tools.errors import InputError, ReaderError
from sim_applet_tools.iot_safe.commands import ObjectName
from sim_applet_tools.iot_safe.pin import ApprovalCard
from sim_applet_tools.personalise.activation import ACTIVATIONS_FORMAT, activate_card
from sim_applet_tools.personalise.attestation import Attester, load_attester
from sim_applet_tools.personalise.batch import Batch, load_batch
from sim_applet_tools.personalise.card_stack import card_files, cards_in_readers, make_card_files
from sim_applet_tools.personalise.card_steps import CardReport, Outcome
from sim_applet_tools.personalise.workplace import Workplace, folder_of, personalise
from sim_applet_tools.profiles import load_profile, parse_application_id, profile_names
from sim_applet_tools.transport.base import Transport
from sim_applet_tools.transport.trace import TraceTransport

UNFINISHED = 1
GOOD = frozenset({Outcome.FINISHED, Outcome.KNOWN})


@click.command(name="personalise")
@click.argument("batch_file", metavar="BATCH", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--reader", default="*", envvar="TALLY_SIM_READER", show_default=True, help="Readers, by name or pattern."
)
@click.option(
    "--wait", "wait_s", default=0.0, envvar="TALLY_SIM_WAIT", metavar="SECONDS", help="Wait this long for each card."
)
@click.option("--card-dir", type=click.Path(path_type=Path, file_okay=False), help="Emulated cards of this folder.")
@click.option("--new-cards", type=click.IntRange(1, 10_000), help="Make so many in --card-dir first.")
@click.option("--passphrase-file", metavar="FILE", envvar="TALLY_SIM_PASSPHRASE_FILE", help="For --card-dir.")
@click.option("--device-key", "with_device_key", is_flag=True, help="Make a device key too, for TLS and a CSR.")
@click.option("--attester-key", type=click.Path(path_type=Path), help="The personaliser's key, PKCS#8 PEM, encrypted.")
@click.option("--attester-passphrase-file", metavar="FILE", help="For --attester-key.")
@click.option(
    "--app-certificate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The agent's phone app: let it reach the applet (ARA-M).",
)
@click.option("--profile", help=f"How the cards' stack speaks: {', '.join(profile_names())}.")
@click.option("--aid", "aids", multiple=True, help="AID to try, in hexadecimal; may be given more than once.")
@click.option("--container", default="01", show_default=True, help="Key container, where a card has not our applet.")
@click.option("--set-aside", "lost", multiple=True, metavar="ICCID", help="Give up a half-done card; its id is spent.")
@json_option
@click.pass_context
def personalise_command(
    ctx: click.Context,
    batch_file: Path,
    reader: str,
    wait_s: float,
    card_dir: Path | None,
    new_cards: int | None,
    passphrase_file: str | None,
    with_device_key: bool,
    attester_key: Path | None,
    attester_passphrase_file: str | None,
    app_certificate: Path | None,
    profile: str | None,
    aids: tuple[str, ...],
    container: str,
    lost: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make keys, proofs and PINs on a stack of new cards.

    Each card gets one identity of BATCH (from tally identity prepare). Everything goes to the folder BATCH.cards beside
    BATCH: registrations.jsonl for the operator, pin-letters.jsonl for print, cards.jsonl (who has which ICCID) for the
    subscriber base. Run it again after anything went wrong: a card that was pulled is taken up where it was.
    """
    if new_cards and card_dir is None:
        raise InputError("--new-cards makes emulated cards: say where with --card-dir")
    batch = load_batch(batch_file)
    attester = _attester(attester_key, attester_passphrase_file)
    names = (profile,) if profile else profile_names()
    application_ids = tuple(parse_application_id(aid) for aid in aids)
    rule = None if app_certificate is None else rule_for(app_certificate, profile, application_ids)
    with ExitStack() as stack:
        work = stack.enter_context(Workplace(folder_of(batch_file), batch))
        for iccid in lost:
            work.set_aside(iccid, "given up by hand")
        steps = work.steps(
            [load_profile(name) for name in names],
            application_ids,
            container=_container(container),
            with_device_key=with_device_key,
            attester=attester,
            access_rule=rule,
            seen=seen_nonces(),
        )
        failed: list[CardReport] = []
        if lost:
            cards: Iterator[Transport] = iter(())
        elif card_dir is not None:
            cards = _card_files(card_dir, passphrase_file, new_cards)
        else:
            cards = cards_in_readers(reader, wait_s, lambda error: failed.append(_unreachable(error)))
        is_traced = bool(ctx.meta.get(TRACE_KEY))
        reports = _shown(personalise(steps, _traced(cards) if is_traced else cards))
        document = _summary(work, batch, [*reports, *failed])
    print_result(document, _summary_text(document), as_json=as_json)
    if document["unfinished"]:
        ctx.exit(UNFINISHED)


@click.command()
@card_options
@click.argument("batch_file", metavar="BATCH", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--identity", help="Its id, where BATCH has more than one: 0x and 64 hexadecimal digits.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the activation file here; else it is printed.")
@secret_option("--pin-file", "PIN that holds now")
@secret_option("--new-pin-file", "new PIN, where the transport PIN still holds")
@json_option
def activate(
    card: CardChoice,
    batch_file: Path,
    identity: str | None,
    output: Path | None,
    pin_file: str | None,
    new_pin_file: str | None,
    as_json: bool,
) -> None:
    """Take a card over: change its PIN, then sign.

    The signature says that the card is in the right hands; the operator puts it on the ledger (tally identity
    activate).
    """
    batch = load_batch(batch_file)
    chosen = _identity(batch, identity)
    batch.activate.require_open(int(time.time()))  # before the PIN changes
    with card.applet() as applet:
        approval = ApprovalCard(applet)
        pin = read_secret(pin_file, "PIN that holds now")
        if approval.status().state_name == "personalised":
            new = read_new_pin(new_pin_file)
            with approval.transaction():
                approval.change_pin(pin, new)
            pin = new
        approval.applet.select()
        proof = activate_card(approval, batch.activate, chosen, pin, now=int(time.time()), seen=seen_nonces())
    header = {"format": ACTIVATIONS_FORMAT, "operator": batch.operator, "registry": batch.registry}
    line = {"identity": "0x" + chosen.hex(), "proof": proof}
    text = "".join(json.dumps(item, separators=(",", ":")) + "\n" for item in (header, line))
    if output is not None:
        write_file(output, text.encode())
    print_result({**header, **line}, f"activation written to {output}" if output else text.rstrip(), as_json=as_json)


def _card_files(folder: Path, passphrase_file: str | None, new_cards: int | None) -> Iterator[Transport]:
    passphrase = read_secret(passphrase_file, "passphrase of the card files")
    if new_cards:
        make_card_files(folder, passphrase, new_cards)
    return card_files(folder, passphrase)


def _shown(reports: Iterator[CardReport]) -> list[CardReport]:
    """Says each card's outcome as it comes, so that its reader can be emptied."""
    found = []
    try:
        for report in reports:
            iccid = report.record.iccid if report.record else "-"
            click.echo(f"{report.outcome:<12} {iccid:<20} {report.detail}", err=True)
            found.append(report)
    except KeyboardInterrupt:
        click.echo("stopped; run it again to go on", err=True)
    return found


def _traced(cards: Iterator[Transport]) -> Iterator[Transport]:
    for transport in cards:
        yield TraceTransport(transport, lambda line: click.echo(line, err=True))


def _summary(work: Workplace, batch: Batch, reports: list[CardReport]) -> dict[str, object]:
    records = list(work.journal)
    return {
        "folder": str(work.folder),
        "registrations": str(work.folder / "registrations.jsonl"),
        "cards": {outcome.value: sum(report.outcome is outcome for report in reports) for outcome in Outcome},
        "identities": {
            "finished": sum(record.is_finished for record in records),
            "half_done": [record.iccid for record in records if record.is_open],
            "set_aside": [record.iccid for record in records if record.set_aside],
            "left": len(batch.identities) - len(records),
        },
        "unfinished": sum(report.outcome not in GOOD for report in reports),
    }


def _summary_text(document: dict[str, object]) -> str:
    identities = document["identities"]
    assert isinstance(identities, dict)  # noqa: S101  for the type only
    lines = [
        f"{identities['finished']} identities of this batch are on cards, {identities['left']} are left",
        f"for the operator: {document['registrations']}",
    ]
    if identities["half_done"]:
        lines.insert(1, f"half done, insert again or --set-aside: {', '.join(identities['half_done'])}")
    return "\n".join(lines)


def _unreachable(error: ReaderError) -> CardReport:
    click.echo(f"{Outcome.INTERRUPTED:<12} {'-':<20} {error.message}", err=True)
    return CardReport(Outcome.INTERRUPTED, error.message)


def _attester(path: Path | None, passphrase_file: str | None) -> Attester | None:
    if path is None:
        return None
    return load_attester(path, read_secret(passphrase_file, "passphrase of the personaliser's key"))


def _container(text: str) -> ObjectName:
    try:
        return ObjectName(bytes.fromhex(text))
    except ValueError as error:
        raise InputError(f"--container {text!r} is no id in hexadecimal") from error


def _identity(batch: Batch, text: str | None) -> bytes:
    if text is None:
        if len(batch.identities) != 1:
            raise InputError(f"the batch has {len(batch.identities)} identities: say which with --identity")
        return batch.identities[0]
    for identity in batch.identities:
        if text.lower() == "0x" + identity.hex():
            return identity
    raise InputError(f"the batch has no identity {text!r}: see the letter that came with the card")
