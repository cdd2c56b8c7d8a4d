"""What commands print: a text for people, or with `--json` one object for programs; progress goes to standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pki_chain.cli.failure import EXIT_CODES

Function = TypeVar("Function", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def command_group(name: str, short_help: str | None = None) -> Callable[[Function], click.Group]:
    """A `click.group` whose commands' help ends with the exit codes."""
    return click.group(name=name, cls=DocumentedGroup, short_help=short_help)


class DocumentedGroup(click.Group):
    """A group that gives its commands the list of exit codes as epilog."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if cmd.epilog is None and not isinstance(cmd, click.Group):
            cmd.epilog = EXIT_CODES
        super().add_command(cmd, name)


def print_result(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print `result` as one JSON object, or `text`."""
    click.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else text)


def print_table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table to standard output; it is plain text where standard output is no terminal."""
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


@contextmanager
def progress_bar(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; what it yields takes the number done so far.

    Where standard error is no terminal, only the last state is printed, so that logs stay short.
    """
    console = Console(stderr=True, highlight=False, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
