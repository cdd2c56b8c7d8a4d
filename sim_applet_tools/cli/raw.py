"""`tally sim apdu|script|trace`."""

from __future__ import annotations

from pathlib import Path

import click

from sim_applet_tools.apdu import parse_command
from sim_applet_tools.cli.card_choice import TRACE_KEY, CardChoice, card_options
from sim_applet_tools.cli.output import json_option, print_result
from sim_applet_tools.errors import InputError
from sim_applet_tools.script import parse_script, run_script
from sim_applet_tools.transport.base import exchange

MAX_SCRIPT_BYTES = 1 << 20


@click.command(short_help="Send raw commands.")
@card_options
@click.argument("commands", nargs=-1, required=True)
@json_option
def apdu(card: CardChoice, commands: tuple[str, ...], as_json: bool) -> None:
    """Send COMMANDS, one APDU an argument in hexadecimal; 61xx and 6Cxx are followed.

    Put no PIN here, arguments are visible to other users: use `tally sim pin`, or a script.
    """
    parsed = [parse_command(_hexadecimal(text)) for text in commands]
    with card.transport() as transport:
        answers = [exchange(transport, command) for command in parsed]
    rows = [{"data": answer.data.hex().upper(), "status_word": f"{answer.status_word:04X}"} for answer in answers]
    text = "\n".join(f"{row['data']} {row['status_word']}".strip() for row in rows)
    print_result({"answers": rows}, text, as_json=as_json)


@click.command(short_help="Run commands, compare the answers.")
@card_options
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def script(card: CardChoice, files: tuple[Path, ...], as_json: bool) -> None:
    """Run FILES of APDUs with the answers expected (docs/sim.md); exits 1 at the first that differs."""
    scripts = [parse_script(path.name, _script_text(path)) for path in files]
    with card.transport() as transport:
        results = [{"script": item.name, "commands": run_script(item, transport)} for item in scripts]
    text = "\n".join(
        f"{result['script']}: {result['commands']} commands, all answered as expected" for result in results
    )
    print_result({"scripts": results}, text, as_json=as_json)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Show the APDUs of another command.",
)
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [OPTIONS]...")
@json_option
@click.pass_context
def trace(ctx: click.Context, arguments: tuple[str, ...], as_json: bool) -> None:
    """Run another `tally sim` command and write its APDUs to standard error, without PIN, PUK and secrets."""
    group = ctx.parent.command if ctx.parent else None
    if not isinstance(group, click.Group):
        raise InputError("`trace` runs as `tally sim trace COMMAND`")
    ctx.meta[TRACE_KEY] = True
    name, command, rest = group.resolve_command(ctx, list(arguments))
    if command is None or name == "trace":
        raise InputError("`trace` runs another command: tally sim trace info")
    with command.make_context(name, ["--json", *rest] if as_json else rest, parent=ctx) as inner:
        command.invoke(inner)


def _hexadecimal(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not hexadecimal") from error


def _script_text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_SCRIPT_BYTES + 1)
    if len(raw) > MAX_SCRIPT_BYTES:
        raise InputError(f"{path} is longer than {MAX_SCRIPT_BYTES} bytes: split it")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text") from error
