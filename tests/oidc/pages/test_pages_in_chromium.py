"""What a person sees and does, in a real browser: log in, refuse, wait, look, withdraw, hold (R-ID-4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from identity_oidc.provider import Provider
from sim_applet_tools.agent.agent import Agent
from tests.agent.conftest import PIN
from tests.oidc.pages.conftest import Callback
from tests.oidc.parties import RelyingParty

Visit = Callable[..., Page]
HOME = "https://www.shop.example/home"
CLAIMS = '{"userinfo": {"name": null, "phone_number": null}}'


def approve_on(page: Page, refused: tuple[str, ...] = ()) -> None:
    """On the agent's page: boxes, PIN, yes."""
    for label in refused:
        page.get_by_role("checkbox", name=label, exact=True).uncheck()
    page.locator("input[name=pin]").fill(PIN)
    page.locator("button[value=approve]").click()


def log_in(page: Page, app: RelyingParty, refused: tuple[str, ...] = (), **changes: str) -> None:
    page.goto(app.address(**changes))
    page.get_by_role("button", name="Open the agent", exact=True).click()
    approve_on(page, refused)
    page.wait_for_url(HOME)


def contrast_failures(page: Page) -> list[str]:
    """Texts whose computed colours have less than WCAG AA asks for, on the first background that is not clear."""
    found: list[str] = page.evaluate(
        """() => {
        const parts = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = (c) => c.slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const bad = [];
        for (const element of document.querySelectorAll("body *")) {
            const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
            if (!own || !element.checkVisibility()) continue;
            let back = element;
            while (back && parts(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
            const ground = back ? parts(getComputedStyle(back).backgroundColor) : [255, 255, 255];
            const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground)].sort((x, y) => y - x);
            if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(element.outerHTML.slice(0, 80));
        }
        return bad;
    }"""
    )
    return found


def small_targets(page: Page) -> list[str]:
    """Buttons and navigation of less than 44 CSS pixels in height. Source: WCAG 2.2, 2.5.5."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("button, summary, nav a")]
        .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44)
        .map((each) => each.outerHTML)"""
    )
    return found


def unlabelled(page: Page) -> list[str]:
    """What one can use and has no name, and ids that are there twice."""
    found: list[str] = page.evaluate(
        """() => {
        const named = (e) => e.textContent.trim() || e.getAttribute("aria-label") || (e.labels && e.labels.length);
        const bad = [...document.querySelectorAll("a, button, summary, input:not([type=hidden])")]
            .filter((e) => !named(e)).map((e) => e.outerHTML);
        const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
        return bad.concat(ids.filter((id, place) => ids.indexOf(id) !== place));
    }"""
    )
    return found


def check_page(page: Page) -> None:
    """What holds for each page of ours."""
    assert page.locator("main").count() == 1
    assert page.locator("h1").count() == 1
    assert page.locator("header").count() == 1
    assert page.evaluate("document.documentElement.lang")
    assert contrast_failures(page) == []
    assert small_targets(page) == []
    assert unlabelled(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls to the side"
    origin = page.evaluate("location.origin")
    loaded: list[str] = page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
    assert all(address.startswith(origin) for address in loaded), loaded


def test_a_person_logs_in_through_both_pages_and_refuses_an_item(
    visit: Visit, app: RelyingParty, agent_page: str, callback: Callback
) -> None:
    page = visit()
    page.goto(app.address(claims=CLAIMS))
    for text in ("Corner Shop", "shop.example", "Example Telecom", "to send the receipt", "to sell you groceries"):
        expect(page.locator("main")).to_contain_text(text)
    check_page(page)
    before = page.context.cookies()
    page.get_by_role("button", name="Open the agent", exact=True).click()
    assert page.url.startswith(f"http://{agent_page}/login/")
    approve_on(page, refused=("e-mail address",))
    page.wait_for_url(HOME)
    (answer,) = callback.queries
    assert (answer["state"], answer["iss"]) == (app.state, app.issuer)
    tokens = app.redeem(answer["code"]).json
    info = app.userinfo(tokens["access_token"]).json
    assert "phone_number" in info
    assert "email" not in info
    after = page.context.cookies()
    assert [cookie["name"] for cookie in after] == ["__Host-tally-session"]
    assert before[0]["value"] != after[0]["value"]
    assert (after[0]["httpOnly"], after[0]["secure"], after[0]["sameSite"]) == (True, True, "Lax")


def test_a_wrong_pin_leads_nowhere(visit: Visit, app: RelyingParty, agent_page: str, callback: Callback) -> None:
    page = visit()
    page.goto(app.address())
    page.get_by_role("button", name="Open the agent", exact=True).click()
    page.locator("input[name=pin]").fill("000000")
    page.locator("button[value=approve]").click()
    expect(page.get_by_role("alert").first).to_contain_text("2 tries left")
    assert agent_page in page.url
    assert callback.queries == []


def approve_remotely(page: Page, provider: Provider, agent: Agent) -> None:
    """As a phone does: what the QR code holds is a handle; the person types the code."""
    request_id = page.url.partition("?")[0].rpartition("/")[2]
    link = fresh_remote_handle(provider, request_id)
    prompt = agent.open(link, None, "en")
    agent.approve(prompt, PIN, (), page.locator(".code").inner_text())


def fresh_remote_handle(provider: Provider, request_id: str) -> str:
    """A handle such as stands in the picture on the page, which a test cannot photograph."""
    from sqlalchemy import select  # noqa: PLC0415

    from identity_oidc.authentication.challenge import REMOTE, add_handle  # noqa: PLC0415
    from identity_oidc.store.schema import CHALLENGES  # noqa: PLC0415

    with provider.database.writing() as connection:
        wanted = select(CHALLENGES.c.jti).where(CHALLENGES.c.request_id == request_id)
        return add_handle(connection, connection.execute(wanted).scalar_one(), REMOTE, provider.now() + 60).handle


def test_the_waiting_page_says_what_happens_and_goes_on_by_itself_in_mode_remote(
    visit: Visit, app: RelyingParty, provider: Provider, agent: Agent, callback: Callback
) -> None:
    page = visit()
    page.goto(app.address())
    news = page.get_by_role("status")
    expect(news).to_have_attribute("aria-live", "polite")
    expect(news).to_contain_text("Waiting")
    expect(page.locator("#qr svg")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Nobody will ever ask you to scan")
    approve_remotely(page, provider, agent)
    page.wait_for_url(HOME)
    claims = app.redeem(callback.queries[0]["code"]).json
    assert app.verify_id_token(claims["id_token"], claims["access_token"])["acr"] == "urn:tally:acr:remote"


def test_without_javascript_a_button_goes_on(
    visit: Visit, app: RelyingParty, provider: Provider, agent: Agent, callback: Callback
) -> None:
    page = visit(java_script_enabled=False, expected="400 (BAD REQUEST)")
    page.goto(app.address())
    assert "Load the page again for a new one" in page.content()
    page.get_by_role("button", name="I have approved it").click()
    expect(page.get_by_role("alert")).to_contain_text("has not approved this login yet")
    page.go_back()
    approve_remotely(page, provider, agent)
    page.get_by_role("button", name="I have approved it").click()
    page.wait_for_url(HOME)
    assert "code" in callback.queries[0]


def test_without_javascript_the_agent_s_page_works_too(
    visit: Visit, app: RelyingParty, agent_page: str, callback: Callback
) -> None:
    log_in(visit(java_script_enabled=False), app)
    assert "code" in callback.queries[0]


def test_the_person_turns_back(visit: Visit, app: RelyingParty, callback: Callback) -> None:
    page = visit()
    page.goto(app.address())
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(HOME)
    assert callback.queries[0]["error"] == "access_denied"


def test_by_keyboard_alone(visit: Visit, app: RelyingParty, agent_page: str, callback: Callback) -> None:
    """Tab and Enter lead through both pages, in the order of what is read; focus is always to be seen."""
    page = visit()
    page.goto(app.address())
    seen = []
    for _ in range(10):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if seen[-1] == "Open the agent":
            break
    assert seen == ["Skip to the content", "English", "中文", "Open the agent"]
    page.keyboard.press("Enter")
    page.wait_for_url(f"http://{agent_page}/login/*")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "pin":
            break
    page.keyboard.type(PIN)
    page.keyboard.press("Enter")
    page.wait_for_url(HOME)
    assert "code" in callback.queries[0]


def test_the_first_key_leads_past_the_header(visit: Visit, app: RelyingParty) -> None:
    page = visit()
    page.goto(app.address())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Open the agent"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_is_readable_narrow_and_wide_light_and_dark(
    visit: Visit, app: RelyingParty, agent_page: str, scheme: str, width: int
) -> None:
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 700}, expected="404 (NOT FOUND)")
    page.goto(app.address(claims=CLAIMS))
    check_page(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 21, 25)" if scheme == "dark" else "rgb(244, 246, 248)")
    page.get_by_role("button", name="Open the agent", exact=True).click()
    assert contrast_failures(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    approve_on(page)
    page.wait_for_url(HOME)
    for path in ("account", "logout", "nothing"):
        page.goto(f"{app.issuer}/{path}")
        check_page(page)


def test_chinese_by_the_browser_by_the_app_and_by_choice(visit: Visit, app: RelyingParty) -> None:
    page = visit(locale="zh-CN", expected="400 (BAD REQUEST)")
    page.goto(f"{app.issuer}/account")
    expect(page.get_by_role("heading", level=1)).to_have_text("您的登录与授权")
    page.goto(f"{app.issuer}/authorize?client_id=nobody")
    expect(page.get_by_role("alert")).to_contain_text("未登记该应用")
    page = visit(locale="fr-FR")
    page.goto(app.address(ui_locales="fr zh-TW"))
    expect(page.get_by_role("heading", level=1)).to_have_text("使用 SIM 卡登录")
    expect(page.locator("main")).to_contain_text("发送收据")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    check_page(page)
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in with your SIM")


def test_a_page_that_is_stale_says_what_to_do(visit: Visit, app: RelyingParty, clock: object) -> None:
    page = visit(expected="400 (BAD REQUEST)")
    page.goto(app.address())
    clock.ahead_s = 601  # type: ignore[attr-defined]  # the tests' clock
    expect(page.get_by_role("status")).to_contain_text("This login is over")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("Go back to the app and begin it again")
    check_page(page)


def test_the_person_s_page_shows_and_withdraws(visit: Visit, app: RelyingParty, agent_page: str) -> None:
    page = visit()
    log_in(page, app, refused=("e-mail address",))
    page.goto(f"{app.issuer}/account")
    check_page(page)
    permitted = page.get_by_role("region", name="What you permitted")
    expect(permitted).to_contain_text("Corner Shop")
    expect(permitted).to_contain_text("Refused: e-mail address")
    expect(page.get_by_role("region", name="Where you are logged in")).to_contain_text("Chrome on Linux")
    expect(page.get_by_role("region", name="Your agents")).to_contain_text("PC at home")
    page.get_by_role("button", name="Withdraw: Corner Shop").click()
    expect(page.get_by_role("region", name="What you permitted")).not_to_contain_text("Corner Shop")


def test_the_person_ends_agents_and_logs_out_everywhere(
    visit: Visit, app: RelyingParty, agent_page: str, callback: Callback
) -> None:
    page = visit()
    log_in(page, app)
    token = app.redeem(callback.queries[0]["code"]).json["access_token"]
    page.goto(f"{app.issuer}/account")
    page.get_by_role("button", name="End: PC at home").click()
    expect(page.get_by_role("region", name="Your agents")).not_to_contain_text("PC at home")
    assert app.userinfo(token).status == 200
    page.get_by_role("button", name="Log out everywhere").click()
    expect(page.get_by_role("status")).to_contain_text("All your logins have ended")
    check_page(page)
    assert app.userinfo(token).status == 401
    page.goto(f"{app.issuer}/account")
    expect(page.locator("main")).to_contain_text("Log in with your SIM at an app first")


def test_a_hold_is_asked_twice_and_confirmed(visit: Visit, app: RelyingParty, agent_page: str) -> None:
    page = visit()
    log_in(page, app)
    page.goto(f"{app.issuer}/account")
    sure = page.get_by_role("button", name="Yes, hold my identity now")
    expect(sure).to_be_hidden()
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    sure.click()
    expect(page.get_by_role("status")).to_contain_text("nobody can log in as you")
    check_page(page)
    page.goto(app.address())
    page.get_by_role("button", name="Open the agent", exact=True).click()
    expect(page.locator("button[value=approve]")).to_have_count(0)


def test_the_person_logs_out_and_comes_back_to_the_app(
    visit: Visit, provider: Provider, app: RelyingParty, agent_page: str
) -> None:
    page = visit()
    log_in(page, app)
    page.goto(f"{app.issuer}/logout")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("status")).to_contain_text("You are logged out here")
    assert page.context.cookies(provider.issuer) == []


def test_a_theme_is_seen(visit: Visit, provider: Provider, tmp_path: Path) -> None:
    from tests.oidc.conftest import listening, serving  # noqa: PLC0415

    (tmp_path / "logo.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"><rect width="90" height="30"/></svg>'
    )
    path = tmp_path / "theme.toml"
    path.write_text('name = "Example Telecom"\nlogo = "logo.svg"\n[light]\naccent = "#7a1fa2"\n')
    with listening() as (listener, port):
        settings = replace(provider.config.provider, theme=path, issuer=f"http://127.0.0.1:{port}")
        config = replace(provider.config, provider=settings)
        with serving(replace(provider, config=config), listener):
            page = visit()
            page.goto(f"{config.issuer}/account")
            check_page(page)
            assert page.locator(".brand img").evaluate("each => each.naturalWidth") == 90
            colour = page.locator("nav a").last.evaluate("each => getComputedStyle(each).color")
            assert colour == "rgb(122, 31, 162)"
            page.close()
