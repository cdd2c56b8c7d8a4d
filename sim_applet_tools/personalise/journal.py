"""Which identity each card has and how far it is, durable before the next step touches the card.

One journal a batch. An identity once assigned stays with its card for good, also where that card is set aside, so that
none is ever given to two cards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim_applet_tools.errors import InputError, StorageError
from sim_applet_tools.personalise.batch import Batch
from sim_applet_tools.personalise.durable_lines import DurableLines

FORMAT = "tally-personalisation-journal/1"


@dataclass(frozen=True, slots=True)
class CardRecord:
    """What the journal says of one card. Keys are x‖y, 64 bytes, or empty; `set_aside` is the reason, or empty."""

    identity: bytes
    iccid: str
    eid: str = ""
    key: bytes = b""
    device_key: bytes = b""
    proof: str = ""
    attestation: str = ""
    access_rule: str = ""
    is_card_enforced: bool = False
    is_emulator: bool = False
    is_finished: bool = False
    set_aside: str = ""

    @property
    def is_open(self) -> bool:
        """Begun, and neither finished nor set aside."""
        return not self.is_finished and not self.set_aside


class Journal:
    """The records of one batch, by ICCID."""

    def __init__(self, path: Path, batch: Batch, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lines = DurableLines(path)
        self._records: dict[str, CardRecord] = {}
        try:
            self._begin(batch)
        except BaseException:
            self._lines.close()
            raise
        taken = {record.identity for record in self._records.values()}
        self._free = iter([identity for identity in batch.identities if identity not in taken])
        self._left = len(batch.identities) - len(taken)

    @property
    def identities_left(self) -> int:
        return self._left

    def __iter__(self) -> Iterator[CardRecord]:
        return iter(list(self._records.values()))

    def record(self, iccid: str) -> CardRecord | None:
        return self._records.get(iccid)

    def assign(self, iccid: str, eid: str) -> CardRecord:
        """The next free identity, for this card and never for another."""
        if iccid in self._records:
            raise InputError(f"the card {iccid} has an identity of this batch already")
        identity = next(self._free, None)
        if identity is None:
            raise InputError("every identity of this batch is given to a card: ask the operator for another batch")
        self._left -= 1
        return self._note(CardRecord(identity, iccid, eid), {"identity": identity.hex(), "iccid": iccid, "eid": eid})

    def note(self, record: CardRecord, **changes: Any) -> CardRecord:
        """Write what changed, then return the changed record."""
        line = {name: value.hex() if isinstance(value, bytes) else value for name, value in changes.items()}
        return self._note(replace(record, **changes), {"identity": record.identity.hex(), **line})

    def close(self) -> None:
        self._lines.close()

    def _note(self, record: CardRecord, line: dict[str, Any]) -> CardRecord:
        self._lines.append({**line, "at": int(self._clock())})
        self._records[record.iccid] = record
        return record

    def _begin(self, batch: Batch) -> None:
        header = {"format": FORMAT, "batch": batch.digest.hex()}
        if not self._lines.found:
            self._lines.append(header)
        elif self._lines.found[0] != header:
            raise InputError(
                f"{self._path} belongs to another batch, or to another version of this program: keep each batch in a "
                "folder of its own"
            )
        by_identity: dict[str, CardRecord] = {}
        known = frozenset(batch.identities)
        for number, line in enumerate(self._lines.found[1:], 2):
            record = self._replayed(number, line, by_identity, known)
            by_identity[line["identity"]] = self._records[record.iccid] = record

    def _replayed(
        self, number: int, line: dict[str, Any], by_identity: dict[str, CardRecord], known: frozenset[bytes]
    ) -> CardRecord:
        try:
            identity = bytes.fromhex(line["identity"])
            changes = {name: value for name, value in line.items() if name not in {"identity", "at"}}
            for name in {"key", "device_key"} & changes.keys():
                changes[name] = bytes.fromhex(changes[name])
            before = by_identity.get(line["identity"])
            if before is not None and not {"iccid", "eid"} & changes.keys():
                return replace(before, **changes)
            record = CardRecord(identity, **changes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(f"{self._path}, line {number}, is damaged: restore the file from a copy") from error
        if before is not None or record.iccid in self._records or identity not in known:
            raise StorageError(f"{self._path}, line {number}, gives an identity or a card twice: restore a copy")
        return record
