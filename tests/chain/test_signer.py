"""Keys are encrypted, private, never written over; signatures are those of eth_account."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak
from eth_keys.backends import CoinCurveECCBackend, get_backend

from pki_chain.chain.signer import Keystore, Signer, create_passphrase, load_passphrase
from pki_chain.errors import ConfigurationError, InputError, StorageError
from pki_chain.ports import Address


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    create_passphrase(tmp_path / "passphrase")
    return Keystore.open(tmp_path / "keys", tmp_path / "passphrase")


def test_create_and_load(keystore: Keystore, tmp_path: Path) -> None:
    address = keystore.create("station-1")
    file = tmp_path / "keys" / "station-1.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(file.read_text())["crypto"]["kdf"] == "scrypt"
    for name in ("station-1", address, address.lower()):
        signer = keystore.load(name)
        assert (signer.address, signer.path) == (address, file)
    assert [entry.label for entry in keystore.list()] == ["station-1"]
    assert address in repr(keystore.load("station-1"))
    with pytest.raises(ConfigurationError, match="has no key 'other'"):
        keystore.load("other")


def test_a_key_is_never_written_over(keystore: Keystore, tmp_path: Path) -> None:
    address = keystore.create("station")
    before = (tmp_path / "keys" / "station.json").read_bytes()
    with pytest.raises(StorageError, match="never written over"):
        keystore.create("station")
    assert (tmp_path / "keys" / "station.json").read_bytes() == before
    assert keystore.load("station").address == address
    with pytest.raises(StorageError, match="never written over"):
        create_passphrase(tmp_path / "passphrase")


@pytest.mark.parametrize("label", ["", "A", "../x", "a/b", "-a", "a" * 64, "a.json", "a\n"])
def test_labels_that_are_none(keystore: Keystore, label: str) -> None:
    with pytest.raises(InputError, match="lower-case"):
        keystore.create(label)


def test_another_passphrase_does_not_open(keystore: Keystore, tmp_path: Path) -> None:
    keystore.create("station")
    create_passphrase(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="does not open"):
        Keystore.open(tmp_path / "keys", tmp_path / "other").load("station")


def test_files_that_others_can_read_are_refused(keystore: Keystore, tmp_path: Path) -> None:
    keystore.create("station")
    (tmp_path / "keys" / "station.json").chmod(0o640)
    with pytest.raises(ConfigurationError, match="read by others"):
        keystore.load("station")
    (tmp_path / "passphrase").chmod(0o604)
    with pytest.raises(ConfigurationError, match="read by others"):
        load_passphrase(tmp_path / "passphrase")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"address": 3}', '{"address": "00"}', "\x00"])
def test_files_that_are_no_keystore(keystore: Keystore, tmp_path: Path, content: str) -> None:
    keystore.create("station")
    (tmp_path / "keys" / "bad.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"bad\.json is not an Ethereum keystore"):
        keystore.list()


def test_a_key_of_another_account_is_refused(keystore: Keystore, tmp_path: Path) -> None:
    keystore.create("station")
    file = tmp_path / "keys" / "station.json"
    content = json.loads(file.read_text())
    content["address"] = "00" * 20
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="holds the key of"):
        keystore.load("station")


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32])
def test_passphrase_files_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "passphrase"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        load_passphrase(path)
    with pytest.raises(ConfigurationError, match="Cannot read"):
        load_passphrase(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="shorter"):
        Keystore(tmp_path, b"short")


def test_transactions_are_free_and_bound_to_the_chain() -> None:
    signer = Signer.ephemeral()
    raw, digest = signer.sign_transaction(Address("0x" + "11" * 20), b"\x01", nonce=3, gas=50_000, chain_id=99)
    assert Account.recover_transaction(raw) == signer.address
    assert digest == keccak(raw)
    nonce, price, gas, to, value, data = rlp.decode(raw)[:6]
    assert (nonce, price, gas, to, value, data) == (b"\x03", b"", b"\xc3\x50", b"\x11" * 20, b"", b"\x01")
    other, _ = signer.sign_transaction(Address("0x" + "11" * 20), b"\x01", nonce=3, gas=50_000, chain_id=98)
    assert other != raw


def test_the_fast_backend_signs() -> None:
    assert isinstance(get_backend(), CoinCurveECCBackend), "pure Python would sign ten times as slowly"


def test_the_recursion_limit_stays() -> None:
    """A dependency raises it so far that deep JSON would end the process; see pki_chain/chain/accounts.py."""
    program = (
        "import sys; before = sys.getrecursionlimit(); import pki_chain.chain.signer; import pki_chain.chain.outbox; "
    )
    program += "sys.exit(sys.getrecursionlimit() != before)"
    subprocess.run([sys.executable, "-c", program], check=True)
