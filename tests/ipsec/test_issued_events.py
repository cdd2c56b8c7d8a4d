"""What is cut off, and when answers are forgotten: the events' side of `IssuedPeers`, without a daemon.

`test_issued` has the daemon.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pki_chain.errors import LedgerUnavailableError
from pki_chain.ipsec.charon import _is_among
from pki_chain.ipsec.issued import IssuedPeers


class RecordedDaemon:
    """Open from the start, as one is whose `tally ipsec sync` began again."""

    def __init__(self) -> None:
        self.is_open = True
        self.done: list[object] = []

    def open_to_issued(self, *_: object) -> None:
        self.is_open = True
        self.done.append("open")

    def is_open_to_issued(self) -> bool:
        return self.is_open

    def flush(self) -> None:
        self.done.append("flush")

    def close_to_issued(self) -> int:
        self.is_open = False
        self.done.append("close")
        return 1

    def cut_issued(self, identities: Iterable[str] | None = None) -> int:
        self.done.append(None if identities is None else sorted(identities))
        return 1


class Feed:
    def __init__(self) -> None:
        self.changes: list[dict[str, Any]] = []
        self.is_up = True

    def read_object(self, path: str, query: Mapping[str, object]) -> Any:  # noqa: ARG002
        if not self.is_up:
            raise LedgerUnavailableError("nobody answers")
        found, self.changes = self.changes, []
        return {"changes": found, "cursor": "c", "more": False}


def peers(daemon: RecordedDaemon, feed: Feed) -> IssuedPeers:
    return IssuedPeers(daemon, None, None, feed, 60.0)  # type: ignore[arg-type]  # neither is looked into here


def ended(*names: tuple[str, str]) -> dict[str, Any]:
    return {"kind": "revoked", "names": [{"kind": kind, "value": value} for kind, value in names]}


def test_what_stood_before_the_first_event_is_not_believed() -> None:
    daemon, feed = RecordedDaemon(), Feed()
    issued = peers(daemon, feed)
    assert issued.look(0.0) == 1
    assert daemon.done == ["close", "flush", "open"]
    assert issued.look(1.0) == 0
    assert daemon.done == ["close", "flush", "open"]


def test_after_silence_all_begins_anew() -> None:
    daemon, feed = RecordedDaemon(), Feed()
    issued = peers(daemon, feed)
    issued.look(0.0)
    feed.is_up, daemon.done = False, []
    assert issued.look(59.0) == 0
    assert issued.look(61.0) == 1
    assert daemon.done == ["close"]
    feed.is_up = True
    issued.look(62.0)
    assert daemon.done == ["close", "close", "flush", "open"]


def test_an_end_without_a_name_for_ike_cuts_too() -> None:
    daemon, feed = RecordedDaemon(), Feed()
    issued = peers(daemon, feed)
    issued.look(0.0)
    daemon.done = []
    feed.changes = [ended(("uri", "urn:x"))]
    assert issued.look(1.0) == 1
    assert daemon.done == ["flush", []]
    daemon.done, feed.changes = [], [{"kind": "published", "names": []}]
    assert issued.look(2.0) == 0
    assert daemon.done == ["flush"]


def test_whom_an_end_means() -> None:
    wanted = {"cell.example"}
    assert _is_among("cell.example", wanted)
    assert _is_among("CELL.Example", wanted), "the daemon takes both for one"
    assert _is_among("O=Acme Cells", wanted), "no event names it"
    assert not _is_among("other.example", wanted)
    assert _is_among("other.example", None)
