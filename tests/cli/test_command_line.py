"""The command line by itself: help, exit codes, completion, failures without tracebacks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pki_chain import errors
from pki_chain.cli.failure import EXIT_CODES
from pki_chain.cli.main import main, tally

# What the documents promise; the tests below take every command that there is, of all packages.
COMMANDS = (
    "chain run",
    "consortium init",
    "consortium prepare",
    "consortium plan",
    "consortium sign",
    "consortium found",
    "consortium members",
    "consortium propose",
    "consortium vote",
    "consortium execute",
    "consortium account add",
    "consortium account consent",
    "consortium account suspend",
    "consortium account restore",
    "consortium show",
    "station add",
    "station suspend",
    "station submit",
    "lot open",
    "lot close",
    "lot show",
    "device new",
    "ipsec sync",
    "ca publish",
    "ca delegate",
    "ca withdraw",
    "ca list",
    "ca parts",
    "trust export",
    "trust checkpoint",
    "trust update",
    "trust show",
    "validator run",
    "verify",
    "gateway run",
    "gateway rebuild",
    "gateway status-key",
    "gateway delegation-key",
    "bundle sync",
    "monitor",
    "certificate show",
    "certificate status",
    "certificate hold",
    "certificate release",
    "certificate revoke",
    "certificate block-key",
    "identity prepare",
    "identity register",
    "identity activate",
    "identity show",
    "identity hold",
    "identity release",
    "identity revoke",
    "identity replace text",
    "identity replace now",
    "identity replace start",
    "identity replace confirm",
    "identity replace cancel",
    "identity replace veto-text",
    "identity replace veto",
    "subscribers check",
    "subscribers demo",
    "oidc serve",
    "oidc app sign",
    "oidc app add",
    "oidc app list",
    "oidc app withdraw",
    "oidc keys new",
    "oidc keys list",
    "oidc grants",
    "oidc sessions",
    "oidc holds",
    "demo",
    "completion",
)


def commands(group: click.Group = tally, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands())


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    output = capsys.readouterr()
    code = ended.value.code
    return code if isinstance(code, int) else 0, output.out, output.err


def test_every_command_is_there() -> None:
    assert set(COMMANDS) <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_help_says_what_it_does_and_its_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(*name.split(), "--help", capsys=capsys)
    assert code == 0
    assert "Exit codes:" in output
    assert (ALL[name].help or "").strip()


GROUPS = ("", *sorted({name.rpartition(" ")[0] for name in ALL} - {""}))


@pytest.mark.parametrize("group", GROUPS)
def test_lists_of_commands_are_not_cut_off(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(*group.split(), "--help", capsys=capsys)
    assert code == 0
    listed = output.partition("Commands:\n")[2].split("\n\n")[0].splitlines()
    assert listed
    for line in listed:
        assert re.match(r"  [a-z]", line), f"wrapped: {line!r}"
        assert line.rstrip().endswith("."), f"cut off: {line!r}"
        assert not line.rstrip().endswith("..."), f"cut off: {line!r}"


def test_exit_codes_stand_once_in_a_command_s_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("consortium", "vote", "--help", capsys=capsys)[1].count("Exit codes:") == 1
    assert "Exit codes:" not in run("consortium", "--help", capsys=capsys)[1]


@pytest.mark.parametrize("name", [name for name in ALL if name != "completion"])
def test_every_command_speaks_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[name].params)


@pytest.mark.parametrize("name", ALL)
def test_no_command_takes_a_secret_as_argument(name: str) -> None:
    for parameter in ALL[name].params:
        text = " ".join(option for option in parameter.opts if not option.endswith("-file"))
        assert "password" not in text
        assert "secret" not in text
        assert "private" not in text
        assert "passphrase" not in text


def test_exit_codes_in_the_help_are_those_of_the_errors() -> None:
    for name in ("InputError", "NotFoundError", "LedgerUnavailableError", "RefusedError", "StaleError"):
        assert f"  {getattr(errors, name).exit_code} " in EXIT_CODES


def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "tally.toml"
    settings.write_text('[member]\nid = 1\nname = "x"\n[gateway]\nprot = 1\n')
    code, _, error = run("gateway", "run", "--config", str(settings), capsys=capsys)
    assert code == 78
    assert str(settings) in error
    assert "gateway.prot" in error
    assert "Traceback" not in error


def test_failures_are_json_where_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.toml")
    code, output, error = run("consortium", "members", "--config", missing, "--json", capsys=capsys)
    assert (code, output) == (78, "")
    assert json.loads(error)["exit_code"] == 78
    code, _, error = run("lot", "show", "no-number", "--json", capsys=capsys)
    assert code == 2
    assert "no-number" in json.loads(error)["message"]


def test_a_defect_is_one_line_and_not_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("somewhere deep")

    monkeypatch.setattr(tally, "main", broken)
    code, _, error = run("demo", capsys=capsys)
    assert code == 70
    assert "somewhere deep" in error
    assert "Traceback" not in error
    monkeypatch.setenv("TALLY_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["demo"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run("completion", shell, capsys=capsys)
    assert code == 0
    assert "_TALLY_COMPLETE" in output


def test_bash_completes_commands() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pki_chain.cli.main"],
        env={**os.environ, "_TALLY_COMPLETE": "bash_complete", "COMP_WORDS": "tally station s", "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert {line.partition(",")[2] for line in finished.stdout.splitlines()} == {"submit", "suspend"}


def test_unknown_shell_and_command_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", "tcsh", capsys=capsys)[0] == 2
    assert run("stations", capsys=capsys)[0] == 2
