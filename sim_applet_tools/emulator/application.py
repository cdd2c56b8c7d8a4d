"""The approval application of the emulated card, as docs/apdu.md states it, checks in that order."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sim_applet_tools.apdu import MAX_SHORT_LE, CommandApdu, ResponseApdu
from sim_applet_tools.emulator import pin
from sim_applet_tools.emulator.image import FRESH_SIGNATURES, MAX_COUNTER, CardImage, LifeCycle
from sim_applet_tools.emulator.keystore import ImageStore
from sim_applet_tools.emulator.objects import (
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
    BLOCKED,
    CONDITIONS,
    EMPTY,
    FAILURE,
    INCORRECT_DATA,
    PIN_REQUIRED,
    SIGNATURE_MISMATCH,
    UNKNOWN_INSTRUCTION,
    WRONG_CLASS,
    WRONG_LENGTH,
    WRONG_OFFSET,
    WRONG_PARAMETERS,
    Refusal,
)
from sim_applet_tools.emulator.signing import (
    APPROVAL_PREFIX,
    FULL_TEXT,
    HASH,
    OFFERED_MODES,
    POSSESSION_BYTES,
    POSSESSION_PREFIX,
    Operation,
    TextForm,
    hash_object,
    text_to_sign,
    text_to_verify,
)
from sim_applet_tools.errors import StorageError
from sim_applet_tools.tlv import DataObject, MalformedTlvError, encode_tlv, parse_strict

APPLICATION_ID = bytes.fromhex("F054414C4C590101")
PIN_REFERENCE = 0x81
MAX_SESSION = 3
MAX_FILE_BYTES = 2048
KEY_INFO_BYTES = 71
P256 = ec.SECP256R1()


@dataclass(slots=True)
class Selection:
    """What one logical channel holds while the application is selected on it; gone with it."""

    validated: bool = False
    signing: Operation | None = None
    verifying: Operation | None = None
    putting: int | None = None
    session_key: ec.EllipticCurvePrivateKey | None = None
    peer_key: ec.EllipticCurvePublicKey | None = None

    def end_sessions_of(self, key: int) -> None:
        """A key is about to be replaced."""
        if self.signing is not None and self.signing.key == key:
            self.signing = None
        if self.verifying is not None and self.verifying.key == key:
            self.verifying = None


Handler = Callable[[CommandApdu, Selection], bytes]


class ApprovalApplication:
    """Answers commands on any number of selections; durable state goes through `store` before an answer."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self.image = store.load()
        self._handlers: dict[int, Handler] = {
            0x20: self._verify_pin,
            0x24: self._change_pin_or_put_init,
            0x2A: self._sign_init,
            0x2B: self._sign_update,
            0x2C: self._unblock_pin_or_verify_init,
            0x2D: self._verify_update,
            0x46: self._compute_dh,
            0x84: self._get_random,
            0xB0: self._read_file,
            0xB9: self._generate,
            0xCB: self._get_data,
            0xCD: self._read_public_key,
            0xD2: self._personalise,
            0xD6: self._write_file,
            0xD8: self._put_update,
        }

    def process(self, command: CommandApdu, selection: Selection) -> ResponseApdu:
        """Answer one command."""
        if command.cla & 0x7C:
            return ResponseApdu(b"", WRONG_CLASS)
        handler = self._handlers.get(command.ins)
        if handler is None:
            return ResponseApdu(b"", UNKNOWN_INSTRUCTION)
        try:
            return ResponseApdu(handler(command, selection), 0x9000)
        except Refusal as refusal:
            return ResponseApdu(b"", refusal.status_word)
        except StorageError:
            selection.validated = False
            return ResponseApdu(b"", FAILURE)

    # -- state

    def _commit(self, image: CardImage) -> None:
        self._store.store(image)
        self.image = image

    def _filled(self, selection: Selection) -> Filled:
        pairs = {
            number
            for number, key in (
                (APPROVAL, self.image.approval_key),
                (DEVICE, self.image.device_key),
                (SESSION, selection.session_key),
            )
            if key
        }
        return Filled(frozenset(pairs), frozenset(pairs | ({PEER} if selection.peer_key else set())))

    def _private_key(self, number: int) -> ec.EllipticCurvePrivateKey:
        scalar = self.image.approval_key if number == APPROVAL else self.image.device_key
        return ec.derive_private_key(int.from_bytes(scalar, "big"), P256)

    def _public_key(self, number: int, selection: Selection) -> ec.EllipticCurvePublicKey:
        require_filled(number, self._filled(selection).public)
        if number == PEER and selection.peer_key:
            return selection.peer_key
        if number == SESSION and selection.session_key:
            return selection.session_key.public_key()
        return self._private_key(number).public_key()

    # -- data, keys and files

    def _get_data(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p2 != 0 or command.p1 not in {0x00, 0x01, 0xC1, 0xC2, 0xC3, 0xC4, 0xF0}:
            raise Refusal(WRONG_PARAMETERS)
        if bool(command.data) == (command.p1 in {0x00, 0x01, 0xF0}):
            raise Refusal(WRONG_LENGTH)
        filled = self._filled(selection)
        if command.p1 == 0x00:
            return self._application_data()
        if command.p1 == 0x01:
            return object_list(self.image, filled)
        if command.p1 == 0xF0:
            return self._status()
        return self._object_info(command, filled)

    def _object_info(self, command: CommandApdu, filled: Filled) -> bytes:
        tags = {0xC1: PRIVATE_TAG, 0xC2: PUBLIC_TAG, 0xC3: FILE_TAG, 0xC4: SECRET_TAG}
        (number,) = _references(command.data, tags[command.p1])
        if command.p1 == 0xC1:
            return private_key_info(number, self.image, filled)
        if command.p1 == 0xC2:
            return public_key_info(number, self.image, filled)
        return file_info(self.image)

    def _application_data(self) -> bytes:
        extension = _bytes_objects((0x80, 1), (0x81, self.image.flags), (0x83, OFFERED_MODES))
        return (
            _bytes_objects((0x10, 1))
            + encode_tlv(0x11, APPLICATION_ID)
            + _bytes_objects((0xB1, 1), (0xB2, 3), (0xB3, 4), (0xB4, 0), (0x90, 7))
            + encode_tlv(0x91, b"\x00\x01")
            + _bytes_objects((0x92, 4), (0x93, 1), (0x94, 0), (0xB7, 3))
            + encode_tlv(0xEF, extension)
        )

    def _status(self) -> bytes:
        return (
            _bytes_objects((0xC0, self.image.state), (0xC1, self.image.pin_tries), (0xC2, self.image.puk_tries))
            + encode_tlv(0xC3, self.image.counter.to_bytes(4, "big"))
            + _bytes_objects((0xC4, self.image.flags))
        )

    def _generate(self, command: CommandApdu, selection: Selection) -> bytes:
        _require_parameters(command, 0, 0)
        _require_data(command)
        (number,) = _references(command.data, PRIVATE_TAG)
        if number != SESSION and self.image.state is not LifeCycle.FRESH:
            raise Refusal(CONDITIONS)
        selection.end_sessions_of(number)
        key = ec.generate_private_key(P256)
        scalar = key.private_numbers().private_value.to_bytes(32, "big")
        if number == APPROVAL:
            self._commit(replace(self.image, approval_key=scalar, counter=0))
        elif number == DEVICE:
            self._commit(replace(self.image, device_key=scalar))
        else:
            selection.session_key = key
        names = encode_tlv(0x84, bytes((number,))) + encode_tlv(0x85, bytes((number,)))
        return names + _public_key_object(key.public_key())

    def _read_public_key(self, command: CommandApdu, selection: Selection) -> bytes:
        _require_parameters(command, 0, 0)
        _require_data(command)
        (number,) = _references(command.data, PUBLIC_TAG)
        key = self._public_key(number, selection)
        if number == APPROVAL:
            self._require_pin(selection)
        return _public_key_object(key)

    def _get_random(self, command: CommandApdu, _selection: Selection) -> bytes:
        _require_parameters(command, 0, 0)
        if command.data or command.le is None or command.le > MAX_SHORT_LE:
            raise Refusal(WRONG_LENGTH)
        return secrets.token_bytes(command.le)

    def _read_file(self, command: CommandApdu, _selection: Selection) -> bytes:
        if command.p1 & 0x80:
            raise Refusal(WRONG_PARAMETERS)
        _require_data(command)
        _references(command.data, FILE_TAG)
        if not self.image.is_file_filled:
            raise Refusal(EMPTY)
        offset = command.p1 << 8 | command.p2
        if offset >= len(self.image.file):
            raise Refusal(WRONG_OFFSET)
        return self.image.file[offset : offset + min(command.le or MAX_SHORT_LE, MAX_SHORT_LE)]

    def _write_file(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p1 & 0x80:
            raise Refusal(WRONG_PARAMETERS)
        _require_data(command)
        offset = command.p1 << 8 | command.p2
        objects = _objects(command.data)
        tags = [item.tag for item in objects[1:]]
        if not objects or tags != ([0x20, 0x53] if offset == 0 else [0x53]) or not objects[-1].value:
            raise Refusal(INCORRECT_DATA)
        size = self.image.file_size
        if offset == 0:
            size = int.from_bytes(objects[1].value, "big")
            if len(objects[1].value) != 2 or not 1 <= size <= MAX_FILE_BYTES:
                raise Refusal(INCORRECT_DATA)
        reference(objects[0], FILE_TAG)
        self._require_pin(selection)
        before = b"" if offset == 0 else self.image.file
        if offset != len(before):
            raise Refusal(WRONG_OFFSET)
        if offset + len(objects[-1].value) > size:
            raise Refusal(INCORRECT_DATA)
        self._commit(replace(self.image, file=before + objects[-1].value, file_size=size))
        return b""

    # -- PIN and personalisation

    def _verify_pin(self, command: CommandApdu, selection: Selection) -> bytes:
        _require_parameters(command, 0, PIN_REFERENCE)
        if not command.data:
            return self._pin_query(selection)
        selection.validated = False
        pin.verify(self.image, command.data, self._commit)
        selection.validated = True
        return b""

    def _pin_query(self, selection: Selection) -> bytes:
        if self.image.state is LifeCycle.FRESH:
            raise Refusal(CONDITIONS)
        if selection.validated:
            return b""
        raise Refusal(BLOCKED if self.image.pin_tries == 0 else 0x63C0 | self.image.pin_tries)

    def _change_pin_or_put_init(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p2 != PIN_REFERENCE:
            return self._put_init(command, selection)
        _require_parameters(command, 0, PIN_REFERENCE)
        selection.validated = selection.validated and not command.data
        pin.change(self.image, command.data, self._commit)
        return b""

    def _unblock_pin_or_verify_init(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p2 != PIN_REFERENCE:
            return self._verify_init(command, selection)
        _require_parameters(command, 0, PIN_REFERENCE)
        selection.validated = selection.validated and not command.data
        pin.unblock(self.image, command.data, self._commit)
        return b""

    def _personalise(self, command: CommandApdu, _selection: Selection) -> bytes:
        _require_parameters(command, 0, 0)
        if len(command.data) != 20:
            raise Refusal(WRONG_LENGTH)
        objects = _objects(command.data)
        if [(item.tag, len(item.value)) for item in objects] != [(0xC0, 8), (0xC1, 8)]:
            raise Refusal(INCORRECT_DATA)
        transport_pin, puk = objects[0].value, objects[1].value
        if not pin.is_pin(transport_pin) or not pin.is_puk(puk):
            raise Refusal(INCORRECT_DATA)
        if self.image.state is not LifeCycle.FRESH or not self.image.approval_key:
            raise Refusal(CONDITIONS)
        self._commit(replace(self.image, state=LifeCycle.PERSONALISED, pin=transport_pin, puk=puk))
        return b""

    def _require_pin(self, selection: Selection) -> None:
        if self.image.state is not LifeCycle.FRESH and not selection.validated:
            raise Refusal(PIN_REQUIRED)

    # -- signing

    def _sign_init(self, command: CommandApdu, selection: Selection) -> bytes:
        try:
            _require_session(command, {0, 1})
        except Refusal:
            selection.validated = False
            raise
        if command.p1 == 1:
            if command.data:
                raise Refusal(WRONG_LENGTH)
            if selection.signing is not None:
                selection.signing, selection.validated = None, False
            return b""
        try:
            selection.signing = self._opened_signing(command, selection)
        except Refusal:
            selection.validated = False
            raise
        return b""

    def _opened_signing(self, command: CommandApdu, selection: Selection) -> Operation:
        number, mode = _operation(command, PRIVATE_TAG)
        require_filled(number, self._filled(selection).private)
        offered = {APPROVAL: 1 << (FULL_TEXT - 1), DEVICE: OFFERED_MODES}.get(number, 0)
        if selection.signing is not None or not offered >> (mode - 1) & 1:
            raise Refusal(CONDITIONS)
        form = TextForm()
        if number == APPROVAL:
            self._require_approval_allowed(selection)
            fresh = self.image.state is LifeCycle.FRESH
            form = TextForm(POSSESSION_PREFIX, POSSESSION_BYTES) if fresh else TextForm(APPROVAL_PREFIX)
        return Operation(command.p2, number, mode, form)

    def _require_approval_allowed(self, selection: Selection) -> None:
        state, counter = self.image.state, self.image.counter
        if state is LifeCycle.PERSONALISED or counter >= MAX_COUNTER:
            raise Refusal(CONDITIONS)
        if state is LifeCycle.FRESH and counter >= FRESH_SIGNATURES:
            raise Refusal(CONDITIONS)
        self._require_pin(selection)

    def _sign_update(self, command: CommandApdu, selection: Selection) -> bytes:
        operation, was_validated = selection.signing, selection.validated
        selection.signing, selection.validated = None, False
        _require_session(command, {0x00, 0x80})
        _require_data(command)
        if operation is None or operation.session != command.p2:
            raise Refusal(CONDITIONS)
        if operation.key == APPROVAL:
            self._require_approval_allowed(replace(selection, validated=was_validated))
        is_last = command.p1 == 0x80
        if operation.mode == HASH:
            digest, _ = hash_object(command.data, is_last=is_last, with_signature=False)
        else:
            text = text_to_sign(operation, command.data, is_last=is_last)
            if text is None:
                selection.signing, selection.validated = operation, was_validated
                return b""
            digest = sha256(text).digest()
        return self._signature(operation.key, digest)

    def _signature(self, number: int, digest: bytes) -> bytes:
        if number == APPROVAL:
            self._commit(replace(self.image, counter=self.image.counter + 1))
        der = self._private_key(number).sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        r, s = decode_dss_signature(der)
        return encode_tlv(0x33, r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    # -- verifying

    def _verify_init(self, command: CommandApdu, selection: Selection) -> bytes:
        _require_session(command, {0, 1})
        if command.p1 == 1:
            if command.data:
                raise Refusal(WRONG_LENGTH)
            selection.verifying = None
            return b""
        number, mode = _operation(command, PUBLIC_TAG)
        require_filled(number, self._filled(selection).public)
        if selection.verifying is not None or number not in {DEVICE, PEER} or not OFFERED_MODES >> (mode - 1) & 1:
            raise Refusal(CONDITIONS)
        selection.verifying = Operation(command.p2, number, mode)
        return b""

    def _verify_update(self, command: CommandApdu, selection: Selection) -> bytes:
        operation = selection.verifying
        selection.verifying = None
        _require_session(command, {0x00, 0x80})
        _require_data(command)
        if operation is None or operation.session != command.p2:
            raise Refusal(CONDITIONS)
        is_last = command.p1 == 0x80
        if operation.mode == HASH:
            digest, signature = hash_object(command.data, is_last=is_last, with_signature=True)
        else:
            found = text_to_verify(operation, command.data, is_last=is_last)
            if found is None:
                selection.verifying = operation
                return b""
            digest, signature = sha256(found[0]).digest(), found[1]
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        try:
            self._public_key(operation.key, selection).verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        except InvalidSignature as error:
            raise Refusal(SIGNATURE_MISMATCH) from error
        return b""

    # -- peer key and agreement

    def _put_init(self, command: CommandApdu, selection: Selection) -> bytes:
        _require_session(command, {0, 1})
        if command.p1 == 1:
            if command.data:
                raise Refusal(WRONG_LENGTH)
            selection.putting = None
            return b""
        _require_data(command)
        (number,) = _references(command.data, PUBLIC_TAG)
        if selection.putting is not None or number != PEER:
            raise Refusal(CONDITIONS)
        selection.putting = command.p2
        return b""

    def _put_update(self, command: CommandApdu, selection: Selection) -> bytes:
        session = selection.putting
        selection.putting = None
        _require_session(command, {0x80})
        _require_data(command)
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

    def _compute_dh(self, command: CommandApdu, selection: Selection) -> bytes:
        _require_parameters(command, 0, 0)
        _require_data(command)
        private, public = _references(command.data, PRIVATE_TAG, PUBLIC_TAG)
        filled = self._filled(selection)
        require_filled(private, filled.private)
        require_filled(public, filled.public)
        if private != SESSION or public != PEER or not selection.session_key or not selection.peer_key:
            raise Refusal(CONDITIONS)
        return selection.session_key.exchange(ec.ECDH(), selection.peer_key)


def _require_parameters(command: CommandApdu, p1: int, p2: int) -> None:
    if (command.p1, command.p2) != (p1, p2):
        raise Refusal(WRONG_PARAMETERS)


def _require_session(command: CommandApdu, allowed_p1: set[int]) -> None:
    if command.p1 not in allowed_p1 or command.p2 > MAX_SESSION:
        raise Refusal(WRONG_PARAMETERS)


def _require_data(command: CommandApdu) -> None:
    if not command.data:
        raise Refusal(WRONG_LENGTH)


def _objects(data: bytes) -> list[DataObject]:
    try:
        return parse_strict(data)
    except MalformedTlvError as error:
        raise Refusal(INCORRECT_DATA) from error


def _references(data: bytes, *id_tags: int) -> list[int]:
    """The objects named, one a tag, nothing else; form of all of them is checked before any is looked up."""
    objects = _objects(data)
    if len(objects) != len(id_tags):
        raise Refusal(INCORRECT_DATA)
    return [reference(item, tag) for item, tag in zip(objects, id_tags, strict=True)]


def _operation(command: CommandApdu, id_tag: int) -> tuple[int, int]:
    """Key and mode of an INIT."""
    _require_data(command)
    objects = _objects(command.data)
    if [(item.tag, len(item.value)) for item in objects[1:]] != [(0xA1, 1), (0x91, 2), (0x92, 1)]:
        raise Refusal(INCORRECT_DATA)
    mode = objects[1].value[0]
    if mode not in {1, 2, 3} or objects[2].value != b"\x00\x01" or objects[3].value != b"\x04":
        raise Refusal(INCORRECT_DATA)
    return reference(objects[0], id_tag), mode


def _bytes_objects(*pairs: tuple[int, int]) -> bytes:
    return b"".join(encode_tlv(tag, bytes((value,))) for tag, value in pairs)


def _public_key_object(key: ec.EllipticCurvePublicKey) -> bytes:
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return encode_tlv(0x34, encode_tlv(0x49, encode_tlv(0x86, point)))
