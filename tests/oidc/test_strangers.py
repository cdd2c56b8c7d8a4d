"""Clients that other people wrote, unchanged, against the provider behind nginx: login, refresh, UserInfo, logout."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from shutil import copy, rmtree, which
from tempfile import mkdtemp
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from authlib.integrations.base_client.errors import MismatchingStateError
from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, request, session

from identity_oidc.config import EgressSettings, LimitSettings
from identity_oidc.egress import Egress
from identity_oidc.logout.delivery import Delivery
from identity_oidc.provider import Provider
from identity_oidc.subscribers.sql import SqlSubscriberBase
from tests.oidc.conftest import IDENTITY
from tests.oidc.deployment import deployed, free_port, program
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import LoginPage, RelyingParty, add_client
from tests.oidc.tls import Loopback, TlsAgent, TlsBrowser, make_loopback_certificate

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("oidc-strangers")]
SCRIPT = Path(__file__).parent / "stranger" / "openid_client.mjs"
MODULES = "/usr/lib/apache2/modules"


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Loopback:
    return make_loopback_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def deployment(
    tmp_path: Path, template: Path, ledger: LedgerInMemory, subscribers: SqlSubscriberBase, loopback: Loopback
) -> Iterator[Provider]:
    with deployed(tmp_path, template / "keys", ledger, subscribers, loopback) as parts:
        yield parts


@pytest.fixture
def person(deployment: Provider, ledger: LedgerInMemory, loopback: Loopback) -> TlsAgent:
    agent = TlsAgent(deployment.issuer, IDENTITY, ca_file=loopback.certificate)
    ledger.register(IDENTITY, agent.card.public_key())
    assert agent.enrol().status == 201
    return agent


@pytest.fixture
def visitor(loopback: Loopback) -> Iterator[TlsBrowser]:
    browser = TlsBrowser(loopback.certificate)
    yield browser
    browser.close()


def log_in(visitor: TlsBrowser, person: TlsAgent, address: str) -> str:
    """From the app's first redirect to the address that leads back to it."""
    begun = visitor.follow(address, f"{person.issuer}/login/")
    done = person.log_in(visitor, begun.location)
    assert done.status == 303, done.text
    return done.location


def log_out(visitor: TlsBrowser, issuer: str, address: str) -> str:
    """The person says yes; where the browser is sent then."""
    page = visitor.get(address)
    assert page.status == 200, page.text
    field = LoginPage("", page)
    fields = {name: field._field(name) for name in ("client_id", "address", "state", "csrf_token")}
    done = visitor.post(f"{issuer}/logout/confirm", fields)
    assert done.status == 303, done.text
    return done.location


def status_from(source: str, address: str, loopback: Loopback, headers: dict[str, str]) -> int:
    """The status that a client at this loopback address gets."""
    parts = urlsplit(address)
    context = ssl.create_default_context(cafile=str(loopback.certificate))
    connection = HTTPSConnection(
        parts.hostname or "", parts.port, timeout=20, source_address=(source, 0), context=context
    )
    try:
        connection.request("GET", parts.path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_nginx_passes_requests_on_and_nothing_that_only_it_may_say(  # noqa: PLR0917  fixtures
    tmp_path: Path,
    template: Path,
    ledger: LedgerInMemory,
    subscribers: SqlSubscriberBase,
    loopback: Loopback,
    visitor: TlsBrowser,
) -> None:
    limits = LimitSettings(rate=0.1, burst=12)
    with deployed(tmp_path, template / "keys", ledger, subscribers, loopback, limits) as parts:
        assert visitor.get(f"{parts.issuer}/.well-known/openid-configuration").json["issuer"] == parts.issuer
        assert visitor.get(f"{parts.issuer}/jwks").headers["strict-transport-security"]
        for path in ("/metrics", "/readyz"):
            assert visitor.get(f"{parts.issuer}{path}").status == 403
        assert visitor.post(f"{parts.issuer}/token", {"x": "y" * 70_000}).status == 413
        named = {"Host": "login.operator.example"}  # as operators name it, where these tests name an address
        for path in ("token", "introspect", "revoke"):
            asked = visitor.session.post(f"{parts.issuer}/{path}", {"grant_type": "authorization_code"}, headers=named)
            assert asked.status_code == 401, asked.text
        # Rate limits go by the address that nginx saw, whatever a client says of itself.
        keys = f"{parts.issuer}/jwks"
        for number in range(30):
            claimed = {"X-Real-IP": f"192.0.2.{number}", "X-Forwarded-For": f"192.0.2.{number}"}
            last = status_from("127.0.0.1", keys, loopback, claimed)
        assert last == 429
        assert status_from("127.0.0.2", keys, loopback, {"X-Real-IP": "127.0.0.1"}) == 200


@contextmanager
def node(settings: dict[str, Any], loopback: Loopback) -> Iterator[subprocess.Popen[str]]:
    program_path = which("node", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program_path is not None, "node is missing: run `make dev`"
    environment = os.environ | {"NODE_EXTRA_CA_CERTS": str(loopback.certificate)}
    command = [program_path, str(SCRIPT)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def openid_client_of(
    deployment: Provider, visitor: TlsBrowser, person: TlsAgent, loopback: Loopback, bend: tuple[str, str] = ("", "")
) -> dict[str, Any]:
    """What openid-client learned; `bend` replaces a text in the address that leads back to it."""
    callback = "https://app.shop.example/callback"
    party = add_client(
        deployment,
        redirect_uris=[callback],
        post_logout_redirect_uris=["https://shop.example/bye"],
        may_refresh=True,
        grant_days=30,
    )
    settings = {
        "issuer": party.issuer,
        "client_id": party.client_id,
        "secret": party.secret,
        "redirect_uri": callback,
        "post_logout_redirect_uri": "https://shop.example/bye",
        "metadata": {"id_token_signed_response_alg": "ES256"},
    }
    with node(settings, loopback) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["authorization"]
        back = log_in(visitor, person, address)
        process.stdin.write(back.replace(*bend) + "\n" if bend[0] else back + "\n")
        process.stdin.flush()
        found: dict[str, Any] = json.loads(process.stdout.readline())
        return found


@pytest.mark.node
def test_openid_client_logs_in_refreshes_revokes_and_logs_out(
    deployment: Provider, visitor: TlsBrowser, person: TlsAgent, loopback: Loopback
) -> None:
    found = openid_client_of(deployment, visitor, person, loopback)
    assert "error" not in found, found
    assert found["claims"]["acr"] == "urn:tally:acr:card"
    assert found["info"] == found["again"]
    assert found["info"]["email"].endswith("@people.example")
    assert found["info"]["sub"] == found["claims"]["sub"]
    assert found["active"] == [True, False]
    assert log_out(visitor, deployment.issuer, found["logout"]) == "https://shop.example/bye?state=bye"


@pytest.mark.node
@pytest.mark.parametrize("bend", [("&iss=https", "&iss=http"), ("state=", "state=x")])
def test_openid_client_refuses_an_answer_that_was_bent(
    deployment: Provider, visitor: TlsBrowser, person: TlsAgent, loopback: Loopback, bend: tuple[str, str]
) -> None:
    found = openid_client_of(deployment, visitor, person, loopback, bend)
    assert found["error"] == "OAUTH_INVALID_RESPONSE"


@pytest.fixture
def believed(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority as operators name it to programs that use requests."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(loopback.certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def authlib_app(party: RelyingParty) -> Flask:
    """Authlib's client for Flask, as its documentation has it."""
    app = Flask("authlib-app")
    app.secret_key = os.urandom(32)
    oauth = OAuth(app)
    tally = oauth.register(
        "tally",
        client_id=party.client_id,
        client_secret=party.secret,
        server_metadata_url=f"{party.issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid email offline_access", "code_challenge_method": "S256"},
    )

    @app.get("/login")
    def login() -> Any:
        return tally.authorize_redirect(party.redirect_uri)

    @app.get("/callback")
    def callback() -> dict[str, Any]:
        token = tally.authorize_access_token()
        session["token"] = token["refresh_token"]
        session["id_token"] = token["id_token"]
        return {"claims": token["userinfo"], "info": tally.userinfo(token=token)}

    @app.get("/refresh")
    def refresh() -> dict[str, Any]:
        metadata = tally.load_server_metadata()
        with tally._get_oauth_client(**metadata) as client:
            fresh = client.refresh_token(metadata["token_endpoint"], refresh_token=session["token"])
        session["token"] = fresh["refresh_token"]
        return {"info": tally.userinfo(token=fresh)}

    @app.get("/logout")
    def logout() -> Any:
        values = {"id_token_hint": session["id_token"], "post_logout_redirect_uri": request.args["back"]}
        return redirect(f"{tally.load_server_metadata()['end_session_endpoint']}?{urlencode(values)}", 303)

    return app


def test_authlib_s_client_logs_in_refreshes_and_logs_out(
    deployment: Provider, visitor: TlsBrowser, person: TlsAgent, believed: None
) -> None:
    bye = "https://shop.example/bye"
    party = add_client(deployment, may_refresh=True, grant_days=30, post_logout_redirect_uris=[bye])
    client = authlib_app(party).test_client()
    begun = client.get("/login").location
    assert parse_qs(urlsplit(begun).query)["code_challenge_method"] == ["S256"]
    back = urlsplit(log_in(visitor, person, begun))
    found = client.get(f"/callback?{back.query}").json
    assert found["claims"]["iss"] == deployment.issuer
    assert found["info"]["email"].endswith("@people.example")
    assert client.get("/refresh").json["info"] == found["info"]
    assert client.get("/refresh").json["info"]["sub"] == found["claims"]["sub"]
    assert log_out(visitor, deployment.issuer, client.get(f"/logout?{urlencode({'back': bye})}").location) == bye


def test_authlib_s_client_refuses_another_login_s_answer(
    deployment: Provider, visitor: TlsBrowser, person: TlsAgent, believed: None
) -> None:
    party = add_client(deployment)
    app = authlib_app(party)
    app.testing = True
    back = urlsplit(log_in(visitor, person, app.test_client().get("/login").location))
    with pytest.raises(MismatchingStateError):
        app.test_client().get(f"/callback?{back.query}")


@contextmanager
def apache(directory: Path, party: RelyingParty, port: int, loopback: Loopback) -> Iterator[None]:
    """Debian's Apache with mod_auth_openidc before one page, which shows what the module tells an application."""
    names = ("mpm_event", "authn_core", "authz_core", "authz_user", "headers", "dir", "socache_shmcb", "ssl")
    modules = "\n".join(f"LoadModule {each}_module {MODULES}/mod_{each}.so" for each in (*names, "auth_openidc"))
    readable = Path(mkdtemp(prefix="tally-apache-"))  # not below the test's own directory: Apache drops root's rights
    readable.chmod(0o755)
    copy(loopback.certificate, readable / "authority.pem")
    pages = readable / "pages"
    (pages / "protected").mkdir(parents=True)
    for path in (pages / "index.html", pages / "protected" / "index.html"):
        path.write_text("a page\n")
    (directory / "apache.conf").write_text(f"""ServerRoot {directory}
ServerName shop.localhost:{port}
User www-data
Group www-data
PidFile {directory}/apache.pid
DefaultRuntimeDir {directory}
ErrorLog {directory}/apache.log
{modules}
Listen 127.0.0.1:{port} https
SSLEngine on
SSLCertificateFile {loopback.certificate}
SSLCertificateKeyFile {loopback.key}
DocumentRoot {pages}
OIDCProviderMetadataURL {party.issuer}/.well-known/openid-configuration
OIDCCABundlePath {pages.parent}/authority.pem
OIDCClientID {party.client_id}
OIDCClientSecret {party.secret}
OIDCRedirectURI {party.redirect_uri}
OIDCCryptoPassphrase {os.urandom(16).hex()}
OIDCScope "openid email offline_access"
OIDCRemoteUserClaim sub
<Location /protected>
    AuthType openid-connect
    Require valid-user
    Header set X-Sub "%{{OIDC_CLAIM_sub}}e"
    Header set X-Email "%{{OIDC_CLAIM_email}}e"
    Header set X-Access-Token "%{{OIDC_access_token}}e"
</Location>
""")
    command = ["/usr/sbin/apache2", "-f", str(directory / "apache.conf"), "-DFOREGROUND"]
    try:
        with program(command, port, directory / "apache.out"):
            yield
    finally:
        rmtree(readable)


def test_mod_auth_openidc_logs_in_refreshes_and_logs_out(
    deployment: Provider, visitor: TlsBrowser, person: TlsAgent, loopback: Loopback, tmp_path: Path
) -> None:
    port = free_port()
    site = f"https://shop.localhost:{port}"
    vanity = f"{site}/protected/redirect_uri"
    party = add_client(
        deployment,
        "apache",
        record={"verified_domains": ["shop.localhost"]},
        policy="basic",
        redirect_uris=[vanity],
        post_logout_redirect_uris=[f"{site}/"],
        backchannel_logout_uri=f"{vanity}?logout=backchannel",
        id_token_signed_response_alg="RS256",
        may_refresh=True,
        grant_days=30,
    )
    with apache(tmp_path, party, port, loopback):
        page = f"{site}/protected/"
        assert visitor.get(f"{site}/").status == 200
        assert visitor.get(log_in(visitor, person, page)).location == page
        shown = visitor.get(page)
        assert shown.status == 200, (tmp_path / "apache.log").read_text()
        assert shown.headers["x-email"].endswith("@people.example")
        token = shown.headers["x-access-token"]
        refreshed = visitor.get(f"{vanity}?{urlencode({'refresh': page, 'access_token': token})}")
        assert refreshed.location == page, (tmp_path / "apache.log").read_text()
        again = visitor.get(page)
        assert again.headers["x-sub"] == shown.headers["x-sub"]
        assert again.headers["x-access-token"] != token
        asked = visitor.get(f"{vanity}?{urlencode({'logout': f'{site}/'})}")
        assert log_out(visitor, deployment.issuer, asked.location) == f"{site}/"
        assert visitor.get(page).status == 302, "the page is closed again"

        # Logged in again, and ended by the provider: the module is told behind the browser's back.
        assert visitor.get(log_in(visitor, person, page)).location == page
        assert visitor.get(page).status == 200
        log_out_page = LoginPage("", visitor.get(f"{deployment.issuer}/logout"))
        visitor.post(f"{deployment.issuer}/logout/confirm", {"csrf_token": log_out_page.csrf_token})
        egress = Egress(
            EgressSettings(private_networks=("127.0.0.0/8",), ca_file=loopback.certificate), lambda *_: ["127.0.0.1"]
        )
        assert Delivery(deployment, egress).run() >= 1
        assert visitor.get(page).status == 302, (tmp_path / "apache.log").read_text()
