"""The modules of the OpenID Foundation's plans for logout begun by an app and told behind the browser's back: ours,
written from the specifications, each named after its module.

Source: OpenID Connect RP-Initiated Logout 1.0, OpenID Connect Back-Channel Logout 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from identity_oidc.provider import Provider
from identity_oidc.store.schema import LOGOUT_QUEUE
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, TestClock
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Answer, Browser, LoginPage, RelyingParty, add_client, ask
from tests.oidc.test_tokens import log_in

BYE = "https://shop.example/bye"


class Party:
    """An app whose person is logged in."""

    def __init__(self, app: RelyingParty, soft: SoftAgent, browser: Browser) -> None:
        self.app = app
        self.browser = browser
        self.tokens: dict[str, Any] = app.redeem(log_in(app, soft, browser)).json

    @property
    def hint(self) -> str:
        return str(self.tokens["id_token"])

    def is_logged_in(self) -> bool:
        return "code" in self.browser.get(self.app.address(prompt="none")).parameters

    def ask(self, **values: str) -> Answer:
        return self.browser.post(f"{self.app.issuer}/logout", values)

    def log_out(self, **values: str) -> Answer:
        """The person is asked, and says yes."""
        page = self.ask(**values)
        assert page.status == 200, page.text
        assert self.is_logged_in(), "nothing ends before the person says so"
        shown = LoginPage("", page)
        fields = {name: shown._field(name) for name in ("client_id", "address", "state", "csrf_token")}
        return self.browser.post(f"{self.app.issuer}/logout/confirm", fields)


@pytest.fixture
def party(provider: Provider, ledger: LedgerInMemory, clock: TestClock) -> Iterator[Party]:
    app = add_client(
        provider,
        post_logout_redirect_uris=[BYE],
        backchannel_logout_uri="https://shop.example/told",
        single_sign_on_s=600,
        grant_days=30,
    )
    return Party(app, SoftAgent.enrolled(provider.issuer, ledger, IDENTITY, clock), Browser())


def refused(party: Party, **values: str) -> None:
    answer = party.ask(**values)
    assert (answer.status, answer.location) == (400, "")
    assert party.is_logged_in()


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(party: Party) -> None:
    metadata = ask("GET", f"{party.app.issuer}/.well-known/openid-configuration").json
    assert metadata["end_session_endpoint"] == f"{party.app.issuer}/logout"


def test_oidcc_rp_initiated_logout(party: Party) -> None:
    done = party.log_out(id_token_hint=party.hint, post_logout_redirect_uri=BYE, state="x")
    assert (done.status, done.location) == (303, f"{BYE}?state=x")
    assert not party.is_logged_in()


def test_oidcc_rp_initiated_logout_bad_id_token_hint(party: Party) -> None:
    refused(party, id_token_hint="x.y.z", post_logout_redirect_uri=BYE)


def test_oidcc_rp_initiated_logout_modified_id_token_hint(party: Party) -> None:
    start, payload, signature = party.hint.split(".")
    swapped = payload[:-2] + ("A" if payload[-2] != "A" else "B") + payload[-1]
    refused(party, id_token_hint=f"{start}.{swapped}.{signature}", post_logout_redirect_uri=BYE)


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(party: Party) -> None:
    refused(party, id_token_hint=party.hint, post_logout_redirect_uri="https://evil.example/bye")


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(party: Party) -> None:
    refused(party, id_token_hint=party.hint, post_logout_redirect_uri=f"{BYE}?more=1")


def test_oidcc_rp_initiated_logout_no_id_token_hint(party: Party) -> None:
    """Without knowing the app nobody is sent anywhere; `client_id` makes it known."""
    refused(party, post_logout_redirect_uri=BYE)
    done = party.log_out(client_id=party.app.client_id, post_logout_redirect_uri=BYE)
    assert done.location == BYE


def test_oidcc_rp_initiated_logout_no_params(party: Party) -> None:
    done = party.log_out()
    assert (done.status, done.location) == (200, "")
    assert not party.is_logged_in()


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(party: Party) -> None:
    done = party.log_out(id_token_hint=party.hint, state="x")
    assert (done.status, done.location) == (200, "")
    assert not party.is_logged_in()


def test_oidcc_rp_initiated_logout_no_state(party: Party) -> None:
    assert party.log_out(id_token_hint=party.hint, post_logout_redirect_uri=BYE).location == BYE


def test_oidcc_rp_initiated_logout_only_state(party: Party) -> None:
    done = party.log_out(state="x")
    assert (done.status, done.location) == (200, "")
    assert not party.is_logged_in()


def test_oidcc_backchannel_discovery_endpoint_verification(party: Party) -> None:
    metadata = ask("GET", f"{party.app.issuer}/.well-known/openid-configuration").json
    assert metadata["backchannel_logout_supported"] is True
    assert metadata["backchannel_logout_session_supported"] is True


def test_oidcc_backchannel_rp_initiated_logout(party: Party, provider: Provider) -> None:
    """One notice for this login; what it says and how it is sent, test_relying_party.py and test_logout.py show."""
    claims = party.app.verify_id_token(party.hint, party.tokens["access_token"])
    party.log_out(id_token_hint=party.hint)
    with provider.database.reading() as connection:
        (row,) = connection.execute(select(LOGOUT_QUEUE)).mappings().all()
    assert (row["client_id"], row["sub"], row["sid"]) == (party.app.client_id, claims["sub"], claims["sid"])
