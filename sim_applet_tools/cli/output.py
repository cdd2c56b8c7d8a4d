"""What `tally sim` prints: text for people, or with `--json` one object for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from sim_applet_tools.errors import (
    CardResponseError,
    ConfigurationError,
    InputError,
    ReaderBusyError,
    ReaderError,
    SimError,
    StorageError,
)
from sim_applet_tools.status_words import NotFoundError, StatusWordError

JSON_KEY = "sim_applet_tools.json"

_MEANINGS: tuple[tuple[type[SimError], str], ...] = (
    (InputError, "an input is not of the form asked for"),
    (NotFoundError, "no such applet, file or object on the card"),
    (ReaderError, "no service, reader or card, or the card does not answer"),
    (SimError, "a defect of this program"),
    (StorageError, "a file could not be read or written"),
    (ReaderBusyError, "another program has the reader; try again"),
    (CardResponseError, "the card's answer is malformed, or its signature is no good"),
    (StatusWordError, "the card refuses"),
    (ConfigurationError, "a setting is missing or wrong"),
)
EXIT_CODES = "\b\nExit codes:\n  0    done\n  1    the check failed\n  2    wrong usage\n" + "\n".join(
    f"  {kind.exit_code:<4} {meaning}" for kind, meaning in _MEANINGS
)
"""Epilog of `--help`; `\\b` keeps click from joining the lines."""


def _remember(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    ctx.meta[JSON_KEY] = value or bool(ctx.meta.get(JSON_KEY))
    return bool(ctx.meta[JSON_KEY])


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_remember, is_eager=True, help="Print one JSON object instead of text."
)


class SimGroup(click.Group):
    """Reports this package's errors as one line, or with `--json` as one object, and exits with their code.

    Each command's help ends with the exit codes.
    """

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if not isinstance(cmd, click.Group):
            cmd.epilog = cmd.epilog or EXIT_CODES
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SimError as error:
            document = {"error": error.code, "message": error.message, "exit_code": error.exit_code}
            click.echo(json.dumps(document) if ctx.meta.get(JSON_KEY) else f"error: {error.message}", err=True)
            ctx.exit(error.exit_code)


def print_result(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print `result` as one JSON object, or `text`."""
    click.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else text)


def read_secret(path: str | None, prompt: str) -> str:
    """A secret from a file (`-` for standard input), or typed without echo. Never from an argument."""
    if path is None:
        return str(click.prompt(prompt, hide_input=True, err=True))
    try:
        text = sys.stdin.readline() if path == "-" else Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {prompt} from {path!r}: check the file") from error
    return text.strip()


def secret_option(name: str, what: str) -> Callable[[Callable[..., Any]], Any]:
    return click.option(
        name, metavar="FILE", help=f"File with the {what} (- for standard input); asked for without it."
    )


def write_file(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
