"""A card file: a kill at any moment of a write leaves the card as it was or as it became; secrets are not readable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sim_applet_tools.emulator import keystore
from sim_applet_tools.emulator.card import EmulatedCard
from sim_applet_tools.emulator.image import LifeCycle, encode_image, new_image, parse_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore
from sim_applet_tools.errors import ConfigurationError, ReaderBusyError, StorageError

SELECT = bytes.fromhex("00A4040008F054414C4C590101")
PERSONALISE = bytes.fromhex("80D2000014C008313233343536FFFFC1083131323233333434")
CHANGE = bytes.fromhex("0024008110313233343536FFFF3837363534333231")
WRONG_PIN = bytes.fromhex("00200081083030303030303030")
PASSPHRASE = "a passphrase"

# Runs commands on a card file, and dies by SIGKILL right before its n-th call that touches the disk.
VICTIM = """
import os, signal, sys
from pathlib import Path
from sim_applet_tools.emulator import keystore
from sim_applet_tools.emulator.card import EmulatedCard
keystore.SCRYPT_COST = 1 << 4
store = keystore.EncryptedFileStore(Path(sys.argv[1]), "a passphrase")
card = EmulatedCard(store)
left = int(sys.argv[2])
def counted(call):
    def run(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    return run
for name in ("open", "write", "fsync", "close", "replace", "rename"):
    setattr(os, name, counted(getattr(os, name)))
for command in sys.argv[3:]:
    print(card.transmit(bytes.fromhex(command)).hex(), flush=True)
"""


@pytest.fixture(autouse=True)
def _cheap_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "SCRYPT_COST", 1 << 4)


def _personalised(path: Path) -> None:
    store = EncryptedFileStore(path, PASSPHRASE, image_if_new=new_image())
    card = EmulatedCard(store, is_t1=True)
    for command in (SELECT, bytes.fromhex("80B9000003840101"), PERSONALISE):
        assert card.transmit(command).endswith(b"\x90\x00")
    store.close()


def _killed_at(path: Path, moment: int, commands: list[bytes]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", VICTIM, str(path), str(moment), *(command.hex() for command in commands)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("commands", [[SELECT, CHANGE], [SELECT, WRONG_PIN]], ids=["change", "wrong-pin"])
def test_a_kill_at_any_file_write_leaves_a_usable_card(tmp_path: Path, commands: list[bytes]) -> None:
    seen = set()
    for moment in range(40):
        path = tmp_path / f"card-{moment}"
        _personalised(path)
        done = _killed_at(path, moment, commands)
        store = EncryptedFileStore(path, PASSPHRASE)
        image = store.load()
        card = EmulatedCard(store, is_t1=True)
        assert card.transmit(SELECT) == b"\x90\x00"
        assert image.approval_key
        assert image.state in {LifeCycle.PERSONALISED, LifeCycle.ACTIVE}
        # no answer was given that the card does not remember
        if commands[1] == WRONG_PIN and "63c2" in done.stdout:
            assert image.pin_tries == 2
        if commands[1] == CHANGE and done.stdout.count("9000") == 2:
            assert image.state is LifeCycle.ACTIVE
        seen.add((image.state, image.pin_tries))
        store.close()
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    else:
        pytest.fail("the victim never ran to its end")
    assert len(seen) > 1


def test_a_card_that_cannot_be_written_refuses_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "card"
    _personalised(path)
    store = EncryptedFileStore(path, PASSPHRASE)
    card = EmulatedCard(store, is_t1=True)
    card.transmit(SELECT)

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        assert card.transmit(WRONG_PIN) == b"\x6f\x00"
        assert card.transmit(CHANGE) == b"\x6f\x00"
    assert store.load().pin_tries == 3
    assert store.load().state is LifeCycle.PERSONALISED
    assert card.transmit(CHANGE) == b"\x90\x00"
    store.close()


def test_nothing_of_the_card_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "card"
    _personalised(path)
    raw = path.read_bytes()
    store = EncryptedFileStore(path, PASSPHRASE)
    image = store.load()
    store.close()
    assert path.stat().st_mode & 0o777 == 0o600
    for secret in (image.approval_key, image.pin, image.puk, image.iccid.encode()):
        assert secret not in raw
        assert secret.hex().encode() not in raw


def test_wrong_passphrase_damage_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "card"
    _personalised(path)
    with pytest.raises(StorageError, match="wrong passphrase"):
        EncryptedFileStore(path, "another")
    with pytest.raises(ConfigurationError):
        EncryptedFileStore(path, "")
    raw = path.read_bytes()
    for position in (12, 30, len(raw) - 1):
        path.write_bytes(raw[:position] + bytes((raw[position] ^ 1,)) + raw[position + 1 :])
        with pytest.raises(StorageError, match="does not open"):
            EncryptedFileStore(path, PASSPHRASE)
    for content in (b"", b"hello", raw[:30], raw + bytes(70_000)):
        path.write_bytes(content)
        with pytest.raises(StorageError):
            EncryptedFileStore(path, PASSPHRASE)
    with pytest.raises(StorageError, match="no card file"):
        EncryptedFileStore(tmp_path / "nowhere", PASSPHRASE)


def test_one_process_a_card(tmp_path: Path) -> None:
    path = tmp_path / "card"
    _personalised(path)
    store = EncryptedFileStore(path, PASSPHRASE)
    with pytest.raises(ReaderBusyError):
        EncryptedFileStore(path, PASSPHRASE)
    store.close()
    EncryptedFileStore(path, PASSPHRASE).close()


def test_images_are_read_back_and_others_refused() -> None:
    image = replace(new_image(), approval_key=b"\x01" * 32, state=LifeCycle.ACTIVE)
    assert parse_image(encode_image(image)) == image
    for raw in (b"", b"{}", b"[]", encode_image(image)[:-1] + b',"more":1}'):
        with pytest.raises(StorageError):
            parse_image(raw)
