"""The app's sessions, kept on its server, so that a logout which the provider tells of ends them.

In memory and bounded, as fits an example; an app with several processes keeps them in its database.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from examples.relying_party.provider import Attempt, Login

MOST: Final = 10_000
ATTEMPT_S: Final = 900.0
SESSION_S: Final = 28_800.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What one browser's cookie stands for."""

    content: Attempt | Login
    until: float


class Sessions:
    """By a random id that changes at each login."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._used: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, content: Attempt | Login) -> str:
        """A new id for it; the oldest gives way when there are too many."""
        session_id = secrets.token_urlsafe(32)
        lifetime_s = SESSION_S if isinstance(content, Login) else ATTEMPT_S
        with self._lock:
            self._kept[session_id] = Kept(content, time.monotonic() + lifetime_s)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return session_id

    def login(self, session_id: str) -> Login | None:
        """Who is logged in there."""
        with self._lock:
            found = self._kept.get(session_id)
        return found.content if found and isinstance(found.content, Login) and found.until > time.monotonic() else None

    def take(self, session_id: str) -> Attempt | Login | None:
        """Its content, once."""
        with self._lock:
            found = self._kept.pop(session_id, None)
        return found.content if found and found.until > time.monotonic() else None

    def end(self, sub: str | None, sid: str | None) -> None:
        """The login `sid`; without it, every login of `sub`."""
        with self._lock:
            for session_id, kept in list(self._kept.items()):
                login = kept.content
                if isinstance(login, Login) and (login.sid == sid if sid else login.sub == sub):
                    del self._kept[session_id]

    def use_once(self, jti: str, until: float) -> bool:
        """Whether this logout token is new."""
        with self._lock:
            while self._used and (len(self._used) >= MOST or next(iter(self._used.values())) < time.time()):
                self._used.popitem(last=False)
            if jti in self._used:
                return False
            self._used[jti] = until
        return True
