"""Errors in the person's language: what a person meets has a Chinese text, and nothing else pretends to."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.error_wording import errors_in, say_error
from sim_applet_tools.agent.notices import Notice
from sim_applet_tools.agent.page.app import LocalPage
from sim_applet_tools.agent.page.server import serve_page
from sim_applet_tools.agent.provider_client import _EXPLAINED
from sim_applet_tools.agent.terminal import TerminalFace
from sim_applet_tools.agent.wording import say_notice
from sim_applet_tools.errors import (
    ChallengeRefusedError,
    NoCardError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SimError,
    StorageError,
)
from sim_applet_tools.status_words import PinBlockedError, error_of
from tests.agent.conftest import IDENTITY, PIN
from tests.agent.provider import Provider
from tests.agent.test_page import Browser
from tests.agent.test_waiting import Typed

TEXTS: dict[str, str] = json.loads((files("sim_applet_tools.agent") / "texts" / "errors.json").read_text("utf-8"))["zh"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (error_of(0x63C2, "VERIFY PIN"), "还可尝试 2 次"),
        (error_of(0x63C0, "VERIFY PIN"), "已无剩余次数"),
        (error_of(0x6983, "VERIFY PIN"), "已锁定"),
        (NoCardError("no card"), "已被拔出"),
        (ProviderUnavailableError("no connection"), "无法连接登录服务方"),
        (ProviderRefusedError("it ran out", reason="challenge-expired"), "已过期"),
        (ProviderRefusedError("not the code", reason="wrong-code", tries_left=1), "还可尝试 1 次"),
        (ProviderRefusedError("not the code", reason="wrong-code"), "不一致。"),
    ],
)
def test_what_a_person_meets_is_chinese(error: SimError, text: str) -> None:
    assert text in say_error("zh", error)
    assert error.message not in say_error("zh", error)
    assert say_error("en", error) == error.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageError("cannot write the file"), "storage"),
        (ProviderRefusedError("the provider refused", reason="never-heard-of"), "never-heard-of"),
        (ProviderRefusedError("the provider refused {tries}", reason="http-418", tries_left=3), "http-418"),
    ],
)
def test_what_nobody_translated_stays_with_its_code(error: SimError, code: str) -> None:
    said = say_error("zh", error)
    assert error.message in said
    assert code in said


def test_why_a_challenge_is_not_shown_is_not_lost() -> None:
    assert "its time is over" in say_error("zh", ChallengeRefusedError("its time is over"))


def test_every_refusal_that_is_explained_is_explained_in_chinese() -> None:
    assert {f"provider-refused {reason}" for reason in _EXPLAINED} <= set(TEXTS)
    assert {found for text in TEXTS.values() for found in re.findall(r"\{(.*?)\}", text)} == {"why", "code", "tries"}


def test_a_notice_says_why_in_its_language() -> None:
    error = NoCardError("the reader is empty")
    notice = Notice("no-card", "warning", {"why": error.message}, error)
    assert say_notice("en", notice).endswith("the reader is empty")
    assert "已被拔出" in say_notice("zh", notice)
    assert notice == Notice("no-card", "warning", {"why": error.message}, NoCardError("again"))


def test_a_command_s_failure_keeps_its_code() -> None:
    with pytest.raises(PinBlockedError) as caught, errors_in("zh"):
        raise PinBlockedError(0x6983, "VERIFY PIN")
    assert "已锁定" in caught.value.message
    assert (caught.value.code, caught.value.exit_code) == ("pin-blocked", 77)
    with pytest.raises(KeyError), errors_in("zh"):
        raise KeyError("not ours")


def test_a_wrong_code_at_a_chinese_terminal(agent: Agent, provider: Provider) -> None:
    login = provider.begin(mode="remote")
    wrong = f"{(int(login.code) + 1) % 1_000_000:06}"
    console = Typed(["", wrong, PIN, login.code, PIN])
    assert TerminalFace(agent, console, "zh").handle(login.remote_handle, None).kind == "approved"
    (said,) = [text for text, style in console.seen if "不一致" in text and style == "warning"]
    assert "还可尝试" in said


def test_a_wrong_code_on_a_chinese_page(agent: Agent, provider: Provider) -> None:
    login = provider.begin(mode="remote")
    login.identity = IDENTITY
    pages: list[LocalPage] = []

    def make(host: str) -> LocalPage:
        pages.append(LocalPage(agent, host, "zh"))
        return pages[0]

    with serve_page(0, make) as host:
        browser = Browser(host)
        home = pages[0].home_path
        fields = {"form": browser.get(home).hidden(), "handle": login.remote_handle}
        path = browser.post(home, fields, f"http://{host}").location
        form = {"form": browser.get(path).hidden(), "action": "approve", "pin": PIN}
        wrong = f"{(int(login.code) + 1) % 1_000_000:06}"
        assert "数字与页面上显示的不一致" in browser.post(path, {**form, "code": wrong}, f"http://{host}").text
        assert "已批准" in browser.post(path, {**form, "code": login.code}, f"http://{host}").text
