"""Two providers as operators run them, over one PostgreSQL and behind nginx: one is killed, and nothing is lost."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine, text

from identity_oidc.config import ProviderConfig
from identity_oidc.service.assembly import assemble
from tests.oidc.card_in_software import new_key
from tests.oidc.deployment import free_port, nginx
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Answer, LoginPage, RelyingParty, add_client, members
from tests.oidc.test_service import BOUND_S, Service, gateway_of, wait_for
from tests.oidc.tls import TIMEOUT_S, Loopback, TlsAgent, TlsBrowser, make_loopback_certificate
from tests.subscribers.databases import postgresql

__all__ = ["postgresql"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("oidc-service")]
PEOPLE = 6
LOGINS = 5
AWAY = frozenset({502, 503, 504})
"""What nginx says of an instance that did not answer."""


class InterruptedLoginError(Exception):
    """The answer to a step was lost with the instance that was killed: the person begins anew."""


@dataclass
class TlsRelyingParty(RelyingParty):
    """The app's server, over https."""

    ca_file: Path = Path()

    def token(self, **fields: str | None) -> Answer:
        content = {name: value for name, value in fields.items() if value is not None}
        return self._send("POST", "token", self.basic(), content)

    def userinfo(self, access_token: str) -> Answer:
        return self._send("GET", "userinfo", {"Authorization": f"Bearer {access_token}"})

    def _send(self, method: str, path: str, headers: dict[str, str], content: object = None) -> Answer:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.ca_file)
            address = f"{self.issuer}/{path}"
            return TlsBrowser._answer(
                session.request(method, address, headers=headers, data=content, timeout=TIMEOUT_S)  # type: ignore[arg-type]  # a form
            )


@dataclass
class Pair:
    """Both instances, the app, and the people."""

    first: Service
    second: Service
    app: TlsRelyingParty
    ledger: LedgerInMemory
    ca_file: Path
    acknowledged: list[dict[str, str]] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)

    def person(self) -> TlsAgent:
        agent = TlsAgent(self.app.issuer, "0x" + secrets.token_hex(32), card=new_key(), ca_file=self.ca_file)
        self.ledger.register(agent.identity, agent.card.public_key())
        assert self.answered(agent.enrol).status == 201
        return agent

    def answered(self, act: Callable[[], Answer]) -> Answer:
        """The answer of whichever instance is there; for acts that may be repeated."""
        found: list[Answer] = []

        def is_answered() -> bool:
            found[:] = [act()]
            return found[0].status not in AWAY

        wait_for(is_answered, "an answer")
        return found[0]

    def begin(self, browser: TlsBrowser) -> LoginPage:
        sent = self.answered(lambda: browser.get(self.app.address(scope="openid offline_access")))
        assert sent.status == 303, sent.text
        page = self.answered(lambda: browser.get(sent.location))
        assert page.status == 200, page.text
        return LoginPage(sent.location.partition("?")[0], page)

    def log_in(self, agent: TlsAgent) -> None:
        """One login to its end, begun anew where an answer was lost."""
        for _ in range(3):
            try:
                tokens = self._try(agent)
            except InterruptedLoginError as error:
                self.interrupted.append(str(error))
            else:
                self.acknowledged.append(tokens)
                return
        raise AssertionError(f"no login in three: {self.interrupted}")

    def _try(self, agent: TlsAgent) -> dict[str, str]:
        browser = TlsBrowser(self.ca_file)
        try:
            page = self.begin(browser)
            fetched = expect(200, agent.fetch(page), "fetch")
            challenge = agent.decrypt(fetched.json["challenge"])
            approved = expect(200, agent.approve(challenge, agent.approval(challenge)), "approval")
            done = expect(303, browser.get(approved.json["completion_uri"]), "completion")
            tokens: dict[str, str] = expect(200, self.app.redeem(done.parameters["code"]), "token").json
        finally:
            browser.close()
        return tokens


def expect(status: int, answer: Answer, step: str) -> Answer:
    if answer.status != status:
        raise InterruptedLoginError(f"{step}: {answer.status}")
    return answer


@pytest.fixture
def loopback(tmp_path: Path) -> Loopback:
    return make_loopback_certificate(tmp_path)


@pytest.fixture
def pair(tmp_path: Path, template: Path, ledger: LedgerInMemory, postgresql: str, loopback: Loopback) -> Iterator[Pair]:
    name = f"oidc_{secrets.token_hex(6)}"
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    database = postgresql.replace("/postgres?", f"/{name}?")
    tls_port, ports = free_port(), (free_port(), free_port())
    issuer = f"https://127.0.0.1:{tls_port}"
    with gateway_of(ledger) as gateway:
        services = []
        for number, port in enumerate(ports):
            directory = tmp_path / f"instance-{number}"
            directory.mkdir()
            (directory / "members.json").write_text(json.dumps(members()))
            (directory / "oidc.toml").write_text(
                f'[provider]\nissuer = "{issuer}"\nport = {port}\nmembers = "members.json"\n'
                f'database = "{database}"\ntrusted_proxies = ["127.0.0.1/32"]\n'
                f'[keys]\ndirectory = "{template}/keys"\n'
                f'[ledger]\ngateways = ["{gateway}"]\npoll_s = 0.5\n'
            )
            services.append(Service(directory / "oidc.toml", f"http://127.0.0.1:{port}"))
        parts = assemble(ProviderConfig.load(tmp_path / "instance-0" / "oidc.toml"))
        known = add_client(parts, may_refresh=True, grant_days=30)
        parts.database.close()
        app = TlsRelyingParty(issuer, known.client_id, known.secret, known.redirect_uri, ca_file=loopback.certificate)
        try:
            for service in services:
                service.start()
            with nginx(tmp_path, tls_port, list(ports), loopback):
                yield Pair(services[0], services[1], app, ledger, loopback.certificate)
        finally:
            for service in services:
                service.kill()


def test_a_login_begun_at_one_is_approved_at_the_other_and_a_kill_loses_nothing_that_was_acknowledged(
    pair: Pair,
) -> None:
    agent, browser = pair.person(), TlsBrowser(pair.ca_file)
    pair.second.kill()
    page = pair.begin(browser)  # at the first: there is no other
    pair.second.start()
    pair.first.kill()
    challenge = agent.decrypt(pair.answered(lambda: agent.fetch(page)).json["challenge"])
    approved = agent.approve(challenge, agent.approval(challenge))
    assert approved.status == 200, approved.text
    done = pair.answered(lambda: browser.get(approved.json["completion_uri"]))
    assert done.status == 303, done.text
    pair.first.start()
    assert pair.app.redeem(done.parameters["code"]).status == 200
    browser.close()

    people = [pair.person() for _ in range(PEOPLE)]
    begun = threading.Event()

    def live(agent: TlsAgent) -> None:
        for _ in range(LOGINS):
            begun.wait(BOUND_S)
            pair.log_in(agent)

    with ThreadPoolExecutor(PEOPLE) as pool:
        lives = [pool.submit(live, each) for each in people]
        begun.set()
        wait_for(lambda: len(pair.acknowledged) >= PEOPLE, "the first logins")
        before = len(pair.acknowledged)
        pair.first.kill()
        for each in lives:
            each.result(4 * BOUND_S)
    assert before < PEOPLE * LOGINS, "it was killed during logins"
    assert len(pair.acknowledged) == PEOPLE * LOGINS
    assert len(pair.interrupted) <= PEOPLE, f"each had one login on its way: {pair.interrupted}"
    assert good_tokens(pair) == PEOPLE * LOGINS, "at the one that is left"
    pair.first.start()
    pair.second.kill()
    assert good_tokens(pair) == PEOPLE * LOGINS, "and at the one that was killed"


def good_tokens(pair: Pair) -> int:
    """Of all logins that were acknowledged: access tokens that are taken, and refresh tokens that are renewed."""
    good = 0
    for tokens in pair.acknowledged:
        taken = pair.answered(lambda tokens=tokens: pair.app.userinfo(tokens["access_token"]))  # type: ignore[misc]  # bound now
        renewed = pair.app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        good += (taken.status, renewed.status) == (200, 200)
        tokens["refresh_token"] = renewed.json["refresh_token"]
    return good
