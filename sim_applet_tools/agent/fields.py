"""JSON objects from a provider, read strictly: no repeated or unknown member, no float, everything bounded."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

from sim_applet_tools.agent.base64url import decode_base64url
from sim_applet_tools.errors import ProviderAnswerError

MAX_INTEGER = (1 << 53) - 1
MAX_DEPTH = 16
END_OF_TIME = 253_402_300_799
RANDOM_ID = re.compile(r"[A-Za-z0-9_-]{22,64}")
Text = TypeVar("Text", bound=str)
IDENTITY_ID = re.compile(r"0x[0-9a-f]{64}")


def parse_object(raw: bytes, what: str, max_bytes: int) -> dict[str, Any]:
    """The JSON object in `raw`; a `ProviderAnswerError` that names `what` else."""
    if len(raw) > max_bytes:
        raise ProviderAnswerError(f"{what}: {len(raw)} bytes where {max_bytes} are allowed: tell the provider")
    try:
        text = raw.decode("utf-8")
        document = json.loads(
            text, object_pairs_hook=_no_repeats, parse_float=_refused, parse_constant=_refused, parse_int=_integer
        )
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # an escaped lone surrogate is no text
    except (ValueError, RecursionError) as error:
        raise ProviderAnswerError(f"{what}: no JSON as asked for ({error}): tell the provider") from error
    if not isinstance(document, dict):
        raise ProviderAnswerError(f"{what}: JSON, but no object: tell the provider")
    if _depth(document) > MAX_DEPTH:
        raise ProviderAnswerError(f"{what}: nested deeper than {MAX_DEPTH}: tell the provider")
    return document


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a member is repeated")
    return document


def _refused(text: str) -> NoReturn:
    raise ValueError(f"the number {text[:20]} is no integer")


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise ValueError("an integer is larger than 2^53-1")
    return int(text)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


class Fields:
    """Takes the members of one object out, each once; `end` refuses what is left."""

    def __init__(self, document: Any, what: str) -> None:
        self.what = what
        if not isinstance(document, dict):
            self.fail("is no object")
        self._left = dict(document)

    def fail(self, why: str) -> NoReturn:
        raise ProviderAnswerError(f"{self.what}: {why}; the provider does not keep to its agent API: tell it")

    def take(self, name: str) -> Any:
        if name not in self._left:
            self.fail(f"{name} is missing")
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        return name in self._left

    def text(self, name: str, max_chars: int, *, least: int = 1, pattern: re.Pattern[str] | None = None) -> str:
        value = self.take(name)
        if not isinstance(value, str) or not least <= len(value) <= max_chars:
            self.fail(f"{name} is no text of {least} to {max_chars} characters")
        if pattern is not None and not pattern.fullmatch(value):
            self.fail(f"{name} is not of its form")
        return value

    def choice(self, name: str, allowed: tuple[Text, ...]) -> Text:
        value = self.take(name)
        if value not in allowed:
            self.fail(f"{name} is none of {', '.join(allowed)}")
        return next(each for each in allowed if each == value)

    def integer(self, name: str, least: int, most: int) -> int:
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.fail(f"{name} is no integer in {least} to {most}")
        return value

    def time(self, name: str) -> int:
        return self.integer(name, 0, END_OF_TIME)

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            self.fail(f"{name} is neither true nor false")
        return value

    def digest(self, name: str, *, may_be_empty: bool = False) -> bytes:
        """32 bytes from base64url."""
        value = self.text(name, 43, least=0 if may_be_empty else 43)
        try:
            decoded = decode_base64url(value)
        except ValueError:
            self.fail(f"{name} is no base64url")
        if len(decoded) != 32 and not (may_be_empty and not value):
            self.fail(f"{name} has not 32 bytes")
        return decoded

    def array(self, name: str, most: int, *, least: int = 0) -> list[Any]:
        value = self.take(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            self.fail(f"{name} is no list of {least} to {most}")
        return value

    def rest(self) -> dict[str, Any]:
        """All members not taken yet, for an object whose names are data."""
        left, self._left = self._left, {}
        return left

    def end(self) -> None:
        if self._left:
            self.fail(f"unknown members {', '.join(sorted(self._left))[:100]}")
