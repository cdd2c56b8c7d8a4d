"""Orders about people's identities as posted, made into calls. No right and no proof is judged here: contracts do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pki_chain.chain.calls import Call, Calls
from pki_chain.chain.identity_calls import MAXIMUM_ENTRIES
from pki_chain.gateway.strict_json import MAX_INTEGER, JsonObject
from pki_chain.ports import Activation, Attestation, CardKey, CardProof, Registration


def _register(calls: Calls, fields: JsonObject) -> Call:
    entries = [_registration(each) for each in fields.objects("entries", MAXIMUM_ENTRIES, 1)]
    return calls.register_identities(entries, **_signed(fields))


def _activate(calls: Calls, fields: JsonObject) -> Call:
    entries = [_activation(each) for each in fields.objects("entries", MAXIMUM_ENTRIES, 1)]
    return calls.activate_identities(entries, **_signed(fields))


def _hold(calls: Calls, fields: JsonObject) -> Call:
    return calls.hold_identity(*_counted(fields), **_signed(fields))


def _hold_blocked(calls: Calls, fields: JsonObject) -> Call:
    return calls.hold_blocked_identity(_identity(fields))


def _release(calls: Calls, fields: JsonObject) -> Call:
    return calls.release_identity(*_counted(fields), **_signed(fields))


def _revoke(calls: Calls, fields: JsonObject) -> Call:
    return calls.revoke_identity(_identity(fields), fields.integer("reason", 255), **_signed(fields))


def _replace_key(calls: Calls, fields: JsonObject) -> Call:
    entry, agreement = _registration(fields.object("entry")), _activation(fields.object("agreement"))
    return calls.replace_key(entry, agreement, fields.integer("counter", 0xFFFF), **_signed(fields))


def _start_replacement(calls: Calls, fields: JsonObject) -> Call:
    entry = _registration(fields.object("entry"))
    return calls.start_replacement(entry, fields.integer("counter", 0xFFFF), **_signed(fields))


def _confirm_replacement(calls: Calls, fields: JsonObject) -> Call:
    return calls.confirm_replacement(
        _identity(fields),
        fields.octets("x", length=32),
        fields.octets("y", length=32),
        fields.integer("counter", 0xFFFF),
        **_signed(fields),
    )


def _cancel_replacement(calls: Calls, fields: JsonObject) -> Call:
    return calls.cancel_replacement(*_counted(fields), **_signed(fields))


def _cancel_by_card(calls: Calls, fields: JsonObject) -> Call:
    return calls.cancel_replacement_by_card(_activation(fields.object("veto")))


def _registration(fields: JsonObject) -> Registration:
    fields.require_fields(("identity", "x", "y", "attestation", "card_enforced", "emulator", *_PROOF))
    key = CardKey(
        x=fields.octets("x", length=32),
        y=fields.octets("y", length=32),
        attestation=Attestation(fields.integer("attestation", max(Attestation))),
        card_enforced=fields.boolean("card_enforced"),
        emulator=fields.boolean("emulator"),
    )
    return Registration(_identity(fields), key, _proof(fields))


def _activation(fields: JsonObject) -> Activation:
    fields.require_fields(("identity", *_PROOF))
    return Activation(_identity(fields), _proof(fields))


def _proof(fields: JsonObject) -> CardProof:
    deadline = fields.integer("deadline", MAX_INTEGER)
    return CardProof(deadline, fields.octets("r", length=32), fields.octets("s", length=32))


def _identity(fields: JsonObject) -> bytes:
    return fields.octets("identity", length=32)


def _counted(fields: JsonObject) -> tuple[bytes, int]:
    return _identity(fields), fields.integer("counter", 0xFFFF)


def _signed(fields: JsonObject) -> dict[str, Any]:
    return {
        "deadline": fields.integer("deadline", MAX_INTEGER),
        "signer": fields.address("signer"),
        "signature": fields.octets("signature"),
    }


_PROOF: Final = ("deadline", "r", "s")
_BY: Final = ("deadline", "signer", "signature")
_COUNTED: Final = ("identity", "counter", *_BY)

IDENTITY_ORDERS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Calls, JsonObject], Call]]]] = {
    "register-identities": (("entries", *_BY), _register),
    "activate-identities": (("entries", *_BY), _activate),
    "hold-identity": (_COUNTED, _hold),
    "hold-blocked-identity": (("identity",), _hold_blocked),
    "release-identity": (_COUNTED, _release),
    "revoke-identity": (("identity", "reason", *_BY), _revoke),
    "replace-key": (("entry", "agreement", "counter", *_BY), _replace_key),
    "start-replacement": (("entry", "counter", *_BY), _start_replacement),
    "confirm-replacement": (("identity", "x", "y", "counter", *_BY), _confirm_replacement),
    "cancel-replacement": (_COUNTED, _cancel_replacement),
    "cancel-replacement-by-card": (("veto",), _cancel_by_card),
}
"""Fields of each order beside `order`, and the call that it becomes."""
