"""PIN letters: what the person gets on paper. Written before the card takes the PIN, so that no PIN is ever lost."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from sim_applet_tools.errors import StorageError
from sim_applet_tools.personalise.durable_lines import DurableLines

TRANSPORT_PIN_DIGITS = 6
PUK_DIGITS = 8


@dataclass(frozen=True, slots=True)
class PinLetter:
    """Secrets of one card; its text form leaves them out."""

    iccid: str
    transport_pin: str = field(repr=False)
    puk: str = field(repr=False)


class PinLetters:
    """JSON Lines, mode 0600: `iccid`, `transport_pin`, `puk`. Print them, then destroy the file."""

    def __init__(self, path: Path) -> None:
        self._lines = DurableLines(path)
        self._letters: dict[str, PinLetter] = {}
        for number, line in enumerate(self._lines.found, 1):
            if set(line) != {"iccid", "transport_pin", "puk"} or not all(
                isinstance(item, str) for item in line.values()
            ):
                self._lines.close()
                raise StorageError(f"{path}, line {number}, is no PIN letter: restore the file from a copy")
            self._letters[line["iccid"]] = PinLetter(**line)

    def letter(self, iccid: str) -> PinLetter | None:
        return self._letters.get(iccid)

    def write(self, iccid: str) -> PinLetter:
        """A letter with a new random PIN and PUK, on the disk."""
        letter = PinLetter(iccid, _digits(TRANSPORT_PIN_DIGITS), _digits(PUK_DIGITS))
        self._lines.append({"iccid": iccid, "transport_pin": letter.transport_pin, "puk": letter.puk})
        self._letters[iccid] = letter
        return letter

    def close(self) -> None:
        self._lines.close()


def _digits(count: int) -> str:
    return "".join(str(secrets.randbelow(10)) for _ in range(count))
