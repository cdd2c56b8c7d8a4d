"""The emulated card's ARA-M: access rules for phones. Source: GlobalPlatform Secure Element Access Control v1.1."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from sim_applet_tools.access_rules import (
    AID_REF,
    ALL_RULES,
    DELETE,
    REF,
    REF_AR,
    RULE_APPLET,
    STORE,
    AccessRule,
    encode_all,
    parse_rule,
)
from sim_applet_tools.apdu import CommandApdu, ResponseApdu
from sim_applet_tools.emulator.image import LifeCycle
from sim_applet_tools.emulator.memory import CardMemory
from sim_applet_tools.emulator.refusal import (
    CONDITIONS,
    CONFLICT,
    FAILURE,
    INCORRECT_DATA,
    MEMORY,
    PIN_REQUIRED,
    REFERENCED_DATA,
    UNKNOWN_INSTRUCTION,
    WRONG_CLASS,
    WRONG_PARAMETERS,
    Refusal,
)
from sim_applet_tools.errors import InputError, StorageError
from sim_applet_tools.tlv import DataObject, MalformedTlvError, encode_tlv, parse_strict

__all__ = ["RULE_APPLET", "RuleApplication"]

MAX_RULES = 32
PIECE_BYTES = 255
REFRESH_TAG = b"\xdf\x20"
STORED_ALREADY = 0x6381


class RuleApplication:
    """GET DATA [All], [Next] and [Refresh tag]; STORE DATA of a rule, and its deletion, while the card is fresh.

    A real card takes STORE DATA through its issuer's secure channel only, which this one has not.
    """

    def __init__(self, memory: CardMemory) -> None:
        self._memory = memory
        self._rest = b""

    def process(self, command: CommandApdu) -> ResponseApdu:
        """Answer one command."""
        if not command.cla & 0x80 or command.cla & 0x7C:
            return ResponseApdu(b"", WRONG_CLASS)
        try:
            if command.ins == 0xCA:
                return ResponseApdu(self._get_data(command), 0x9000)
            if command.ins == 0xE2:
                return ResponseApdu(b"", self._store_data(command))
        except Refusal as refusal:
            return ResponseApdu(b"", refusal.status_word)
        except StorageError:
            return ResponseApdu(b"", FAILURE)
        return ResponseApdu(b"", UNKNOWN_INSTRUCTION)

    def _get_data(self, command: CommandApdu) -> bytes:
        which = bytes((command.p1, command.p2))
        if which == REFRESH_TAG:
            return REFRESH_TAG + b"\x08" + sha256(self._memory.image.access_rules).digest()[:8]
        if which == ALL_RULES:
            return self._piece(encode_all(self._rules()))
        if which == b"\xff\x60":
            if not self._rest:
                raise Refusal(CONDITIONS)
            return self._piece(self._rest)
        raise Refusal(WRONG_PARAMETERS)

    def _piece(self, whole: bytes) -> bytes:
        piece, self._rest = whole[:PIECE_BYTES], whole[PIECE_BYTES:]
        return piece

    def _store_data(self, command: CommandApdu) -> int:
        if (command.p1, command.p2) != (0x90, 0x00):
            raise Refusal(WRONG_PARAMETERS)
        if self._memory.image.state is not LifeCycle.FRESH:
            raise Refusal(PIN_REQUIRED)
        self._rest = b""
        try:
            (order,) = parse_strict(command.data)
            targets = parse_strict(order.value)
            if order.tag == STORE and len(targets) == 1:
                return self._store(parse_rule(targets[0]))
            if order.tag == DELETE and len(targets) <= 1:
                return self._delete(targets)
        except (MalformedTlvError, InputError, ValueError) as error:
            raise Refusal(INCORRECT_DATA) from error
        raise Refusal(INCORRECT_DATA)

    def _store(self, rule: AccessRule) -> int:
        rules = self._rules()
        if rule in rules:
            return STORED_ALREADY
        if any((item.application_id, item.app_hash) == (rule.application_id, rule.app_hash) for item in rules):
            raise Refusal(CONFLICT)
        if len(rules) == MAX_RULES:
            raise Refusal(MEMORY)
        self._commit([*rules, rule])
        return 0x9000

    def _delete(self, targets: list[DataObject]) -> int:
        rules = self._rules()
        kept = [rule for rule in rules if not all(_is_meant(rule, target) for target in targets)]
        if len(kept) == len(rules):
            raise Refusal(REFERENCED_DATA)
        self._commit(kept)
        return 0x9000

    def _rules(self) -> list[AccessRule]:
        return [parse_rule(item) for item in parse_strict(self._memory.image.access_rules)]

    def _commit(self, rules: list[AccessRule]) -> None:
        encoded = b"".join(rule.encode() for rule in rules)
        self._memory.commit(replace(self._memory.image, access_rules=encoded))


def _is_meant(rule: AccessRule, target: DataObject) -> bool:
    """Whether Command-Delete with `target` (AID-REF-DO, REF-DO or REF-AR-DO) means `rule`."""
    if target.tag == AID_REF:
        return rule.application_id == target.value
    if target.tag == REF:
        return encode_tlv(REF, target.value) in rule.encode()
    if target.tag == REF_AR:
        return rule.encode() == encode_tlv(REF_AR, target.value)
    raise Refusal(INCORRECT_DATA)
