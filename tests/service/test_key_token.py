"""Keys in a real token: what they sign verifies, they do not leave it, and without the token nothing is signed."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from shutil import move
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.x509.oid import NameOID
from pkcs11 import Attribute, KeyType, ObjectClass

import tally_service
from tally_service import pkcs11_session
from tally_service.key_token import KeyKind, KeyToken, TokenError, TokenRsaKey, close_session
from tests.key_token import LABEL, PIN, token

__all__ = ["token"]

ECDSA = ec.ECDSA(SHA256())


def ec_key(token: KeyToken) -> ec.EllipticCurvePrivateKey:
    key = token.private_key(*token.create(KeyKind.ES256))
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def test_ecdsa_signatures_are_der_and_verify(token: KeyToken) -> None:
    key = ec_key(token)
    assert (key.curve.name, key.key_size) == ("secp256r1", 256)
    for number in range(32):  # r and s with a leading zero, or a high bit, once in a while
        content = b"%d" % number
        key.public_key().verify(key.sign(content, ECDSA), content, ECDSA)
    with pytest.raises(InvalidSignature):
        key.public_key().verify(key.sign(b"one", ECDSA), b"other", ECDSA)


def test_rsa_signatures_verify(token: KeyToken) -> None:
    key = token.private_key(*token.create(KeyKind.RS256))
    assert isinstance(key, TokenRsaKey)
    assert key.key_size == 2048
    key.public_key().verify(key.sign(b"one", padding.PKCS1v15(), SHA256()), b"one", padding.PKCS1v15(), SHA256())
    with pytest.raises(TypeError):
        key.sign(b"one", padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    with pytest.raises(TypeError):
        key.sign(b"one", padding.PKCS1v15(), SHA384())


def test_a_certificate_builder_takes_the_key(token: KeyToken) -> None:
    key = ec_key(token)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "from a token")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .public_key(key.public_key())
        .sign(key, SHA256())
    )
    made.verify_directly_issued_by(made)


def test_keys_do_not_leave_the_token(token: KeyToken) -> None:
    key_id, public_key = token.create(KeyKind.ES256)
    key: Any = token.private_key(key_id, public_key)
    for attempt in (key.private_numbers, key.private_bytes, key.exchange):
        with pytest.raises(TokenError, match="never leaves"):
            attempt()
    with pytest.raises(TypeError):
        key.sign(b"one", ec.ECDSA(SHA384()))
    close_session()
    with pkcs11.lib(str(token.module)).get_token(token_label=LABEL).open(user_pin=PIN) as session:
        found: Any = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=key_id)
        kept = (Attribute.SENSITIVE, Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.PRIVATE)
        assert [found[each] for each in kept] == [True] * 4
        assert not found[Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.exceptions.PKCS11Error):
            found[Attribute.VALUE]


def test_a_key_that_may_leave_is_not_used(token: KeyToken) -> None:
    with pkcs11.lib(str(token.module)).get_token(token_label=LABEL).open(rw=True, user_pin=PIN) as session:
        lax = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False}
        session.generate_keypair(KeyType.RSA, 2048, store=True, id=b"lax", private_template=lax)
    with pytest.raises(TokenError, match="may leave"):
        token.sign(b"lax", KeyKind.RS256, b"one")


def test_a_key_of_another_public_key_is_refused(token: KeyToken) -> None:
    key_id, _ = token.create(KeyKind.ES256)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    key: Any = token.private_key(key_id, stranger)
    with pytest.raises(TokenError, match="not the one"):
        key.sign(b"one", ECDSA)
    key_id, _ = token.create(KeyKind.RS256)
    other: Any = token.private_key(key_id, rsa.generate_private_key(public_exponent=65_537, key_size=2048).public_key())
    with pytest.raises(TokenError, match="not the one"):
        other.sign(b"one", padding.PKCS1v15(), SHA256())
    with pytest.raises(TokenError, match="has no such key"):
        token.sign(b"none", KeyKind.ES256, bytes(32))


def test_a_wrong_pin_is_tried_once(token: KeyToken, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec_key(token)
    close_session()
    token.pin_file.write_text("wrong-pin")
    tries: list[Path] = []
    load = pkcs11_session._Process._load

    def counted(process: pkcs11_session._Process, module: Path) -> Any:
        tries.append(module)
        return load(process, module)

    monkeypatch.setattr(pkcs11_session._Process, "_load", counted)
    for _ in range(5):
        with pytest.raises(TokenError, match=r"refuses the PIN in .*pin") as caught:
            key.sign(b"one", ECDSA)
        assert "wrong-pin" not in caught.value.message
    assert len(tries) == 1
    token.pin_file.write_text(PIN)
    key.sign(b"one", ECDSA)


@pytest.mark.parametrize(("content", "mode", "text"), [(PIN, 0o640, "600"), ("", 0o600, "no PIN"), (None, 0, "read")])
def test_a_pin_file_is_private_and_holds_a_pin(token: KeyToken, content: str | None, mode: int, text: str) -> None:
    token.pin_file.unlink()
    if content is not None:
        token.pin_file.write_text(content)
        token.pin_file.chmod(mode)
    with pytest.raises(TokenError, match=text) as caught:
        token.create(KeyKind.ES256)
    assert PIN not in caught.value.message


def test_a_token_that_is_gone_signs_nothing_until_it_is_back(
    token: KeyToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pkcs11_session, "_PAUSE_S", 0.0)
    key = ec_key(token)
    key.sign(b"one", ECDSA)
    (place,) = (token.pin_file.parent / "tokens").iterdir()
    move(place, tmp_path / "pulled")
    for _ in range(2):
        with pytest.raises(TokenError, match="token 'tally' is not there"):
            key.sign(b"one", ECDSA)
    move(tmp_path / "pulled", place)
    key.public_key().verify(key.sign(b"one", ECDSA), b"one", ECDSA)


def test_requests_do_not_queue_for_a_token_that_was_not_there_a_moment_ago(
    token: KeyToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pkcs11_session, "_PAUSE_S", 3_600.0)
    key = ec_key(token)
    (place,) = (token.pin_file.parent / "tokens").iterdir()
    move(place, tmp_path / "pulled")
    with pytest.raises(TokenError, match="not there"):
        key.sign(b"one", ECDSA)
    move(tmp_path / "pulled", place)
    with pytest.raises(TokenError, match="not there"):
        key.sign(b"one", ECDSA)
    close_session()
    key.sign(b"one", ECDSA)


def test_a_module_or_label_that_is_none_is_named(token: KeyToken) -> None:
    with pytest.raises(TokenError, match=r"pin is no PKCS#11 module"):
        KeyToken(token.pin_file, LABEL, token.pin_file).create(KeyKind.ES256)
    with pytest.raises(TokenError, match="'other' is not there"):
        KeyToken(token.module, "other", token.pin_file).create(KeyKind.ES256)
    token.create(KeyKind.ES256)


def test_threads_share_the_session(token: KeyToken) -> None:
    key = ec_key(token)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                key.public_key().verify(key.sign(b"one", ECDSA), b"one", ECDSA)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not faults


FORKING = """
import os, sys, traceback
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from tally_service.key_token import KeyKind, KeyToken
token = KeyToken(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
key = token.private_key(*token.create(KeyKind.ES256))
def sign():
    key.public_key().verify(key.sign(b"one", ec.ECDSA(SHA256())), b"one", ec.ECDSA(SHA256()))
sign()
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        status = 1
        try:
            for _ in range(50):
                sign()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(child)
for _ in range(50):
    sign()
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
sign()
"""


def test_forked_workers_make_sessions_of_their_own(token: KeyToken) -> None:
    command = (sys.executable, "-c", FORKING, str(token.module), token.label, str(token.pin_file))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[0, 0, 0]\n"), done.stderr


def test_without_the_extra_it_is_named(token: KeyToken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tally_service.pkcs11_session", None)
    monkeypatch.delattr(tally_service, "pkcs11_session")
    with pytest.raises(TokenError, match=r"tiger-tally\[pkcs11\]"):
        token.create(KeyKind.ES256)
    monkeypatch.undo()
