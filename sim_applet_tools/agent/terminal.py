"""The agent's face in a terminal. The PIN is asked for at each approval, and there is no way around it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from sim_applet_tools.agent.agent import Agent, Outcome, Prompt
from sim_applet_tools.agent.challenge import Language
from sim_applet_tools.agent.consent_text import item_label
from sim_applet_tools.agent.error_wording import say_error
from sim_applet_tools.agent.notices import Notice
from sim_applet_tools.agent.provider_client import RefusalReason
from sim_applet_tools.agent.wording import say, say_notice, sorted_notices
from sim_applet_tools.errors import InputError, NotEnrolledError, ProviderRefusedError, ReaderError
from sim_applet_tools.status_words import WrongPinError

Style = Literal["plain", "strong", "info", "warning", "alarm"]
MAX_ROUNDS = 10
REFUSALS: dict[str, RefusalReason] = {"n": "declined", "x": "not-me", "b": "block-app"}


class Console(Protocol):
    """Where a person reads and types. Nothing shown is ever taken as markup."""

    def show(self, text: str, style: Style = "plain") -> None:
        """One or more lines."""

    def ask(self, question: str) -> str:
        """What was typed, without blanks at its ends."""

    def ask_secret(self, question: str) -> str:
        """The same, not echoed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How one prompt ended; `outcome` is there where it was approved."""

    kind: Literal["approved", "declined", "not-me", "block-app", "held"]
    outcome: Outcome | None = None


class TerminalFace:
    """Shows prompts of one agent on one console."""

    def __init__(self, agent: Agent, console: Console, language: Language) -> None:
        self._agent = agent
        self._console = console
        self._language = language

    @property
    def language(self) -> Language:
        return self._language

    def handle(self, handle: str, local_secret: str | None) -> Decision:
        """Fetch, show, ask. Raises what `Agent.open` raises, and where card or provider fail for good."""
        prompt = self._agent.fetch(handle, local_secret, self._language)
        self.show_prompt(prompt)
        complete = self._agent.complete(prompt)  # while the person reads
        self.show_notices(complete.notices[: len(complete.notices) - len(prompt.notices)])
        return self.decide(complete)

    def show_prompt(self, prompt: Prompt) -> None:
        challenge = prompt.challenge
        self._console.show("")
        self._say(f"mode_{challenge.mode}", "strong")
        self.show_notices(prompt.notices)
        self._console.show("")
        self._console.show(prompt.text)
        self._console.show("")
        self._say("domain", "strong", domain=prompt.domain)
        self._say("member", "strong", member=prompt.record.member_name)
        if challenge.browser:
            self._say("browser", browser=challenge.browser)
        if challenge.items:
            self._say("items")
        for number, item in enumerate(challenge.items, 1):
            essential = f" ({say(self._language, 'essential')})" if item.is_essential else ""
            self._console.show(f"  {number}  {item_label(item.name, self._language)}{essential}")

    def show_notices(self, notices: tuple[Notice, ...]) -> None:
        for notice in sorted_notices(notices):
            self._console.show(say_notice(self._language, notice), notice.level)

    def decide(self, prompt: Prompt) -> Decision:
        """Ask until there is a decision; a wrong PIN or a pulled card asks again, some times."""
        refused = self._choose(prompt)
        if isinstance(refused, Decision):
            return refused
        code = ""
        for _ in range(MAX_ROUNDS):
            if prompt.challenge.mode == "remote":
                code = self._console.ask(say(self._language, "code"))
            pin = self._console.ask_secret(say(self._language, "pin"))
            if not pin:
                break
            outcome = self._try(prompt, pin, refused, code)
            if outcome is not None:
                self._say("approved", "strong")
                return Decision("approved", outcome)
        return self._refuse(prompt, "declined")

    def hold(self) -> bool:
        """Ask whether to hold the identity, and do it; False where the person thought better of it."""
        if self._console.ask(say(self._language, "hold_sure")) != "HOLD":
            return False
        self._agent.hold("unknown-login")
        self._say("held_done", "strong")
        return True

    def _try(self, prompt: Prompt, pin: str, refused: set[str], code: str) -> Outcome | None:
        """None where it may be tried again."""
        try:
            return self._agent.approve(prompt, pin, refused, code)
        except WrongPinError as error:
            if not error.tries_left:
                raise
            self._say("wrong_pin", "warning", tries=str(error.tries_left))
        except (ReaderError, InputError) as error:
            self._console.show(say_error(self._language, error), "warning")
        except ProviderRefusedError as error:
            if error.reason != "wrong-code":
                raise
            self._console.show(say_error(self._language, error), "warning")
        return None

    def _choose(self, prompt: Prompt) -> set[str] | Decision:
        items = prompt.challenge.items
        question = say(self._language, "choose" if items else "choose_no_items")
        for _ in range(MAX_ROUNDS):
            answer = self._console.ask(question).lower()
            if answer in REFUSALS:
                return self._refuse(prompt, REFUSALS[answer])
            if answer == "h":
                if self.hold():
                    with suppress(ProviderRefusedError, NotEnrolledError):  # the hold may have ended the challenge
                        self._agent.refuse(prompt, "not-me")
                    return Decision("held")
                continue
            numbers = answer.replace(",", " ").split()
            if all(number.isascii() and number.isdigit() and 1 <= int(number) <= len(items) for number in numbers):
                refused = {items[int(number) - 1].name for number in numbers}
                if refused:
                    labels = ", ".join(item_label(name, self._language) for name in sorted(refused))
                    self._say("refusing", items=labels)
                return refused
            self._say("not_understood", "warning")
        return self._refuse(prompt, "declined")

    def _refuse(self, prompt: Prompt, reason: RefusalReason) -> Decision:
        self._agent.refuse(prompt, reason)
        text = {"declined": "refused", "not-me": "not_me_done", "block-app": "blocked_done"}[reason]
        self._say(text, app=prompt.record.name)
        return Decision(reason)

    def _say(self, text: str, style: Style = "plain", **values: str) -> None:
        self._console.show(say(self._language, text, **values), style)
