"""The end of sessions: by the app, the person, the ledger; and how apps are told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwt
from sqlalchemy import func, select

from identity_oidc import base64url
from identity_oidc.config import EgressSettings
from identity_oidc.egress import Egress
from identity_oidc.errors import EgressError
from identity_oidc.logout.delivery import EVENT, Delivery
from identity_oidc.logout.ending import end_identity, enqueue_notice
from identity_oidc.logout.follower import Follower
from identity_oidc.ports import IdentityState
from identity_oidc.provider import Provider
from identity_oidc.store.schema import AGENTS, DENIALS, GRANTS, LOGOUT_QUEUE
from identity_oidc.store.sweep import sweep
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock, listening
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import FORM, Browser, RelyingParty, add_client, ask
from tests.oidc.test_approval import remote_handle
from tests.oidc.test_tokens import log_in

RAW = bytes.fromhex(IDENTITY[2:])
LONG_AFTER = 4_000_000_000
AFTER = "https://shop.example/bye"


@pytest.fixture
def soft(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> SoftAgent:
    return SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock)


@dataclass
class TlsApp:
    """An app's https server on loopback: keeps what it was sent, answers what it is told to."""

    port: int = 0
    ca_file: Path = Path()
    received: list[str] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    no = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no)
    (directory / "key.pem").write_bytes(pem)
    return directory / "cert.pem", directory / "key.pem"


@pytest.fixture
def tls_app(certificate: tuple[Path, Path]) -> Iterator[TlsApp]:
    app = TlsApp(ca_file=certificate[0])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            app.received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(app.status)
            for name, value in app.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that refuses our certificate
    app.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def egress(tls_app: TlsApp, networks: tuple[str, ...] = ("127.0.0.0/8",)) -> Egress:
    settings = EgressSettings(private_networks=networks, ca_file=tls_app.ca_file, timeout_s=5)
    return Egress(settings, lambda _host, _port: ["127.0.0.1"])


def told(tls_app: TlsApp, app: RelyingParty) -> dict[str, Any]:
    """The one logout token that the app received, verified as the relying-party kit does."""
    (body,) = tls_app.received
    token = parse_qs(body)["logout_token"][0]
    assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
    keys = ask("GET", f"{app.issuer}/jwks").json
    claims: dict[str, Any] = jwt.decode(token, keys, algorithms=["ES256"], audience=app.client_id, issuer=app.issuer)
    assert claims["events"] == {EVENT: {}}
    assert "nonce" not in claims
    return claims


@pytest.fixture
def told_app(provider: Provider, tls_app: TlsApp) -> RelyingParty:
    return add_client(
        provider,
        "told",
        backchannel_logout_uri=f"https://shop.example:{tls_app.port}/logout",
        post_logout_redirect_uris=[AFTER],
        may_refresh=True,
        grant_days=30,
    )


def test_rp_initiated_logout_asks_the_person_and_tells_the_app(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, browser: Browser, tls_app: TlsApp
) -> None:
    tokens = told_app.redeem(log_in(told_app, soft, browser)).json
    claims = told_app.verify_id_token(tokens["id_token"], tokens["access_token"])
    query = urlencode({"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER, "state": "x y"})
    page = browser.get(f"{told_app.issuer}/logout?{query}")
    assert page.status == 200
    assert told_app.userinfo(tokens["access_token"]).status == 200, "nothing happens before the person agrees"
    fields = {"client_id": "told", "address": AFTER, "state": "x y"}
    forged = browser.post(f"{told_app.issuer}/logout/confirm", fields | {"csrf_token": "x"})
    assert forged.status == 400
    token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    evil = browser.post(
        f"{told_app.issuer}/logout/confirm", fields | {"csrf_token": token, "address": "https://evil.example/"}
    )
    assert (evil.status, evil.location) == (400, "")
    done = browser.post(f"{told_app.issuer}/logout/confirm", fields | {"csrf_token": token})
    assert (done.status, done.location) == (303, f"{AFTER}?state=x+y")
    assert told_app.userinfo(tokens["access_token"]).status == 401
    assert Delivery(provider, egress(tls_app)).run() == 1
    notice = told(tls_app, told_app)
    assert (notice["sid"], notice["sub"]) == (claims["sid"], claims["sub"])
    assert Delivery(provider, egress(tls_app)).run() == 0


@pytest.mark.parametrize(
    "values",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"client_id": "told", "post_logout_redirect_uri": f"{AFTER}/x"},
        {"client_id": "unknown", "post_logout_redirect_uri": AFTER},
        {"post_logout_redirect_uri": AFTER},
        {"id_token_hint": "x.y.z", "post_logout_redirect_uri": AFTER},
    ],
)
def test_logout_leads_to_registered_addresses_only(told_app: RelyingParty, values: dict[str, str]) -> None:
    answer = Browser().get(f"{told_app.issuer}/logout?{urlencode(values)}")
    assert (answer.status, answer.location) == (400, "")


def test_logout_without_a_session_follows_a_registered_address(told_app: RelyingParty) -> None:
    values = {"client_id": "told", "post_logout_redirect_uri": AFTER}
    assert Browser().get(f"{told_app.issuer}/logout?{urlencode(values)}").location == AFTER
    posted = ask("POST", f"{told_app.issuer}/logout", headers=FORM, body=urlencode(values))
    assert ask("GET", posted.location).location == AFTER


def test_a_notice_waits_for_an_app_that_is_away(  # noqa: PLR0917  fixtures
    provider: Provider,
    told_app: RelyingParty,
    soft: SoftAgent,
    tls_app: TlsApp,
    clock: TestClock,
    ledger: LedgerInMemory,
) -> None:
    log_in(told_app, soft)
    ledger.hold(RAW)
    Follower(provider).advance()
    tls_app.status = 500
    delivery = Delivery(provider, egress(tls_app))
    assert delivery.run() == 1
    assert delivery.run() == 0, "not at once again"
    clock.ahead_s += 30
    tls_app.status, tls_app.received = 200, []
    assert delivery.run() == 1
    told(tls_app, told_app)
    clock.ahead_s += 3_600
    assert delivery.run() == 0


def test_a_notice_is_given_up_after_its_attempts(  # noqa: PLR0917  fixtures
    provider: Provider,
    told_app: RelyingParty,
    soft: SoftAgent,
    tls_app: TlsApp,
    clock: TestClock,
    ledger: LedgerInMemory,
) -> None:
    log_in(told_app, soft)
    ledger.hold(RAW)
    Follower(provider).advance()
    tls_app.status = 302
    tls_app.headers = {"Location": "https://evil.example/"}
    delivery = Delivery(provider, egress(tls_app))
    tries = 0
    for _ in range(40):
        tries += delivery.run()
        clock.ahead_s += 3_700
    assert tries == provider.config.egress.attempts
    assert len(tls_app.received) == tries, "no redirect was followed"
    assert sweep(provider.database, provider.now() + 7_200) > 0
    with provider.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(LOGOUT_QUEUE)).scalar() == 0


def test_apps_of_one_session_are_told_at_moments_of_their_own(
    provider: Provider, soft: SoftAgent, browser: Browser, tls_app: TlsApp
) -> None:
    """Two that compare when they were told, and of which `iat`, learn little of who is the same person (R-ID-4)."""
    object.__setattr__(provider.config.egress, "spread_s", 15)
    uri = f"https://shop.example:{tls_app.port}/logout"
    for name in ("one", "two"):
        log_in(add_client(provider, name, backchannel_logout_uri=uri), soft, browser)
    moment = [provider.clock()]
    object.__setattr__(provider, "clock", lambda: moment[0])  # it stands still
    with provider.database.writing() as connection:
        begun = provider.now()
        assert end_identity(connection, RAW, begun, with_agents=False) == 1
    delivery = Delivery(provider, egress(tls_app))
    assert delivery.run() == 0, "not at once"
    moment[0] += 17
    assert delivery.run() == 2
    assert len(tls_app.received) == 2
    begun = provider.now()
    with provider.database.writing() as connection:
        for number in range(400):
            enqueue_notice(connection, "one" if number % 2 else "two", f"sub-{number}", None, begun)
    delivery.run()
    with provider.database.reading() as connection:
        wanted = select(LOGOUT_QUEUE.c.sub, LOGOUT_QUEUE.c.due_at).where(LOGOUT_QUEUE.c.done_at.is_(None))
        due = {row.sub: row.due_at - begun for row in connection.execute(wanted)}
    assert set(due.values()) <= set(range(1, 16))
    assert len(set(due.values())) > 10
    same = sum(due[f"sub-{number}"] == due[f"sub-{number + 1}"] for number in range(0, 400, 2))
    assert same < 60, "200 pairs meet by chance about 13 times"


def test_an_app_that_hangs_holds_up_no_other(
    provider: Provider, tls_app: TlsApp, ledger: LedgerInMemory, clock: TestClock
) -> None:
    add_client(provider, "good", backchannel_logout_uri=f"https://shop.example:{tls_app.port}/logout")

    def tell(*apps: str) -> list[Future[int]]:
        with provider.database.writing() as connection:
            for app in apps:
                enqueue_notice(connection, app, "sub", "sid", provider.now())
        return delivery.begin()

    with listening() as (silent, port):
        add_client(provider, "dead", backchannel_logout_uri=f"https://shop.example:{port}/logout")
        settings = EgressSettings(private_networks=("127.0.0.0/8",), ca_file=tls_app.ca_file, timeout_s=20)
        delivery = Delivery(provider, Egress(settings, lambda _host, _port: ["127.0.0.1"]))
        dead = tell("dead")
        for _ in range(3):
            (good,) = tell("good", "dead")
            assert good.result(20) == 1
        assert not dead[0].done()
        silent.accept()[0].close()
        assert dead[0].result(20) == 1, "one of its four was tried, and failed"
    assert delivery.begin() == [], "and it is left alone for a while"
    clock.ahead_s += 6
    (again,) = delivery.begin()
    assert again.result(20) == 1
    assert len(tls_app.received) == 3


def test_egress_waits_for_no_resolver_that_hangs(tls_app: TlsApp) -> None:
    is_over = threading.Event()

    def hang(_host: str, _port: int) -> list[str]:
        is_over.wait(20)
        return ["127.0.0.1"]

    settings = EgressSettings(private_networks=("127.0.0.0/8",), ca_file=tls_app.ca_file, timeout_s=0.01)
    hanging, address = Egress(settings, hang), f"https://shop.example:{tls_app.port}/"
    for _ in range(32):
        with pytest.raises(EgressError, match="in time"):
            hanging.post(address, "x=1")
    with pytest.raises(EgressError, match="too many names"):
        hanging.post(address, "x=1")
    is_over.set()
    assert tls_app.received == []
    assert egress(tls_app).post(address, "x=1") == 200


@pytest.mark.parametrize(
    "address",
    [
        "http://shop.example:{port}/logout",
        "https://user@shop.example:{port}/logout",
        "https://shop.example:{port}/logout#there",
        "https:///logout",
        "https://shop.example:99999/",
        "ftp://shop.example:{port}/",
        "file:///etc/passwd",
    ],
)
def test_egress_takes_https_addresses_only(tls_app: TlsApp, address: str) -> None:
    with pytest.raises(EgressError, match="the address is"):
        egress(tls_app).post(address.format(port=tls_app.port), "x=1")
    assert tls_app.received == []
    assert egress(tls_app).post(f"https://shop.example:{tls_app.port}/logout", "x=1") == 200


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["192.168.1.1"],
        ["0.0.0.0"],  # noqa: S104  an address to refuse
        ["::1"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],
        ["2002:a00:1::"],
        ["fec0::1"],
        ["::169.254.169.254"],
        ["::ffff:0:169.254.169.254"],
        ["224.0.0.1"],
        ["100.64.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["not-an-address"],
        [],
    ],
)
def test_egress_refuses_private_networks_whatever_the_name_says(tls_app: TlsApp, found: list[str]) -> None:
    guarded = Egress(EgressSettings(ca_file=tls_app.ca_file), lambda _host, _port: found)
    with pytest.raises(EgressError, match="not allowed"):
        guarded.post(f"https://shop.example:{tls_app.port}/", "x=1")
    assert tls_app.received == []


def test_egress_resolves_once_and_connects_to_what_it_checked(tls_app: TlsApp) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    asked: list[str] = []

    def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    settings = EgressSettings(private_networks=("127.0.0.0/8",), ca_file=tls_app.ca_file)
    assert Egress(settings, rebinding).post(f"https://shop.example:{tls_app.port}/", "x=1") == 200
    assert asked == ["shop.example"]


def test_egress_wants_the_host_s_certificate(tls_app: TlsApp) -> None:
    with pytest.raises(EgressError, match="does not answer"):
        egress(tls_app).post(f"https://other.example:{tls_app.port}/", "x=1")
    untrusting = Egress(EgressSettings(private_networks=("127.0.0.0/8",)), lambda _host, _port: ["127.0.0.1"])
    with pytest.raises(EgressError):
        untrusting.post(f"https://shop.example:{tls_app.port}/", "x=1")
    assert tls_app.received == []


def test_a_hold_on_the_ledger_ends_sessions_codes_challenges_and_tokens(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, browser: Browser, ledger: LedgerInMemory
) -> None:
    follower = Follower(provider)
    assert follower.advance() == 1, "the registration: nothing ends by it"
    tokens = told_app.redeem(log_in(told_app, soft, browser, scope="openid offline_access")).json
    code = log_in(told_app, soft, Browser())
    waiting = Browser()
    page = told_app.begin(waiting)
    challenge = soft.challenge(page)
    approved = Browser()
    approved_page = told_app.begin(approved)
    approved_challenge = soft.challenge(approved_page)
    address = soft.approve(approved_challenge, soft.approval(approved_challenge)).json["completion_uri"]
    ledger.hold(RAW)
    assert follower.advance() == 1
    assert follower.advance() == 0
    ledger.change(RAW, "released", state=IdentityState.ACTIVE)
    follower.advance()
    assert told_app.userinfo(tokens["access_token"]).status == 401
    assert told_app.redeem(code).json["error"] == "invalid_grant"
    refreshed = told_app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refreshed.json["error"] == "invalid_grant"
    assert soft.approve(challenge, soft.approval(challenge)).json["code"] == "unknown-challenge"
    assert approved.get(address).status == 400
    assert "/login/" in browser.get(told_app.address()).location, "no single sign-on"
    assert log_in(told_app, soft), "released: the same agent logs in again"


@pytest.mark.parametrize(
    ("kind", "stay"), [("held", 1), ("replacement-started", 1), ("revoked", 0), ("key-replaced", 0)]
)
def test_another_key_ends_the_agents_that_the_old_one_vouched_for(
    provider: Provider, soft: SoftAgent, ledger: LedgerInMemory, kind: str, stay: int
) -> None:
    ledger.change(RAW, kind)
    Follower(provider).advance()
    with provider.database.reading() as connection:
        wanted = select(func.count()).select_from(AGENTS).where(AGENTS.c.revoked_at.is_(None))
        assert connection.execute(wanted).scalar() == stay
    assert soft.call("GET", "/inbox").status == (200 if stay else 401)


def account(browser: Browser, issuer: str) -> tuple[str, str]:
    page = browser.get(f"{issuer}/account")
    assert page.status == 200
    return page.text, page.text.partition('name="csrf_token" value="')[2].partition('"')[0]


def test_the_person_s_page_withdraws_without_a_card(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, browser: Browser, tls_app: TlsApp
) -> None:
    tokens = told_app.redeem(log_in(told_app, soft, browser, scope="openid email offline_access")).json
    text, csrf = account(browser, told_app.issuer)
    assert "Corner Shop" in text
    assert "e-mail address" in text
    assert "a test" in text
    act = f"{told_app.issuer}/account/withdraw"
    assert browser.post(act, {"client_id": "told", "csrf_token": "x"}).status == 400
    assert Browser().post(act, {"client_id": "told", "csrf_token": csrf}).status == 400
    assert told_app.userinfo(tokens["access_token"]).status == 200
    assert browser.post(act, {"client_id": "told", "csrf_token": csrf}).status == 303
    assert told_app.userinfo(tokens["access_token"]).status == 401
    refreshed = told_app.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refreshed.json["error"] == "invalid_grant"
    Delivery(provider, egress(tls_app)).run()
    told(tls_app, told_app)
    assert "Corner Shop" not in account(browser, told_app.issuer)[0]
    with provider.database.reading() as connection:
        assert connection.execute(select(GRANTS.c.withdrawn_at)).scalar() is not None


def test_an_app_is_on_the_person_s_page_once_however_often_it_was_logged_in_to(
    provider: Provider, soft: SoftAgent, browser: Browser, clock: TestClock
) -> None:
    app = add_client(provider, grant_days=30, record={"exp": LONG_AFTER})
    log_in(app, soft, browser)
    userinfo = '{"userinfo": {"name": null, "phone_number": null}}'
    clock.ahead_s += 3_000
    other = Browser()
    challenge = soft.challenge(app.begin(other, claims=userinfo))
    other.get(soft.approve(challenge, soft.approval(challenge, ("phone_number",))).json["completion_uri"])
    text, csrf = account(other, app.issuer)
    assert text.count("<bdi>Corner Shop</bdi>") == 1
    shown = " ".join(text.split())
    assert "Permitted: e-mail address, whether the e-mail address was checked, full name" in shown
    assert "Refused: phone number" in shown
    other.post(f"{app.issuer}/account/withdraw", {"client_id": "shop", "csrf_token": csrf})
    assert "Corner Shop" not in account(other, app.issuer)[0], "both grants ended"
    log_in(app, soft, other)
    clock.ahead_s += 31 * 86_400
    assert soft.enrol().status == 201
    log_in(add_client(provider, "bank", record={"name": "Bank", "exp": LONG_AFTER}), soft, other)
    assert "Corner Shop" not in account(other, app.issuer)[0], "what has run out is no permission"


def test_what_has_run_out_is_not_on_the_person_s_page(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, clock: TestClock
) -> None:
    log_in(told_app, soft, Browser(user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/140.0"))
    clock.ahead_s += provider.config.login.session_s + 1
    assert soft.enrol(label="the new one").status == 201, "the old one's time is over"
    browser = Browser()
    log_in(told_app, soft, browser)
    text, _ = account(browser, told_app.issuer)
    assert ("Firefox on Linux" in text, "Chrome on Windows" in text) == (True, False)
    assert ("the new one" in text, "a test" in text) == (True, False)


def test_the_person_s_page_is_for_a_login_on_the_same_machine(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, browser: Browser
) -> None:
    """A live relay brings a stranger's browser a remote login: it opens the app, and not all that the person has."""
    page = told_app.begin(browser)
    challenge = soft.challenge(page, "remote", remote_handle(page, provider))
    soft.approve(challenge, soft.approval(challenge, code=page.code))
    assert browser.post(f"{page.address}/complete", {"csrf_token": page.csrf_token}).status == 303
    closed = browser.get(f"{told_app.issuer}/account")
    assert "Corner Shop" not in closed.text
    assert "with the agent on this device" in closed.text
    assert browser.cookie is not None
    csrf = base64url.encode(sha256(b"tally-csrf-1" + browser.cookie.encode()).digest())
    for act in ("withdraw", "session", "everywhere", "agent", "unblock", "hold"):
        refused = browser.post(f"{told_app.issuer}/account/{act}", {"csrf_token": csrf, "client_id": "told"})
        assert refused.status == 400
        assert "on this device" in refused.text
    log_in(told_app, soft, browser, prompt="login")
    assert "Corner Shop" in account(browser, told_app.issuer)[0]


def test_a_login_that_was_not_the_person_s_is_shown_to_the_person_alone(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, browser: Browser, ledger: LedgerInMemory
) -> None:
    for reason in ("declined", "not-me"):
        challenge = soft.challenge(told_app.begin(Browser(user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/140.0")))
        path = f"/challenges/{challenge['challenge_id']}/refusal"
        assert soft.call("POST", path, {"reason": reason}).status == 204
    log_in(told_app, soft, browser)
    text, _ = account(browser, told_app.issuer)
    assert text.count("Chrome on Windows") == 1, "a login that was declined was the person's own"
    assert "Logins that were not yours" in text
    stranger = Browser()
    log_in(told_app, SoftAgent.enrolled(provider.issuer, ledger, "0x" + "66" * 32), stranger)
    assert "not yours" not in account(stranger, told_app.issuer)[0]
    assert sweep(provider.database, provider.now() + 91 * 86_400) > 0
    with provider.database.reading() as connection:
        assert connection.execute(select(DENIALS)).first() is None


def test_the_person_logs_out_everywhere_ends_agents_and_holds(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, ledger: LedgerInMemory
) -> None:
    browsers = [Browser(), Browser()]
    tokens = [told_app.redeem(log_in(told_app, soft, browser)).json["access_token"] for browser in browsers]
    _, csrf = account(browsers[0], told_app.issuer)
    assert browsers[0].post(f"{told_app.issuer}/account/everywhere", {"csrf_token": csrf}).status == 200
    assert [told_app.userinfo(token).status for token in tokens] == [401, 401]
    log_in(told_app, soft, browsers[0])
    _, csrf = account(browsers[0], told_app.issuer)
    browsers[0].post(f"{told_app.issuer}/account/hold", {"csrf_token": csrf})
    assert soft.fetch(told_app.begin(Browser())).status in {403, 404}
    ledger.hold(RAW)
    Follower(provider).advance()
    ledger.change(RAW, "released", state=IdentityState.ACTIVE)
    Follower(provider).advance()
    assert log_in(told_app, soft), "the operator's release ends the hold here too"


def test_the_page_closes_after_a_while_and_shows_nobody_else_s(  # noqa: PLR0917  fixtures
    told_app: RelyingParty,
    soft: SoftAgent,
    browser: Browser,
    clock: TestClock,
    provider: Provider,
    ledger: LedgerInMemory,
) -> None:
    log_in(told_app, soft, browser)
    other = SoftAgent.enrolled(provider.issuer, ledger, "0x" + "66" * 32, clock)
    stranger = Browser()
    log_in(told_app, other, stranger)
    text, csrf = account(stranger, told_app.issuer)
    assert text.count("<bdi>Corner Shop</bdi>") == 1
    mine = account(browser, told_app.issuer)[0].partition('name="session_id" value="')[2].partition('"')[0]
    stranger.post(f"{told_app.issuer}/account/session", {"csrf_token": csrf, "session_id": mine})
    assert "Corner Shop" in account(browser, told_app.issuer)[0]
    clock.ahead_s = 901
    assert "Corner Shop" not in browser.get(f"{told_app.issuer}/account").text


def test_another_person_in_the_same_browser_ends_the_first_one_s_session(
    provider: Provider, told_app: RelyingParty, soft: SoftAgent, browser: Browser, ledger: LedgerInMemory
) -> None:
    tokens = told_app.redeem(log_in(told_app, soft, browser)).json
    other = SoftAgent.enrolled(provider.issuer, ledger, "0x" + "66" * 32)
    second = told_app.redeem(log_in(told_app, other, browser, prompt="login")).json
    assert told_app.userinfo(tokens["access_token"]).status == 401
    assert told_app.userinfo(second["access_token"]).status == 200


def test_a_person_whom_the_operator_does_not_know_is_refused(
    provider: Provider, told_app: RelyingParty, ledger: LedgerInMemory
) -> None:
    stranger = SoftAgent.enrolled(provider.issuer, ledger, "0x" + "77" * 32)
    refused = stranger.fetch(told_app.begin(Browser()))
    assert (refused.status, refused.json["code"]) == (403, "identity-not-active")
