"""What commands carry, checked in the order of docs/apdu.md, and what answers are made of."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sim_applet_tools.apdu import CommandApdu
from sim_applet_tools.emulator.objects import reference
from sim_applet_tools.emulator.refusal import INCORRECT_DATA, WRONG_LENGTH, WRONG_PARAMETERS, Refusal
from sim_applet_tools.tlv import DataObject, MalformedTlvError, encode_tlv, parse_strict

MAX_SESSION = 3


def require_parameters(command: CommandApdu, p1: int, p2: int) -> None:
    if (command.p1, command.p2) != (p1, p2):
        raise Refusal(WRONG_PARAMETERS)


def require_session(command: CommandApdu, allowed_p1: set[int]) -> None:
    if command.p1 not in allowed_p1 or command.p2 > MAX_SESSION:
        raise Refusal(WRONG_PARAMETERS)


def require_data(command: CommandApdu) -> None:
    if not command.data:
        raise Refusal(WRONG_LENGTH)


def data_objects(data: bytes) -> list[DataObject]:
    try:
        return parse_strict(data)
    except MalformedTlvError as error:
        raise Refusal(INCORRECT_DATA) from error


def references(data: bytes, *id_tags: int) -> list[int]:
    """The objects named, one a tag, nothing else; form of all of them is checked before any is looked up."""
    objects = data_objects(data)
    if len(objects) != len(id_tags):
        raise Refusal(INCORRECT_DATA)
    return [reference(item, tag) for item, tag in zip(objects, id_tags, strict=True)]


def operation(command: CommandApdu, id_tag: int) -> tuple[int, int]:
    """Key and mode of an INIT."""
    require_data(command)
    objects = data_objects(command.data)
    if [(item.tag, len(item.value)) for item in objects[1:]] != [(0xA1, 1), (0x91, 2), (0x92, 1)]:
        raise Refusal(INCORRECT_DATA)
    mode = objects[1].value[0]
    if mode not in {1, 2, 3} or objects[2].value != b"\x00\x01" or objects[3].value != b"\x04":
        raise Refusal(INCORRECT_DATA)
    return reference(objects[0], id_tag), mode


def bytes_objects(*pairs: tuple[int, int]) -> bytes:
    return b"".join(encode_tlv(tag, bytes((value,))) for tag, value in pairs)


def public_key_object(key: ec.EllipticCurvePublicKey) -> bytes:
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return encode_tlv(0x34, encode_tlv(0x49, encode_tlv(0x86, point)))
