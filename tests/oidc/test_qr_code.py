"""QR codes drawn from differences are those that segno draws whole."""

from __future__ import annotations

import re

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from identity_oidc.qr_code import EndingCodes, draw

BEGINNING = "tally-agent://login?issuer=https%3A%2F%2Flogin.operator.example&handle="
LENGTH = 8
ENDINGS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=LENGTH, max_size=LENGTH)


def modules_of(svg: str) -> list[list[int]]:
    """Rows of dark modules, read from the strokes as a browser reads them. Source: SVG 1.1 §8.3."""
    (path,) = re.findall(r'stroke="#000" d="([^"]*)"', svg)
    (side,) = re.findall(r'fill="#fff" d="M0 0h([0-9]+)v', svg)
    found = [[0] * (int(side) - 8) for _ in range(int(side) - 8)]
    x = y = 0
    for absolute, row, relative, dark in re.findall(r"M([0-9]+) ([0-9]+)\.5|m([0-9]+) 0|h([0-9]+)", path):
        if absolute:
            x, y = int(absolute) - 4, int(row) - 4
        elif relative:
            x += int(relative)
        else:
            for _ in range(int(dark)):
                found[y][x] = 1
                x += 1
    return found


def drawn_whole(content: str) -> list[list[int]]:
    return [list(row) for row in segno.make(content, mode="byte", error="m", micro=False, mask=4).matrix]


@pytest.fixture(scope="module")
def prepared() -> EndingCodes:
    codes = EndingCodes(BEGINNING, LENGTH)
    codes.prepare()
    return codes


@given(ending=ENDINGS)
def test_every_ending_is_drawn_as_it_is_drawn_whole(prepared: EndingCodes, ending: str) -> None:
    assert modules_of(prepared.draw(ending)) == drawn_whole(BEGINNING + ending)


def test_another_ending_is_another_code(prepared: EndingCodes) -> None:
    assert prepared.draw("A" * LENGTH) != prepared.draw("B" + "A" * (LENGTH - 1))


def test_what_is_not_prepared_yet_is_drawn_whole() -> None:
    codes = EndingCodes(BEGINNING, 2)
    drawn = [codes.draw(ending) for ending in ("Zz", "-_", "09", "aA", "Zz", "Zz")]
    assert drawn[0] == drawn[4] == drawn[5], "the first ones by segno, the last ones by differences"
    assert draw(BEGINNING, "Zz") == drawn[0]


@pytest.mark.parametrize("ending", ["A", "AAA", "A" * LENGTH + "A", "ü" * LENGTH])
def test_endings_of_another_kind_are_refused(prepared: EndingCodes, ending: str) -> None:
    with pytest.raises(ValueError, match="another kind"):
        prepared.draw(ending)
