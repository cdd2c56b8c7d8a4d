"""Waits for logins in a terminal: those that a page hands over, and those that come into the inbox."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.challenge import Language
from sim_applet_tools.agent.error_wording import say_error
from sim_applet_tools.agent.issuer import HandOver
from sim_applet_tools.agent.notices import Notice
from sim_applet_tools.agent.provider_client import Inbox
from sim_applet_tools.agent.terminal import Console, Decision, TerminalFace
from sim_applet_tools.agent.wording import say_notice
from sim_applet_tools.errors import SimError

MAX_HANDLES_REMEMBERED = 256
WAKE_PAUSE_S = 5.0
PATROL_S = 120.0


class Patrol:
    """Looks at the identity on the ledger now and then, and says each alarm once while it lasts.

    `monotonic` gives seconds. An agent of its own, since it may look while another answers a page.
    """

    def __init__(self, agent: Agent, console: Console, language: Language, monotonic: Callable[[], float]) -> None:
        self._agent = agent
        self._console = console
        self._language = language
        self._monotonic = monotonic
        self._due_at = monotonic()
        self._said: list[Notice] = []

    def go(self) -> None:
        """Look, where it is time to."""
        if self._monotonic() < self._due_at:
            return
        self._due_at = self._monotonic() + PATROL_S
        found = [notice for notice in self._agent.look_at_identity().notices if notice.level != "info"]
        for notice in found:
            if notice not in self._said:
                self._console.show(say_notice(self._language, notice), notice.level)
        self._said = found


class Waiting:
    """One terminal at a time answers. `wake` is an agent with a connection of its own for the wake-ups, or None."""

    def __init__(self, agent: Agent, face: TerminalFace, console: Console, wake: Agent | None) -> None:
        self._agent = agent
        self._face = face
        self._console = console
        self._queue: SimpleQueue[HandOver | None] = SimpleQueue()
        self._seen: list[str] = []
        self._is_over = threading.Event()
        if wake is not None:
            threading.Thread(target=self._listen, args=(wake,), daemon=True).start()

    def take(self, hand_over: HandOver) -> None:
        """From the local page's thread."""
        self._queue.put(hand_over)

    def close(self) -> None:
        self._is_over.set()

    def next_decision(self) -> Decision | None:
        """Wait for one login and see it through; None where none came before the inbox was looked at again."""
        inbox = self._inbox()
        for handle in inbox.handles:
            if handle not in self._seen:
                self._seen = [*self._seen[-MAX_HANDLES_REMEMBERED:], handle]
                return self._handle(handle, None)
        try:
            hand_over = self._queue.get(timeout=inbox.ask_again_s)
        except Empty:
            return None
        return None if hand_over is None else self._handle(hand_over.handle, hand_over.local_secret)

    def _inbox(self) -> Inbox:
        try:
            return self._agent.inbox()
        except SimError as error:
            self._console.show(say_error(self._face.language, error), "warning")
            return Inbox((), 10)

    def _handle(self, handle: str, local_secret: str | None) -> Decision | None:
        try:
            return self._face.handle(handle, local_secret)
        except SimError as error:
            self._console.show(
                say_error(self._face.language, error), "alarm" if error.code == "challenge-refused" else "warning"
            )
            return None

    def _listen(self, wake: Agent) -> None:
        """A broken stream is no failure: the inbox is asked all the same, only later."""
        while not self._is_over.is_set():
            with suppress(SimError):
                for _ in wake.wakes():
                    self._queue.put(None)
            self._is_over.wait(WAKE_PAUSE_S)
