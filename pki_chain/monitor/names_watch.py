"""Tells a member of certificates that carry its names and that it did not expect, and of those that soon end."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pki_chain.errors import LedgerUnavailableError, StorageError

_EUI: Final = re.compile(r"([0-9a-f]{12}|[0-9a-f]{16})\..+")
_CURSOR: Final = re.compile(r"[0-9]{1,18}")
_PAGE: Final = 500
_DELEGATION_S: Final = 7 * 86_400
"""Delegations for OCSP last a month at most: so long before their end they are told of."""


class Reader(Protocol):
    """Where the feed is read, such as `GatewayReader`."""

    def read_object(self, path: str, query: dict[str, object]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class NameWarning:
    """One thing to look at. `kind` is unexpected or expiring."""

    kind: str
    sha256: str
    names: tuple[str, ...]
    text: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Space:
    """A name space of the member, as `/v1/members` shows it."""

    kind: str
    bits: int
    value: bytes

    def covers(self, kind: str, name: str) -> bool:
        """Whether a subjectAltName lies in it. Source: contracts/interfaces/IConsortium.sol, NameSpace."""
        text = self.value.decode("ascii", "replace")
        if self.kind == "dns":
            return kind == "dns" and (name == text or name.endswith("." + text))
        if self.kind == "urn":
            return kind == "uri" and name.startswith(text)
        if self.kind == "oui":
            found = _EUI.fullmatch(name)
            if kind != "dns" or found is None:
                return False
            digits = found[1]
            return int(digits, 16) >> (4 * len(digits) - self.bits) == int.from_bytes(self.value) >> (
                8 * len(self.value) - self.bits
            )
        if kind != "ip" or len(self.value) not in {4, 16}:
            return False
        address = ipaddress.ip_address(name)
        return len(address.packed) == len(self.value) and _prefix(address.packed, self.bits) == _prefix(
            self.value, self.bits
        )


class NamesWatch:
    """Judges changes for one member, and remembers how far it came."""

    def __init__(
        self, reader: Reader, member: int, spaces: Sequence[Space], expected: Collection[str] | None, state: Path | None
    ) -> None:
        """`expected` are SHA-256 of certificates that the member knows of; None expects all that its own lots brought.

        Raises `StorageError` when `state` cannot be read.
        """
        self._reader = reader
        self._member = member
        self.spaces = tuple(spaces)
        self._expected = expected
        self._state = state
        self._cursor = _load_cursor(state)
        self._told: set[str] = set()

    def look(self) -> Iterator[NameWarning]:
        """Everything new up to now. The cursor is stored when a page was given out whole, so a warning may come again
        after a crash and none is lost."""
        while True:
            page = self._reader.read_object("/v1/changes", {"after": self._cursor, "limit": _PAGE})
            try:
                changes, cursor, more = list(page["changes"]), str(page["cursor"]), bool(page["more"])
                warnings = [found for change in changes if (found := self._judge(change)) is not None]
            except (KeyError, TypeError, ValueError) as error:
                raise LedgerUnavailableError("A gateway's page of the feed is not of its form.") from error
            yield from warnings
            if cursor != self._cursor:
                self._cursor = cursor
                _store_cursor(self._state, cursor)
            if not more:
                return

    def expiring(self, before: int) -> Iterator[NameWarning]:
        """The member's certificates, valid or held, that end before a time (seconds since 1970); of the first thousand
        those that were not told of before."""
        page = self._reader.read_object("/v1/expiries", {"member": self._member, "before": before})
        for each in page["certificates"]:
            if each["sha256"] in self._told:
                continue
            self._told.add(str(each["sha256"]))
            names = tuple(str(name["value"]) for name in each["names"])
            text = f"{', '.join(names)} ends at {each['not_after']} (seconds since 1970)"
            yield NameWarning("expiring", str(each["sha256"]), names, text, each)

    def expiring_authorities(self, before: int) -> Iterator[NameWarning]:
        """The member's CAs that end before a time, and what they delegated that ends within a week and has no follower:
        without it nobody answers about what they issued. Those that were not told of before."""
        page = self._reader.read_object("/v1/authorities", {"member": self._member})
        try:
            now = int(page["block"]["time"])
            found = [
                warning
                for authority in page["authorities"]
                if authority["state"] == "live"
                for warning in _ends_of(authority, now, before)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerUnavailableError("A gateway's trust list is not of its form.") from error
        for warning in found:
            if warning.sha256 not in self._told:
                self._told.add(warning.sha256)
                yield warning

    def _judge(self, change: Mapping[str, Any]) -> NameWarning | None:
        if change["kind"] != "published":
            return None
        names = [(str(name["kind"]), str(name["value"])) for name in change["names"]]
        ours = tuple(name for kind, name in names if any(space.covers(kind, name) for space in self.spaces))
        if not ours:
            return None
        sha256, owner = str(change["sha256"]), change["member"]
        if owner != self._member:
            text = f"{', '.join(ours)}: published from a lot of member {owner}"
        elif self._expected is not None and sha256 not in self._expected:
            text = f"{', '.join(ours)}: published from a lot of our own, and not among those expected"
        else:
            return None
        return NameWarning("unexpected", sha256, ours, text, change)


def _ends_of(authority: Mapping[str, Any], now: int, before: int) -> Iterator[NameWarning]:
    name = f"CA {authority['id']}"
    if now <= int(authority["trusted_until"]) < before:
        text = f"{name} ends at {authority['trusted_until']} (seconds since 1970)"
        yield NameWarning("expiring", str(authority["sha256"]), (), text, authority)
    for kind in ("ocsp-signing", "crl-signing"):
        given = [each for each in authority["delegations"] if each["kind"] == kind and not each["withdrawn"]]
        last = max(given, key=lambda each: int(each["not_after"]), default=None)
        if last is not None and now <= int(last["not_after"]) < now + _DELEGATION_S:
            text = f"the last {kind} delegation of {name} ends at {last['not_after']} (seconds since 1970)"
            yield NameWarning("expiring", str(last["sha256"]), (), text, last)


def load_expected(path: Path) -> frozenset[str]:
    """SHA-256, one a line, `#` begins a comment. Raises `StorageError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"Cannot read {path}: {error}. Give a file of SHA-256, one a line.") from error
    return frozenset(text for line in lines if (text := line.partition("#")[0].strip().lower()))


def _load_cursor(state: Path | None) -> str:
    if state is None or not state.exists():
        return "0"
    try:
        cursor = str(json.loads(state.read_text(encoding="utf-8"))["cursor"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{state} is no state of a monitor. Remove it to begin anew.") from error
    if not _CURSOR.fullmatch(cursor):
        raise StorageError(f"{state} holds no cursor. Remove it to begin anew.")
    return cursor


def _store_cursor(state: Path | None, cursor: str) -> None:
    if state is None:
        return
    temporary = state.with_name(f".{state.name}.new")
    try:
        temporary.write_text(json.dumps({"cursor": cursor}) + "\n", encoding="utf-8")
        temporary.replace(state)
    except OSError as error:
        raise StorageError(f"Cannot write {state}: {error.strerror}. Free space or choose another place.") from error


def _prefix(packed: bytes, bits: int) -> int:
    return int.from_bytes(packed) >> (8 * len(packed) - bits)
