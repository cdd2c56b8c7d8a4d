"""A selected IoT SAFE applet. Sessions that are opened are closed, also after an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sim_applet_tools.apdu import CommandApdu
from sim_applet_tools.errors import CardResponseError, SimError
from sim_applet_tools.iot_safe.commands import CommandBuilder, Hash, Kind, Mode, ObjectName
from sim_applet_tools.iot_safe.responses import (
    ApplicationData,
    ObjectInfo,
    parse_application_data,
    parse_object_list,
    parse_public_key,
    parse_signature,
)
from sim_applet_tools.iot_safe.signature_check import SeenInMemory, SeenNonces, verify_card_signature
from sim_applet_tools.profiles import CardProfile
from sim_applet_tools.status_words import NotFoundError, SignatureMismatchError, verify_status_word
from sim_applet_tools.tlv import first_value, parse_answer
from sim_applet_tools.transport.base import Transport, exchange

READ_CHUNK_BYTES = 240
MAX_FILE_BYTES = 32_767


class IotSafeApplet:
    """One selected applet; every method sends commands and raises the error of a status word, `ReaderError` or
    `CardResponseError`."""

    def __init__(self, transport: Transport, profile: CardProfile, application_id: bytes) -> None:
        self.transport = transport
        self.profile = profile
        self.application_id = application_id
        self.commands = CommandBuilder(profile)

    def select(self) -> None:
        """Select the applet, anew where it was selected: sessions and PIN validation end."""
        self.send(self.commands.select(self.application_id), "SELECT")

    def send(self, command: CommandApdu, name: str) -> bytes:
        """The data of a successful answer."""
        answer = exchange(self.transport, command)
        verify_status_word(answer.status_word, name)
        return answer.data

    def application_data(self) -> ApplicationData:
        return parse_application_data(self.send(self.commands.get_application_data(), "GET DATA (application)"))

    def objects(self) -> list[ObjectInfo]:
        return parse_object_list(self.send(self.commands.get_object_list(), "GET DATA (object list)"), self.profile)

    def object_info(self, kind: Kind, name: ObjectName) -> ObjectInfo:
        raw = self.send(self.commands.get_object(kind, name), "GET DATA (object)")
        found = parse_object_list(raw, self.profile)
        if len(found) != 1 or found[0].kind is not kind:
            raise CardResponseError("the card's answer to GET DATA (object) describes another object than asked for")
        return found[0]

    def generate_key_pair(self, name: ObjectName) -> ec.EllipticCurvePublicKey:
        raw = self.send(self.commands.generate_key_pair(name), "GENERATE KEY PAIR")
        return parse_public_key(raw, "GENERATE KEY PAIR")

    def public_key(self, name: ObjectName) -> ec.EllipticCurvePublicKey:
        return parse_public_key(self.send(self.commands.read_public_key(name), "READ PUBLIC KEY"), "READ PUBLIC KEY")

    def sign(
        self,
        name: ObjectName,
        text: bytes,
        public_key: ec.EllipticCurvePublicKey,
        *,
        mode: Mode = Mode.FULL_TEXT,
        seen: SeenNonces | None = None,
    ) -> bytes:
        """r‖s (64 bytes) over SHA-256 of `text`, checked under `public_key`; mode HASH sends the digest only."""
        digest = sha256(text).digest()
        if mode is Mode.FULL_TEXT:
            updates: Sequence[CommandApdu] = self.commands.compute_signature_full_text(text)
        elif mode is Mode.HASH:
            updates = [self.commands.compute_signature_hash(digest)]
        else:
            return self.sign_last_block(name, text, public_key, seen=seen)
        return self._signature(name, mode, updates, digest, public_key, seen)

    def sign_last_block(
        self,
        name: ObjectName,
        text: bytes,
        public_key: ec.EllipticCurvePublicKey,
        *,
        seen: SeenNonces | None = None,
    ) -> bytes:
        """As `sign`, where the card hashes only what is left after the last whole block of 64 bytes."""
        from sim_applet_tools.iot_safe.sha256_state import sha256_state  # noqa: PLC0415  rarely needed

        whole = (len(text) - 1) // 64 * 64 if text else 0
        update = self.commands.compute_signature_last_block(text[whole:], sha256_state(text[:whole]), whole)
        return self._signature(name, Mode.LAST_BLOCK, [update], sha256(text).digest(), public_key, seen)

    def verify(self, name: ObjectName, text: bytes, signature: bytes, *, mode: Mode = Mode.FULL_TEXT) -> bool:
        """Whether the card finds r‖s right under its public key `name`."""
        if mode is Mode.HASH:
            updates = [self.commands.verify_signature_hash(sha256(text).digest(), signature)]
        else:
            updates = self.commands.verify_signature_full_text(text, signature)
        with self.session(
            self.commands.verify_signature_init(name, mode, Hash.SHA256),
            self.commands.verify_signature_close(),
            "VERIFY SIGNATURE",
        ):
            try:
                for update in updates:
                    self.send(update, "VERIFY SIGNATURE UPDATE")
            except SignatureMismatchError:
                return False
        return True

    def put_public_key(self, name: ObjectName, public_key: ec.EllipticCurvePublicKey) -> None:
        point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        with self.session(
            self.commands.put_public_key_init(name), self.commands.put_public_key_close(), "PUT PUBLIC KEY"
        ):
            self.send(self.commands.put_public_key_update(point), "PUT PUBLIC KEY UPDATE")

    def shared_secret(self, private: ObjectName, public: ObjectName) -> bytes:
        """32 bytes, the X coordinate of the ECDH result."""
        raw = self.send(self.commands.compute_dh(private, public), "COMPUTE DH")
        secret = raw if len(raw) == 32 else first_value(parse_answer(raw, "COMPUTE DH"), 0xD1, "COMPUTE DH")
        if len(secret) != 32:
            raise CardResponseError(f"the card's answer to COMPUTE DH has {len(secret)} bytes, not 32: try --profile")
        return secret

    def hkdf_extract(self, secret: bytes, salt: bytes, hash_: Hash = Hash.SHA256) -> bytes:
        """The pseudo-random key, as long as the hash, on cards that derive (RFC 5869 §2.2); ours do not: 6D00."""
        raw = self.send(self.commands.compute_hkdf(secret, salt, hash_), "COMPUTE HKDF")
        size = {Hash.SHA256: 32, Hash.SHA384: 48, Hash.SHA512: 64}[hash_]
        if len(raw) != size:
            raise CardResponseError(
                f"the card's answer to COMPUTE HKDF has {len(raw)} bytes, not {size}: try --profile"
            )
        return raw

    def random_bytes(self, size: int) -> bytes:
        """`size` bytes, 1 to 256."""
        raw = self.send(self.commands.get_random(size), "GET RANDOM")
        if len(raw) != size:
            raise CardResponseError(f"the card gave {len(raw)} random bytes where {size} were asked for")
        return raw

    def read_file(self, name: ObjectName) -> bytes:
        """The whole file, of the size that the card states."""
        size = self.object_info(Kind.FILE, name).size or 0
        if size > MAX_FILE_BYTES:
            raise CardResponseError(f"the card states a file of {size} bytes: try another profile (--profile)")
        content = b""
        while len(content) < max(size, 1):
            want = min(READ_CHUNK_BYTES, max(size - len(content), 1))
            piece = self.send(self.commands.read_file(name, len(content), want), "READ FILE")
            if not piece:
                raise CardResponseError(f"the card's file ends at {len(content)} bytes and states {size}")
            content += piece
        return content[:size]

    def _signature(  # noqa: PLR0917  one caller's locals
        self,
        name: ObjectName,
        mode: Mode,
        updates: Sequence[CommandApdu],
        digest: bytes,
        public_key: ec.EllipticCurvePublicKey,
        seen: SeenNonces | None,
    ) -> bytes:
        with self.session(
            self.commands.compute_signature_init(name, mode),
            self.commands.compute_signature_close(),
            "COMPUTE SIGNATURE",
        ):
            for update in updates:
                raw = self.send(update, "COMPUTE SIGNATURE UPDATE")
        signature = parse_signature(raw, self.profile)
        verify_card_signature(public_key, digest, signature, seen or SeenInMemory())
        return signature

    @contextmanager
    def session(self, open_: CommandApdu, close: CommandApdu, name: str) -> Iterator[None]:
        """For one operation: open, after closing a stale one where the stack needs it; closed at the end in any case.

        Our own card ends a session with its last UPDATE, so that a closing command would be one too many.
        """
        ends_itself = self.profile.has_pin
        if self.profile.close_sessions_first and not ends_itself:
            with suppress(SimError):
                self.send(close, f"{name} CLOSE")
        try:
            self.send(open_, f"{name} INIT")
            yield
        except BaseException:
            with suppress(SimError):
                self.send(close, f"{name} CLOSE")
            raise
        if not ends_itself:
            with suppress(SimError):
                self.send(close, f"{name} CLOSE")


def find_applet(
    transport: Transport, candidates: Sequence[CardProfile], application_ids: Sequence[bytes] = ()
) -> IotSafeApplet:
    """Select the first applet that the card has: `application_ids` where given, else each profile's own, in order."""
    tried: list[str] = []
    for profile in candidates:
        for application_id in application_ids or profile.application_ids:
            if f"{application_id.hex().upper()}" in tried:
                continue
            tried.append(application_id.hex().upper())
            applet = IotSafeApplet(transport, profile, application_id)
            try:
                applet.select()
            except NotFoundError:
                continue
            return applet
    raise NotFoundError(0x6A82, f"SELECT {', '.join(tried)}")
