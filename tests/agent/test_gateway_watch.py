"""The watch that `--gateway` names: another package's, found by its entry point, and not trusted to behave."""

from __future__ import annotations

import pytest

from pki_chain.identity.watch import GatewayWatch, WatchedIdentity, WatchedKey
from sim_applet_tools.agent.watch import IdentityKey, IdentitySight
from sim_applet_tools.cli.agent_parts import identity_watch
from sim_applet_tools.errors import WatchUnavailableError
from tests.agent.conftest import IDENTITY


def test_what_it_sees_becomes_the_agent_s_own_value(monkeypatch: pytest.MonkeyPatch) -> None:
    key = WatchedKey(bytes(32), bytes(32), 5)
    seen = WatchedIdentity(IDENTITY, "active", (key,), 7, 9, key)
    monkeypatch.setattr(GatewayWatch, "look", lambda _self, _identity: seen)
    watch = identity_watch("http://127.0.0.1:1")
    assert watch is not None
    same = IdentityKey(bytes(32), bytes(32), 5)
    assert watch.look(IDENTITY) == IdentitySight(IDENTITY, "active", (same,), 7, 9, same)


def test_a_gateway_that_is_not_there() -> None:
    watch = identity_watch("http://127.0.0.1:1")
    assert watch is not None
    with pytest.raises(WatchUnavailableError, match="gateway"):
        watch.look(IDENTITY)


def test_whatever_it_raises_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: GatewayWatch, _identity: str) -> WatchedIdentity:
        raise ZeroDivisionError

    monkeypatch.setattr(GatewayWatch, "look", broken)
    watch = identity_watch("http://127.0.0.1:1")
    assert watch is not None
    with pytest.raises(WatchUnavailableError):
        watch.look(IDENTITY)


def test_no_gateway_no_watch() -> None:
    assert identity_watch(None) is None
