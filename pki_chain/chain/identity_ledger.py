"""What the ledger says of people's identities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from pki_chain.chain.abi import load_interface
from pki_chain.chain.connection import Connection
from pki_chain.config import ConsortiumFile
from pki_chain.ports import Address, Attestation, CardKey, IdentityState

REFUSED_KEY = b"\xff" * 32
"""Stands for the identity of a key that a card refused."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity as it stands; times in seconds since 1970, 0 for never.

    `held` and `replacing` stand for themselves: `state` shows the first that applies of revoked, held, replacing,
    registered or active. `activated_at` is the current key's.
    """

    state: IdentityState
    operator: int
    key: CardKey
    held: bool
    replacing: bool
    reason: int
    counter: int
    key_count: int
    registered_at: int
    key_since: int
    activated_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class PastKey:
    """A key of the history; `until` is 0 for the current one."""

    key: CardKey
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Replacement:
    """A key that waits to take the place of the current one, until a second account confirms it after this time."""

    key: CardKey
    started_by: Address
    executable_at: int


class IdentityLedger:
    """Reads one consortium's identity registry. Raises `LedgerUnavailableError` when no endpoint answers."""

    def __init__(self, consortium_file: ConsortiumFile, connection: Connection) -> None:
        self._registry = consortium_file.identity_registry
        self._connection = connection

    def state_of(self, identity: bytes) -> IdentityState:
        return IdentityState(self._read("stateOf", identity))

    def identity(self, identity: bytes) -> Identity | None:
        """Everything that holds now, in one call; None for an id that nobody registered."""
        state, operator, attestation, enforced, emulator, *rest, x, y = self._read("identityOf", identity)
        if not state:
            return None
        return Identity(IdentityState(state), operator, _key(x, y, attestation, enforced, emulator), *rest)

    def replacement(self, identity: bytes) -> Replacement | None:
        """The replacement that waits, None when none does."""
        x, y, attestation, enforced, emulator, started_by, executable_at = self._read("replacementOf", identity)
        if not executable_at:
            return None
        key = _key(x, y, attestation, enforced, emulator)
        return Replacement(key, Address(to_checksum_address(started_by)), executable_at)

    def keys(self, identity: bytes) -> tuple[PastKey, ...]:
        """Every key that the identity ever had, the current one last."""
        return tuple(self._key_at(identity, index) for index in range(self._read("keyCount", identity)))

    def identity_of_key(self, x: bytes) -> bytes | None:
        """The id of the identity that the key with this x coordinate belongs to, for ever.

        None when it is nobody's; `REFUSED_KEY` when a card refused it.
        """
        identity = bytes(self._read("identityOfKey", x))
        return identity if any(identity) else None

    def replacement_delay_s(self) -> int:
        return int(self._read("replacementDelaySeconds"))

    def _key_at(self, identity: bytes, index: int) -> PastKey:
        x, y, attestation, enforced, emulator, since, until = self._read("keyAt", identity, index)
        return PastKey(_key(x, y, attestation, enforced, emulator), since, until)

    def _read(self, function: str, *arguments: object) -> Any:
        interface = load_interface("IdentityRegistry")
        answer = self._connection.call(self._registry, interface.encode(function, arguments))
        return interface.decode(function, answer)[0]


def _key(x: bytes, y: bytes, attestation: int, enforced: bool, emulator: bool) -> CardKey:
    return CardKey(x, y, Attestation(attestation), card_enforced=enforced, emulator=emulator)
