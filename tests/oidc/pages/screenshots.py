"""Pictures of the pages for docs/oidc.md, from a login that really takes place:
`python -m pytest tests/oidc/pages/screenshots.py --import-mode=importlib`."""

from __future__ import annotations

from pathlib import Path

from tests.oidc.pages.test_pages_in_chromium import CLAIMS, Visit, approve_on, log_in
from tests.oidc.parties import RelyingParty

FOLDER = Path(__file__).parents[3] / "docs" / "screenshots"
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 900, "height": 700}


def test_pictures(visit: Visit, app: RelyingParty, agent_page: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    dark = visit(color_scheme="dark", viewport=PHONE, device_scale_factor=0.65, locale="zh-CN")
    dark.goto(app.address(ui_locales="zh"))
    dark.screenshot(path=FOLDER / "login-dark-zh.png", full_page=True)
    dark.close()
    page = visit(viewport=WIDE, device_scale_factor=0.65)
    page.goto(app.address(claims=CLAIMS))
    page.screenshot(path=FOLDER / "login.png", full_page=True)
    page.get_by_role("button", name="Open the agent", exact=True).click()
    page.screenshot(path=FOLDER / "agent.png", full_page=True)
    approve_on(page, refused=("e-mail address",))
    page.wait_for_url("https://www.shop.example/home")
    log_in(page, app, prompt="login")
    page.goto(f"{app.issuer}/account")
    page.screenshot(path=FOLDER / "account.png", full_page=True)
