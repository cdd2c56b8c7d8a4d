"""An error in the person's language: by its code, else the English text. Texts: `texts/errors.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from sim_applet_tools.agent.challenge import Language
from sim_applet_tools.agent.consent_text import fill
from sim_applet_tools.errors import ProviderRefusedError, SimError
from sim_applet_tools.status_words import WrongPinError


@cache
def _texts() -> dict[str, dict[str, str]]:
    text = (files("sim_applet_tools.agent") / "texts" / "errors.json").read_text(encoding="utf-8")
    texts: dict[str, dict[str, str]] = json.loads(text)
    return texts


def say_error(language: Language, error: SimError) -> str:
    """What failed and what to do. Errors are English by themselves; those without a text stay so, with their code."""
    texts = _texts().get(language)
    if texts is None:
        return error.message
    name, code, tries = error.code, error.code, None
    if isinstance(error, WrongPinError):
        tries = error.tries_left
        name = name if tries else f"{name}-last"
    elif isinstance(error, ProviderRefusedError):
        code, tries = error.reason, error.tries_left
        named = f"{name} {error.reason}"
        known = named if tries is None else f"{named}-tries"
        name = next((each for each in (known, named) if each in texts), name)
    return fill(texts.get(name, texts["other"]), {"why": error.message, "code": code, "tries": str(tries)})


@contextmanager
def errors_in(language: Language) -> Iterator[None]:
    """What is raised within carries its text in that language; code and exit code stay."""
    try:
        yield
    except SimError as error:
        error.message = say_error(language, error)
        raise
