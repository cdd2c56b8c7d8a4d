"""`tally completion`: the script that teaches a shell to complete `tally`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pki_chain.cli.failure import EXIT_CODES
from pki_chain.errors import InputError


@click.command(epilog=EXIT_CODES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: tally completion bash > ~/.local/share/bash-completion/completions/tally
    """
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise InputError(f"no completion for the shell {shell!r}: use bash, zsh or fish")
    root = ctx.find_root()
    source = completion_class(root.command, {}, "tally", "_TALLY_COMPLETE")
    # The check of the bash version starts a bash of its own and fails where there is none; the script does not need it.
    click.echo(source.source_template % source.source_vars())
