"""What the application remembers: durably in its image, and on each logical channel until the selection ends."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.emulator.image import CardImage, LifeCycle
from sim_applet_tools.emulator.keystore import ImageStore
from sim_applet_tools.emulator.objects import APPROVAL, DEVICE, PEER, SESSION, Filled, require_filled
from sim_applet_tools.emulator.refusal import PIN_REQUIRED, Refusal
from sim_applet_tools.emulator.signing import Operation

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


class CardMemory:
    """The image, durable before anybody sees it, and the keys in it."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self.image = store.load()

    def commit(self, image: CardImage) -> None:
        self._store.store(image)
        self.image = image

    def filled(self, selection: Selection) -> Filled:
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

    def private_key(self, number: int) -> ec.EllipticCurvePrivateKey:
        scalar = self.image.approval_key if number == APPROVAL else self.image.device_key
        return ec.derive_private_key(int.from_bytes(scalar, "big"), P256)

    def public_key(self, number: int, selection: Selection) -> ec.EllipticCurvePublicKey:
        require_filled(number, self.filled(selection).public)
        if number == PEER and selection.peer_key:
            return selection.peer_key
        if number == SESSION and selection.session_key:
            return selection.session_key.public_key()
        return self.private_key(number).public_key()

    def require_pin(self, selection: Selection) -> None:
        if self.image.state is not LifeCycle.FRESH and not selection.validated:
            raise Refusal(PIN_REQUIRED)
