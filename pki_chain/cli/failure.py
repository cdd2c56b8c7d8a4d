"""How a failure reaches the person or the program that ran a command: one line, no traceback, a code that means it."""

from __future__ import annotations

import json

import click

from pki_chain.errors import (
    ConfigurationError,
    InputError,
    LedgerUnavailableError,
    NotFoundError,
    RefusedError,
    StaleError,
    StorageError,
    TallyError,
)
from pki_chain.proof.errors import ProofRefusedError

_MEANINGS: tuple[tuple[type[TallyError], str], ...] = (
    (InputError, "an input is not of the form asked for"),
    (NotFoundError, "no such thing on the ledger"),
    (LedgerUnavailableError, "no ledger endpoint or gateway answered"),
    (TallyError, "a defect of this program"),
    (StorageError, "a file or database could not be written"),
    (StaleError, "the answer would be too old; try again"),
    (ProofRefusedError, "a proof or a trust file proves nothing"),
    (RefusedError, "the ledger, the gateway or a validator refuses"),
    (ConfigurationError, "a setting is missing or wrong"),
)

EXIT_CODES = "\b\nExit codes:\n  0    done\n  2    wrong usage\n" + "\n".join(
    f"  {kind.exit_code:<4} {meaning}" for kind, meaning in _MEANINGS
)
"""Epilog of `--help`; `\\b` keeps click from joining the lines."""


def report_failure(error: TallyError, *, as_json: bool) -> None:
    """Write the failure to standard error: text, or one JSON object with `error`, `message` and `exit_code`."""
    if as_json:
        document = {"error": error.code, "message": error.message, "exit_code": error.exit_code}
        click.echo(json.dumps(document), err=True)
    else:
        click.echo(f"error: {error.message}", err=True)
