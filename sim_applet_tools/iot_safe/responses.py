"""What IoT SAFE cards answer, as values. Anything malformed is a `CardResponseError`. Source: GSMA IoT.05 §4."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sim_applet_tools.errors import CardResponseError
from sim_applet_tools.iot_safe.commands import LABEL_TAG_OFFSET, Kind
from sim_applet_tools.profiles import CardProfile
from sim_applet_tools.tlv import DataObject, first_value, optional_value, parse_answer

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
EMULATOR_FLAG = 0x01
INFO_TAGS = {0xC1: Kind.PRIVATE_KEY, 0xC2: Kind.PUBLIC_KEY, 0xC3: Kind.FILE, 0xC4: Kind.SECRET}


@dataclass(frozen=True, slots=True)
class ApplicationData:
    """What the applet says of itself; `flags` and `modes` are our extension and None on other stacks."""

    version: bytes
    application_id: bytes
    max_files: int
    max_private_keys: int
    max_public_keys: int
    max_sessions: int
    functions: int
    flags: int | None
    modes: int | None

    @property
    def is_emulator(self) -> bool:
        return self.flags is not None and bool(self.flags & EMULATOR_FLAG)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of the card; `size` is set for files, in bytes."""

    kind: Kind
    label: bytes
    object_id: bytes
    access: int
    is_filled: bool
    key_type: int | None
    functions: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class CardStatus:
    """Life cycle, tries and counter of our own card (GET DATA F0)."""

    state: int
    pin_tries: int
    puk_tries: int
    signature_counter: int
    flags: int

    @property
    def state_name(self) -> str:
        return {1: "fresh", 2: "personalised", 3: "active"}.get(self.state, "unknown")


def parse_application_data(raw: bytes) -> ApplicationData:
    objects = parse_answer(raw, "GET DATA (application)")

    def number(tag: int) -> int:
        return int.from_bytes(optional_value(objects, tag) or b"", "big")

    extension = optional_value(objects, 0xEF)
    extended = parse_answer(extension, "GET DATA (application, extension)") if extension else []
    return ApplicationData(
        version=optional_value(objects, 0x10) or b"",
        application_id=optional_value(objects, 0x11) or b"",
        max_files=number(0xB1),
        max_private_keys=number(0xB2),
        max_public_keys=number(0xB3),
        max_sessions=number(0xB7),
        functions=number(0x90),
        flags=_optional_byte(extended, 0x81),
        modes=_optional_byte(extended, 0x83),
    )


def parse_object_list(raw: bytes, profile: CardProfile) -> list[ObjectInfo]:
    return [_object_info(item, profile) for item in parse_answer(raw, "GET DATA (object list)")]


def parse_card_status(raw: bytes) -> CardStatus:
    objects = parse_answer(raw, "GET DATA (status)")
    values = [int.from_bytes(first_value(objects, tag, "GET DATA (status)"), "big") for tag in range(0xC0, 0xC5)]
    return CardStatus(*values)


def parse_public_key(raw: bytes, what: str) -> ec.EllipticCurvePublicKey:
    """The P-256 key in `34 L (49 L (86 L 04 X Y))`; a point off the curve is refused."""
    key_data = parse_answer(first_value(parse_answer(raw, what), 0x34, what), what)
    inner = optional_value(key_data, 0x49)
    point = first_value(parse_answer(inner, what) if inner is not None else key_data, 0x86, what)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise CardResponseError(f"the card's answer to {what} holds no point of P-256: use another card") from error


def parse_signature(raw: bytes, profile: CardProfile) -> bytes:
    """r and s, 32 bytes each, of `33 L signature` in the form that the profile states."""
    what = "COMPUTE SIGNATURE"
    signature = signature_value(raw, profile)
    if profile.signature_form == "der":
        try:
            r, s = decode_dss_signature(signature)
        except ValueError as error:
            raise CardResponseError(f"the card's answer to {what} is no DER signature: try --profile") from error
    else:
        if len(signature) != 64:
            raise CardResponseError(f"the card's signature has {len(signature)} bytes, not 64: try --profile")
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < P256_ORDER and 0 < s < P256_ORDER):
        raise CardResponseError("the card's signature is out of range: use another card")
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def signature_value(raw: bytes, profile: CardProfile) -> bytes:
    """The value of `33 L signature`, with a length as the profile states."""
    what = "COMPUTE SIGNATURE"
    if profile.signature_length != "2":
        return first_value(parse_answer(raw, what), 0x33, what)
    if len(raw) < 3 or raw[0] != 0x33 or int.from_bytes(raw[1:3], "big") != len(raw) - 3:
        raise CardResponseError(f"the card's answer to {what} is malformed: try another profile (--profile)")
    return raw[3:]


def _object_info(item: DataObject, profile: CardProfile) -> ObjectInfo:
    what = "GET DATA (object list)"
    if item.tag not in INFO_TAGS:
        raise CardResponseError(f"the card's answer to {what} has an object of unknown tag {item.tag:02X}")
    kind = INFO_TAGS[item.tag]
    objects = parse_answer(item.value, what)
    size = optional_value(objects, 0x20)
    return ObjectInfo(
        kind=kind,
        label=optional_value(objects, kind - LABEL_TAG_OFFSET) or b"",
        object_id=first_value(objects, kind, what),
        access=_optional_byte(objects, 0x60) or 0,
        is_filled=_optional_byte(objects, 0x4A) == 1,
        key_type=_optional_byte(objects, 0x4B),
        functions=_optional_byte(objects, 0x61),
        size=None if size is None else int.from_bytes(size, profile.file_size_order),
    )


def _optional_byte(objects: list[DataObject], tag: int) -> int | None:
    value = optional_value(objects, tag)
    if value is None:
        return None
    if len(value) != 1:
        raise CardResponseError(f"the card's answer has {len(value)} bytes under tag {tag:02X} instead of one")
    return value[0]
