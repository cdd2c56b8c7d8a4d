"""A person's own look at an identity, for the SIM agent: every gateway that is named, histories compared.

A replaced key is the attack that the agent watches for, and a gateway that hides it is the way to do it unseen: so the
histories of all that answer must continue each other. Source: docs/identity.md, What the agent watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pki_chain.errors import InputError, LedgerUnavailableError
from pki_chain.identity.directory import FoundIdentity, HistoryKey, IdentityDirectory
from pki_chain.ports import IdentityState

_AGENT_MAX_AGE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class WatchedKey:
    """A key of the history: coordinates of 32 bytes, and since when, in seconds since 1970."""

    x: bytes
    y: bytes
    since: int


@dataclass(frozen=True, slots=True)
class WatchedIdentity:
    """An identity as the agent takes it: state unknown, registered, active, held or revoked; the whole history of keys;
    a replacement that waits, 0 and None where none does."""

    identity: str
    state: str
    keys: tuple[WatchedKey, ...]
    block_time: int
    replacement_due_at: int = 0
    replacement_key: WatchedKey | None = None


class GatewayWatch:
    """What `tally sim agent --gateway` asks; registered under the entry points `tally.identity_watch`."""

    def __init__(self, gateways: str, timeout_s: float) -> None:
        """`gateways`: one address, or several with commas between. Raises `ConfigurationError`."""
        self._addresses = tuple(each.strip() for each in gateways.split(",") if each.strip())
        self._directory = IdentityDirectory(self._addresses, timeout_s=timeout_s, max_age_s=_AGENT_MAX_AGE_S)

    def look(self, identity: str) -> WatchedIdentity:
        """What the ledger says now.

        Raises `LedgerUnavailableError` where no gateway gives a fresh answer, or two contradict each other, and
        `InputError` for an id of another form.
        """
        try:
            named = bytes.fromhex(identity.removeprefix("0x"))
        except ValueError as error:
            raise InputError(f"{identity!r} is no identity: 0x and 64 hexadecimal digits") from error
        answers: list[tuple[FoundIdentity, tuple[HistoryKey, ...]]] = []
        unknown = 0
        trouble: LedgerUnavailableError | None = None
        for address in self._addresses:
            try:
                found = self._directory.identity(named, gateway=address)
                if found is None:
                    unknown += 1
                else:
                    answers.append((found, self._directory.keys(named, gateway=address)))
            except LedgerUnavailableError as error:
                trouble = error
        if not answers:
            if unknown:
                return WatchedIdentity(identity, "unknown", (), 0)
            raise trouble or LedgerUnavailableError("no gateway gave an answer")
        histories = sorted((keys for _, keys in answers), key=len)
        for shorter, longer in pairwise(histories):
            require_continued(shorter, longer)
        newest = max((found for found, _ in answers), key=lambda found: found.seen.block)
        return _watched(identity, newest, histories[-1])


def require_continued(shorter: Sequence[HistoryKey], longer: Sequence[HistoryKey]) -> None:
    """Return where one history goes on where the other ends. Raises `LedgerUnavailableError`."""
    for one, other in zip(shorter, longer, strict=False):
        if (one.key.x, one.key.y, one.since) != (other.key.x, other.key.y, other.since):
            raise LedgerUnavailableError(
                "two gateways tell different histories of this identity's keys: trust neither, and ask the operator"
            )


def _watched(identity: str, found: FoundIdentity, keys: Sequence[HistoryKey]) -> WatchedIdentity:
    waiting = found.waiting
    return WatchedIdentity(
        identity=identity,
        state=_state(found),
        keys=tuple(WatchedKey(each.key.x, each.key.y, each.since) for each in keys),
        block_time=found.seen.block_time,
        replacement_due_at=0 if waiting is None else waiting.executable_at,
        replacement_key=None if waiting is None else WatchedKey(waiting.key.x, waiting.key.y, waiting.executable_at),
    )


def _state(found: FoundIdentity) -> str:
    """The registry's state, and under a waiting replacement the one beneath it; a blocked key is as good as held."""
    if found.is_key_blocked and found.state is not IdentityState.REVOKED:
        return "held"
    if found.state is IdentityState.REPLACING:
        return "active" if found.activated_at else "registered"
    return found.state.name.lower()
