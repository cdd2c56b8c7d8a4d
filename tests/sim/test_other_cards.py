"""What some cards offer and ours do not: RSA keys, HKDF. The cards are made up, their keys and sums are real."""

from __future__ import annotations

import hashlib
import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from hypothesis import given
from hypothesis import strategies as st

from sim_applet_tools.apdu import parse_command
from sim_applet_tools.errors import CardResponseError, InputError, SignatureRefusedError, SimError
from sim_applet_tools.iot_safe.commands import Algorithm, Hash, Mode, ObjectName
from sim_applet_tools.iot_safe.rsa import read_rsa_public_key, sign_rsa
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.profiles import load_profile
from sim_applet_tools.status_words import StatusWordError
from sim_applet_tools.tlv import encode_tlv, parse_strict
from sim_applet_tools.transport.loopback import LoopbackTransport
from tests.sim.card_targets import fresh_emulator
from tests.sim.scripted_card import ScriptedCard

KEY = rsa.generate_private_key(65537, 2048)
NAME = ObjectName(b"\x07")
TEXT = b"a text of some length " * 20


class RsaCard:
    """Answers READ PUBLIC KEY, COMPUTE SIGNATURE and COMPUTE HKDF, T=0, with 61xx."""

    def __init__(self, key: rsa.RSAPrivateKey = KEY) -> None:
        self._key = key
        self._waiting = b""
        self._text = b""
        self._algorithm = b""
        self.open = 0

    @property
    def atr(self) -> bytes:
        return b"\x3b\x00"

    def reset(self) -> None:
        self._waiting = b""

    def transmit(self, raw: bytes) -> bytes:
        command = parse_command(raw)
        if command.ins == 0xC0:
            size = command.le or 256
            piece, self._waiting = self._waiting[:size], self._waiting[size:]
            left = len(self._waiting)
            return piece + (bytes((0x61, min(left, 256) & 0xFF)) if left else b"\x90\x00")
        self._waiting = self._answer(command.ins, command.p1, command.data)
        return bytes((0x61, min(len(self._waiting), 256) & 0xFF)) if self._waiting else b"\x90\x00"

    def _answer(self, ins: int, p1: int, data: bytes) -> bytes:
        if ins == 0xCD:
            numbers = self._key.public_key().public_numbers()
            modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
            return encode_tlv(0x34, encode_tlv(0x49, encode_tlv(0x81, modulus) + encode_tlv(0x82, b"\x01\x00\x01")))
        if ins == 0x2A:
            self.open += 1 if p1 == 0 else -1
            self._text, self._algorithm = b"", data[-1:]
            return b""
        if ins == 0x2B:
            self._text += data
            return encode_tlv(0x33, self._signature()) if p1 == 0x80 else b""
        if ins == 0x4A:
            secret, salt, _ = parse_strict(data)
            return hmac.new(salt.value, secret.value, "sha256").digest()
        return b""

    def _signature(self) -> bytes:
        (item,) = parse_strict(self._text)
        digest = item.value if item.tag == 0x9E else sha256(item.value).digest()
        is_pss = self._algorithm == b"\x02"
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if is_pss else padding.PKCS1v15()
        return self._key.sign(digest, scheme, Prehashed(hashes.SHA256()))


def _applet(card: RsaCard | ScriptedCard) -> IotSafeApplet:
    profile = load_profile("orange")
    return IotSafeApplet(LoopbackTransport(card), profile, profile.application_ids[0])


@pytest.mark.parametrize("algorithm", [Algorithm.RSA_PKCS1, Algorithm.RSA_PSS])
@pytest.mark.parametrize("mode", [Mode.FULL_TEXT, Mode.HASH])
def test_an_rsa_key_signs(algorithm: Algorithm, mode: Mode) -> None:
    card = RsaCard()
    applet = _applet(card)
    key = read_rsa_public_key(applet, NAME)
    assert key.public_numbers() == KEY.public_key().public_numbers()
    signature = sign_rsa(applet, NAME, TEXT, key, algorithm=algorithm, mode=mode)
    assert len(signature) == 256
    assert card.open <= 0  # every session was closed


def test_a_signature_under_another_rsa_key_is_not_passed_on() -> None:
    other = rsa.generate_private_key(65537, 2048).public_key()
    with pytest.raises(SignatureRefusedError):
        sign_rsa(_applet(RsaCard()), NAME, TEXT, other)
    with pytest.raises(InputError):
        sign_rsa(_applet(RsaCard()), NAME, TEXT, other, algorithm=Algorithm.ECDSA)
    with pytest.raises(InputError):
        sign_rsa(_applet(RsaCard()), NAME, TEXT, other, mode=Mode.LAST_BLOCK)


def _key_answer(modulus: bytes, exponent: bytes = b"\x01\x00\x01") -> bytes:
    return encode_tlv(0x34, encode_tlv(0x49, encode_tlv(0x81, modulus) + encode_tlv(0x82, exponent))) + b"\x90\x00"


@pytest.mark.parametrize(
    "answer",
    [
        _key_answer(b"\x80" + bytes(126) + b"\x01"),  # 1,024 bits
        _key_answer(b"\x80" + bytes(599) + b"\x01"),
        _key_answer(b"\x80" + bytes(254) + b"\x00", b"\x01"),
        encode_tlv(0x34, encode_tlv(0x49, encode_tlv(0x86, bytes(65)))) + b"\x90\x00",
        b"\x90\x00",
        b"\x6a\x82",
    ],
)
def test_what_is_no_rsa_key_is_refused(answer: bytes) -> None:
    with pytest.raises((CardResponseError, StatusWordError)):
        read_rsa_public_key(_applet(ScriptedCard([answer])), NAME)


@given(st.binary(max_size=300))
def test_any_answer_is_a_key_or_an_error_of_ours(raw: bytes) -> None:
    for answer in (raw, encode_tlv(0x34, encode_tlv(0x49, raw))):
        try:
            read_rsa_public_key(_applet(ScriptedCard([answer + b"\x90\x00"])), NAME)
        except SimError:
            continue


def test_hkdf_extract_is_that_of_rfc_5869() -> None:
    """Appendix A.1."""
    secret, salt = b"\x0b" * 22, bytes(range(13))
    key = _applet(RsaCard()).hkdf_extract(secret, salt)
    assert key.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert hmac.new(salt, secret, hashlib.sha256).digest() == key
    with pytest.raises(CardResponseError, match="48"):
        _applet(RsaCard()).hkdf_extract(secret, salt, Hash.SHA384)


def test_our_cards_say_that_they_do_not_derive() -> None:
    applet = find_applet(LoopbackTransport(fresh_emulator()), [load_profile("tally")])
    with pytest.raises(StatusWordError, match="6D00"):
        applet.hkdf_extract(b"secret", b"salt")
    with pytest.raises(SimError):
        read_rsa_public_key(applet, NAME)
