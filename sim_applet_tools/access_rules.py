"""Which app on a phone may reach the card's applet: access rules in the card's ARA-M.

A phone's system asks the rule applet before it lets an app send APDUs; without a rule no app may. Source:
GlobalPlatform Secure Element Access Control v1.1 §4-§6; package name and permissions are Android's (UICC carrier
privileges).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from sim_applet_tools.apdu import MAX_SHORT_DATA, MAX_SHORT_LE, CommandApdu
from sim_applet_tools.errors import CardResponseError, InputError
from sim_applet_tools.status_words import OK, error_of, verify_status_word
from sim_applet_tools.tlv import DataObject, MalformedTlvError, encode_length, encode_tlv, parse_length, parse_strict
from sim_applet_tools.transport.base import Transport, exchange

RULE_APPLET = bytes.fromhex("A00000015141434C00")
ALL_RULES = b"\xff\x40"
REF_AR, REF, AR = 0xE2, 0xE1, 0xE3
AID_REF, APP_ID_REF, PACKAGE_REF = 0x4F, 0xC1, 0xCA
APDU_AR, NFC_AR, PERMISSION_AR = 0xD0, 0xD1, 0xDB
STORE, DELETE = 0xF0, 0xF1
HASH_BYTES = frozenset({0, 20, 32})
FILTER_BYTES = 8
MAX_PACKAGE = 127
MAX_RULES_BYTES = 16_384
STORED_ALREADY = 0x6381
NO_RULES = 0x6A88


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may do what.

    `application_id` names the applet, 5-16 bytes, empty for all, None where the rule is not about one (Android);
    `app_hash` is SHA-1 or SHA-256 of the app's signing certificate, empty for every app; `apdu` is True, False, None
    for unsaid, or filters of 8 bytes each: 4 of header, 4 of mask.
    """

    application_id: bytes | None
    app_hash: bytes
    apdu: bool | tuple[bytes, ...] | None = None
    nfc: bool | None = None
    package: str | None = None
    permissions: bytes | None = None

    def __post_init__(self) -> None:
        if self.application_id and not 5 <= len(self.application_id) <= 16:
            raise InputError("the AID of an access rule has 5 to 16 bytes, or none for all applets")
        if len(self.app_hash) not in HASH_BYTES:
            raise InputError("the hash of an app's certificate has 20 bytes (SHA-1) or 32 (SHA-256)")
        filters = self.apdu if isinstance(self.apdu, tuple) else ()
        if self.apdu == () or any(len(item) != FILTER_BYTES for item in filters):
            raise InputError("an APDU filter has 8 bytes: 4 of header, 4 of mask")
        if self.package is not None and not (self.package.isascii() and 1 <= len(self.package) <= MAX_PACKAGE):
            raise InputError(f"a package name has 1 to {MAX_PACKAGE} ASCII characters")
        if self.permissions is not None and len(self.permissions) != 8:
            raise InputError("permissions have 8 bytes")
        if self.apdu is None and self.nfc is None and self.permissions is None:
            raise InputError("an access rule says something about APDUs, NFC or permissions")

    def encode(self) -> bytes:
        """REF-AR-DO."""
        return encode_tlv(REF_AR, encode_tlv(REF, self._reference()) + encode_tlv(AR, self._rights()))

    def _reference(self) -> bytes:
        aid = b"" if self.application_id is None else encode_tlv(AID_REF, self.application_id)
        package = b"" if self.package is None else encode_tlv(PACKAGE_REF, self.package.encode())
        return aid + encode_tlv(APP_ID_REF, self.app_hash) + package

    def _rights(self) -> bytes:
        value = b""
        if self.apdu is not None:
            value += encode_tlv(APDU_AR, b"".join(self.apdu) if isinstance(self.apdu, tuple) else bytes((self.apdu,)))
        if self.nfc is not None:
            value += encode_tlv(NFC_AR, bytes((self.nfc,)))
        return value + (b"" if self.permissions is None else encode_tlv(PERMISSION_AR, self.permissions))


def agent_rule(application_id: bytes, certificate: bytes) -> AccessRule:
    """Lets the app signed with `certificate` (DER) send every APDU to the applet, and leaves others as they are."""
    return AccessRule(application_id, sha256(certificate).digest(), apdu=True)


def encode_all(rules: Iterable[AccessRule]) -> bytes:
    """Response-ALL-REF-AR-DO, as GET DATA [All] answers it."""
    value = b"".join(rule.encode() for rule in rules)
    return ALL_RULES + encode_length(len(value)) + value


def parse_all(raw: bytes) -> list[AccessRule]:
    """Inverse of `encode_all`; anything else is a `CardResponseError`."""
    try:
        return [parse_rule(item) for item in parse_strict(_content(raw))]
    except (MalformedTlvError, InputError) as error:
        raise CardResponseError(f"the card's access rules are malformed: {error}") from error


def parse_rule(item: DataObject) -> AccessRule:
    """A REF-AR-DO; a `MalformedTlvError` or `InputError` for anything that it may not hold."""
    reference, rights = _parts(item)
    who = _by_tag(reference, REF, (AID_REF, APP_ID_REF, PACKAGE_REF))
    what = _by_tag(rights, AR, (APDU_AR, NFC_AR, PERMISSION_AR))
    if APP_ID_REF not in who:
        raise MalformedTlvError("a rule names no app")
    try:
        package = who[PACKAGE_REF].decode("ascii") if PACKAGE_REF in who else None
    except UnicodeDecodeError as error:
        raise MalformedTlvError("a package name is not ASCII") from error
    return AccessRule(
        application_id=who.get(AID_REF),
        app_hash=who[APP_ID_REF],
        apdu=_apdu_right(what[APDU_AR]) if APDU_AR in what else None,
        nfc=_flag(what[NFC_AR]) if NFC_AR in what else None,
        package=package,
        permissions=what.get(PERMISSION_AR),
    )


class AccessRuleApplet:
    """The card's ARA-M, selected; a `NotFoundError` where the card has none."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._send(CommandApdu(0x00, 0xA4, 0x04, 0x00, RULE_APPLET, MAX_SHORT_LE), "SELECT ARA-M")

    def rules(self) -> list[AccessRule]:
        """All rules, also those that need more than one answer."""
        answer = exchange(self._transport, CommandApdu(0x80, 0xCA, 0xFF, 0x40, le=MAX_SHORT_LE))
        if answer.status_word == NO_RULES:
            return []
        verify_status_word(answer.status_word, "GET DATA (access rules)")
        raw = answer.data
        while (missing := _missing(raw)) > 0:
            piece = self._send(CommandApdu(0x80, 0xCA, 0xFF, 0x60, le=MAX_SHORT_LE), "GET DATA (more access rules)")
            if not piece or len(piece) > missing or len(raw) > MAX_RULES_BYTES:
                raise CardResponseError("the card's access rules do not end where they say: try another reader")
            raw += piece
        return parse_all(raw)

    def store(self, rule: AccessRule) -> bool:
        """Whether the rule is new. On real cards this goes through the issuer's secure channel: 6982 without it."""
        answer = exchange(self._transport, store_command(rule))
        if answer.status_word == STORED_ALREADY:
            return False
        if answer.status_word != OK:
            raise error_of(answer.status_word, "STORE DATA (access rule)")
        return True

    def delete(self, rule: AccessRule) -> None:
        self._send(CommandApdu(0x80, 0xE2, 0x90, 0x00, encode_tlv(DELETE, rule.encode())), "STORE DATA (delete)")

    def _send(self, command: CommandApdu, name: str) -> bytes:
        answer = exchange(self._transport, command)
        verify_status_word(answer.status_word, name)
        return answer.data


def store_command(rule: AccessRule) -> CommandApdu:
    """STORE DATA, for this program or for the issuer's own, which wraps it in a secure channel."""
    data = encode_tlv(STORE, rule.encode())
    if len(data) > MAX_SHORT_DATA:
        raise InputError("the access rule is longer than one command: use fewer APDU filters")
    return CommandApdu(0x80, 0xE2, 0x90, 0x00, data)


def _content(raw: bytes) -> bytes:
    if raw[:2] != ALL_RULES:
        raise MalformedTlvError("they do not begin with FF40")
    length, start = parse_length(raw, 2)
    if start + length != len(raw):
        raise MalformedTlvError(f"they say {length} bytes, {len(raw) - start} are there")
    return raw[start:]


def _missing(raw: bytes) -> int:
    """How many bytes of FF40 are still to come."""
    try:
        length, start = parse_length(raw, 2)
    except MalformedTlvError:
        return 0
    return start + length - len(raw)


def _parts(item: DataObject) -> tuple[DataObject, DataObject]:
    objects = parse_strict(item.value)
    if item.tag != REF_AR or [child.tag for child in objects] != [REF, AR]:
        raise MalformedTlvError(f"a data object {item.tag:02X} is no access rule")
    return objects[0], objects[1]


def _by_tag(item: DataObject, tag: int, order: tuple[int, ...]) -> dict[int, bytes]:
    """The children by tag; unknown, repeated or disordered ones are refused."""
    objects = parse_strict(item.value)
    tags = [child.tag for child in objects]
    if item.tag != tag or tags != [known for known in order if known in tags]:
        raise MalformedTlvError(f"a data object {item.tag:02X} has parts unknown, repeated or out of order")
    return {child.tag: child.value for child in objects}


def _apdu_right(value: bytes) -> bool | tuple[bytes, ...]:
    if len(value) == 1:
        return _flag(value)
    if not value or len(value) % FILTER_BYTES:
        raise MalformedTlvError("an APDU filter has not 8 bytes")
    return tuple(value[start : start + FILTER_BYTES] for start in range(0, len(value), FILTER_BYTES))


def _flag(value: bytes) -> bool:
    if value not in {b"\x00", b"\x01"}:
        raise MalformedTlvError("a right is neither 00 nor 01")
    return value == b"\x01"
