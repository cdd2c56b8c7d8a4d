"""The objects of the approval card: names, descriptions, and how a command names them. Source: docs/apdu.md."""

from __future__ import annotations

from dataclasses import dataclass

from sim_applet_tools.emulator.image import CardImage, LifeCycle
from sim_applet_tools.emulator.refusal import EMPTY, INCORRECT_DATA, NOT_FOUND, Refusal
from sim_applet_tools.tlv import DataObject, encode_tlv

APPLICATION_ID = bytes.fromhex("F054414C4C590101")
FILE_TAG = 0x83
PRIVATE_TAG = 0x84
PUBLIC_TAG = 0x85
SECRET_TAG = 0x86
APPROVAL, DEVICE, SESSION, PEER = 1, 2, 3, 4
LABELS = {APPROVAL: b"approval", DEVICE: b"device", SESSION: b"session", PEER: b"peer"}
FILE_LABEL = b"certificate"
ECDSA_SHA256 = encode_tlv(0x92, b"\x04") + encode_tlv(0x91, b"\x00\x01")


@dataclass(frozen=True, slots=True)
class Filled:
    """Which containers hold something, as seen on one channel."""

    private: frozenset[int]
    public: frozenset[int]


def reference(item: DataObject, id_tag: int) -> int:
    """The object that `item` names by id or label; refused where it is no name, or none of ours."""
    is_label = item.tag == id_tag - 0x10
    if not is_label and item.tag != id_tag:
        raise Refusal(INCORRECT_DATA)
    if not 1 <= len(item.value) <= (0x3C if is_label else 0x14):
        raise Refusal(INCORRECT_DATA)
    if id_tag == FILE_TAG:
        known = {1: FILE_LABEL}
    elif id_tag == PUBLIC_TAG:
        known = LABELS
    elif id_tag == PRIVATE_TAG:
        known = {key: label for key, label in LABELS.items() if key != PEER}
    else:
        known = {}
    for number, label in known.items():
        if item.value == (label if is_label else bytes((number,))):
            return number
    raise Refusal(NOT_FOUND)


def private_key_info(number: int, image: CardImage, filled: Filled) -> bytes:
    fresh = image.state is LifeCycle.FRESH
    access = 2 if number == SESSION or fresh else 0
    volatile = number == SESSION
    value = (
        encode_tlv(0x74, LABELS[number])
        + encode_tlv(0x84, bytes((number,)))
        + _properties(access, number in filled.private, 0x14 if volatile else 0x13, 0x06 if volatile else 0x03)
        + (encode_tlv(0x6F, b"\x01") if volatile else ECDSA_SHA256)
    )
    return encode_tlv(0xC1, value)


def public_key_info(number: int, image: CardImage, filled: Filled) -> bytes:
    fresh = image.state is LifeCycle.FRESH
    access = {APPROVAL: 1 if fresh else 0, PEER: 3}.get(number, 1)
    key_type = 0x14 if number in {SESSION, PEER} else 0x13
    functions = {SESSION: 0x04, PEER: 0x05}.get(number, 0x01)
    value = (
        encode_tlv(0x75, LABELS[number])
        + encode_tlv(0x85, bytes((number,)))
        + _properties(access, number in filled.public, key_type, functions)
    )
    return encode_tlv(0xC2, value)


def file_info(image: CardImage) -> bytes:
    size = image.file_size if image.is_file_filled else 0
    value = (
        encode_tlv(0x73, FILE_LABEL)
        + encode_tlv(0x83, b"\x01")
        + encode_tlv(0x60, b"\x03")
        + encode_tlv(0x4A, bytes((image.is_file_filled,)))
        + encode_tlv(0x20, size.to_bytes(2, "big"))
        + encode_tlv(0x21, b"\x02")
    )
    return encode_tlv(0xC3, value)


def object_list(image: CardImage, filled: Filled) -> bytes:
    return (
        b"".join(private_key_info(number, image, filled) for number in (APPROVAL, DEVICE, SESSION))
        + b"".join(public_key_info(number, image, filled) for number in (APPROVAL, DEVICE, SESSION, PEER))
        + file_info(image)
    )


def require_filled(number: int, filled: frozenset[int]) -> None:
    if number not in filled:
        raise Refusal(EMPTY)


def _properties(access: int, is_filled: bool, key_type: int, functions: int) -> bytes:
    pairs = ((0x60, access), (0x4A, int(is_filled)), (0x4B, key_type), (0x4E, 0x01), (0x61, functions))
    return b"".join(encode_tlv(tag, bytes((value,))) for tag, value in pairs)
