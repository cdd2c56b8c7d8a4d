"""What a member votes on is what it was shown: the hash is of the kind and the content."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pki_chain.chain.typed_data import content_hash
from pki_chain.cli import consortium
from pki_chain.config import MemberConfig
from pki_chain.errors import LedgerUnavailableError, NotFoundError
from pki_chain.ports import ProposalMade

CONTENT = (3).to_bytes(32)
SUSPEND, RESTORE = 2, 3


def made(kind: int, content: bytes) -> ProposalMade:
    return ProposalMade(1, 1, kind, content_hash(SUSPEND, CONTENT), content, 99)


def shown(monkeypatch: pytest.MonkeyPatch, event: ProposalMade, number: int = 1) -> ProposalMade:
    """What the commands make of an endpoint's answer."""
    events: list[Any] = [event]
    monkeypatch.setattr(consortium, "_events", lambda _config, _kind: events)
    return consortium._proposal(cast("MemberConfig", None), number)


def test_as_it_was_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    event = made(SUSPEND, CONTENT)
    assert shown(monkeypatch, event) == event


@pytest.mark.parametrize(("kind", "content"), [(RESTORE, CONTENT), (SUSPEND, (4).to_bytes(32)), (SUSPEND, b"")])
def test_an_endpoint_that_shows_something_else(monkeypatch: pytest.MonkeyPatch, kind: int, content: bytes) -> None:
    with pytest.raises(LedgerUnavailableError, match="does not have its hash"):
        shown(monkeypatch, made(kind, content))


def test_no_such_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError):
        shown(monkeypatch, made(SUSPEND, CONTENT), 2)
