"""Orders as posted, made into calls of the contracts. No right is judged here: that is the contracts' affair alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pki_chain.chain.calls import Call, Calls
from pki_chain.gateway.identity_orders import IDENTITY_ORDERS
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.gateway.strict_json import MAX_INTEGER, JsonObject
from pki_chain.gateway.trust_orders import TRUST_ORDERS
from pki_chain.ports import HoldKind, LotTerms, NameRange, RangeKind, Role

MAX_TBS_HASHES: Final = 200
MAX_CONTENT_BYTES: Final = 65_536
_UINT40: Final = (1 << 40) - 1
_UINT64: Final = (1 << 64) - 1

E = TypeVar("E", HoldKind, Role, RangeKind)


@dataclass(frozen=True, slots=True)
class OrderForm:
    """Fields that an order has beside `order`, and how they become a call."""

    fields: tuple[str, ...]
    make: Callable[[Calls, JsonObject], Call]


def read_order(fields: JsonObject, calls: Calls) -> tuple[str, Call]:
    """The kind of an order and its call. Raises `EnvelopeError`."""
    if "order" not in fields:
        raise EnvelopeError(400, "missing-field", f"Field order is missing. Give one of: {', '.join(FORMS)}.")
    kind = fields.text("order", 32)
    form = FORMS.get(kind)
    if form is None:
        raise EnvelopeError(400, "unknown-order", f"There is no such order. Give one of: {', '.join(FORMS)}.")
    fields.require_fields(("order", *form.fields))
    return kind, form.make(calls, fields)


def _hold(calls: Calls, fields: JsonObject) -> Call:
    return calls.hold(*_hold_terms(fields), **_signed(fields))


def _release(calls: Calls, fields: JsonObject) -> Call:
    return calls.release(*_hold_terms(fields), **_signed(fields))


def _hold_terms(fields: JsonObject) -> tuple[bytes, HoldKind, int, int]:
    return (
        fields.octets("certificate", length=32),
        _member_of(HoldKind, fields, "kind"),
        fields.integer("reason", 255),
        fields.integer("counter", 0xFFFF),
    )


def _revoke(calls: Calls, fields: JsonObject) -> Call:
    return calls.revoke(fields.octets("certificate", length=32), fields.integer("reason", 255), **_signed(fields))


def _revoke_key(calls: Calls, fields: JsonObject) -> Call:
    return calls.revoke_by_key(
        fields.octets("spki_hash", length=32),
        fields.octet_items("tbs_hashes", MAX_TBS_HASHES, length=32),
        fields.integer("reason", 255),
        **_signed(fields),
    )


def _block_key(calls: Calls, fields: JsonObject) -> Call:
    return calls.block_key_by_proof(
        fields.octets("subject_public_key_info", longest=1_024),
        int.from_bytes(fields.octets("r", length=32), "big"),
        int.from_bytes(fields.octets("s", length=32), "big"),
    )


def _open_lot(calls: Calls, fields: JsonObject) -> Call:
    return calls.open_lot(_terms(fields.object("terms")), nonce=fields.uint256("nonce"), **_administered(fields))


def _terms(fields: JsonObject) -> LotTerms:
    fields.require_fields(("owner", "profile", "maximum", "closes_at", "stations", "ranges"))
    return LotTerms(
        owner=fields.integer("owner", 0xFFFF),
        profile=fields.integer("profile", 0xFFFF),
        maximum=fields.integer("maximum", (1 << 32) - 1),
        closes_at=fields.integer("closes_at", _UINT40),
        stations=fields.addresses("stations", 64),
        ranges=tuple(_range(each) for each in fields.objects("ranges", 64)),
    )


def _range(fields: JsonObject) -> NameRange:
    fields.require_fields(("kind", "bits", "first", "last", "value"))
    return NameRange(
        kind=_member_of(RangeKind, fields, "kind"),
        bits=fields.integer("bits", 255),
        first=fields.uint256("first", most=_UINT64),
        last=fields.uint256("last", most=_UINT64),
        value=fields.octets("value", longest=255),
    )


def _close_lot(calls: Calls, fields: JsonObject) -> Call:
    return calls.close_lot(fields.integer("lot", _UINT40), **_administered(fields))


def _set_account(calls: Calls, fields: JsonObject) -> Call:
    return calls.set_account(
        fields.integer("member", 0xFFFF),
        fields.address("account"),
        _member_of(Role, fields, "role"),
        active=fields.boolean("active"),
        nonce=fields.uint256("nonce"),
        consent=fields.octets("consent"),
        **_administered(fields),
    )


def _propose(calls: Calls, fields: JsonObject) -> Call:
    return calls.propose(
        fields.integer("kind", 255),
        fields.octets("content", longest=MAX_CONTENT_BYTES),
        nonce=fields.uint256("nonce"),
        **_administered(fields),
    )


def _vote(calls: Calls, fields: JsonObject) -> Call:
    return calls.vote(
        fields.integer("proposal", MAX_INTEGER),
        fields.octets("content_hash", length=32),
        support=fields.boolean("support"),
        **_administered(fields),
    )


def _execute(calls: Calls, fields: JsonObject) -> Call:
    return calls.execute(fields.integer("proposal", MAX_INTEGER), fields.octets("content", longest=MAX_CONTENT_BYTES))


def _member_of(kind: type[E], fields: JsonObject, name: str) -> E:
    """One of an enumeration's numbers."""
    return kind(fields.integer(name, max(kind), min(kind)))


def _signed(fields: JsonObject) -> dict[str, Any]:
    return {
        "deadline": fields.integer("deadline", MAX_INTEGER),
        "signer": fields.address("signer"),
        "signature": fields.octets("signature"),
    }


def _administered(fields: JsonObject) -> dict[str, Any]:
    signed = _signed(fields)
    return {"administrator": signed.pop("signer"), **signed}


_BY: Final = ("deadline", "signer", "signature")
_HOLD: Final = ("certificate", "kind", "reason", "counter", *_BY)

FORMS: Final[Mapping[str, OrderForm]] = {
    "hold": OrderForm(_HOLD, _hold),
    "release": OrderForm(_HOLD, _release),
    "revoke": OrderForm(("certificate", "reason", *_BY), _revoke),
    "revoke-key": OrderForm(("spki_hash", "tbs_hashes", "reason", *_BY), _revoke_key),
    "block-key": OrderForm(("subject_public_key_info", "r", "s"), _block_key),
    "open-lot": OrderForm(("terms", "nonce", *_BY), _open_lot),
    "close-lot": OrderForm(("lot", *_BY), _close_lot),
    "set-account": OrderForm(("member", "account", "role", "active", "consent", "nonce", *_BY), _set_account),
    "propose": OrderForm(("kind", "content", "nonce", *_BY), _propose),
    "vote": OrderForm(("proposal", "content_hash", "support", *_BY), _vote),
    "execute": OrderForm(("proposal", "content"), _execute),
    **{kind: OrderForm(*form) for kind, form in (*IDENTITY_ORDERS.items(), *TRUST_ORDERS.items())},
}
"""Fields of each order, and the call that it becomes."""
