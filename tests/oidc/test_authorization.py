"""The checks of the authorization endpoint, each accepting and rejecting. Source: RFC 9700, RFC 6749, OIDC Core."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from identity_oidc.authorization import pipeline
from identity_oidc.authorization.request import AuthorizationRequest, Surroundings
from identity_oidc.clients import Client
from identity_oidc.errors import AuthorizationError, PageError
from identity_oidc.provider import Provider
from tests.oidc.parties import CALLBACK, FORM, ITEMS, Browser, RelyingParty, add_client, ask, make_record

PARAMETERS = {
    "client_id": "shop",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid email",
    "state": "s",
    "nonce": "n",
    "code_challenge": "A" * 43,
    "code_challenge_method": "S256",
}


def client_of(record: dict[str, object] | None = None, **registration: object) -> Client:
    content = {"redirect_uris": [CALLBACK], "items": ITEMS} | registration
    return Client.parse(content, make_record(**(record or {})))


NATIVE = client_of(
    {"is_native": True},
    redirect_uris=["http://127.0.0.1/cb", "com.example.shop:/cb"],
    token_endpoint_auth_method="none",
)


def run(client: Client | None = None, **changes: str | tuple[str, ...] | None) -> AuthorizationRequest:
    chosen = client or client_of()
    values = {name: value for name, value in (PARAMETERS | changes).items() if value is not None}
    parameters = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}

    def find_client(client_id: str) -> Client | None:
        return chosen if client_id == chosen.client_id else None

    def subject_of_hint(hint: str, _: Client) -> str | None:
        return "someone" if hint == "a-good-hint" else None

    return pipeline.run(pipeline.begin(parameters, Surroundings(find_client, subject_of_hint)))


def test_a_whole_request_passes() -> None:
    asked = run()
    assert asked.items == {"email": False, "email_verified": False}
    assert AuthorizationRequest.from_content(json.loads(json.dumps(asked.content()))) == asked


@pytest.mark.parametrize(
    "uri",
    [
        f"{CALLBACK}/",
        f"{CALLBACK}?x=1",
        f"{CALLBACK}#f",
        f"{CALLBACK}/../evil",
        "https://shop.example/Callback",
        "https://shop.example:443/callback",
        "https://SHOP.example/callback",
        "https://shop.example.evil.example/callback",
        "https://shop.example@evil.example/callback",
        "https://evil.example/?https://shop.example/callback",
        "http://shop.example/callback",
        "//shop.example/callback",
        "https://shop.example/callback%00",
        "javascript:alert(1)",
        "http://127.0.0.1/cb",
        "",
    ],
)
def test_near_misses_of_the_redirect_uri_send_nobody_anywhere(uri: str) -> None:
    with pytest.raises(PageError):
        run(redirect_uri=uri)


def test_the_redirect_uri_is_required_and_given_once() -> None:
    for value in (None, (CALLBACK, CALLBACK)):
        with pytest.raises(PageError):
            run(redirect_uri=value)


@pytest.mark.parametrize("uri", ["http://127.0.0.1/cb", "http://127.0.0.1:61234/cb", "com.example.shop:/cb"])
def test_a_native_app_may_vary_the_port_of_loopback(uri: str) -> None:
    assert run(NATIVE, redirect_uri=uri).redirect_uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:61234/other",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.2:61234/cb",
        "http://localhost:61234/cb",
        "http://[::1]:61234/cb",
        "http://127.0.0.1:1@evil.example/cb",
        "http://127.0.0.1:61234/cb#x",
        "https://127.0.0.1:61234/cb",
        "http://127.0.0.1:/cb",
        "com.example.shop.evil:/cb",
    ],
)
def test_nothing_else_of_a_native_app_s_address_varies(uri: str) -> None:
    with pytest.raises(PageError):
        run(NATIVE, redirect_uri=uri)


@pytest.mark.parametrize("client_id", ["unknown", "", ("shop", "shop"), None, "x" * 129])
def test_only_a_registered_app_named_once(client_id: str | tuple[str, ...] | None) -> None:
    with pytest.raises(PageError):
        run(client_id=client_id)


def test_oversized_requests_send_nobody_anywhere() -> None:
    for changes in ({"state": "x" * 4_097}, {"n" * 65: "x"}, {"x": tuple("a" * 65)}, {"x": "a\x00b"}):
        with pytest.raises(PageError):
            run(**changes)


BASIC = {"policy": "basic"}


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        ("invalid_request", {"scope": ("openid", "openid")}),
        ("invalid_request", {"unknown": ("a", "b")}),
        ("request_not_supported", {"request": "e30.e30."}),
        ("request_uri_not_supported", {"request_uri": "https://shop.example/request"}),
        ("registration_not_supported", {"registration": "{}"}),
        ("invalid_request", {"response_type": None}),
        ("unsupported_response_type", {"response_type": "token"}),
        ("unsupported_response_type", {"response_type": "code id_token"}),
        ("invalid_request", {"response_mode": "fragment"}),
        ("invalid_scope", {"scope": "email"}),
        ("invalid_scope", {"scope": None}),
        ("invalid_scope", {"scope": "openid " + "x" * 512}),
        ("invalid_request", {"code_challenge": None, "code_challenge_method": None}),
        ("invalid_request", {"code_challenge_method": "plain"}),
        ("invalid_request", {"code_challenge_method": None}),
        ("invalid_request", {"code_challenge": None}),
        ("invalid_request", {"code_challenge": "A" * 42}),
        ("invalid_request", {"code_challenge": "A" * 42 + "!"}),
        ("invalid_request", {"nonce": None}),
        ("invalid_request", {"nonce": "n" * 257}),
        ("invalid_request", {"state": "s" * 1_025}),
        ("invalid_request", {"prompt": "none login"}),
        ("invalid_request", {"prompt": "create"}),
        ("invalid_request", {"display": "hologram"}),
        ("invalid_request", {"max_age": "-1"}),
        ("invalid_request", {"max_age": "1.5"}),
        ("invalid_request", {"max_age": "٣"}),
        ("invalid_request", {"max_age": "1" * 10}),
        ("invalid_request", {"acr_values": " ".join("abcdefghi")}),
        ("invalid_request", {"claims": "{"}),
        ("invalid_request", {"claims": "[]"}),
        ("invalid_request", {"claims": '{"userinfo":{"email":null},"userinfo":{}}'}),
        ("invalid_request", {"claims": '{"userinfo":{"email":1}}'}),
        ("invalid_request", {"claims": "[" * 100}),
        ("invalid_request", {"claims": '{"a":"' + "]" * 1_900 + '","b":' + "[" * 1_900}),
        ("invalid_request", {"claims": '{"id_token":{"acr":{"values":[1]}}}'}),
        ("invalid_request", {"claims": '{"id_token":{"sub":{"value":1}}}'}),
        ("invalid_request", {"claims": '{"id_token":{"sub":{"value":"another"}}}', "id_token_hint": "a-good-hint"}),
        ("invalid_scope", {"scope": "openid address"}),
        ("invalid_scope", {"claims": '{"userinfo":{"birthdate":null}}'}),
        ("invalid_request", {"login_hint": "x" * 321}),
        ("invalid_request", {"id_token_hint": "not-a-token"}),
    ],
)
def test_each_check_refuses_with_its_error(error: str, changes: dict[str, str | tuple[str, ...] | None]) -> None:
    with pytest.raises(AuthorizationError) as refused:
        run(**changes)
    assert refused.value.error == error


def test_policy_basic_takes_what_strangers_send() -> None:
    asked = run(
        client_of(**BASIC),
        nonce=None,
        code_challenge=None,
        code_challenge_method=None,
        scope="openid profile address unknown",
        unknown="x",
        display="popup",
        ui_locales="xx zh-Hant en",
        claims='{"userinfo":{"name":{"essential":true},"made_up":null},"id_token":{"email":null,"auth_time":null}}',
    )
    assert asked.scope == ("openid", "profile", "address")
    assert asked.items == {"email": False, "name": True}, "what is not registered is passed over"
    assert (asked.id_token_claims, asked.language) == (("email",), "zh")


def test_even_basic_keeps_a_public_client_to_pkce_and_refuses_plain() -> None:
    public = client_of({"is_native": True}, token_endpoint_auth_method="none", **BASIC)
    for client, changes in (
        (public, {"code_challenge": None, "code_challenge_method": None}),
        (client_of(**BASIC), {"code_challenge_method": "plain"}),
    ):
        with pytest.raises(AuthorizationError):
            run(client, **changes)


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"prompt": "login consent"}, "prompt", ("login", "consent")),
        ({"max_age": "0"}, "max_age_s", 0),
        ({"acr_values": "a b"}, "acr_values", ("a", "b")),
        ({"claims": '{"id_token":{"acr":{"essential":true,"values":["x"]}}}'}, "is_acr_essential", True),
        ({"id_token_hint": "a-good-hint"}, "hinted_sub", "someone"),
        ({"claims": '{"id_token":{"sub":{"value":"another"}}}'}, "hinted_sub", "another"),
        ({"claims": '{"id_token":{"sub":null}}'}, "hinted_sub", ""),
        ({"claims": '{"userinfo":{"sub":{"value":"another"}}}'}, "hinted_sub", ""),
        ({"login_hint": "tel:+447700900000"}, "login_hint", "tel:+447700900000"),
        ({"scope": "openid offline_access"}, "scope", ("openid",)),
        ({"scope": "openid", "claims": '{"a":"]]]]","userinfo":{"email":null}}'}, "userinfo_claims", ("email",)),
    ],
)
def test_each_parameter_is_kept(changes: dict[str, str], name: str, value: object) -> None:
    assert getattr(run(**changes), name) == value


def test_offline_access_needs_an_app_that_may_refresh_and_a_permission_that_lasts() -> None:
    """ "For this login only" is what the person is shown where `grant_days` is 0."""
    scope = "openid offline_access"
    for registered in ({}, {"may_refresh": True}, {"grant_days": 30}):
        assert run(client_of(**registered), scope=scope).scope == ("openid",)
    assert run(client_of(may_refresh=True, grant_days=30), scope=scope).scope == ("openid", "offline_access")


# Over HTTP.


def test_errors_go_back_to_the_app_with_state_and_iss_by_303(app: RelyingParty, browser: Browser) -> None:
    answer = browser.get(app.address(response_type="token"))
    assert answer.status == 303
    assert answer.location.startswith(CALLBACK)
    assert answer.parameters["error"] == "unsupported_response_type"
    assert (answer.parameters["state"], answer.parameters["iss"]) == (app.state, app.issuer)
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_page_for_what_goes_to_nobody(app: RelyingParty, browser: Browser) -> None:
    answer = browser.get(app.address(redirect_uri="https://evil.example/"))
    assert (answer.status, answer.location) == (400, "")
    assert "evil.example" not in answer.text


def test_the_login_page_cannot_be_framed_and_loads_nothing_from_elsewhere(app: RelyingParty, browser: Browser) -> None:
    page = app.begin(browser)
    policy = page.answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.answer.headers["x-frame-options"] == "DENY"
    assert page.answer.headers["referrer-policy"] == "origin"
    assert page.answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in page.answer.headers
    assert "to send the receipt" in page.answer.text


def test_a_posted_request_comes_again_by_get(app: RelyingParty) -> None:
    answer = ask("POST", f"{app.issuer}/authorize", headers=FORM, body=urlencode(app.parameters()))
    assert answer.status == 303
    assert Browser().get(answer.location).location.startswith(f"{app.issuer}/login/")
    twice = ask("POST", f"{app.address()}", headers=FORM, body=urlencode(app.parameters()))
    assert twice.status == 400


def test_prompt_none_never_shows_a_page(app: RelyingParty, browser: Browser) -> None:
    answer = browser.get(app.address(prompt="none"))
    assert answer.parameters["error"] == "login_required"


def test_an_app_that_was_withdrawn_or_whose_record_ran_out_is_unknown(provider: Provider, browser: Browser) -> None:
    late = add_client(provider, "late", record={"exp": 1})
    assert browser.get(late.address()).status == 400
    assert browser.get(add_client(provider, "good").address()).status == 303


def test_another_browser_does_not_see_the_page(app: RelyingParty, browser: Browser) -> None:
    page = app.begin(browser)
    for stranger in (Browser(), Browser(cookie="B" * 43)):
        assert stranger.get(page.address).status == 400
        assert stranger.get(f"{page.address}/status").status == 400
    cancelled = browser.post(f"{page.address}/cancel", {"csrf_token": page.csrf_token}, Origin="https://evil.example")
    assert cancelled.status == 400
    cancelled = browser.post(f"{page.address}/cancel", {"csrf_token": page.csrf_token})
    assert cancelled.parameters["error"] == "access_denied"
