"""Keeping what the daemon believes of CA-issued certificates as old as the ledger's last event, and no older.

The daemon itself asks by OCSP, or takes the CA's list, when a peer comes, and keeps the answer until its end; an SA
that stands is not looked at again. So on each event its answers are forgotten, and who the event names is cut off.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from pki_chain.errors import TallyError
from pki_chain.ipsec.authority import IssuingAuthorities
from pki_chain.ipsec.charon import Charon
from pki_chain.ipsec.settings import IpsecSettings
from pki_chain.ipsec.sync import ENDS, PAGE, Feed

_IDENTITIES: Final = frozenset({"dns", "ip"})

log = logging.getLogger(__name__)


class IssuedPeers:
    """One pass after the other. `max_age_s` is for how long peers stay while no gateway answers."""

    def __init__(
        self, charon: Charon, settings: IpsecSettings, authority: IssuingAuthorities, feed: Feed, max_age_s: float
    ) -> None:
        self._charon = charon
        self._settings = settings
        self._authority = authority
        self._feed = feed
        self._max_age_s = max_age_s
        self._cursor = "now"
        self._heard_at: float | None = None

    def look(self, now: float) -> int:
        """Bring the daemon up to date; how many peers were cut off. Raises `CharonError`."""
        was_silent = self._heard_at is None
        ended, news, is_over = self._follow(now)
        if self._heard_at is None or now - self._heard_at > self._max_age_s:
            self._cursor, self._heard_at = "now", None  # all begin anew then, with answers of then
            return self._charon.close_to_issued()
        # What was before the first event that is followed, nobody told: no SA and no answer of then is believed.
        cut = self._charon.close_to_issued() if was_silent else 0
        if not self._charon.is_open_to_issued():
            self._charon.flush()
            self._charon.open_to_issued(self._settings, self._authority)
        elif news:
            self._charon.flush()
        return cut + (self._charon.cut_issued(ended) if is_over else 0)

    def _follow(self, now: float) -> tuple[set[str], bool, bool]:
        """Identities that ended since, whether there was any event, and whether one ended something."""
        ended: set[str] = set()
        news, is_over, more = False, False, True
        try:
            while more:
                page = self._feed.read_object("/v1/changes", {"after": self._cursor, "limit": PAGE})
                for change in page["changes"]:
                    news = True
                    if change["kind"] in ENDS:
                        is_over = True
                        ended |= _identities(change)
                self._cursor, more = str(page["cursor"]), bool(page["more"])
            self._heard_at = now
        except (KeyError, TypeError, ValueError) as error:
            log.warning("a page of the feed is not of its form: %r", error)
        except TallyError as error:
            log.warning("the feed is not read for now: %s", error)
        return ended, news, is_over


def _identities(change: Mapping[str, Any]) -> set[str]:
    return {str(each["value"]) for each in change["names"] if each["kind"] in _IDENTITIES}
