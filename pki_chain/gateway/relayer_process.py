"""The gateway's other process: follows the ledger into the read model, and relays.

`python -m` this module FILE SUPERVISOR.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from pki_chain.chain.calls import Calls
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.outbox import Outbox
from pki_chain.chain.signer import Keystore
from pki_chain.config import MemberConfig
from pki_chain.errors import LedgerUnavailableError, TallyError
from pki_chain.gateway.data_lock import lock_data
from pki_chain.gateway.inbox import Inbox
from pki_chain.gateway.logs import configure_logs
from pki_chain.gateway.relayer import Relayer
from pki_chain.gateway.services import INBOX_FILE, INDEX_FILE, OUTBOX_FILE, open_status_keys
from pki_chain.index.errors import IndexFaultError
from pki_chain.index.indexer import Indexer
from pki_chain.ports import Block
from tally_service.parent import end_with_parent

POLL_S: Final = 0.25
RENEW_EVERY_S: Final = 3_600.0
LONGEST_PAUSE_S: Final = 5.0

log = logging.getLogger(__name__)


def run(config: MemberConfig, stop: threading.Event) -> None:
    """Work until `stop` is set. Raises `ConfigurationError`, `StorageError`, `IndexBusyError` at the start."""
    consortium = config.load_consortium()
    data = config.gateway.data
    with ExitStack() as stack:
        keystore = Keystore.open(config.keystore.directory, config.keystore.passphrase_file)
        ledger = LedgerClient(consortium, config.ledger.timeout_s)
        indexer = stack.enter_context(Indexer(data / INDEX_FILE, ledger, consortium.founding_block))
        outbox = stack.enter_context(
            Outbox(data / OUTBOX_FILE, keystore.load(config.gateway.relayer), ledger.connection, consortium.chain_id)
        )
        inbox = Inbox(data / INBOX_FILE)
        stack.callback(inbox.close)
        ledger_time = _LedgerTime()

        def follow() -> None:
            ledger_time.seconds = indexer.advance(stop.is_set).time

        status_keys = open_status_keys(config)
        renew_at = 0.0

        def relay() -> None:
            nonlocal renew_at
            relayer.step()
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + RENEW_EVERY_S
                if status_keys.renew(config.member.name, int(time.time())) is not None:
                    log.warning("a new status key was made: publish its certificate (tally gateway status-key)")

        relayer = Relayer(inbox, outbox, Calls(consortium), lambda: ledger_time.seconds)
        relaying = threading.Thread(target=_repeat, args=("relayer", relay, stop), name="relayer")
        relaying.start()
        try:
            _repeat("indexer", follow, stop)
        finally:
            stop.set()
            relaying.join()


def rebuild(config: MemberConfig) -> Block:
    """Throw the read model away and read the ledger again; the gateway must be stopped. Returns the last block.

    Nothing is thrown away before the ledger answers. Raises `ConfigurationError` while the gateway runs,
    `LedgerUnavailableError`, `StorageError`.
    """
    consortium = config.load_consortium()
    ledger = LedgerClient(consortium, config.ledger.timeout_s)
    database = config.gateway.data / INDEX_FILE
    with lock_data(config.gateway.data):
        ledger.head()
        with Indexer(database, ledger, consortium.founding_block, anew=True) as indexer:
            return indexer.advance()


class _LedgerTime:
    """Time of the last block taken in; 0 before the first, when no deadline has passed yet as far as is known."""

    seconds: float = 0.0


def _repeat(name: str, act: Callable[[], None], stop: threading.Event) -> None:
    """Act again and again; after a failure wait longer each time. A failure is logged once until the next success."""
    pause_s, failing = POLL_S, ""
    while not stop.is_set():
        try:
            act()
            if failing:
                log.info("%s goes on", name)
            pause_s, failing = POLL_S, ""
        except TallyError as error:
            if error.code != failing:
                level = logging.WARNING if isinstance(error, LedgerUnavailableError) else logging.ERROR
                log.log(level, "%s waits: %s %s", name, error.message, error.detail)
            # A lost endpoint comes back any moment; a fault or a full disk waits for somebody.
            longest_s = 1.0 if isinstance(error, LedgerUnavailableError) else LONGEST_PAUSE_S
            pause_s, failing = min(pause_s * 2, longest_s), error.code
            if isinstance(error, IndexFaultError):
                pause_s = LONGEST_PAUSE_S
        except BaseException:
            stop.set()
            raise
        stop.wait(pause_s)


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT end the process in good order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


def main(arguments: list[str]) -> int:
    """Exit status 0 after a signal, the error's own otherwise."""
    configure_logs("relayer")
    stop = threading.Event()
    stop_on_signals(stop)
    end_with_parent(int(arguments[1]))
    try:
        run(MemberConfig.load(Path(arguments[0])), stop)
    except TallyError as error:
        log.error("%s %s", error.message, error.detail)  # noqa: TRY400 - ours, so the text says it all
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
