"""Which names may be shown, and which could be read as another's."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_applet_tools.agent.names import shape, verify_name, verify_text
from sim_applet_tools.errors import ChallengeRefusedError


@pytest.mark.parametrize(
    "name",
    [
        "Corner Shop",
        "街角商店",
        "12306",
        "24/7 Shop",
        "商店\uff08北京\uff09",
        "Shop 街角",
        "ショップ街 Shop",
        "한국 Shop",
        "Café Zürich",
        "Türkiye İş",
        "Ngân hàng Việt",
        "Магазин",
        "Ελλάς",
        "\u0645\u062a\u062c\u0631",
        "\u05d7\u05e0\u05d5\u05ea",
        "\u0926\u0941\u0915\u093e\u0928",
        "〇一",
    ],
)
def test_names_as_people_write_them(name: str) -> None:
    verify_name(name, "the name")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Shop\u202egnaB", "bidirectional"),
        ("Shop\u2066", "bidirectional"),
        ("Sh\u200bop", "invisible"),
        ("Sh\u00adop", "invisible"),
        ("Sh\ufe0fop", "invisible"),
        ("Sh\u3164op", "invisible"),
        ("Sh\u2800op", "invisible"),
        ("Sh\U000e0041op", "invisible"),
        ("Shop\n", "control"),
        ("Sh\x1b[2Jop", "control"),
        ("Sh\u2028op", "line separator"),
        ("Sh\ue000op", "private-use"),
        ("Sh\u0378op", "unassigned"),
        ("Sh\u00a0op", "unusual space"),
        ("Corner\u3000Shop", "spaces"),
        (" Shop", "spaces"),
        ("Shop ", "spaces"),
        ("Corner  Shop", "spaces"),
        ("Cafe\u0301", "composed"),
        ("a\u0316\u0317\u0318", "marks"),
        ("\u0301x", "composed|marks"),
        ("\uff33hop", "imitates"),
        ("\U0001d412hop", "imitates"),
        ("\u24c8hop", "imitates"),
        ("Sh\u01c3op", "imitates"),
        ("\u0251pple", "imitates"),
        ("\ua730hop", "imitates"),
        ("\u0440aypal", "several scripts"),
        ("Sh\u03bfp", "several scripts"),
        ("\u041c\u0430\u0433\u03b1\u0437\u0438\u043d", "several scripts"),
        ("街角\u0440", "several scripts"),
        ("ショップ한국", "several scripts"),
        ("\u0440\u0430\u0443\u0440\u0430\u04cf", "look Latin"),
        ("\u039f\u03a1\u03a4\u0395", "look Latin"),
        ("\u0585\u057d\u0585", "look Latin"),
        ("\u13da\u13da", "not written in"),
        ("\ua4e2\ua4f3", "not written in"),
        ("\u2c98\u2c9e", "not written in"),
    ],
)
def test_names_that_mislead(name: str, reason: str) -> None:
    with pytest.raises(ChallengeRefusedError, match=reason):
        verify_name(name, "the name")


def test_the_message_shows_no_character_of_the_name() -> None:
    with pytest.raises(ChallengeRefusedError) as caught:
        verify_name("Shop\u202e", "the name")
    assert caught.value.message.isascii()


def test_texts_may_mix_scripts_but_hide_nothing() -> None:
    verify_text("用于 GPS 定位: Москва, 100 €", "the text")
    for text in ("a\u202eb", "a\u0000b", "e\u0301"):
        with pytest.raises(ChallengeRefusedError):
            verify_text(text, "the text")


@given(st.text(max_size=40))
def test_what_passes_hides_and_reorders_nothing(name: str) -> None:
    try:
        verify_name(name, "the name")
    except ChallengeRefusedError:
        return
    assert unicodedata.is_normalized("NFC", name)
    assert all(unicodedata.category(each) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for each in name)
    latin = any("LATIN" in unicodedata.name(each, "") for each in name)
    assert not latin or not any(unicodedata.name(each, "").startswith(("CYRILLIC", "GREEK")) for each in name)


@pytest.mark.parametrize("other", ["C0rner Shop", "CORNER-SHOP", "Comer Shop", "Córner Shop", "Corner Sh0p"])
def test_shapes_of_names_that_are_taken_for_each_other(other: str) -> None:
    assert shape(other) == shape("Corner Shop")


def test_shapes_of_other_names() -> None:
    assert shape("Corner Bookshop") != shape("Corner Shop")
