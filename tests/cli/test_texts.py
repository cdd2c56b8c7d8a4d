"""Names, ranges, name spaces and durations as people write them: read back as written, and refused with a reason."""

from __future__ import annotations

import pytest

from pki_chain.cli.lot import parse_duration
from pki_chain.cli.names import format_range, parse_name, parse_range
from pki_chain.errors import ConfigurationError, InputError
from pki_chain.founding.founders import DEMO_FOUNDERS, format_space, load_founders, parse_space
from pki_chain.ports import NameRange, NameSpace, RangeKind


@pytest.mark.parametrize(
    "text",
    [
        "dns:cells.acme.example",
        "urn:urn:dev:acme:",
        "ip:192.0.2.0/24",
        "ip:2001:db8::/32",
        "eui:02a0f2000000-02a0f200ffff.cells.acme.example",
        "eui:02a0f2fffe000000-02a0f2fffe00ffff.cells.acme.example",
    ],
)
def test_ranges_are_read_as_written(text: str) -> None:
    assert format_range(parse_range(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns:",
        "urn:urn:dev:acme",
        "ip:192.0.2.1/24",
        "eui:02a0f2000001-02a0f2000000.acme.example",
        "eui:02a0f2000000-02a0f2fffe00ffff.acme.example",
        "eui:02A0F2000000-02A0F200FFFF.acme.example",
        "email:a@b",
        "dns:bücher.example",
    ],
)
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not dns:"):
        parse_range(text)


def test_an_eui_range_has_both_ends() -> None:
    assert parse_range("eui:000000000001-0000000000ff.a.example") == NameRange(RangeKind.EUI, 48, 1, 255, b"a.example")


@pytest.mark.parametrize("text", ["dns:bücher.example", "uri:", "ip:1.2.3", "ip:", "x"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not dns:"):
        parse_name(text)


def test_names_are_read() -> None:
    assert [parse_name(text).text for text in ("dns:a.example", "uri:urn:dev:1", "ip:192.0.2.1")] == [
        "a.example",
        "urn:dev:1",
        "192.0.2.1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "dns:acme.example",
        "urn:urn:dev:acme:",
        "oui:02a0f2",
        "oui:02a0f2f",
        "oui:02a0f2fff",
        "ip:192.0.2.0/24",
        "ip:2000::/3",
    ],
)
def test_name_spaces_are_read_as_written(text: str) -> None:
    space: NameSpace = parse_space(text)
    assert format_space(space) == text


@pytest.mark.parametrize(
    "text",
    [
        "dns:Acme.example",
        "urn:dev",
        "urn:urn:Dev:acme:",
        "urn:urn:d:",
        "urn:urn:-dev:",
        "urn:urn:dev:ac%6De:",
        "urn:urn:dev:acme",
        "oui:02a0",
        "oui:zzzzzz",
        "ip:192.0.2.1/8",
        "ip:::ffff:10.1.0.0/112",
        "ip:::/1",
        "acme",
    ],
)
def test_other_name_spaces_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not one of dns:"):
        parse_space(text)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("30d", 2_592_000)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "1w", "1.5h", "٣d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a number with"):
        parse_duration(text)


FOUNDER = '[[founder]]\nlabel = "a"\nkind = "operator"\nname = "A"\nspaces = ["dns:a.example"]\n'


def test_founders_are_read(tmp_path) -> None:
    file = tmp_path / "founders.toml"
    file.write_text(FOUNDER + "relayer = true\n")
    (founder,) = load_founders(file)
    assert (founder.label, founder.has_relayer, founder.has_station) == ("a", True, False)
    assert len(DEMO_FOUNDERS) == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"must hold \[\[founder\]\] tables"),
        (FOUNDER.replace("operator", "king"), "kind 'king' is not one of"),
        (FOUNDER + "x = 1\n", "unknown key 'x'"),
        (FOUNDER + FOUNDER, "two founders have the same label"),
        (FOUNDER.replace('"a"', '"../a"'), "label '../a' is not"),
        (FOUNDER.replace('name = "A"\n', ""), "name is missing"),
        (FOUNDER + 'station = "yes"\n', "station is not true or false"),
    ],
)
def test_other_founders_are_refused(tmp_path, content: str, said: str) -> None:
    file = tmp_path / "founders.toml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        load_founders(file)
