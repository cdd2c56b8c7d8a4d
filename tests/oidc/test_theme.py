"""Brand, colours and texts of the pages, without a browser."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import identity_oidc
from identity_oidc.app import create_app
from identity_oidc.authentication.session import browser_name
from identity_oidc.errors import ConfigurationError
from identity_oidc.provider import Provider
from identity_oidc.theme import COLOURS, PAIRS, Theme, contrast
from identity_oidc.views.texts import browser_in
from tests.oidc.parties import ask

PACKAGE = Path(identity_oidc.__file__).parent
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
FOR_PEOPLE = {"PageError", "LedgerStaleError", "StorageError", "TooManyRequestsError"}
FOR_THE_LOG = {"A gateway answers in a form that is not known here."}


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ffffff", "#777777") == contrast("#777777", "#ffffff")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pair_of_colours_has_the_contrast_of_level_aa(scheme: str) -> None:
    for front, back, least in PAIRS:
        assert contrast(COLOURS[scheme][front], COLOURS[scheme][back]) >= least, (front, back)


def test_the_style_sheet_has_no_colours_of_its_own_and_loads_nothing() -> None:
    """Else a theme, or the check of contrast, would not reach them. White under the QR code is what cameras need."""
    style = (PACKAGE / "static/style.css").read_text("utf-8")
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\s])", style)) <= {"#fff"}
    assert set(re.findall(r"var\(--([a-z-]+)\)", style)) <= set(COLOURS["light"])
    assert "url(" not in style
    assert "@import" not in style


def test_a_theme_gives_name_logo_and_colours(tmp_path: Path, provider: Provider) -> None:
    (tmp_path / "logo.svg").write_bytes(SVG)
    path = tmp_path / "theme.toml"
    path.write_text('name = "Example Telecom"\nlogo = "logo.svg"\n[light]\naccent = "#7a1fa2"\n')
    config = replace(provider.config, provider=replace(provider.config.provider, theme=path))
    client = create_app(replace(provider, config=config)).test_client()
    page = client.get("/account")
    assert "Example Telecom" in page.text
    assert "/theme/logo" in page.text
    css = client.get("/theme.css")
    assert css.mimetype == "text/css"
    assert "--accent: #7a1fa2;" in css.text
    assert f"--accent: {COLOURS['dark']['accent']};" in css.text
    logo = client.get("/theme/logo")
    assert (logo.data, logo.mimetype) == (SVG, "image/svg+xml")
    assert "sandbox" in logo.headers["Content-Security-Policy"]
    assert logo.headers["X-Content-Type-Options"] == "nosniff"


def test_without_a_theme_there_is_no_logo(provider: Provider) -> None:
    assert ask("GET", f"{provider.issuer}/theme/logo").status == 404
    assert "Tiger Tally" in ask("GET", f"{provider.issuer}/account").text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name = 1", "name must be"),
        ('name = ""', "name must be"),
        (f'name = "{"x" * 61}"', "name must be"),
        ('colour = "#000000"', "colour is not known"),
        ('[light]\nbrand = "#000000"', "light.brand is not known"),
        ('light = "#000000"', "must be a section"),
        ('[light]\naccent = "red; } body { display: none"', "must be a colour"),
        ('[light]\naccent = "#0B5CAD"', "must be a colour"),
        ('[light]\naccent = "#ffd500"', "contrast"),
        ('[dark]\ncard = "#ffffff"', "contrast"),
        ('logo = "logo.gif"', "ends with"),
        ('logo = "none.png"', "cannot be read"),
        ('logo = "wrong.png"', "not of the kind"),
        ('logo = "large.svg"', "larger than"),
        ("[light", "not TOML"),
    ],
)
def test_a_theme_that_cannot_be_used_is_refused_with_what_to_mend(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "wrong.png").write_bytes(SVG)
    (tmp_path / "large.svg").write_bytes(SVG + b" " * 65_536)
    path = tmp_path / "theme.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        Theme.load(path)


def test_a_theme_that_is_away_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"provider\.theme"):
        Theme.load(tmp_path / "none.toml")


def test_both_languages_say_everything() -> None:
    texts = json.loads((PACKAGE / "templates/texts.json").read_text("utf-8"))
    assert set(texts) == {"en", "zh"}
    assert set(texts["en"]) == set(texts["zh"])
    used = set()
    for path in (PACKAGE / "templates").glob("*.html"):
        used |= set(re.findall(r"\bt\.([a-z_]+)", path.read_text("utf-8")))
    by_name = {"ended_title", "ended_text", "held_title", "held_text", "browser_on", "browser_unknown"}
    assert used | by_name == set(texts["en"])


def test_chinese_pages_have_nothing_left_in_english() -> None:
    """But what is written so in Chinese too, and the names that texts are given."""
    texts = json.loads((PACKAGE / "templates/texts.json").read_text("utf-8"))["zh"]
    known = {"SIM", "PIN", "browser", "system"}
    assert {word for text in texts.values() for word in re.findall("[A-Za-z]+", text)} <= known
    assert not [text for text in texts.values() if re.search(r"[\u4e00-\u9fff][,:;?!]", text)], (
        "punctuation is Chinese too"
    )
    assert browser_in("zh", "Chrome on Linux") == "Linux 上的 Chrome"
    assert browser_in("zh", browser_name("curl/8")) == "未知浏览器"
    assert browser_in("en", "Chrome on Linux") == "Chrome on Linux"


def test_every_error_that_a_person_may_see_is_translated() -> None:
    said = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FOR_PEOPLE:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    said.add(first.value)
    translated = json.loads((PACKAGE / "templates/messages_zh.json").read_text("utf-8"))
    assert said - FOR_THE_LOG <= set(translated)
    assert all(re.search(r"[\u4e00-\u9fff]", text) for text in translated.values())
