"""Orders about the trust list as posted, made into calls. No certificate and no right is judged here: contracts do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pki_chain.chain.calls import Call, Calls
from pki_chain.gateway.strict_json import MAX_INTEGER, JsonObject
from pki_chain.ports import TrustScope
from pki_chain.x509.authority import ALL_SCOPES
from pki_chain.x509.structure import MAX_DER_BYTES


def _publish(calls: Calls, fields: JsonObject) -> Call:
    return calls.publish_authority(
        fields.octets("der", longest=MAX_DER_BYTES),
        fields.integer("member", 0xFFFF),
        TrustScope(fields.integer("scope", int(ALL_SCOPES), 1)),
        fields.integer("until", MAX_INTEGER),
        **_administered(fields),
    )


def _delegate(calls: Calls, fields: JsonObject) -> Call:
    return calls.delegate(fields.octets("der", longest=MAX_DER_BYTES))


def _withdraw(calls: Calls, fields: JsonObject) -> Call:
    return calls.withdraw_authority(
        fields.octets("id", length=32), fields.integer("reason", 255), **_administered(fields)
    )


def _administered(fields: JsonObject) -> dict[str, Any]:
    return {
        "deadline": fields.integer("deadline", MAX_INTEGER),
        "administrator": fields.address("signer"),
        "signature": fields.octets("signature"),
    }


_BY: Final = ("deadline", "signer", "signature")

TRUST_ORDERS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Calls, JsonObject], Call]]]] = {
    "publish-authority": (("der", "member", "scope", "until", *_BY), _publish),
    "delegate": (("der",), _delegate),
    "withdraw-authority": (("id", "reason", *_BY), _withdraw),
}
"""Fields of each order beside `order`, and the call that it becomes."""
