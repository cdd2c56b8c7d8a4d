"""The cards of a run, one after the other: in readers, as they are inserted, or emulated ones in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sim_applet_tools.errors import InputError, ReaderError, StorageError
from sim_applet_tools.transport.base import Transport


def cards_in_readers(pattern: str, wait_s: float, on_error: Callable[[ReaderError], None]) -> Iterator[Transport]:
    """Each card in a reader that matches `pattern`, then each that is inserted, until none comes within `wait_s`.

    Nobody else reaches a card meanwhile. One that does not answer is told to `on_error` and passed by.
    """
    from sim_applet_tools.transport.pcsc import connect, wait_for_cards  # noqa: PLC0415  needs pyscard

    seen: dict[str, int] = {}
    while new := wait_for_cards(pattern, seen, wait_s):
        for state in new:
            seen[state.name] = state.events
            try:
                transport = connect(state.name, exclusive=True)
            except ReaderError as error:
                on_error(error)
                continue
            try:
                yield transport
            finally:
                transport.close()


def make_card_files(folder: Path, passphrase: str, count: int) -> None:
    """Fresh emulated cards `card-0001.tally` and so on, where there is none of that name yet."""
    from sim_applet_tools.emulator.image import new_image  # noqa: PLC0415  only where cards are emulated
    from sim_applet_tools.emulator.keystore import EncryptedFileStore  # noqa: PLC0415

    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
    for number in range(1, count + 1):
        path = folder / f"card-{number:04}.tally"
        if not path.exists():
            EncryptedFileStore(path, passphrase, image_if_new=new_image()).close()


def card_files(folder: Path, passphrase: str) -> Iterator[Transport]:
    """Each emulated card whose file is in `folder`, in the order of their names."""
    from sim_applet_tools.emulator.card import EmulatedCard  # noqa: PLC0415  only where cards are emulated
    from sim_applet_tools.emulator.keystore import EncryptedFileStore, is_card_file  # noqa: PLC0415
    from sim_applet_tools.transport.loopback import LoopbackTransport  # noqa: PLC0415

    paths = sorted(path for path in folder.iterdir() if is_card_file(path)) if folder.is_dir() else []
    if not paths:
        raise InputError(f"no card files in {folder}: make some with --new-cards, or `tally sim emulate FILE --new`")
    for path in paths:
        store = EncryptedFileStore(path, passphrase)
        try:
            yield LoopbackTransport(EmulatedCard(store), str(path))
        finally:
            store.close()
