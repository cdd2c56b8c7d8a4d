"""Texts of the pages, in each language. What errors say is written in English; other languages translate it whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, Final

from identity_oidc.authentication.session import UNKNOWN_BROWSER

NAMES: Final = (("en", "English"), ("zh", "中文"))


@cache
def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("identity_oidc").joinpath(f"templates/{name}").read_text("utf-8"))
    return content


def texts_in(language: str) -> Mapping[str, str]:
    """Every text by its name; English where a language is not known."""
    texts = _load("texts.json")
    found: Mapping[str, str] = texts.get(language, texts["en"])
    return found


@cache
def named_texts_in(language: str) -> SimpleNamespace:
    """The same for templates, which look for a member before they look for a key."""
    return SimpleNamespace(**texts_in(language))


def browser_in(language: str, name: str) -> str:
    """A browser's name, as `session.browser_name` makes it, in this language."""
    texts = texts_in(language)
    browser, is_whole, system = name.partition(" on ")
    if is_whole:
        return texts["browser_on"].format(browser=browser, system=system)
    return texts["browser_unknown"] if name == UNKNOWN_BROWSER else name


def message_in(language: str, message: str) -> str:
    """An error's text; the English one where it has not been translated."""
    return str(_load("messages_zh.json").get(message, message)) if language == "zh" else message
