"""Commands on the card's objects: data, keys, files, agreement. Source: docs/apdu.md."""

from __future__ import annotations

import secrets
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.apdu import MAX_SHORT_LE, CommandApdu
from sim_applet_tools.emulator.command_fields import (
    bytes_objects,
    data_objects,
    public_key_object,
    references,
    require_data,
    require_parameters,
    require_session,
)
from sim_applet_tools.emulator.image import LifeCycle
from sim_applet_tools.emulator.memory import P256, CardMemory, Selection
from sim_applet_tools.emulator.objects import (
    APPLICATION_ID,
    APPROVAL,
    DEVICE,
    FILE_TAG,
    PEER,
    PRIVATE_TAG,
    PUBLIC_TAG,
    SECRET_TAG,
    SESSION,
    Filled,
    file_info,
    object_list,
    private_key_info,
    public_key_info,
    reference,
    require_filled,
)
from sim_applet_tools.emulator.refusal import (
    CONDITIONS,
    EMPTY,
    INCORRECT_DATA,
    WRONG_LENGTH,
    WRONG_OFFSET,
    WRONG_PARAMETERS,
    Refusal,
)
from sim_applet_tools.emulator.signing import OFFERED_MODES
from sim_applet_tools.tlv import encode_tlv

MAX_FILE_BYTES = 2048
KEY_INFO_BYTES = 71


class ObjectCommands:
    """Reads, makes and writes objects."""

    def __init__(self, memory: CardMemory) -> None:
        self._memory = memory

    def get_data(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p2 != 0 or command.p1 not in {0x00, 0x01, 0xC1, 0xC2, 0xC3, 0xC4, 0xF0}:
            raise Refusal(WRONG_PARAMETERS)
        if bool(command.data) == (command.p1 in {0x00, 0x01, 0xF0}):
            raise Refusal(WRONG_LENGTH)
        filled = self._memory.filled(selection)
        if command.p1 == 0x00:
            return self._application_data()
        if command.p1 == 0x01:
            return object_list(self._memory.image, filled)
        if command.p1 == 0xF0:
            return self._status()
        return self._object_info(command, filled)

    def _object_info(self, command: CommandApdu, filled: Filled) -> bytes:
        tags = {0xC1: PRIVATE_TAG, 0xC2: PUBLIC_TAG, 0xC3: FILE_TAG, 0xC4: SECRET_TAG}
        (number,) = references(command.data, tags[command.p1])
        if command.p1 == 0xC1:
            return private_key_info(number, self._memory.image, filled)
        if command.p1 == 0xC2:
            return public_key_info(number, self._memory.image, filled)
        return file_info(self._memory.image)

    def _application_data(self) -> bytes:
        extension = bytes_objects((0x80, 1), (0x81, self._memory.image.flags), (0x83, OFFERED_MODES))
        return (
            bytes_objects((0x10, 1))
            + encode_tlv(0x11, APPLICATION_ID)
            + bytes_objects((0xB1, 1), (0xB2, 3), (0xB3, 4), (0xB4, 0), (0x90, 7))
            + encode_tlv(0x91, b"\x00\x01")
            + bytes_objects((0x92, 4), (0x93, 1), (0x94, 0), (0xB7, 3))
            + encode_tlv(0xEF, extension)
        )

    def _status(self) -> bytes:
        image = self._memory.image
        return (
            bytes_objects((0xC0, image.state), (0xC1, image.pin_tries), (0xC2, image.puk_tries))
            + encode_tlv(0xC3, image.counter.to_bytes(4, "big"))
            + bytes_objects((0xC4, image.flags))
        )

    def generate(self, command: CommandApdu, selection: Selection) -> bytes:
        require_parameters(command, 0, 0)
        require_data(command)
        (number,) = references(command.data, PRIVATE_TAG)
        if number != SESSION and self._memory.image.state is not LifeCycle.FRESH:
            raise Refusal(CONDITIONS)
        selection.end_sessions_of(number)
        key = ec.generate_private_key(P256)
        scalar = key.private_numbers().private_value.to_bytes(32, "big")
        if number == APPROVAL:
            self._memory.commit(replace(self._memory.image, approval_key=scalar, counter=0))
        elif number == DEVICE:
            self._memory.commit(replace(self._memory.image, device_key=scalar))
        else:
            selection.session_key = key
        names = encode_tlv(0x84, bytes((number,))) + encode_tlv(0x85, bytes((number,)))
        return names + public_key_object(key.public_key())

    def read_public_key(self, command: CommandApdu, selection: Selection) -> bytes:
        require_parameters(command, 0, 0)
        require_data(command)
        (number,) = references(command.data, PUBLIC_TAG)
        key = self._memory.public_key(number, selection)
        if number == APPROVAL:
            self._memory.require_pin(selection)
        return public_key_object(key)

    def get_random(self, command: CommandApdu, _selection: Selection) -> bytes:
        require_parameters(command, 0, 0)
        if command.data or command.le is None or command.le > MAX_SHORT_LE:
            raise Refusal(WRONG_LENGTH)
        return secrets.token_bytes(command.le)

    def read_file(self, command: CommandApdu, _selection: Selection) -> bytes:
        if command.p1 & 0x80:
            raise Refusal(WRONG_PARAMETERS)
        require_data(command)
        references(command.data, FILE_TAG)
        if not self._memory.image.is_file_filled:
            raise Refusal(EMPTY)
        offset = command.p1 << 8 | command.p2
        if offset >= len(self._memory.image.file):
            raise Refusal(WRONG_OFFSET)
        return self._memory.image.file[offset : offset + min(command.le or MAX_SHORT_LE, MAX_SHORT_LE)]

    def write_file(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p1 & 0x80:
            raise Refusal(WRONG_PARAMETERS)
        require_data(command)
        offset = command.p1 << 8 | command.p2
        objects = data_objects(command.data)
        tags = [item.tag for item in objects[1:]]
        if not objects or tags != ([0x20, 0x53] if offset == 0 else [0x53]) or not objects[-1].value:
            raise Refusal(INCORRECT_DATA)
        size = self._memory.image.file_size
        if offset == 0:
            size = int.from_bytes(objects[1].value, "big")
            if len(objects[1].value) != 2 or not 1 <= size <= MAX_FILE_BYTES:
                raise Refusal(INCORRECT_DATA)
        reference(objects[0], FILE_TAG)
        self._memory.require_pin(selection)
        before = b"" if offset == 0 else self._memory.image.file
        if offset != len(before):
            raise Refusal(WRONG_OFFSET)
        if offset + len(objects[-1].value) > size:
            raise Refusal(INCORRECT_DATA)
        self._memory.commit(replace(self._memory.image, file=before + objects[-1].value, file_size=size))
        return b""

    def put_init(self, command: CommandApdu, selection: Selection) -> bytes:
        require_session(command, {0, 1})
        if command.p1 == 1:
            if command.data:
                raise Refusal(WRONG_LENGTH)
            selection.putting = None
            return b""
        require_data(command)
        (number,) = references(command.data, PUBLIC_TAG)
        if selection.putting is not None or number != PEER:
            raise Refusal(CONDITIONS)
        selection.putting = command.p2
        return b""

    def put_update(self, command: CommandApdu, selection: Selection) -> bytes:
        session = selection.putting
        selection.putting = None
        require_session(command, {0x80})
        require_data(command)
        header = bytes.fromhex("344549438641")
        if len(command.data) != KEY_INFO_BYTES or not command.data.startswith(header):
            raise Refusal(INCORRECT_DATA)
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(P256, command.data[6:])
        except ValueError as error:
            raise Refusal(INCORRECT_DATA) from error
        if session is None or session != command.p2:
            raise Refusal(CONDITIONS)
        selection.end_sessions_of(PEER)
        selection.peer_key = key
        return b""

    def compute_dh(self, command: CommandApdu, selection: Selection) -> bytes:
        require_parameters(command, 0, 0)
        require_data(command)
        private, public = references(command.data, PRIVATE_TAG, PUBLIC_TAG)
        filled = self._memory.filled(selection)
        require_filled(private, filled.private)
        require_filled(public, filled.public)
        if private != SESSION or public != PEER or not selection.session_key or not selection.peer_key:
            raise Refusal(CONDITIONS)
        return selection.session_key.exchange(ec.ECDH(), selection.peer_key)
