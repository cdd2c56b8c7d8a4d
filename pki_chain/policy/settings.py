"""One rule's table in rules.toml, taken apart key by key; what nobody takes is an error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pki_chain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """The keys that are left of `[rules.<rule>]` in `path`."""

    rule: str
    path: Path
    left: dict[str, object]

    def take_seconds(self, key: str, default: int, maximum: int) -> int:
        """A number of seconds from 0 to `maximum`. Raises ConfigurationError."""
        value = self.left.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise self._error(key, f"wants seconds from 0 to {maximum}")
        return value

    def take_lines(self, key: str, max_bytes: int) -> list[str]:
        """Lines of the file that the key names, relative to rules.toml; comments (#) and empty lines left out.

        Raises ConfigurationError.
        """
        value = self.left.pop(key, None)
        if not isinstance(value, str) or not value:
            raise self._error(key, "wants the name of a file")
        path = self.path.parent / value
        try:
            if path.stat().st_size > max_bytes:
                raise self._error(key, f"{path} is longer than {max_bytes} bytes")
            lines = path.read_text(encoding="ascii").splitlines()
        except (OSError, ValueError) as error:
            raise self._error(key, f"{path} cannot be read ({error})") from error
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]

    def finish(self) -> None:
        """Raises ConfigurationError when a key is left that the rule does not know."""
        for key in self.left:
            raise self._error(key, "is not a setting of this rule")

    def _error(self, key: str, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self.path}: rules.{self.rule}.{key} {problem}; correct it or leave it out")
