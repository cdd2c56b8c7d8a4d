"""Keys whose private part anybody can guess: small multiples of the generator, and published example keys.

A multiple d and its negative n - d share the x coordinate, so x alone decides. Source: RFC 6979 §A.2.5, RFC 4754 §8.1,
RFC 7515 §A.3, RFC 7517 §A.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.policy.context import BatchContext
from pki_chain.policy.settings import RuleSettings
from pki_chain.x509.certificate import Certificate
from pki_chain.x509.public_key import N, P256PublicKey
from pki_chain.x509.reasons import Reason

_SMALL_MULTIPLES = 1_024
_SINGLE_BITS = 256
_PUBLISHED_PRIVATE_KEYS = (
    0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721,  # RFC 6979 §A.2.5
    0xDC51D3866A15BACDE33D96F992FCA99DA7E6EF0934E7097559C27F1614C88A7F,  # RFC 4754 §8.1
    0x8E9B109E719098BF980487DF1F5D77E9CB29606EBED2263B5F57C213DF84F4B2,  # RFC 7515 §A.3
    0xF3BD0C07A81FB932781ED52752F60CC89A6BE5E51934FE01938DDB55D8F77801,  # RFC 7517 §A.2
)


def _weak_scalars() -> set[int]:
    small = set(range(1, _SMALL_MULTIPLES + 1))
    single_bits = {1 << bit for bit in range(_SINGLE_BITS) if 1 << bit < N}
    repeated = {int.from_bytes(bytes([octet]) * 32) for octet in range(1, 256)}
    counting = {int.from_bytes(bytes(range(first, first + 32))) for first in (0, 1)}
    return {scalar for scalar in small | single_bits | repeated | counting | set(_PUBLISHED_PRIVATE_KEYS) if scalar < N}


def weak_points() -> frozenset[int]:
    """The x coordinates of all weak keys."""
    return frozenset(
        ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers().x for scalar in _weak_scalars()
    )


@dataclass(frozen=True, slots=True)
class WeakKeys:
    """Rejects keys that are known to the world."""

    points: frozenset[int]
    name: str = "weak_keys"

    def judge(self, certificate: Certificate, context: BatchContext) -> Reason | None:  # noqa: ARG002
        key = certificate.public_key
        return Reason.WEAK_KEY if isinstance(key, P256PublicKey) and key.x in self.points else None


def create(settings: RuleSettings) -> WeakKeys:  # noqa: ARG001
    """The rule; it has no settings."""
    return WeakKeys(weak_points())
