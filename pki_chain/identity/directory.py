"""What gateways say of identities: several addresses, the first that answers; read strictly, and never a stale word.

For whoever must know a person's key without following the ledger, such as a person's agent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pki_chain.errors import LedgerUnavailableError, NotFoundError, RefusedError
from pki_chain.identity.possession import parse_base64url
from pki_chain.ports import Attestation, CardKey, IdentityState
from pki_chain.station.gateway_client import GatewayClient

MAX_AGE_S: Final = 60.0
"""How old an answer may be when nobody says otherwise; the gateway refuses by its consortium's bound anyway."""

_TOLERANCE_S: Final = 15.0
_STATES: Final = {state.name.lower(): state for state in IdentityState}
_ATTESTATIONS: Final = {level.name.lower().replace("_", "-"): level for level in Attestation}


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Sighting:
    """The block that an answer holds for, and how old that is, in seconds, by the gateway's clock or ours."""

    block: int
    block_hash: bytes
    block_time: int
    age_s: float


@dataclass(frozen=True, slots=True)
class WaitingKey:
    """A key that would replace the current one, not before `executable_at`."""

    key: CardKey
    executable_at: int


@dataclass(frozen=True, slots=True)
class FoundIdentity:
    """An identity as a gateway's read model has it. `is_key_blocked`: in the certificate registry."""

    identity: bytes
    state: IdentityState
    operator: int
    operator_state: str
    key: CardKey
    is_key_blocked: bool
    counter: int
    activated_at: int
    changed_at: int
    waiting: WaitingKey | None
    seen: Sighting


@dataclass(frozen=True, slots=True)
class HistoryKey:
    """A key that an identity has or had; `until` is 0 for the current one."""

    key: CardKey
    since: int
    until: int


class IdentityDirectory:
    """Asks gateways. Every method raises `LedgerUnavailableError` where none gives a fresh answer of the right form."""

    def __init__(
        self,
        gateways: Sequence[str],
        *,
        timeout_s: float = 3.0,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises `ConfigurationError` when no gateway is named."""
        self._client = GatewayClient(gateways, timeout_s)
        self._max_age_s = max_age_s
        self._clock = clock

    def identity(self, identity: bytes, *, gateway: str = "") -> FoundIdentity | None:
        """What holds now of an identity; None for an id that the ledger does not know."""
        path = f"/v1/identities/0x{identity.hex()}"
        return self._first(path, lambda answer: self._identity(identity, answer), gateway)

    def keys(self, identity: bytes, *, gateway: str = "") -> tuple[HistoryKey, ...]:
        """Every key that an identity ever had, the first first; none for an unknown id."""
        path = f"/v1/identities/0x{identity.hex()}/keys"
        return self._first(path, lambda answer: self._keys(identity, answer), gateway) or ()

    def _first(self, path: str, read: Callable[[Mapping[str, Any]], Answer], gateway: str) -> Answer | None:
        """The first good answer. Unknown is believed when a gateway that is fresh says so."""
        trouble: LedgerUnavailableError | None = None
        for each in (gateway,) if gateway else self._client.gateways:
            try:
                return read(self._client.get(path, gateway=each))
            except NotFoundError:
                return None
            except LedgerUnavailableError as error:
                trouble = error
            except RefusedError as error:  # a gateway of another version, or something else at its address
                trouble = LedgerUnavailableError(error.message, detail=error.detail)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                trouble = LedgerUnavailableError(
                    f"gateway {each} gave an answer of another form: ask one of this version", detail=repr(error)
                )
        raise trouble or LedgerUnavailableError("no gateway gave an answer")

    def _seen(self, answer: Mapping[str, Any]) -> Sighting:
        block = answer["block"]
        block_time, told = _integer(block["time"]), answer["age_s"]
        if isinstance(told, bool) or not isinstance(told, int | float):
            raise TypeError("age_s")
        age_s = max(float(told), self._clock() - block_time)
        if age_s > self._max_age_s + _TOLERANCE_S:
            raise LedgerUnavailableError(f"a gateway's answer is {age_s:.0f} s old: ask another")
        return Sighting(_integer(block["number"]), bytes.fromhex(block["hash"].removeprefix("0x")), block_time, age_s)

    def _identity(self, identity: bytes, answer: Mapping[str, Any]) -> FoundIdentity:
        _require_about(identity, answer)
        waiting = answer["replacement"]
        return FoundIdentity(
            identity=identity,
            state=_STATES[answer["state"]],
            operator=_integer(answer["operator"]),
            operator_state=str(answer["operator_state"]),
            key=_key(answer),
            is_key_blocked=_truth(answer["key_blocked"]),
            counter=_integer(answer["counter"]),
            activated_at=_integer(answer["activated_at"] or 0),
            changed_at=_integer(answer["since"]),
            waiting=None if waiting is None else WaitingKey(_key(waiting), _integer(waiting["executable_at"])),
            seen=self._seen(answer),
        )

    def _keys(self, identity: bytes, answer: Mapping[str, Any]) -> tuple[HistoryKey, ...]:
        _require_about(identity, answer)
        self._seen(answer)
        found = tuple(
            HistoryKey(_key(each), _integer(each["since"]), _integer(each["until"] or 0)) for each in answer["keys"]
        )
        if [each["index"] for each in answer["keys"]] != list(range(len(found))):
            raise ValueError("index")
        return found


def _require_about(identity: bytes, answer: Mapping[str, Any]) -> None:
    if _identity_id(answer["identity"]) != identity:
        raise ValueError("identity")


def _identity_id(value: object) -> bytes:
    if not isinstance(value, str) or len(value) != 66 or not value.startswith("0x"):
        raise ValueError("identity")
    return bytes.fromhex(value[2:])


def _key(answer: Mapping[str, Any]) -> CardKey:
    jwk = answer["key"]
    x, y = parse_base64url(jwk["x"]), parse_base64url(jwk["y"])
    if (jwk["kty"], jwk["crv"]) != ("EC", "P-256") or x is None or y is None or len(x) != 32 or len(y) != 32:
        raise ValueError("key")
    return CardKey(
        x,
        y,
        _ATTESTATIONS[answer["attestation"]],
        card_enforced=_truth(answer["card_enforced"]),
        emulator=_truth(answer["emulator"]),
    )


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("integer")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("boolean")
    return value
