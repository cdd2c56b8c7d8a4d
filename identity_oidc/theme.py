"""An operator's brand on the pages: a name, a logo and colours, in a TOML file that `provider.theme` names.

Colours are checked for contrast when the file is read, so that no theme makes a page that people cannot read.
Source: WCAG 2.2, success criteria 1.4.3 (text, 4.5:1) and 1.4.11 (edges of what one can use, 3:1).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from identity_oidc.errors import ConfigurationError

_COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
_MAX_FILE_BYTES: Final = 16_384
_MAX_LOGO_BYTES: Final = 65_536
_MAX_NAME_CHARS: Final = 60
_KINDS: Final = {".svg": "image/svg+xml", ".png": "image/png"}

COLOURS: Final[Mapping[str, Mapping[str, str]]] = {
    "light": {
        "ink": "#1b1f24",
        "muted": "#4d5661",
        "paper": "#f4f6f8",
        "card": "#ffffff",
        "line": "#75808c",
        "accent": "#0b5cad",
        "on-accent": "#ffffff",
        "alarm": "#a3171b",
    },
    "dark": {
        "ink": "#eef1f4",
        "muted": "#b3bcc6",
        "paper": "#121519",
        "card": "#1c2127",
        "line": "#7f8a96",
        "accent": "#8ec5ff",
        "on-accent": "#0c2036",
        "alarm": "#ffa8a3",
    },
}
"""What the pages have without a theme; a theme replaces some or all of it."""

TEXT: Final = 4.5
EDGE: Final = 3.0
_ON_PAPER: Final = (("ink", TEXT), ("muted", TEXT), ("accent", TEXT), ("alarm", TEXT), ("line", EDGE))
PAIRS: Final = (
    ("on-accent", "accent", TEXT),
    *((front, back, least) for front, least in _ON_PAPER for back in ("paper", "card")),
)
"""Which colour stands on which, and the least contrast."""


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture in the header; `kind` is its media type."""

    content: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Theme:
    """`name` and `logo` are None where the theme gives none; `colours` are whole, for `light` and for `dark`."""

    name: str | None = None
    logo: Logo | None = None
    colours: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: COLOURS)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """The theme of a file; the pages' own where there is none. Raises `ConfigurationError`."""
        if path is None:
            return cls()
        try:
            content = tomllib.loads(_read(path, _MAX_FILE_BYTES).decode("utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"{path} is not TOML: {error}") from error
        unknown = sorted(set(content) - {"name", "logo", "light", "dark"})
        if unknown:
            raise ConfigurationError(f"{path}: {unknown[0]} is not known; there are name, logo, [light] and [dark]")
        colours = {scheme: _colours(path, scheme, content.get(scheme, {})) for scheme in COLOURS}
        return cls(_name(path, content.get("name")), _logo(path, content.get("logo")), colours)

    @property
    def stylesheet(self) -> str:
        """The colours as custom properties, by the person's wish for light or dark."""
        light, dark = (
            " ".join(f"--{name}: {value};" for name, value in self.colours[scheme].items())
            for scheme in ("light", "dark")
        )
        return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"

    @property
    def version(self) -> str:
        """Changes with the theme, so that browsers fetch it anew."""
        return sha256(self.stylesheet.encode() + (self.logo.content if self.logo else b"")).hexdigest()[:12]


def contrast(one: str, other: str) -> float:
    """From 1 to 21, of two colours such as `#0b5cad`. Source: WCAG 2.2, "contrast ratio"."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _colours(path: Path, scheme: str, table: Any) -> Mapping[str, str]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: [{scheme}] must be a section")
    for name, value in table.items():
        if name not in COLOURS[scheme]:
            raise ConfigurationError(f"{path}: {scheme}.{name} is not known; there are {', '.join(COLOURS[scheme])}")
        if not isinstance(value, str) or not _COLOUR.fullmatch(value):
            raise ConfigurationError(f'{path}: {scheme}.{name} must be a colour such as "#0b5cad"')
    colours = {**COLOURS[scheme], **table}
    for front, back, least in PAIRS:
        found = contrast(colours[front], colours[back])
        if found < least:
            raise ConfigurationError(
                f"{path}: {scheme}.{front} on {scheme}.{back} has a contrast of {found:.1f}:1 and people need"
                f" {least}:1: choose one of them darker or lighter"
            )
    return colours


def _name(path: Path, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME_CHARS or not value.isprintable():
        raise ConfigurationError(f"{path}: name must be a text of 1 to {_MAX_NAME_CHARS} characters")
    return value


def _logo(path: Path, value: Any) -> Logo | None:
    if value is None:
        return None
    kind = _KINDS.get(Path(value).suffix) if isinstance(value, str) else None
    if kind is None:
        raise ConfigurationError(f"{path}: logo must be a file beside it that ends with {' or '.join(_KINDS)}")
    place = path.parent / value
    content = _read(place, _MAX_LOGO_BYTES)
    is_real = content.startswith(b"\x89PNG\r\n\x1a\n") if kind == "image/png" else b"<svg" in content[:1_024]
    if not is_real:
        raise ConfigurationError(f"{place} is not of the kind that its name says ({kind})")
    return Logo(content, kind)


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): see provider.theme") from error
    if len(content) > most_bytes:
        raise ConfigurationError(f"{path} is larger than {most_bytes} bytes: make it smaller")
    return content
