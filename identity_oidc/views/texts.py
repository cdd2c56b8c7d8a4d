"""Texts of the pages, in each language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def _all() -> dict[str, dict[str, str]]:
    content: dict[str, Any] = json.loads(files("identity_oidc").joinpath("templates/texts.json").read_text("utf-8"))
    return content


def texts_in(language: str) -> Mapping[str, str]:
    """Every text by its name; English where a language is not known."""
    return _all().get(language, _all()["en"])
