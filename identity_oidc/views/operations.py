"""Health, readiness and metrics, for who runs the provider."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, current_app, request
from sqlalchemy import func, select

from identity_oidc.errors import LedgerStaleError, ProviderError
from identity_oidc.logout.follower import FOLLOWED
from identity_oidc.store.schema import CURSORS, LOGOUT_QUEUE, SESSIONS
from identity_oidc.views.web import document, provider
from tally_service.counters import Counters
from tally_service.prometheus import Metric, render, requests_metric

operations = Blueprint("operations", __name__)
COUNTERS = "tiger-tally-oidc-counters"


@operations.get("/healthz")
def health() -> Response:
    """The process answers."""
    return document({"status": "ok"})


@operations.get("/readyz")
def ready() -> Response:
    """Logins can be given: database, keys, and a ledger that is fresh."""
    parts = provider()
    failing = []
    followed = "0"  # as far as the housekeeper came, so that little is asked for
    try:
        with parts.database.reading() as connection:
            wanted = select(CURSORS.c.value).where(CURSORS.c.name == FOLLOWED)
            followed = connection.execute(wanted).scalar() or followed
    except ProviderError:
        failing.append("database")
    try:
        parts.keys.check()
    except ProviderError:
        failing.append("keys")
    try:
        if parts.ledger.changes(followed).age_s > parts.config.ledger.max_age_s:
            failing.append("ledger")
    except LedgerStaleError:
        failing.append("ledger")
    return document({"status": "failing" if failing else "ok", "failing": failing}, 503 if failing else 200)


@operations.get("/metrics")
def metrics() -> Response:
    """Of all workers, for who holds `provider.metrics_token_file`; for nobody where there is none."""
    parts = provider()
    path = parts.config.provider.metrics_token_file
    token = path.read_text("utf-8").strip() if path is not None else ""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token or not hmac.compare_digest(given.encode(), token.encode()):
        return document({"error": "invalid_token"}, 401)
    now = parts.now()
    with parts.database.reading() as connection:
        live = SESSIONS.c.ended_at.is_(None) & SESSIONS.c.identity.is_not(None) & (SESSIONS.c.expires_at > now)
        sessions = connection.execute(select(func.count()).select_from(SESSIONS).where(live)).scalar_one()
        open_ = LOGOUT_QUEUE.c.done_at.is_(None)
        notices = connection.execute(select(func.count()).select_from(LOGOUT_QUEUE).where(open_)).scalar_one()
    counters: Counters = current_app.extensions[COUNTERS]
    gauges = (
        Metric("tally_oidc_sessions", "gauge", "People who are logged in.", (({}, sessions),)),
        Metric("tally_oidc_logout_notices_waiting", "gauge", "Logouts that apps are still told of.", (({}, notices),)),
    )
    text = render([requests_metric("tally_oidc_requests_total", counters.totals()), *gauges])
    return Response(text, content_type="text/plain; version=0.0.4")
