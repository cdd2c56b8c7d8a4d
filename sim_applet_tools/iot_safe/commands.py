"""IoT SAFE commands as APDUs. Nothing here talks to a card. Source: GSMA IoT.05 §4, docs/apdu.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sim_applet_tools.apdu import MAX_SHORT_LE, CommandApdu
from sim_applet_tools.errors import InputError
from sim_applet_tools.profiles import CardProfile
from sim_applet_tools.tlv import encode_tlv

MORE = 0x00
LAST = 0x80
OPEN = 0x00
CLOSE = 0x01
CHUNK_BYTES = 255


class Kind(IntEnum):
    """The tag that names an object by id."""

    FILE = 0x83
    PRIVATE_KEY = 0x84
    PUBLIC_KEY = 0x85
    SECRET = 0x86


class Mode(IntEnum):
    FULL_TEXT = 0x01
    LAST_BLOCK = 0x02
    HASH = 0x03


class Hash(IntEnum):
    SHA256 = 0x0001
    SHA384 = 0x0002
    SHA512 = 0x0004


class Algorithm(IntEnum):
    RSA_PKCS1 = 0x01
    RSA_PSS = 0x02
    ECDSA = 0x04


LABEL_TAG_OFFSET = 0x10
"""The tag of a label is that of the id less this: 74 for 84."""


@dataclass(frozen=True, slots=True)
class ObjectName:
    """An object by its id, or by its label where `is_label` is set."""

    value: bytes
    is_label: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.value) <= (0x3C if self.is_label else 0x14):
            raise InputError(f"the name {self.value.hex()!r}: an id has 1 to 20 bytes, a label 1 to 60")

    def encode(self, kind: Kind) -> bytes:
        """The data object that names it."""
        return encode_tlv(kind - LABEL_TAG_OFFSET if self.is_label else kind, self.value)


@dataclass(frozen=True, slots=True)
class CommandBuilder:
    """Commands as one stack wants them, on one logical channel."""

    profile: CardProfile
    channel: int = 0

    def select(self, application_id: bytes) -> CommandApdu:
        return CommandApdu(self.channel, 0xA4, 0x04, 0x00, application_id, MAX_SHORT_LE)

    def get_application_data(self) -> CommandApdu:
        return self._command(0xCB, 0x00, 0x00, le=MAX_SHORT_LE)

    def get_object_list(self) -> CommandApdu:
        return self._command(0xCB, 0x01, 0x00, le=MAX_SHORT_LE)

    def get_object(self, kind: Kind, name: ObjectName) -> CommandApdu:
        p1 = {Kind.PRIVATE_KEY: 0xC1, Kind.PUBLIC_KEY: 0xC2, Kind.FILE: 0xC3, Kind.SECRET: 0xC4}[kind]
        return self._command(0xCB, p1, 0x00, name.encode(kind), MAX_SHORT_LE)

    def generate_key_pair(self, name: ObjectName) -> CommandApdu:
        return self._command(0xB9, 0x00, 0x00, name.encode(Kind.PRIVATE_KEY), MAX_SHORT_LE)

    def read_public_key(self, name: ObjectName) -> CommandApdu:
        return self._command(0xCD, 0x00, 0x00, name.encode(Kind.PUBLIC_KEY), MAX_SHORT_LE)

    def compute_signature_init(
        self, name: ObjectName, mode: Mode, hash_: Hash = Hash.SHA256, algorithm: Algorithm = Algorithm.ECDSA
    ) -> CommandApdu:
        return self._open(0x2A, name.encode(Kind.PRIVATE_KEY) + _operation(mode, hash_, algorithm))

    def compute_signature_close(self) -> CommandApdu:
        return self._command(0x2A, CLOSE, self.profile.session)

    def compute_signature_full_text(self, text: bytes) -> list[CommandApdu]:
        """One UPDATE or more; the header `9B L` comes once, in the first."""
        return self._updates(0x2B, encode_tlv(0x9B, text))

    def compute_signature_last_block(self, block: bytes, intermediate_hash: bytes, hashed_bytes: int) -> CommandApdu:
        """`hashed_bytes` is how many bytes `intermediate_hash` covers, a multiple of the block size."""
        if len(block) > 128 or not 32 <= len(intermediate_hash) <= 64 or not 0 <= hashed_bytes < 1 << 32:
            raise InputError("last block: at most 128 bytes, with a hash state of 32 to 64 and a count below 2^32")
        count = encode_tlv(0x9D, hashed_bytes.to_bytes(4, "big"))
        data = encode_tlv(0x9A, block) + encode_tlv(0x9C, intermediate_hash) + count
        return self._command(0x2B, LAST, self.profile.session, data, MAX_SHORT_LE)

    def compute_signature_hash(self, digest: bytes) -> CommandApdu:
        return self._command(0x2B, LAST, self.profile.session, encode_tlv(0x9E, digest), MAX_SHORT_LE)

    def verify_signature_init(self, name: ObjectName, mode: Mode, hash_: Hash = Hash.SHA256) -> CommandApdu:
        return self._open(0x2C, name.encode(Kind.PUBLIC_KEY) + _operation(mode, hash_, Algorithm.ECDSA))

    def verify_signature_close(self) -> CommandApdu:
        return self._command(0x2C, CLOSE, self.profile.session)

    def verify_signature_full_text(self, text: bytes, signature: bytes) -> list[CommandApdu]:
        """The signature object is never split over two UPDATEs."""
        stated = self._signature(signature)
        parts = self._pieces(encode_tlv(0x9B, text))
        if len(parts[-1]) + len(stated) > CHUNK_BYTES:
            parts.append(b"")
        parts[-1] += stated
        return self._sequence(0x2D, parts)

    def verify_signature_hash(self, digest: bytes, signature: bytes) -> CommandApdu:
        return self._command(0x2D, LAST, self.profile.session, encode_tlv(0x9E, digest) + self._signature(signature))

    def put_public_key_init(self, name: ObjectName) -> CommandApdu:
        return self._open(0x24, name.encode(Kind.PUBLIC_KEY))

    def put_public_key_update(self, point: bytes) -> CommandApdu:
        data = encode_tlv(0x34, encode_tlv(0x49, encode_tlv(0x86, point)))
        return self._command(0xD8, LAST, self.profile.session, data)

    def put_public_key_close(self) -> CommandApdu:
        return self._command(0x24, CLOSE, self.profile.session)

    def compute_dh(self, private: ObjectName, public: ObjectName) -> CommandApdu:
        data = private.encode(Kind.PRIVATE_KEY) + public.encode(Kind.PUBLIC_KEY)
        return self._command(0x46, 0x00, 0x00, data, MAX_SHORT_LE)

    def compute_hkdf(self, secret: bytes, salt: bytes, hash_: Hash) -> CommandApdu:
        """Extract, as wolfSSL's client sends it."""
        data = encode_tlv(0xD1, secret) + encode_tlv(0xD5, salt) + encode_tlv(0x91, hash_.to_bytes(2, "big"))
        return self._command(0x4A, 0x00, 0x00, data, MAX_SHORT_LE)

    def get_random(self, size: int) -> CommandApdu:
        if not 1 <= size <= MAX_SHORT_LE:
            raise InputError(f"{size} random bytes: ask for 1 to {MAX_SHORT_LE}")
        return self._command(0x84, 0x00, 0x00, le=size)

    def read_file(self, name: ObjectName, offset: int, size: int) -> CommandApdu:
        if not 0 <= offset <= 0x7FFF:
            raise InputError(f"a file offset lies in 0 to 32,767, not {offset}")
        return self._command(0xB0, offset >> 8, offset & 0xFF, name.encode(Kind.FILE), size)

    def _command(self, ins: int, p1: int, p2: int, data: bytes = b"", le: int | None = None) -> CommandApdu:
        return CommandApdu(self.profile.class_byte | self.channel, ins, p1, p2, data, le)

    def _open(self, ins: int, data: bytes) -> CommandApdu:
        return self._command(ins, OPEN, self.profile.session, data)

    def _updates(self, ins: int, data: bytes) -> list[CommandApdu]:
        return self._sequence(ins, self._pieces(data))

    def _pieces(self, data: bytes) -> list[bytes]:
        return [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]

    def _sequence(self, ins: int, parts: list[bytes]) -> list[CommandApdu]:
        first = [self._command(ins, MORE, self.profile.session, part) for part in parts[:-1]]
        le = MAX_SHORT_LE if ins == 0x2B else None
        return [*first, self._command(ins, LAST, self.profile.session, parts[-1], le)]

    def _signature(self, signature: bytes) -> bytes:
        if self.profile.signature_length == "2":
            return b"\x33" + len(signature).to_bytes(2, "big") + signature
        return encode_tlv(0x33, signature)


def _operation(mode: Mode, hash_: Hash, algorithm: Algorithm) -> bytes:
    return (
        encode_tlv(0xA1, bytes((mode,)))
        + encode_tlv(0x91, hash_.to_bytes(2, "big"))
        + encode_tlv(0x92, bytes((algorithm,)))
    )
