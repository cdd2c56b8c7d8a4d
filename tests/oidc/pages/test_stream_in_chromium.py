"""The waiting page at the provider as it is run: it is told by a stream, and asks nothing meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from identity_oidc.provider import Provider
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.pages.conftest import Callback
from tests.oidc.parties import Answer, LoginPage, add_client
from tests.oidc.test_approval import remote_handle
from tests.oidc.test_service import Service, running

__all__ = ["running"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("oidc-service")]
HOME = "https://www.shop.example/home"


def test_a_remote_login_goes_on_by_the_stream_and_without_a_question(
    visit: Callable[..., Page],
    running: tuple[Service, Provider],
    ledger: LedgerInMemory,
    callback: Callback,
) -> None:
    service, parts = running
    app = add_client(parts)
    callback.queries.clear()
    soft = SoftAgent.enrolled(service.issuer, ledger, IDENTITY)
    page, asked = visit(), []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    with page.expect_response("**/events") as stream:
        page.goto(app.address())
    assert stream.value.headers["content-type"] == "text/event-stream"
    expect(page.get_by_role("status")).to_contain_text("Waiting", timeout=20_000)
    text = page.content().encode()
    shown = LoginPage(page.url.partition("?")[0], Answer(200, {}, text, []))
    challenge = soft.challenge(shown, "remote", remote_handle(shown, parts))
    assert soft.approve(challenge, soft.approval(challenge, code=shown.code)).status == 200
    page.wait_for_url(HOME)
    assert app.redeem(callback.queries[0]["code"]).status == 200
    assert asked.count("events") == 1
    assert "status" not in asked


def test_a_page_whose_stream_is_cut_off_asks_why_and_listens_again(
    visit: Callable[..., Page], running: tuple[Service, Provider], ledger: LedgerInMemory, callback: Callback
) -> None:
    service, parts = running
    app = add_client(parts)
    callback.queries.clear()
    soft = SoftAgent.enrolled(service.issuer, ledger, IDENTITY)
    page = visit(expected=("ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_REFUSED"))
    page.goto(app.address())
    expect(page.get_by_role("status")).to_contain_text("Waiting", timeout=20_000)
    service.kill()
    expect(page.get_by_role("status")).to_contain_text("The provider does not answer", timeout=20_000)
    service.start()
    expect(page.get_by_role("status")).to_contain_text("Waiting", timeout=20_000)
    shown = LoginPage(page.url.partition("?")[0], Answer(200, {}, page.content().encode(), []))
    challenge = soft.challenge(shown, "remote", remote_handle(shown, parts))
    assert soft.approve(challenge, soft.approval(challenge, code=shown.code)).status == 200
    page.wait_for_url(HOME)
    assert callback.queries[0]["code"]
    assert service.stop() == 0
