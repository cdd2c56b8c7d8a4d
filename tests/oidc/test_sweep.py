"""What has run out goes, at any rate of logins; what lives, and the record of what was done, stays."""

from __future__ import annotations

from threading import Event

import pytest
from sqlalchemy import Connection, func, insert, select

from identity_oidc.provider import Provider
from identity_oidc.service.housekeeper_process import sweep_all
from identity_oidc.store.schema import METADATA, SEEN
from identity_oidc.store.sweep import BATCH, sweep
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, RelyingParty
from tests.oidc.test_tokens import log_in

STAYS = {"agent", "approval", "audit", "client", "consent_grant", "cursor", "release", "subject"}


def filled(connection: Connection) -> set[str]:
    """Names of the tables that hold anything."""
    return {
        name
        for name, table in METADATA.tables.items()
        if connection.execute(select(func.count()).select_from(table)).scalar_one()
    }


@pytest.fixture
def soft(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> SoftAgent:
    return SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock)


def test_of_logins_the_record_stays_and_what_lives(
    provider: Provider, app: RelyingParty, soft: SoftAgent, clock: TestClock
) -> None:
    browser = Browser()
    tokens = app.redeem(log_in(app, soft, browser, scope="openid email offline_access")).json
    assert app.userinfo(tokens["access_token"]).status == 200
    app.begin(Browser())
    log_in(app, soft, prompt="login")
    sweep(provider.database, provider.now())
    assert "code" in browser.get(app.address(prompt="none")).parameters, "nothing has run out yet"
    clock.ahead_s += 2 * 3_600
    swept = sweep(provider.database, provider.now())
    assert swept > 0
    with provider.database.reading() as connection:
        left = filled(connection) - STAYS
    assert left == {"session", "client_session", "token_family", "refresh_token"}
    renewed = app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert renewed.status == 200, "a family lives as long as one of its tokens"
    clock.ahead_s += 40 * 86_400
    sweep(provider.database, provider.now())
    with provider.database.reading() as connection:
        assert filled(connection) == STAYS
    assert sweep(provider.database, provider.now()) == 0


def test_more_than_a_batch_goes_in_one_round_and_what_lives_stays(provider: Provider) -> None:
    def rows(kind: str, count: int, expires_at: int) -> list[dict[str, object]]:
        return [{"kind": kind, "value_hash": number.to_bytes(32), "expires_at": expires_at} for number in range(count)]

    with provider.database.writing() as connection:
        connection.execute(insert(SEEN), rows("old", 2 * BATCH + 1, 1))
        connection.execute(insert(SEEN), rows("live", 3, provider.now() + 600))  # of the same digests
    stopped = Event()
    stopped.set()
    assert sweep_all(provider, stopped) == BATCH, "a provider that is to stop sweeps no more"
    assert sweep_all(provider, Event()) == BATCH + 1
    with provider.database.reading() as connection:
        counts = connection.execute(select(SEEN.c.kind, func.count()).group_by(SEEN.c.kind)).all()
    assert {kind: count for kind, count in counts if kind in {"old", "live"}} == {"live": 3}
