"""COMPUTE and VERIFY SIGNATURE of the emulated card. Source: docs/apdu.md."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

from sim_applet_tools.apdu import CommandApdu
from sim_applet_tools.emulator.command_fields import operation, require_data, require_session
from sim_applet_tools.emulator.image import FRESH_SIGNATURES, MAX_COUNTER, LifeCycle
from sim_applet_tools.emulator.memory import CardMemory, Selection
from sim_applet_tools.emulator.objects import APPROVAL, DEVICE, PEER, PRIVATE_TAG, PUBLIC_TAG, require_filled
from sim_applet_tools.emulator.refusal import CONDITIONS, SIGNATURE_MISMATCH, WRONG_LENGTH, Refusal
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
from sim_applet_tools.tlv import encode_tlv


class SignatureCommands:
    """Signs and verifies; every end of a session that signs ends the PIN validation."""

    def __init__(self, memory: CardMemory) -> None:
        self._memory = memory

    def sign_init(self, command: CommandApdu, selection: Selection) -> bytes:
        try:
            require_session(command, {0, 1})
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
        number, mode = operation(command, PRIVATE_TAG)
        require_filled(number, self._memory.filled(selection).private)
        offered = {APPROVAL: 1 << (FULL_TEXT - 1), DEVICE: OFFERED_MODES}.get(number, 0)
        if selection.signing is not None or not offered >> (mode - 1) & 1:
            raise Refusal(CONDITIONS)
        form = TextForm()
        if number == APPROVAL:
            self._require_approval_allowed(selection)
            fresh = self._memory.image.state is LifeCycle.FRESH
            form = TextForm(POSSESSION_PREFIX, POSSESSION_BYTES) if fresh else TextForm(APPROVAL_PREFIX)
        return Operation(command.p2, number, mode, form)

    def _require_approval_allowed(self, selection: Selection) -> None:
        state, counter = self._memory.image.state, self._memory.image.counter
        if state is LifeCycle.PERSONALISED or counter >= MAX_COUNTER:
            raise Refusal(CONDITIONS)
        if state is LifeCycle.FRESH and counter >= FRESH_SIGNATURES:
            raise Refusal(CONDITIONS)
        self._memory.require_pin(selection)

    def sign_update(self, command: CommandApdu, selection: Selection) -> bytes:
        operation, was_validated = selection.signing, selection.validated
        selection.signing, selection.validated = None, False
        require_session(command, {0x00, 0x80})
        require_data(command)
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
            self._memory.commit(replace(self._memory.image, counter=self._memory.image.counter + 1))
        der = self._memory.private_key(number).sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        r, s = decode_dss_signature(der)
        return encode_tlv(0x33, r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def verify_init(self, command: CommandApdu, selection: Selection) -> bytes:
        require_session(command, {0, 1})
        if command.p1 == 1:
            if command.data:
                raise Refusal(WRONG_LENGTH)
            selection.verifying = None
            return b""
        number, mode = operation(command, PUBLIC_TAG)
        require_filled(number, self._memory.filled(selection).public)
        if selection.verifying is not None or number not in {DEVICE, PEER} or not OFFERED_MODES >> (mode - 1) & 1:
            raise Refusal(CONDITIONS)
        selection.verifying = Operation(command.p2, number, mode)
        return b""

    def verify_update(self, command: CommandApdu, selection: Selection) -> bytes:
        operation = selection.verifying
        selection.verifying = None
        require_session(command, {0x00, 0x80})
        require_data(command)
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
            self._memory.public_key(operation.key, selection).verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        except InvalidSignature as error:
            raise Refusal(SIGNATURE_MISMATCH) from error
        return b""
