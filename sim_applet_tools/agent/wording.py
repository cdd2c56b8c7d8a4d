"""What the faces say, in the person's language. Texts: `texts/faces.json`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from sim_applet_tools.agent.challenge import Language
from sim_applet_tools.agent.consent_text import fill
from sim_applet_tools.agent.error_wording import say_error
from sim_applet_tools.agent.notices import Level, Notice


@cache
def _texts() -> dict[str, dict[str, str]]:
    text = (files("sim_applet_tools.agent") / "texts" / "faces.json").read_text(encoding="utf-8")
    texts: dict[str, dict[str, str]] = json.loads(text)
    return texts


def say(language: Language, text: str, **values: str) -> str:
    """The text of that name, with its placeholders filled."""
    return fill(_texts()[language][text], values)


def say_notice(language: Language, notice: Notice) -> str:
    """One line: the level, and what is to be known."""
    values = notice.values if notice.error is None else {**notice.values, "why": say_error(language, notice.error)}
    words = fill(_texts()[language][f"notice_{notice.code}"], values)
    return f"{say(language, f'level_{notice.level}')}: {words}"


def sorted_notices(notices: tuple[Notice, ...]) -> list[Notice]:
    """Alarms first."""
    order: dict[Level, int] = {"alarm": 0, "warning": 1, "info": 2}
    return sorted(notices, key=lambda notice: order[notice.level])
