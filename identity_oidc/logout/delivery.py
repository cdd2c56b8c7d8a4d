"""Telling apps that a session ended, from the durable queue. Source: OpenID Connect Back-Channel Logout 1.0 §2.

Each app has a turn of its own, and a pause after it failed: one that is away holds up nobody else. A notice waits for a
random part of `egress.spread_s` first: apps that are told in the same second would know that it is the same person.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import func, select, update

from identity_oidc.clients import Client
from identity_oidc.egress import Egress
from identity_oidc.errors import EgressError
from identity_oidc.provider import Provider
from identity_oidc.store.schema import LOGOUT_QUEUE
from identity_oidc.tokens.id_token import sign

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_S: Final = 120
THREADS: Final = 16
_LEASE_S: Final = 60
_LONGEST_PAUSE_S: Final = 3_600
_APP_PAUSE_S: Final = 5
"""An app that did not answer is left alone for so long, whatever waits for it."""
_BATCH: Final = 50
_APPS: Final = 500


class Delivery:
    """Sends what is due. A notice is taken for a while by whoever sends it, so that instances share the queue."""

    def __init__(self, provider: Provider, egress: Egress) -> None:
        self._provider = provider
        self._egress = egress
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="logout")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._paused_until: dict[str, int] = {}

    def run(self) -> int:
        """Send what is due now, and wait for it; how many notices were tried. Raises `StorageError`."""
        return sum(each.result() for each in self.begin())

    def begin(self) -> list[Future[int]]:
        """Begin to send what is due now to apps that nothing is being sent to. Raises `StorageError`."""
        self._spread()
        now = self._provider.now()
        due = (
            select(LOGOUT_QUEUE.c.client_id)
            .where(LOGOUT_QUEUE.c.done_at.is_(None), LOGOUT_QUEUE.c.due_at <= now)
            .group_by(LOGOUT_QUEUE.c.client_id)
            .order_by(func.min(LOGOUT_QUEUE.c.due_at))
            .limit(_APPS)
        )
        with self._provider.database.reading() as connection:
            apps = list(connection.execute(due).scalars())
        with self._lock:
            self._paused_until = {app: until for app, until in self._paused_until.items() if until > now}
            free = [app for app in apps if app not in self._busy and app not in self._paused_until]
            self._busy.update(free)
        return [self._threads.submit(self._deliver_to, app) for app in free]

    def close(self) -> None:
        """Wait for what is being sent; begin no more."""
        self._threads.shutdown(cancel_futures=True)

    def _spread(self) -> None:
        """Give each new notice a moment of its own, once: it is new as long as it is due when it was made."""
        spread_s, now = self._provider.config.egress.spread_s, self._provider.now()
        if not spread_s:
            return
        is_new = LOGOUT_QUEUE.c.due_at == LOGOUT_QUEUE.c.created_at
        wanted = select(LOGOUT_QUEUE.c.notice_id, LOGOUT_QUEUE.c.created_at).where(
            LOGOUT_QUEUE.c.done_at.is_(None), LOGOUT_QUEUE.c.due_at <= now, is_new
        )
        with self._provider.database.reading() as connection:
            rows = connection.execute(wanted.limit(_APPS)).all()
        if not rows:
            return
        with self._provider.database.writing() as connection:
            for row in rows:
                due_at = row.created_at + 1 + secrets.randbelow(spread_s)
                mine = LOGOUT_QUEUE.c.notice_id == row.notice_id
                connection.execute(update(LOGOUT_QUEUE).where(mine, is_new).values(due_at=due_at))

    def _deliver_to(self, app: str) -> int:
        """One app's notices, one after the other, until one fails; how many were tried."""
        tried = 0
        try:
            due = (
                select(LOGOUT_QUEUE)
                .where(
                    LOGOUT_QUEUE.c.client_id == app,
                    LOGOUT_QUEUE.c.done_at.is_(None),
                    LOGOUT_QUEUE.c.due_at <= self._provider.now(),
                )
                .order_by(LOGOUT_QUEUE.c.due_at)
                .limit(_BATCH)
            )
            with self._provider.database.reading() as connection:
                rows = [dict(row) for row in connection.execute(due).mappings()]
            for row in rows:
                if not self._take(row):
                    continue
                tried += 1
                if not self._deliver(row):
                    with self._lock:
                        self._paused_until[app] = self._provider.now() + _APP_PAUSE_S
                    break
        finally:
            with self._lock:
                self._busy.discard(app)
        return tried

    def _take(self, row: Mapping[str, Any]) -> bool:
        with self._provider.database.writing() as connection:
            mine = LOGOUT_QUEUE.c.notice_id == row["notice_id"], LOGOUT_QUEUE.c.due_at == row["due_at"]
            until = self._provider.now() + _LEASE_S
            taken = connection.execute(
                update(LOGOUT_QUEUE)
                .where(*mine, LOGOUT_QUEUE.c.done_at.is_(None))
                .values(due_at=until, attempts=LOGOUT_QUEUE.c.attempts + 1)
            )
        return bool(taken.rowcount == 1)

    def _deliver(self, row: Mapping[str, Any]) -> bool:
        """Whether the app answered, whatever it said."""
        client = self._provider.find_client(row["client_id"])
        if client is None or not client.backchannel_logout_uri:
            self._settle(row, "no-address", is_done=True)
            return True
        try:
            status = self._egress.post(
                client.backchannel_logout_uri, urlencode({"logout_token": self._token(client, row)})
            )
        except EgressError as error:
            self._settle(row, error.message, is_done=False)
            return False
        # 400 says that the app will not take it; to send it again would not help.
        self._settle(row, f"status {status}", is_done=status in {200, 204, 400})
        return True

    def _settle(self, row: Mapping[str, Any], outcome: str, *, is_done: bool) -> None:
        now, attempts = self._provider.now(), row["attempts"] + 1
        is_over = is_done or attempts >= self._provider.config.egress.attempts
        pause_s = min(5 * 2**attempts, _LONGEST_PAUSE_S) + secrets.randbelow(5)
        values = {"outcome": outcome[:64], "due_at": now + pause_s} | ({"done_at": now} if is_over else {})
        with self._provider.database.writing() as connection:
            mine = LOGOUT_QUEUE.c.notice_id == row["notice_id"]
            connection.execute(update(LOGOUT_QUEUE).where(mine).values(values))

    def _token(self, client: Client, row: Mapping[str, Any]) -> str:
        now = self._provider.now()
        claims = {
            "iss": self._provider.config.issuer,
            "aud": client.client_id,
            "iat": now,
            "exp": now + TOKEN_S,
            "jti": secrets.token_urlsafe(18),
            "events": {EVENT: {}},
            "sub": row["sub"],
        } | ({"sid": row["sid"]} if row["sid"] else {})
        return sign(self._provider.keys, client.id_token_signed_response_alg, "logout+jwt", claims)
