"""What a person should know before approving: about the app, the browser, the card, and the identity on the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from sim_applet_tools.agent.app_record import AppRecord
from sim_applet_tools.agent.base64url import encode_base64url
from sim_applet_tools.agent.card import CardSight
from sim_applet_tools.agent.challenge import Challenge
from sim_applet_tools.agent.home import Memory
from sim_applet_tools.agent.names import shape
from sim_applet_tools.agent.watch import IdentitySight
from sim_applet_tools.errors import SimError

Level = Literal["info", "warning", "alarm"]
LONG_SSO_S = 8 * 3600


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to know; its words are in `texts/faces.json` under `code`, `values` fill them.

    `error` is what failed, where one did: its text stands for `{why}` in the person's language.
    """

    code: str
    level: Level
    values: dict[str, str] = field(default_factory=dict)
    error: SimError | None = field(default=None, compare=False)


def app_notices(challenge: Challenge, record: AppRecord, memory: Memory) -> list[Notice]:
    """First time, another subject than last time, a name that looks like another app's, new browser, remote."""
    notices = []
    known = memory.apps.get(challenge.client_id)
    if known is None or not known.sub:
        notices.append(Notice("first-time", "info"))
        alike = [
            app.name
            for client_id, app in memory.apps.items()
            if client_id != challenge.client_id and app.sub and shape(app.name) == shape(record.name)
        ]
        notices += [Notice("name-alike", "warning", {"name": name}) for name in alike[:1]]
    elif known.sub != challenge.sub:
        notices.append(Notice("sub-changed", "warning"))
    if challenge.mode != "ciba" and not challenge.is_known_browser:
        notices.append(Notice("new-browser", "warning" if challenge.mode == "remote" else "info"))
    if challenge.mode == "remote":
        notices.append(Notice("remote", "warning", {"browser": challenge.browser}))
    if challenge.sso_seconds > LONG_SSO_S:
        notices.append(Notice("long-sso", "warning", {"hours": str(challenge.sso_seconds // 3600)}))
    return notices


def card_notices(sight: CardSight, memory: Memory) -> list[Notice]:
    """Signatures since the last look, more than this agent asked for, a counter that went back, an emulated card."""
    notices = []
    if memory.counter is not None:
        made = sight.signature_counter - memory.counter
        values = {"count": str(made), "own": str(memory.own)}
        if made < memory.own:
            notices.append(Notice("counter-back", "alarm", values))
        elif made > memory.own:
            notices.append(Notice("signed-elsewhere", "warning", values))
        elif made:
            notices.append(Notice("signed", "info", values))
    if sight.is_emulator:
        notices.append(Notice("emulator", "warning"))
    return notices


def after_card_look(memory: Memory, sight: CardSight) -> Memory:
    return replace(memory, counter=sight.signature_counter, own=0)


def identity_notices(sight: IdentitySight, card_key_x: bytes, memory: Memory) -> list[Notice]:
    """A key that this agent did not make, a history that lost one, a replacement on its way, and the state.

    `card_key_x` is the X coordinate of the card's own key; two keys of one X differ in the sign of the private key
    only, so X names a key.
    """
    history = [encode_base64url(key.x) for key in sight.keys]
    notices = []
    if sight.state == "unknown":
        return [Notice("identity-unknown", "alarm")]
    strange = [key for key in history if key not in memory.keys and key != encode_base64url(card_key_x)]
    if memory.keys and strange:
        notices.append(Notice("strange-key", "alarm", {"count": str(len(strange))}))
    if set(memory.keys) - set(history):
        notices.append(Notice("history-lost", "alarm"))
    if not history or history[-1] != encode_base64url(card_key_x):
        notices.append(Notice("key-not-mine", "alarm"))
    if sight.replacement_due_at:
        due = datetime.fromtimestamp(sight.replacement_due_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        notices.append(Notice("replacement", "alarm", {"due": due}))
    if sight.state != "active":
        notices.append(Notice(f"identity-{sight.state}", "alarm" if sight.state == "revoked" else "warning"))
    return notices


def after_identity_look(memory: Memory, sight: IdentitySight, card_key_x: bytes) -> Memory:
    """Takes the history as the one known where nothing was known, and only where it ends with the card's own key."""
    history = tuple(encode_base64url(key.x) for key in sight.keys)
    if memory.keys or not history or history[-1] != encode_base64url(card_key_x):
        return memory
    return replace(memory, keys=history)
