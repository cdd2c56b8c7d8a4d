"""Telling apps that a session ended, from the durable queue. Source: OpenID Connect Back-Channel Logout 1.0 §2."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import select, update

from identity_oidc.clients import Client
from identity_oidc.egress import Egress
from identity_oidc.errors import EgressError
from identity_oidc.provider import Provider
from identity_oidc.store.schema import LOGOUT_QUEUE
from identity_oidc.tokens.id_token import sign

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_S: Final = 120
_LEASE_S: Final = 60
_LONGEST_PAUSE_S: Final = 3_600
_BATCH: Final = 50


class Delivery:
    """Sends what is due. A notice is taken for a while by whoever sends it, so that instances share the queue."""

    def __init__(self, provider: Provider, egress: Egress) -> None:
        self._provider = provider
        self._egress = egress

    def run(self) -> int:
        """Send what is due now; how many notices were tried. Raises `StorageError`."""
        due = (
            select(LOGOUT_QUEUE)
            .where(LOGOUT_QUEUE.c.done_at.is_(None), LOGOUT_QUEUE.c.due_at <= self._provider.now())
            .order_by(LOGOUT_QUEUE.c.due_at)
            .limit(_BATCH)
        )
        with self._provider.database.reading() as connection:
            rows = [dict(row) for row in connection.execute(due).mappings()]
        return sum(self._take(row) and self._deliver(row) for row in rows)

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
            return True
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
