"""RSA keys, on cards that offer them; our applet and the emulator do not. Source: GSMA IoT.05 §4.

No public client of IoT SAFE reads an RSA key: its form here is that of ISO/IEC 7816-8 §6 in the template that the
standard uses for P-256, and was tried on made-up cards only. Where a card differs, take the key from its certificate.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from sim_applet_tools.errors import CardResponseError, InputError, SignatureRefusedError
from sim_applet_tools.iot_safe.commands import Algorithm, Hash, Mode, ObjectName
from sim_applet_tools.iot_safe.responses import signature_value
from sim_applet_tools.iot_safe.session import IotSafeApplet
from sim_applet_tools.tlv import first_value, parse_answer

MIN_BITS, MAX_BITS = 2048, 4096


def read_rsa_public_key(applet: IotSafeApplet, name: ObjectName) -> rsa.RSAPublicKey:
    """The key in `34 L 49 L (81 modulus, 82 exponent)`; another form or a size not 2,048-4,096 bits is refused."""
    what = "READ PUBLIC KEY"
    raw = applet.send(applet.commands.read_public_key(name), what)
    key_data = first_value(parse_answer(first_value(parse_answer(raw, what), 0x34, what), what), 0x49, what)
    objects = parse_answer(key_data, what)
    modulus, exponent = (int.from_bytes(first_value(objects, tag, what), "big") for tag in (0x81, 0x82))
    if not MIN_BITS <= modulus.bit_length() <= MAX_BITS:
        raise CardResponseError(
            f"the card's RSA key has {modulus.bit_length()} bits: {MIN_BITS} to {MAX_BITS} are taken"
        )
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise CardResponseError("the card's answer to READ PUBLIC KEY holds no RSA key: use another card") from error


def sign_rsa(
    applet: IotSafeApplet,
    name: ObjectName,
    text: bytes,
    public_key: rsa.RSAPublicKey,
    *,
    algorithm: Algorithm = Algorithm.RSA_PKCS1,
    mode: Mode = Mode.FULL_TEXT,
) -> bytes:
    """The signature over SHA-256 of `text`, as long as the modulus, checked under `public_key` before it is given."""
    if algorithm is Algorithm.ECDSA or mode is Mode.LAST_BLOCK:
        raise InputError("an RSA key signs by PKCS#1 or PSS, a text or its hash")
    digest = sha256(text).digest()
    commands = applet.commands
    updates = (
        commands.compute_signature_full_text(text)
        if mode is Mode.FULL_TEXT
        else [commands.compute_signature_hash(digest)]
    )
    raw = b""
    with applet.session(
        commands.compute_signature_init(name, mode, Hash.SHA256, algorithm),
        commands.compute_signature_close(),
        "COMPUTE SIGNATURE",
    ):
        for update in updates:
            raw = applet.send(update, "COMPUTE SIGNATURE UPDATE")
    signature = signature_value(raw, applet.profile)
    is_pss = algorithm is Algorithm.RSA_PSS
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if is_pss else padding.PKCS1v15()
    try:
        public_key.verify(signature, digest, scheme, Prehashed(hashes.SHA256()))
    except InvalidSignature as error:
        raise SignatureRefusedError(
            "the card's signature does not verify under its key: nothing was passed on; use another card"
        ) from error
    return signature
