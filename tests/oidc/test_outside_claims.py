"""What only a proxy may say, said by strangers: certificates and addresses in headers count for nothing."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPSConnection
from pathlib import Path
from shutil import copytree
from urllib.parse import urlencode

import pytest

from identity_oidc.config import LimitSettings
from identity_oidc.provider import Provider
from identity_oidc.subscribers.sql import SqlSubscriberBase
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock, listening, make_config, serving
from tests.oidc.deployment import free_port, nginx
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import FORM, Answer, Browser, RelyingParty, ask
from tests.oidc.tls import make_loopback_certificate

EVIL = "evil.example"
FORWARDED = [
    {"X-Forwarded-Host": EVIL},
    {"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"},
    {"X-Forwarded-Prefix": f"//{EVIL}"},
    {"Forwarded": f"for=192.0.2.1;host={EVIL};proto=https"},
    {"X-Original-URL": f"//{EVIL}/", "X-Rewrite-URL": f"//{EVIL}/"},
    {"Host": EVIL},
]


@pytest.mark.parametrize("headers", FORWARDED)
def test_addresses_come_from_the_settings_alone(app: RelyingParty, headers: dict[str, str]) -> None:
    for path in ("/.well-known/openid-configuration", "/agent/v1/configuration"):
        answer = ask("GET", f"{app.issuer}{path}", headers=headers)
        assert (answer.status, answer.json["issuer"]) == (200, app.issuer)
        assert EVIL not in answer.text
    sent = ask("GET", app.address(), headers=headers)
    assert sent.location.startswith(f"{app.issuer}/login/")
    assert EVIL not in str(sent.headers)


@pytest.mark.parametrize("host", ["login.operator.example", EVIL, "127.0.0.1:1"])
def test_tokens_are_given_whatever_name_the_proxy_passes_on(
    app: RelyingParty, ledger: LedgerInMemory, host: str
) -> None:
    """TLS ends at the proxy: the provider itself is asked by plain HTTP, with the name that the app used."""
    soft, browser = SoftAgent.enrolled(app.issuer, ledger, IDENTITY), Browser()
    challenge = soft.challenge(app.begin(browser, scope="openid offline_access"))
    done = browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"])

    def post(path: str, **fields: str) -> Answer:
        return ask("POST", f"{app.issuer}/{path}", headers=app.basic() | {"Host": host}, body=urlencode(fields))

    values = {"redirect_uri": app.redirect_uri, "code_verifier": app.verifier}
    assert post("token", grant_type="authorization_code", code="x" * 43, **values).json["error"] == "invalid_grant"
    first = post("token", grant_type="authorization_code", code=done.parameters["code"], **values)
    assert first.status == 200, first.text
    app.verify_id_token(first.json["id_token"], first.json["access_token"])
    fresh = post("token", grant_type="refresh_token", refresh_token=first.json["refresh_token"]).json
    assert post("introspect", token=fresh["access_token"]).json["active"] is True
    assert post("revoke", token=fresh["access_token"]).status == 200
    assert post("introspect", token=fresh["access_token"]).json == {"active": False}


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """As proxies pass a client's certificate on. Source: RFC 9440 §2."""
    pem = make_loopback_certificate(tmp_path).certificate.read_text()
    der = "".join(line for line in pem.splitlines() if "-" not in line)
    assert base64.b64decode(der)
    return {
        "Client-Cert": f":{der}:",
        "Client-Cert-Chain": f":{der}:",
        "X-SSL-Client-Cert": der,
        "X-SSL-Client-Verify": "SUCCESS",
        "X-SSL-Client-S-DN": "CN=shop",
        "X-Forwarded-Client-Cert": f'Subject="CN=shop";Cert="{der}"',
    }


def test_a_certificate_in_a_header_is_no_app(
    app: RelyingParty, browser: Browser, ledger: LedgerInMemory, certificate: dict[str, str]
) -> None:
    soft = SoftAgent.enrolled(app.issuer, ledger, IDENTITY)
    challenge = soft.challenge(app.begin(browser))
    done = browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"])
    form = {
        "grant_type": "authorization_code",
        "client_id": app.client_id,
        "code": done.parameters["code"],
        "redirect_uri": app.redirect_uri,
        "code_verifier": app.verifier,
    }
    refused = ask("POST", f"{app.issuer}/token", headers=FORM | certificate, body=urlencode(form))
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    assert app.redeem(done.parameters["code"]).status == 200, "the code is still its app's"


def test_a_certificate_in_a_header_is_no_agent(
    app: RelyingParty, ledger: LedgerInMemory, certificate: dict[str, str]
) -> None:
    soft = SoftAgent.enrolled(app.issuer, ledger, IDENTITY)
    assert ask("GET", f"{app.issuer}/agent/v1/inbox", headers=certificate).status == 401
    bearer = certificate | {"Authorization": f"DPoP {soft.token}"}
    assert ask("GET", f"{app.issuer}/agent/v1/inbox", headers=bearer).status == 401


@contextmanager
def limited(
    directory: Path, template: Path, ledger: LedgerInMemory, subscribers: SqlSubscriberBase, proxies: tuple[str, ...]
) -> Iterator[str]:
    """A provider that takes a few requests from each address; its address."""
    with listening() as (listener, port):
        config = make_config(directory, port)
        copytree(template / "keys", directory / "keys")
        settings = replace(config.provider, trusted_proxies=proxies)
        config = replace(config, provider=settings, limits=LimitSettings(rate=0.1, burst=4))
        parts = Provider.open(config, TestClock(), ledger, subscribers)
        with serving(parts, listener):
            yield parts.issuer
        parts.database.close()


@pytest.mark.parametrize(("proxies", "last"), [((), 429), (("192.0.2.0/24",), 429), (("127.0.0.1/32",), 200)])
def test_only_a_proxy_of_the_settings_says_who_asks(  # noqa: PLR0917  fixtures
    tmp_path: Path,
    template: Path,
    ledger: LedgerInMemory,
    subscribers: SqlSubscriberBase,
    proxies: tuple[str, ...],
    last: int,
) -> None:
    with limited(tmp_path, template, ledger, subscribers, proxies) as issuer:
        for number in range(12):
            claimed = dict.fromkeys(("X-Real-IP", "X-Forwarded-For", "X-Client-IP"), f"192.0.2.{number}")
            answer = ask("GET", f"{issuer}/jwks", headers=claimed | {"Forwarded": f"for=192.0.2.{number}"})
        assert answer.status == last


def test_the_proxy_counts_for_all_instances_behind_it_and_each_address_for_itself(
    provider: Provider, tmp_path: Path
) -> None:
    loopback = make_loopback_certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(loopback.certificate))
    tls_port = free_port()

    def statuses(address: str, count: int) -> list[int]:
        """Of so many requests in a row from this address of our own."""
        found = []
        for _ in range(count):
            connection = HTTPSConnection(
                "127.0.0.1", tls_port, context=trusted, source_address=(address, 0), timeout=20
            )
            connection.request("GET", "/jwks")
            found.append(connection.getresponse().status)
            connection.close()
        return found

    limits = ("rate=200r/s", "rate=1r/m"), ("burst=1000", "burst=5")
    with listening() as (listener, port), serving(provider, listener):
        upstreams = [port, provider.config.provider.port]
        with nginx(tmp_path, tls_port, upstreams, loopback, *limits):
            assert statuses("127.0.0.1", 9) == [200] * 6 + [429] * 3
            assert statuses("127.0.0.2", 1) == [200], "another address has its own"
