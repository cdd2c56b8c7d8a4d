"""`tally`: one command, put together from the entry points `tally.commands` of the packages that are installed."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, distributions
from typing import Any

import click

from pki_chain import __version__
from pki_chain.cli.failure import EXIT_CODES, report_failure
from pki_chain.errors import InputError, TallyError

ENTRY_POINT_GROUP = "tally.commands"


class InstalledCommands(click.Group):
    """The commands that installed packages registered; each is imported when it is asked for."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        # Not `entry_points()`: of two descriptions of a distribution it takes one, maybe a stale one of a source tree.
        self._entry_points: dict[str, EntryPoint] = {
            entry.name: entry
            for distribution in distributions()
            for entry in distribution.entry_points
            if entry.group == ENTRY_POINT_GROUP
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self._entry_points, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entry_points.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        command = entry.load()
        if not isinstance(command, click.Command):
            raise InputError(
                f"the entry point {cmd_name!r} of {ENTRY_POINT_GROUP!r} is no click command: correct or remove "
                "the package that registers it"
            )
        return command


@click.command(
    cls=InstalledCommands,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, prog_name="tally")
def tally() -> None:
    """Tiger Tally: device certificates that a consortium publishes, checks and answers for, without a central CA."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; 0 is success, other codes are listed in `--help`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    try:
        code = tally.main(args=arguments, prog_name="tally", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("error: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        if as_json:
            report_failure(InputError(error.format_message()), as_json=True)
        else:
            error.show()
        sys.exit(error.exit_code)
    except TallyError as error:
        report_failure(error, as_json=as_json)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        if os.environ.get("TALLY_DEBUG"):
            raise
        defect = TallyError(f"{type(error).__name__}: {error}; a defect: TALLY_DEBUG=1 shows where, please report it")
        report_failure(defect, as_json=as_json)
        sys.exit(defect.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
