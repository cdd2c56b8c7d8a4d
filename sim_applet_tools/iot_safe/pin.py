"""EXTENSION, not IoT SAFE: PIN, PUK, counter, personalisation and writing a file, as our own card has them.

IoT SAFE has no PIN command. These work with our applet and the emulator only; bytes in docs/apdu.md.
A PIN is passed on to the card and nowhere kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.apdu import MAX_SHORT_LE, CommandApdu
from sim_applet_tools.errors import InputError
from sim_applet_tools.iot_safe.commands import Kind, ObjectName
from sim_applet_tools.iot_safe.responses import CardStatus, parse_card_status
from sim_applet_tools.iot_safe.session import IotSafeApplet
from sim_applet_tools.iot_safe.signature_check import SeenNonces
from sim_applet_tools.tlv import encode_tlv

APPROVAL_KEY = ObjectName(b"\x01")
DEVICE_KEY = ObjectName(b"\x02")
SESSION_KEY = ObjectName(b"\x03")
PEER_KEY = ObjectName(b"\x04")
CERTIFICATE_FILE = ObjectName(b"\x01")
USER_PIN = 0x81
WRITE_CHUNK_BYTES = 200
MAX_FILE_BYTES = 2048
APPROVAL_PREFIX = b"eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5"
POSSESSION_PREFIX = b"eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5LXBvc3Nlc3Npb24randzIn0."


def encode_pin(pin: str, what: str = "PIN") -> bytes:
    """8 bytes: 6 to 8 digits and FF behind them; the message of an error does not repeat the digits."""
    if not (pin.isascii() and pin.isdigit() and 6 <= len(pin) <= 8):
        raise InputError(f"the {what} must be 6 to 8 digits")
    return pin.encode().ljust(8, b"\xff")


def encode_puk(puk: str) -> bytes:
    """8 bytes, one a digit."""
    if not (puk.isascii() and puk.isdigit() and len(puk) == 8):
        raise InputError("the PUK must be 8 digits")
    return puk.encode()


class ApprovalCard:
    """The extension on a selected applet of ours."""

    def __init__(self, applet: IotSafeApplet) -> None:
        if not applet.profile.has_pin:
            raise InputError(
                f"the applet {applet.application_id.hex().upper()} has no PIN commands: they need a card with our "
                "applet (profile tally)"
            )
        self.applet = applet

    def status(self) -> CardStatus:
        command = CommandApdu(0x80, 0xCB, 0xF0, 0x00, le=MAX_SHORT_LE)
        return parse_card_status(self.applet.send(command, "GET DATA (status)"))

    def verify_pin(self, pin: str) -> None:
        """Validates the PIN for one signature."""
        self._pin_command(0x20, encode_pin(pin), "VERIFY")

    def change_pin(self, old: str, new: str) -> None:
        """Changes the PIN; on a personalised card this activates it."""
        self._pin_command(0x24, encode_pin(old) + encode_pin(new, "new PIN"), "CHANGE PIN")

    def unblock_pin(self, puk: str, new: str) -> None:
        self._pin_command(0x2C, encode_puk(puk) + encode_pin(new, "new PIN"), "UNBLOCK PIN")

    def personalise(self, transport_pin: str, puk: str) -> None:
        """Ends the fresh state, for good; the approval key must be there."""
        data = encode_tlv(0xC0, encode_pin(transport_pin, "transport PIN")) + encode_tlv(0xC1, encode_puk(puk))
        self.applet.send(CommandApdu(0x80, 0xD2, 0x00, 0x00, data), "PERSONALISE")

    def write_file(self, name: ObjectName, content: bytes) -> None:
        """Replace a file of 1 to 2,048 bytes; it is empty until the last byte is there."""
        if not 1 <= len(content) <= MAX_FILE_BYTES:
            raise InputError(f"a file on the card has 1 to {MAX_FILE_BYTES} bytes, not {len(content)}")
        for offset in range(0, len(content), WRITE_CHUNK_BYTES):
            data = name.encode(Kind.FILE)
            if offset == 0:
                data += encode_tlv(0x20, len(content).to_bytes(2, "big"))
            data += encode_tlv(0x53, content[offset : offset + WRITE_CHUNK_BYTES])
            self.applet.send(CommandApdu(0x80, 0xD6, offset >> 8, offset & 0xFF, data), "WRITE FILE")

    def read_public_key(self, pin: str | None) -> ec.EllipticCurvePublicKey:
        """The approval key's public half; `pin` may be None on a fresh card only. Ends in a reset."""
        with self.transaction():
            if pin is not None:
                self.verify_pin(pin)
            return self.applet.public_key(APPROVAL_KEY)

    def sign_approval(
        self, text: bytes, pin: str, public_key: ec.EllipticCurvePublicKey | None = None, *, seen: SeenNonces
    ) -> bytes:
        """r‖s over `text` by the approval key: VERIFY to signature in one transaction that ends in a reset.

        Where the caller does not know the public key yet, it is read in the same transaction.
        """
        if not text.startswith(APPROVAL_PREFIX):
            raise InputError(
                "the approval key signs only texts that begin with the header of a tally JWS; use the device key"
            )
        with self.transaction():
            self.verify_pin(pin)
            key = public_key or self.applet.public_key(APPROVAL_KEY)
            return self.applet.sign(APPROVAL_KEY, text, key, seen=seen)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nobody else reaches the card; the applet is selected first, and the card is reset at the end."""
        with self.applet.transport.transaction():
            self.applet.select()
            yield

    def _pin_command(self, ins: int, data: bytes, name: str) -> None:
        self.applet.send(CommandApdu(0x00, ins, 0x00, USER_PIN, data), name)
