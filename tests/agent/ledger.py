"""Identities as a provider and a watch look them up, kept in memory: what the real registry would answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.watch import IdentityKey, IdentitySight, IdentityState
from sim_applet_tools.errors import WatchUnavailableError


@dataclass
class Entry:
    keys: list[ec.EllipticCurvePublicKey]
    state: IdentityState = "active"
    replacement_due_at: int = 0


@dataclass
class Ledger:
    """`age_s` is how old the head is; `is_gone` makes it unreachable."""

    entries: dict[str, Entry] = field(default_factory=dict)
    age_s: int = 0
    is_gone: bool = False

    def register(self, identity: str, key: ec.EllipticCurvePublicKey) -> None:
        self.entries[identity] = Entry([key])

    def look(self, identity: str) -> IdentitySight:
        """The port `IdentityWatch`."""
        if self.is_gone or self.age_s > 60:
            raise WatchUnavailableError("the gateway cannot be asked: try again")
        now = int(time.time()) - self.age_s
        entry = self.entries.get(identity)
        if entry is None:
            return IdentitySight(identity, "unknown", (), now)
        numbers = [key.public_numbers() for key in entry.keys]
        keys = tuple(IdentityKey(n.x.to_bytes(32, "big"), n.y.to_bytes(32, "big"), now) for n in numbers)
        return IdentitySight(identity, entry.state, keys, now, entry.replacement_due_at)
