"""Issuers, links of login pages, and what is left of a hand-over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_applet_tools.agent.base64url import decode_base64url, encode_base64url
from sim_applet_tools.agent.fields import parse_object
from sim_applet_tools.agent.issuer import origin_of, parse_link, verify_issuer
from sim_applet_tools.agent.jws import parse_jws
from sim_applet_tools.errors import InputError, ProviderAnswerError

HANDLE = "h" * 22
ISSUER = "https://login.operator.example"


@pytest.mark.parametrize(
    "issuer",
    [ISSUER, f"{ISSUER}:8443", f"{ISSUER}/tenant", "http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost"],
)
def test_addresses_of_providers(issuer: str) -> None:
    verify_issuer(issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.operator.example",
        "ftp://login.operator.example",
        "login.operator.example",
        f"{ISSUER}/",
        f"{ISSUER}?x=1",
        f"{ISSUER}?",
        f"{ISSUER}#x",
        "https://user@login.operator.example",
        "https://user:word@login.operator.example",
        "https://Login.operator.example",
        "https://löschen.example",
        "https://",
        "https://[",
        "https://a.example:99999",
        "https://a.example\n.evil.example",
    ],
)
def test_addresses_that_are_none(issuer: str) -> None:
    with pytest.raises(InputError):
        verify_issuer(issuer)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/x", "https://a.example"),
        ("https://a.example:443/x", "https://a.example"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8000/x", "http://[::1]:8000"),
    ],
)
def test_origins_as_browsers_write_them(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_a_link_of_a_login_page() -> None:
    local = parse_link(
        f"tally-agent://login?issuer=https%3A%2F%2Flogin.operator.example&handle={HANDLE}&local_secret={HANDLE}"
    )
    assert (local.issuer, local.handle, local.local_secret) == (ISSUER, HANDLE, HANDLE)
    assert parse_link(f"tally-agent://login?issuer={ISSUER}&handle={HANDLE}\n").local_secret is None


@pytest.mark.parametrize(
    "link",
    [
        "",
        "https://login.operator.example/login",
        f"tally-agent://pay?issuer={ISSUER}&handle={HANDLE}",
        f"tally-agent://login/x?issuer={ISSUER}&handle={HANDLE}",
        f"tally-agent://login?issuer={ISSUER}",
        f"tally-agent://login?handle={HANDLE}",
        f"tally-agent://login?issuer={ISSUER}&handle=short",
        f"tally-agent://login?issuer={ISSUER}&handle={HANDLE}&handle={HANDLE}",
        f"tally-agent://login?issuer={ISSUER}&handle={HANDLE}&pin=123456",
        f"tally-agent://login?issuer={ISSUER}&handle={HANDLE}&local_secret=",
        f"tally-agent://login?issuer=http://evil.example&handle={HANDLE}",
        f"tally-agent://login?issuer={ISSUER}&handle={HANDLE}#x",
        f"tally-agent://login?issuer={ISSUER}&handle={HANDLE}&local_secret={'x' * 2000}",
        "tally-agent://[login?x",
    ],
)
def test_links_that_are_none(link: str) -> None:
    with pytest.raises(InputError):
        parse_link(link)


@given(st.text(max_size=200))
def test_any_text_is_a_link_or_an_error(text: str) -> None:
    for candidate in (text, f"tally-agent://login?{text}"):
        try:
            parse_link(candidate)
        except InputError:
            continue


@given(st.binary(max_size=100))
def test_base64url_has_one_form(value: bytes) -> None:
    assert decode_base64url(encode_base64url(value)) == value


@pytest.mark.parametrize("text", ["AA==", "A", "AB", "A+", "A/", "AA\n", "é", " AA"])
def test_other_forms_of_base64url_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|ASCII"):
        decode_base64url(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_an_error(raw: bytes) -> None:
    try:
        assert isinstance(parse_object(raw, "input", 200), dict)
    except ProviderAnswerError:
        return


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":1.0}',
        b'{"a":NaN}',
        b'{"a":1e3}',
        b'{"a":9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b"[]",
        b"1",
        b"\xef\xbb\xbf{}",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 4000,
        b"{} {}",
    ],
)
def test_json_that_is_refused(raw: bytes) -> None:
    with pytest.raises(ProviderAnswerError):
        parse_object(raw, "input", 8000)


@given(st.text(alphabet="abcAB.=-_é", max_size=200))
def test_any_text_is_a_jws_or_an_error(text: str) -> None:
    try:
        parse_jws(text, 4096)
    except InputError:
        return
