"""What `tally sim` prints: text for people, or with `--json` one object for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from sim_applet_tools.errors import InputError, SimError, StorageError

JSON_KEY = "sim_applet_tools.json"


def _remember(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    ctx.meta[JSON_KEY] = value or bool(ctx.meta.get(JSON_KEY))
    return bool(ctx.meta[JSON_KEY])


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_remember, is_eager=True, help="Print one JSON object instead of text."
)


class SimGroup(click.Group):
    """Reports this package's errors as one line, or with `--json` as one object, and exits with their code."""

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
