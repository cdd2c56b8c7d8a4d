"""`tally subscribers`."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from click.testing import CliRunner

from identity_oidc.subscribers.command import subscribers


def test_demo_and_check(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'people.sqlite'}"
    run = CliRunner()
    made = run.invoke(subscribers, ["demo", url, "--json"])
    assert made.exit_code == 0, made.output
    assert len(json.loads(made.stdout)["people"]) == 12
    assert run.invoke(subscribers, ["check", url]).exit_code == 0
    again = run.invoke(subscribers, ["demo", url, "--json"])
    assert again.exit_code == 78
    assert json.loads(again.stderr)["error"] == "configuration"


def test_identities_of_a_batch(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'people.sqlite'}"
    identities = [secrets.token_hex(32) for _ in range(3)]
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps({"identities": ["0x" + each for each in identities]}), encoding="utf-8")
    given = CliRunner().invoke(subscribers, ["demo", url, "--batch", str(batch), "--json"])
    assert given.exit_code == 0, given.output
    assert list(json.loads(given.stdout)["identities"].values()) == identities
    for wrong in ("{}", "[]", '{"identities": ["0x11"]}', "no json"):
        batch.write_text(wrong, encoding="utf-8")
        assert CliRunner().invoke(subscribers, ["demo", url, "--batch", str(batch)]).exit_code == 78


def test_no_password_on_the_command_line(tmp_path: Path) -> None:
    refused = CliRunner().invoke(subscribers, ["check", "postgresql+pg8000://tally:secret@localhost/people"])
    assert refused.exit_code == 78
    assert "secret" not in refused.output
    file = tmp_path / "address"
    file.write_text(f"sqlite:///{tmp_path / 'people.sqlite'}\n", encoding="utf-8")
    assert CliRunner().invoke(subscribers, ["demo", str(file)]).exit_code == 0
    assert CliRunner().invoke(subscribers, ["check", str(file)]).exit_code == 0
    assert CliRunner().invoke(subscribers, ["check", str(tmp_path / "other")]).exit_code == 78


def test_missing_view(tmp_path: Path) -> None:
    (tmp_path / "people.sqlite").touch()
    missing = CliRunner().invoke(subscribers, ["check", f"sqlite:///{tmp_path / 'people.sqlite'}"])
    assert missing.exit_code == 69
    assert "tally_identity" in missing.output
