"""Two instances over one PostgreSQL: a login goes from one to the other, and of two at once one is taken."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree
from threading import Barrier, Event
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import create_engine, text

from identity_oidc.authentication import completion
from identity_oidc.consent.grants import store_grant
from identity_oidc.logout.ending import end_identity
from identity_oidc.provider import Provider
from identity_oidc.store.sweep import sweep
from identity_oidc.subscribers.sql import SqlSubscriberBase
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock, listening, make_config, serving
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import FORM, Answer, Browser, RelyingParty, add_client, ask
from tests.subscribers.databases import postgresql

__all__ = ["postgresql"]


@dataclass(frozen=True)
class Pair:
    """Both name the issuer of the first; the second is reached at its own port."""

    first: Provider
    second: Provider
    second_port: int

    def at_second(self, address: str) -> str:
        return address.replace(self.first.issuer, f"http://127.0.0.1:{self.second_port}", 1)


@pytest.fixture
def pair(  # noqa: PLR0917  fixtures
    tmp_path: Path,
    template: Path,
    ledger: LedgerInMemory,
    clock: TestClock,
    subscribers: SqlSubscriberBase,
    postgresql: str,
) -> Iterator[Pair]:
    name = f"oidc_{secrets.token_hex(6)}"
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    database = postgresql.replace("/postgres?", f"/{name}?")
    with listening() as (one, port), listening() as (two, other):
        config = make_config(tmp_path, port)
        copytree(template / "keys", tmp_path / "keys")
        config = replace(config, provider=replace(config.provider, database=database))
        first = Provider.open(config, clock, ledger, subscribers)
        second = Provider.open(config, clock, ledger, subscribers)
        with serving(first, one), serving(second, two):
            yield Pair(first, second, other)
        first.database.close()
        second.database.close()


def at_once(*acts: Callable[[], Answer]) -> list[int]:
    """Their statuses, sorted."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Answer]) -> int:
        barrier.wait(20)
        return act().status

    with ThreadPoolExecutor(len(acts)) as pool:
        return sorted(pool.map(run, acts))


def test_a_login_begun_on_one_is_approved_and_completed_on_the_other(pair: Pair, ledger: LedgerInMemory) -> None:
    app = add_client(pair.first, may_refresh=True, grant_days=30)
    there = RelyingParty(pair.at_second(app.issuer), app.client_id, app.secret, app.redirect_uri)
    soft = SoftAgent.enrolled(pair.first.issuer, ledger, IDENTITY)
    browser = Browser()
    challenge = soft.challenge(app.begin(browser, scope="openid email offline_access"))
    body = soft.approval(challenge)
    assert at_once(*[lambda: soft.approve(challenge, body)] * 4) == [200, 404, 404, 404]
    # The answer with the address was one of four: the browser goes on with a login of its own.
    challenge = soft.challenge(app.begin(browser, scope="openid email offline_access"))
    address = soft.approve(challenge, soft.approval(challenge)).json["completion_uri"]
    done = browser.get(pair.at_second(address))
    assert done.status == 303
    code = done.parameters["code"]
    verifier = {"code_verifier": app.verifier}
    assert at_once(lambda: app.redeem(code), lambda: there.redeem(code, **verifier)) == [200, 400]
    assert app.redeem(code).json["error"] == "invalid_grant"


def test_a_refresh_token_that_is_used_twice_at_once_gives_one_answer(pair: Pair, ledger: LedgerInMemory) -> None:
    app = add_client(pair.first, may_refresh=True, grant_days=30)
    there = RelyingParty(pair.at_second(app.issuer), app.client_id, app.secret, app.redirect_uri)
    soft = SoftAgent.enrolled(pair.first.issuer, ledger, IDENTITY)
    browser = Browser()
    challenge = soft.challenge(app.begin(browser, scope="openid offline_access"))
    done = browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"])
    token = app.redeem(done.parameters["code"]).json["refresh_token"]
    acts = [
        lambda: app.token(grant_type="refresh_token", refresh_token=token),
        lambda: there.token(grant_type="refresh_token", refresh_token=token),
    ]
    assert at_once(*acts) == [200, 400]


def test_a_hold_waits_for_a_login_that_is_being_completed_and_ends_it(
    pair: Pair, ledger: LedgerInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, browser = add_client(pair.first, single_sign_on_s=600), Browser()
    soft = SoftAgent.enrolled(pair.first.issuer, ledger, IDENTITY)
    challenge = soft.challenge(app.begin(browser))
    address = soft.approve(challenge, soft.approval(challenge)).json["completion_uri"]
    is_consumed, is_waited_for = Event(), Event()

    def slowly(*arguments: Any) -> Any:
        is_consumed.set()
        assert is_waited_for.wait(20)
        return store_grant(*arguments)

    def hold() -> int:
        with pair.second.database.writing() as connection:
            return end_identity(connection, bytes.fromhex(IDENTITY[2:]), pair.second.now(), with_agents=False)

    monkeypatch.setattr(completion, "store_grant", slowly)
    with ThreadPoolExecutor(2) as pool:
        completing = pool.submit(browser.get, address)
        assert is_consumed.wait(20)
        holding = pool.submit(hold)
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with pair.first.database.reading() as connection:
            assert any(connection.execute(waiting).scalar_one() for _ in range(100_000))
        is_waited_for.set()
        assert completing.result(20).status == 303
        assert holding.result(20) == 1
    assert app.redeem(completing.result().parameters["code"]).json["error"] == "invalid_grant"
    assert browser.get(app.address(prompt="none")).parameters["error"] == "login_required"


def test_what_postgresql_cannot_hold_is_looked_up_nowhere(pair: Pair, ledger: LedgerInMemory) -> None:
    """NUL: an error of the database would say that it is away, and let anybody raise that alarm."""
    app, browser, nul = add_client(pair.first), Browser(), "a\x00b"
    soft = SoftAgent.enrolled(pair.first.issuer, ledger, IDENTITY)
    challenge = soft.challenge(app.begin(browser))
    assert browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"]).status == 303
    form = "grant_type=authorization_code&code=x"
    secret = base64.b64encode(f"{nul}:x".encode()).decode()
    refused = ask("POST", f"{app.issuer}/token", headers=FORM | {"Authorization": f"Basic {secret}"}, body=form)
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    logout = urlencode({"client_id": nul, "post_logout_redirect_uri": "https://shop.example/"})
    assert browser.get(f"{app.issuer}/logout?{logout}").status == 400
    for path in ("login/a%00b", "completion/a%00b", "login/a%00b/status", "agent/v1/challenges/a%00b/approval"):
        assert browser.get(f"{app.issuer}/{path}").status == 400
    csrf = browser.get(f"{app.issuer}/account").text.partition('name="csrf_token" value="')[2].partition('"')[0]
    for act, name in (("withdraw", "client_id"), ("session", "session_id"), ("agent", "agent_id")):
        sent = browser.post(f"{app.issuer}/account/{act}", {name: nul, "csrf_token": csrf})
        assert sent.status == 303, "nothing of that name is there to end"
    assert browser.get(f"{app.issuer}/account").status == 200


def test_a_new_person_s_subject_is_made_once(pair: Pair, ledger: LedgerInMemory) -> None:
    from identity_oidc.subject import subject_for  # noqa: PLC0415

    def make(provider: Provider) -> str:
        with provider.database.writing() as connection:
            return subject_for(connection, "C1", "sector", 1)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(make, [pair.first, pair.second] * 4))
    assert len(found) == 1


def test_what_has_run_out_is_swept_by_two_at_once(pair: Pair, ledger: LedgerInMemory) -> None:
    app = add_client(pair.first)
    soft = SoftAgent.enrolled(pair.first.issuer, ledger, IDENTITY)
    browser = Browser()
    challenge = soft.challenge(app.begin(browser))
    done = browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"])
    assert app.redeem(done.parameters["code"]).status == 200
    later = pair.first.now() + 40 * 86_400
    with ThreadPoolExecutor(2) as pool:
        went = list(pool.map(lambda provider: sweep(provider.database, later), (pair.first, pair.second)))
    assert sum(went) > 0
    assert sweep(pair.first.database, later) == 0
