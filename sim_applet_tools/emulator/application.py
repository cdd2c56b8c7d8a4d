"""The approval application of the emulated card: one answer a command, checks in the order of docs/apdu.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sim_applet_tools.apdu import CommandApdu, ResponseApdu
from sim_applet_tools.emulator import pin
from sim_applet_tools.emulator.command_fields import data_objects, require_parameters
from sim_applet_tools.emulator.image import LifeCycle
from sim_applet_tools.emulator.memory import CardMemory, Selection
from sim_applet_tools.emulator.object_commands import ObjectCommands
from sim_applet_tools.emulator.refusal import (
    BLOCKED,
    CONDITIONS,
    FAILURE,
    INCORRECT_DATA,
    UNKNOWN_INSTRUCTION,
    WRONG_CLASS,
    WRONG_LENGTH,
    Refusal,
)
from sim_applet_tools.emulator.signature_commands import SignatureCommands
from sim_applet_tools.errors import StorageError

PIN_REFERENCE = 0x81

Handler = Callable[[CommandApdu, Selection], bytes]


class ApprovalApplication:
    """Answers commands on any number of selections; durable state goes through the memory before an answer."""

    def __init__(self, memory: CardMemory) -> None:
        self._memory = memory
        self._objects = ObjectCommands(memory)
        self._signatures = SignatureCommands(memory)
        self._handlers: dict[int, Handler] = {
            0x20: self._verify_pin,
            0x24: self._change_pin_or_put_init,
            0x2A: self._signatures.sign_init,
            0x2B: self._signatures.sign_update,
            0x2C: self._unblock_pin_or_verify_init,
            0x2D: self._signatures.verify_update,
            0x46: self._objects.compute_dh,
            0x84: self._objects.get_random,
            0xB0: self._objects.read_file,
            0xB9: self._objects.generate,
            0xCB: self._objects.get_data,
            0xCD: self._objects.read_public_key,
            0xD2: self._personalise,
            0xD6: self._objects.write_file,
            0xD8: self._objects.put_update,
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

    @property
    def iccid(self) -> str:
        return self._memory.image.iccid

    def _verify_pin(self, command: CommandApdu, selection: Selection) -> bytes:
        require_parameters(command, 0, PIN_REFERENCE)
        if not command.data:
            return self._pin_query(selection)
        selection.validated = False
        pin.verify(self._memory.image, command.data, self._memory.commit)
        selection.validated = True
        return b""

    def _pin_query(self, selection: Selection) -> bytes:
        if self._memory.image.state is LifeCycle.FRESH:
            raise Refusal(CONDITIONS)
        if selection.validated:
            return b""
        raise Refusal(BLOCKED if self._memory.image.pin_tries == 0 else 0x63C0 | self._memory.image.pin_tries)

    def _change_pin_or_put_init(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p2 != PIN_REFERENCE:
            return self._objects.put_init(command, selection)
        require_parameters(command, 0, PIN_REFERENCE)
        selection.validated = selection.validated and not command.data
        pin.change(self._memory.image, command.data, self._memory.commit)
        return b""

    def _unblock_pin_or_verify_init(self, command: CommandApdu, selection: Selection) -> bytes:
        if command.p2 != PIN_REFERENCE:
            return self._signatures.verify_init(command, selection)
        require_parameters(command, 0, PIN_REFERENCE)
        selection.validated = selection.validated and not command.data
        pin.unblock(self._memory.image, command.data, self._memory.commit)
        return b""

    def _personalise(self, command: CommandApdu, _selection: Selection) -> bytes:
        require_parameters(command, 0, 0)
        if len(command.data) != 20:
            raise Refusal(WRONG_LENGTH)
        objects = data_objects(command.data)
        if [(item.tag, len(item.value)) for item in objects] != [(0xC0, 8), (0xC1, 8)]:
            raise Refusal(INCORRECT_DATA)
        transport_pin, puk = objects[0].value, objects[1].value
        if not pin.is_pin(transport_pin) or not pin.is_puk(puk):
            raise Refusal(INCORRECT_DATA)
        if self._memory.image.state is not LifeCycle.FRESH or not self._memory.image.approval_key:
            raise Refusal(CONDITIONS)
        self._memory.commit(replace(self._memory.image, state=LifeCycle.PERSONALISED, pin=transport_pin, puk=puk))
        return b""
