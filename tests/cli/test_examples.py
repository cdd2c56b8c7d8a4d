"""The examples are read by the code that they are for, and have every key; the README's commands exist."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import click
import pytest

from pki_chain.cli.main import tally
from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.founding.founders import DEMO_FOUNDERS, load_founders
from pki_chain.policy.rules import available_rules, load_rules

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_settings_have_every_key() -> None:
    text = (EXAMPLES / "member" / "tally.toml").read_text()
    config = MemberConfig.load(EXAMPLES / "member" / "tally.toml", {})
    for section in dataclasses.fields(config):
        if section.name == "path":
            continue
        assert f"[{section.name}]" in text
        for key in dataclasses.fields(getattr(config, section.name)):
            assert re.search(rf"^(# )?{key.name} = ", text, re.MULTILINE), f"{section.name}.{key.name}"


def test_rules_have_every_rule() -> None:
    assert {rule.name for rule in load_rules(EXAMPLES / "member" / "rules.toml").rules} == set(available_rules())


def test_a_rule_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "member" / "compromised-keys.txt", tmp_path)
    text = (EXAMPLES / "member" / "rules.toml").read_text()
    (tmp_path / "rules.toml").write_text(text.replace("[rules.weak_keys]", "[rules.weak]"))
    with pytest.raises(ConfigurationError, match="no rule named 'weak'"):
        load_rules(tmp_path / "rules.toml")


def test_founders_are_those_of_the_demonstration() -> None:
    found = load_founders(EXAMPLES / "consortium" / "founders.toml")
    assert [(each.label, each.kind, each.name) for each in found] == [
        (each.label, each.kind, each.name) for each in DEMO_FOUNDERS
    ]


@pytest.mark.parametrize(
    ("readme", "least"), [("README.md", 10), ("security-gateway/README.md", 5), ("mutual-tls/README.md", 2)]
)
def test_every_command_of_the_readme_exists(readme: str, least: int) -> None:
    text = (EXAMPLES / readme).read_text().replace("\\\n", " ")
    lines = re.findall(r"^ *tally (.+)$", text, re.MULTILINE)
    assert len(lines) >= least
    for line in lines:
        command: click.Command = tally
        for word in line.split():
            if not isinstance(command, click.Group):
                break
            found = command.get_command(click.Context(command), word)
            assert found is not None, line
            command = found
        options = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<!\S)--[a-z-]+", line):
            assert option in options, line
