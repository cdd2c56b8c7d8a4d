"""The housekeeper: follows the ledger, tells apps of logouts, sweeps. `python -m` this module FILE SUPERVISOR."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from identity_oidc.config import ProviderConfig
from identity_oidc.egress import Egress
from identity_oidc.errors import ProviderError
from identity_oidc.logout.delivery import Delivery
from identity_oidc.logout.follower import Follower
from identity_oidc.provider import Provider
from identity_oidc.service.assembly import assemble
from identity_oidc.service.logs import configure_logs
from identity_oidc.store.sweep import BATCH, sweep
from tally_service.parent import end_with_parent

DELIVER_EVERY_S: Final = 1.0
SWEEP_EVERY_S: Final = 60.0
SWEEP_PAUSE_S: Final = 0.2

log = logging.getLogger(__name__)


def keep_house(provider: Provider, stop: threading.Event) -> None:
    """Until `stop` is set. Each duty has a thread, so that a slow app does not delay a hold."""
    delivery = Delivery(provider, Egress(provider.config.egress))
    duties = (
        threading.Thread(target=_repeat, args=(Follower(provider).advance, provider.config.ledger.poll_s, stop)),
        threading.Thread(target=_repeat, args=(lambda: _begin(delivery), DELIVER_EVERY_S, stop)),
        threading.Thread(target=_repeat, args=(lambda: sweep_all(provider, stop), SWEEP_EVERY_S, stop)),
    )
    for duty in duties:
        duty.start()
    for duty in duties:
        duty.join()
    delivery.close()


def sweep_all(provider: Provider, stop: threading.Event) -> int:
    """Sweep until little is left, so that it keeps up with any rate of logins; how many rows went.

    A batch at a time, with a pause for others who write. Raises `StorageError`.
    """
    swept = went = sweep(provider.database, provider.now())
    while went >= BATCH and not stop.wait(SWEEP_PAUSE_S):
        went = sweep(provider.database, provider.now())
        swept += went
    return swept


def _begin(delivery: Delivery) -> None:
    """Not waited for: an app that is slow must not keep the next round from others."""
    for each in delivery.begin():
        each.add_done_callback(_report)


def _report(round_: Future[int]) -> None:
    if not round_.cancelled() and (error := round_.exception()) is not None:
        log.warning("telling an app of logouts failed: %s", type(error).__name__)


def _repeat(act: Callable[[], object], every_s: float, stop: threading.Event) -> None:
    while True:
        try:
            act()
        except ProviderError as error:
            log.warning("%s %s", error.message, error.detail)
        except Exception as error:
            log.error("a defect in housekeeping: %s", type(error).__name__)  # noqa: TRY400  no content of requests
        if stop.wait(every_s):
            return


def main(arguments: list[str]) -> None:
    """Keep house by this configuration file."""
    configure_logs("housekeeper")
    end_with_parent(int(arguments[1]))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep_house(assemble(ProviderConfig.load(Path(arguments[0]))), stop)


if __name__ == "__main__":
    main(sys.argv[1:])
