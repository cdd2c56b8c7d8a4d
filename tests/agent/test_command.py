"""`tally sim agent` as a person runs it: real card file, a provider over HTTP, answers typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sim_applet_tools.cli import sim
from sim_applet_tools.cli.agent import agent
from sim_applet_tools.emulator import keystore
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore
from tests.agent.conftest import IDENTITY, PIN, make_active, opener
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider

Run = Callable[..., Result]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that a browser was sent to."""
    seen: list[str] = []
    monkeypatch.setattr("webbrowser.open", seen.append)
    return seen


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger, opened: list[str]) -> Run:
    monkeypatch.setattr(keystore, "SCRYPT_COST", 1 << 4)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    for name, secret in {"passphrase": "a passphrase", "pin": PIN}.items():
        (tmp_path / name).write_text(secret + "\n")
    monkeypatch.setenv("TALLY_SIM_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.chdir(tmp_path)
    store = EncryptedFileStore(tmp_path / "card", "a passphrase", image_if_new=new_image())
    with opener(EmulatedCard(store))() as applet:
        ledger.register(IDENTITY, make_active(applet))
    store.close()

    def call(*arguments: str, card: bool = True, **options: Any) -> Result:
        return CliRunner().invoke(
            sim, ["agent", *arguments, *(["--card-file", "card"] if card else [])], catch_exceptions=False, **options
        )

    return call


@pytest.fixture
def at_home(run: Run, provider: Provider) -> Run:
    done = run("enrol", provider.issuer, "--identity", IDENTITY, "--label", "PC", "--pin-file", "pin", input="y\n")
    assert done.exit_code == 0, done.stderr
    assert "fingerprint" in done.stderr
    return run


def test_a_login_from_a_link(at_home: Run, provider: Provider, opened: list[str]) -> None:
    login = provider.begin()
    done = at_home("open", login.link(local=True), "--json", input=f"3\n{PIN}\n")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["decision"] == "approved"
    assert opened == [json.loads(done.stdout)["completion_uri"]]
    for text in ("Corner Shop", "shop.example", "Example Telecom", "to keep your basket", "phone number", "first time"):
        assert text in done.stderr
    assert "Refused: phone number" in done.stderr
    assert PIN not in done.output
    assert login.state == "approved"


def test_in_chinese_from_standard_input_with_a_wrong_pin_first(at_home: Run, provider: Provider) -> None:
    login = provider.begin(mode="remote", session_is_known=False)
    typed = f"{login.link(local=False)}\n\n{login.code}\n000000\n{login.code}\n{PIN}\n"
    done = at_home("open", "-", "--language", "zh", input=typed)
    assert done.exit_code == 0, done.stderr
    for text in ("另一台设备", "请求以下资料", "手机号码", "没有从这个浏览器登录过", "还可尝试 2 次", "已批准"):
        assert text in done.stderr
    assert login.state == "approved"


@pytest.mark.parametrize(
    ("typed", "reason"), [("n\n", "declined"), ("x\n", "not-me"), ("b\n", "block-app"), ("\n\n", "declined")]
)
def test_saying_no(at_home: Run, provider: Provider, typed: str, reason: str, opened: list[str]) -> None:
    login = provider.begin()
    done = at_home("open", login.link(local=True), input=typed)
    assert done.exit_code == 0, done.stderr
    assert (login.state, login.refusal, opened) == ("refused", reason, [])
    if reason == "block-app":
        provider.blocked.clear()
        again = at_home("open", provider.begin().link(local=True), input=f"\n{PIN}\n")
        assert again.exit_code == 77
        assert "you blocked" in again.stderr
        assert at_home("apps", "--unblock", "app-1", card=False).exit_code == 0
        assert at_home("open", provider.begin().link(local=True), input=f"\n{PIN}\n").exit_code == 0


def test_hold_from_the_prompt_and_without_card(at_home: Run, provider: Provider, ledger: Ledger) -> None:
    login = provider.begin()
    assert at_home("open", login.link(local=True), input="h\nno\nh\nHOLD\n").exit_code == 0
    assert provider.holds == [(IDENTITY, "unknown-login")]
    assert at_home("hold", "--reason", "lost", card=False).exit_code == 0
    assert provider.holds[-1] == (IDENTITY, "lost")


def test_status_members_apps_and_leaving(at_home: Run, provider: Provider) -> None:
    seen = json.loads(at_home("status", "--json").stdout)
    assert (seen["identity"], seen["counter"]) == (IDENTITY, 1)
    assert {notice["code"] for notice in seen["notices"]} == {"emulator", "no-watch"}
    assert json.loads(at_home("members", "--json", card=False).stdout)["same"] is True
    assert at_home("members", "--accept", "0000", card=False).exit_code == 65
    assert at_home("apps", card=False).stdout == "none yet\n"
    assert at_home("apps", "--unblock", "app-9", card=False).exit_code == 65
    assert at_home("leave", card=False).exit_code == 0
    assert provider.agents == {}
    refused = at_home("status")
    assert refused.exit_code == 78
    assert "enrol" in refused.stderr


def test_nothing_is_enrolled_with_another_fingerprint(run: Run, provider: Provider) -> None:
    refused = run("enrol", provider.issuer, "--identity", IDENTITY, "--pin-file", "pin", "--fingerprint", "0000")
    assert refused.exit_code == 65
    assert provider.agents == {}
    declined = run("enrol", provider.issuer, "--identity", IDENTITY, "--pin-file", "pin", input="n\n")
    assert declined.exit_code == 1
    assert provider.agents == {}


def test_no_command_approves_by_itself() -> None:
    """No option of `open` or `run` carries a PIN or an answer."""
    for name in ("open", "run"):
        options = {option for each in agent.commands[name].params for option in each.opts}
        assert not {option for option in options if "pin" in option or option in {"--yes", "-y", "--auto", "--approve"}}


def test_failures_in_chinese(at_home: Run, provider: Provider) -> None:
    """With the same exit code, and in English for whoever asks for that."""
    link = provider.begin(mode="remote").link(local=False).replace("handle=", "handle=A")
    failed = at_home("open", link, "--language", "zh")
    english = at_home("open", link, "--language", "en")
    assert failed.exit_code == english.exit_code != 0
    assert "error: " in failed.stderr
    login = provider.begin()
    typed = "\n" + "000000\n" * 3
    blocked = at_home("open", login.link(local=True), "--language", "zh", input=typed)
    assert blocked.exit_code == 77
    assert "PIN 码已锁定" in blocked.stderr
    again = at_home("open", provider.begin().link(local=True), "--language", "en", input=f"\n{PIN}\n")
    assert again.exit_code == 77
    assert "blocked" in again.stderr
    assert "锁定" not in again.stderr
    nowhere = at_home("status", "--issuer", "https://nowhere.example", "--language", "zh")
    assert nowhere.exit_code == 78
    assert "尚未登记" in nowhere.stderr


def test_enrolling_holding_and_leaving_in_chinese(run: Run, provider: Provider) -> None:
    """What is said, and what failed; in English without the option."""
    enrol = ("enrol", provider.issuer, "--identity", IDENTITY, "--label", "PC", "--pin-file")
    Path("wrong").write_text("000000\n")
    wrong = run(*enrol, "wrong", "--language", "zh", input="y\n")
    assert wrong.exit_code == 77
    assert "还可尝试 2 次" in wrong.stderr
    assert "tries" in run(*enrol, "wrong", input="y\n").stderr
    done = run(*enrol, "pin", "--language", "zh", input="y\n")
    assert done.exit_code == 0, done.stderr
    assert "接受这些密钥吗" in done.stderr
    assert f"已在 {provider.issuer} 登记" in done.stdout
    assert "只有运营商可以解除" in run("hold", "--reason", "lost", "--language", "zh", card=False).stdout
    assert "密钥已删除" in run("leave", "--language", "zh", card=False).stdout
    again = run("leave", "--language", "zh", card=False)
    assert again.exit_code == 78
    assert "尚未登记" in again.stderr
    assert "尚未登记" not in run("leave", card=False).stderr
