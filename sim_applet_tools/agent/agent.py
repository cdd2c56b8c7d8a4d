"""The agent at one provider: opens challenges, has the card sign, says no. Faces show it all and ask the person.

Use as a library (a phone's companion, for instance): `Agent.open` -> `Prompt` -> `Agent.approve` or `Agent.refuse`.
Nothing here approves by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.app_record import AppRecord, pinned_keys, verify_app_record
from sim_applet_tools.agent.approval import approval_text, compact
from sim_applet_tools.agent.card import CardSight, OpenCard, look_at_card, sign_with_card
from sim_applet_tools.agent.challenge import Challenge, Language, decrypt_challenge, parse_challenge
from sim_applet_tools.agent.consent_text import consent_text
from sim_applet_tools.agent.context import build_context
from sim_applet_tools.agent.home import Enrolment, KnownApp, Memory, ProviderHome
from sim_applet_tools.agent.notices import (
    Notice,
    after_card_look,
    after_identity_look,
    app_notices,
    card_notices,
    identity_notices,
)
from sim_applet_tools.agent.provider_client import HoldReason, Inbox, ProviderClient, RefusalReason
from sim_applet_tools.agent.watch import IdentitySight, IdentityWatch
from sim_applet_tools.errors import ChallengeRefusedError, InputError, SimError
from sim_applet_tools.iot_safe.signature_check import SeenNonces

CODE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Prompt:
    """One challenge that may be shown: its record is signed by a pinned member, its texts are fit to be shown."""

    challenge: Challenge
    record: AppRecord
    domain: str
    text: str
    """What the approval commits to as "the text shown": show it whole."""
    notices: tuple[Notice, ...]
    is_complete: bool
    """Whether card and ledger were looked at; no other prompt is approved."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A login that the provider took. Mode local ends with `completion_uri`, in the browser that began the login."""

    completion_uri: str | None
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sights:
    """What card and ledger said; None where one could not be asked, with the notice that says so."""

    card: CardSight | None
    identity: IdentitySight | None
    notices: tuple[Notice, ...]


class Agent:
    """One person at one provider. `clock` gives seconds since 1970."""

    def __init__(
        self,
        enrolment: Enrolment,
        key: ec.EllipticCurvePrivateKey,
        client: ProviderClient,
        home: ProviderHome,
        open_card: OpenCard,
        *,
        clock: Callable[[], int],
        seen: SeenNonces,
        watch: IdentityWatch | None = None,
    ) -> None:
        self.enrolment = enrolment
        self._key = key
        self._client = client
        self._home = home
        self._open_card = open_card
        self._clock = clock
        self._seen = seen
        self._watch = watch
        self._members = pinned_keys(enrolment.members)

    def inbox(self) -> Inbox:
        """Handles that wait; asking does not bind them."""
        return self._client.inbox()

    def wakes(self) -> Iterator[None]:
        """One element whenever the inbox should be looked at; ends, or raises, where the stream breaks."""
        return self._client.wakes()

    def open(self, handle: str, local_secret: str | None, language: Language) -> Prompt:
        """`fetch`, then `complete`: a prompt with everything that is to be known, ready to be approved."""
        return self.complete(self.fetch(handle, local_secret, language))

    def fetch(self, handle: str, local_secret: str | None, language: Language) -> Prompt:
        """Fetch a challenge, which binds it to this agent, and check all that can be checked before a person looks.

        1. it is encrypted to this agent; 2. its form, issuer, time, acr; 3. that it is of the mode that this way leads
        to; 4. the member's signature on the app's record; 5. that the record is of this app; 6. a domain that was
        verified; 7. that the app is not blocked here. `ChallengeRefusedError` where one fails. What it gives may be
        shown, but not approved before `complete` looked at card and ledger.
        """
        jwe = self._client.fetch(handle, local_secret, language)
        now = self._clock()
        challenge = parse_challenge(decrypt_challenge(jwe, self._key), issuer=self.enrolment.issuer, now=now)
        if (challenge.mode == "local") != (local_secret is not None) or challenge.language != language:
            raise ChallengeRefusedError(
                f"the challenge is for a {challenge.mode} login in {challenge.language!r}, and that is not how it "
                "came here: begin the login again"
            )
        record = verify_app_record(challenge.app, self._members, now)
        if record.client_id != challenge.client_id:
            raise ChallengeRefusedError(
                f"the registration record is of another app ({record.client_id!r}) than the one that asks: do not "
                "approve it, and tell your operator"
            )
        text = consent_text(challenge, record)
        memory = self._home.memory()
        known = memory.apps.get(challenge.client_id)
        if known is not None and known.is_blocked:
            self._client.refuse(challenge.challenge_id, "declined")
            raise ChallengeRefusedError(
                f"you blocked {record.name!r}, so its login was refused: `tally sim agent apps` lifts that"
            )
        return Prompt(
            challenge=challenge,
            record=record,
            domain=record.domain_of(challenge.redirect_uri),
            text=text,
            notices=tuple(app_notices(challenge, record, memory)),
            is_complete=False,
        )

    def complete(self, prompt: Prompt) -> Prompt:
        """The prompt with what card and ledger say added in front, which may take as long as they do."""
        return replace(prompt, notices=(*self.look().notices, *prompt.notices), is_complete=True)

    def approve(self, prompt: Prompt, pin: str, refused: Collection[str] = (), code: str = "") -> Outcome:
        """Have the card sign, and hand the signature in. The PIN goes to the card and nowhere else.

        After a wrong PIN or a pulled card the prompt still holds and may be approved again. Raises what card and
        provider raise; `ChallengeRefusedError` where the challenge has run out meanwhile.
        """
        challenge = prompt.challenge
        if not prompt.is_complete:
            raise InputError("nobody looked at card and ledger yet: show what `complete` gives, then approve that")
        if challenge.mode == "remote" and not (len(code) == CODE_DIGITS and code.isascii() and code.isdigit()):
            raise InputError(f"the code that the page shows has {CODE_DIGITS} digits")
        now = self._clock()
        if now >= challenge.exp:
            raise ChallengeRefusedError("the login has run out: begin it again")
        context = build_context(challenge, prompt.record, refused, code)
        text = approval_text(self.enrolment.identity, challenge, context, now)
        signature = sign_with_card(self._open_card, text, pin, self.enrolment.card_key, self._seen)
        self._home.change(lambda memory: replace(memory, own=memory.own + 1))
        completion = self._client.approve(
            challenge.challenge_id,
            compact(text, signature),
            context["claims_granted"],
            context["claims_refused"],
            code,
        )
        if (completion is not None) != (challenge.mode == "local"):
            raise ChallengeRefusedError("the provider answered with a completion address out of place: tell it")
        self._home.change(lambda memory: _with_app(memory, prompt, now))
        return Outcome(completion, tuple(context["claims_refused"]))

    def refuse(self, prompt: Prompt, reason: RefusalReason) -> None:
        """Say no; with `block-app` the app is blocked here too. Needs no card."""
        if reason == "block-app":
            self._home.change(lambda memory: _blocked(memory, prompt, self._clock()))
        self._client.refuse(prompt.challenge.challenge_id, reason)

    def hold(self, reason: HoldReason) -> None:
        """Have the operator hold the identity at once; works without the card."""
        self._client.hold(reason)

    def look(self) -> Sights:
        """Card and ledger, with what is to be known about them; the card's counter counts from here on."""
        memory = self._home.memory()
        identity, notices = self._look_at_identity(memory)
        card, more = self._look_at_card(memory)
        self._remember(memory, identity, card)
        return Sights(card, identity, (*notices, *more))

    def look_at_identity(self) -> Sights:
        """The ledger alone, for a program that waits: neither card nor counter is touched."""
        memory = self._home.memory()
        identity, notices = self._look_at_identity(memory)
        self._remember(memory, identity, None)
        return Sights(None, identity, tuple(notices))

    @property
    def _card_key_x(self) -> bytes:
        return self.enrolment.card_key.public_numbers().x.to_bytes(32, "big")

    def _remember(self, memory: Memory, identity: IdentitySight | None, card: CardSight | None) -> None:
        def remember(before: Memory) -> Memory:
            after = before if identity is None else after_identity_look(before, identity, self._card_key_x)
            return after if card is None else after_card_look(after, card)

        if remember(memory) != memory:
            self._home.change(remember)

    def _look_at_identity(self, memory: Memory) -> tuple[IdentitySight | None, list[Notice]]:
        if self._watch is None:
            return None, [Notice("no-watch", "info")]
        try:
            sight = self._watch.look(self.enrolment.identity)
        except SimError as error:
            return None, [Notice("watch-unavailable", "warning", {"why": error.message}, error)]
        return sight, identity_notices(sight, self._card_key_x, memory)

    def _look_at_card(self, memory: Memory) -> tuple[CardSight | None, list[Notice]]:
        try:
            sight = look_at_card(self._open_card)
        except SimError as error:
            return None, [Notice("no-card", "warning", {"why": error.message}, error)]
        return sight, card_notices(sight, memory)


def _with_app(memory: Memory, prompt: Prompt, now: int) -> Memory:
    known = memory.apps.get(prompt.challenge.client_id)
    first = now if known is None else known.first_at
    app = KnownApp(prompt.record.name, prompt.challenge.sub, first, now, is_blocked=False)
    return replace(memory, apps={**memory.apps, prompt.challenge.client_id: app})


def _blocked(memory: Memory, prompt: Prompt, now: int) -> Memory:
    known = memory.apps.get(prompt.challenge.client_id)
    app = known or KnownApp(prompt.record.name, "", now, now, is_blocked=True)
    return replace(memory, apps={**memory.apps, prompt.challenge.client_id: replace(app, is_blocked=True)})
