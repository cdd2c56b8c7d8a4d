"""Registration records that are not believed, and redirect addresses off the verified domains."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.errors import (
    ProviderAnswerError,
)
from tests.agent.conftest import clock
from tests.agent.provider import Provider
from tests.agent.refusal import opened, refused


def test_a_tampered_record(agent: Agent, provider: Provider) -> None:
    header, _, signature = provider.sign_record(provider.record()).split(".")
    other = provider.sign_record(provider.record(name="Corner Shop Ltd")).split(".")[1]
    refused(agent, provider, "signature of the app's registration record", app=f"{header}.{other}.{signature}")


def test_a_record_under_a_key_that_nobody_pinned(agent: Agent, provider: Provider) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    refused(agent, provider, "does not know", app=provider.sign_record(provider.record(), key=stranger))


def test_a_strange_key_under_the_member_s_name(agent: Agent, provider: Provider) -> None:
    from joserfc.jwk import ECKey  # noqa: PLC0415

    stranger = ec.generate_private_key(ec.SECP256R1())
    kid = ECKey.import_key(provider.member_key).thumbprint()
    refused(agent, provider, "signature", app=provider.sign_record(provider.record(), key=stranger, kid=kid))


@pytest.mark.parametrize("header", [{"typ": "tally-approval+jwt"}, {"typ": "JWT"}])
def test_a_record_of_another_type(agent: Agent, provider: Provider, header: dict[str, str]) -> None:
    refused(agent, provider, "another type", app=provider.sign_record(provider.record(), **header))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"member": 2}, "names another member"),
        ({"member_name": "Example Bank"}, "names another member"),
        ({"client_id": "app-2"}, "another app"),
        ({"exp": clock() - 1}, "ran out"),
        ({"iat": clock() + 3600}, "not valid yet"),
        ({"name": "Corner\u202eShop"}, "bidirectional"),
        ({"name": "Corner\u0007Shop"}, "control character"),
        ({"name": "\u0421orner Shop"}, "several scripts"),
        ({"name": "\u0440\u0430\u0443\u0440"}, "look Latin"),
        ({"verified_domains": ["other.example"]}, "no domain that was verified"),
        ({"verified_domains": ["evilshop.example"]}, "no domain that was verified"),
    ],
)
def test_a_record_that_does_not_fit(agent: Agent, provider: Provider, change: dict[str, Any], match: str) -> None:
    refused(agent, provider, match, app=provider.sign_record(provider.record(**change)))


@pytest.mark.parametrize(
    "change",
    [{"verified_domains": []}, {"verified_domains": ["Shop.Example"]}, {"is_native": 1}, {"more": 1}, {"name": ""}],
)
def test_a_record_of_another_form(agent: Agent, provider: Provider, change: dict[str, Any]) -> None:
    login = provider.begin(app=provider.sign_record(provider.record(**change)))
    with pytest.raises(ProviderAnswerError):
        opened(agent, login)


@pytest.mark.parametrize(
    "uri",
    [
        "http://www.shop.example/callback",
        "https://shop.example.evil.example/",
        "https://user@www.shop.example/",
        "https://evil.example\\.shop.example/",
        "https://evil.example;.shop.example/",
        "https://evil.example%2f.shop.example/",
        "https://www.shop\t.example/",
        "https://www.shop.example/#x",
        "http://127.0.0.1:8000/callback",
        "example.shop.app:/callback",
        "https://[",
    ],
)
def test_a_redirect_address_off_the_verified_domains(agent: Agent, provider: Provider, uri: str) -> None:
    refused(agent, provider, "redirect address", redirect_uri=uri)


def test_a_trial_s_redirect_address_stays_on_this_machine(agent: Agent, provider: Provider) -> None:
    app = provider.sign_record(provider.record(verified_domains=["shop.localhost"]))
    login = provider.begin(app=app, redirect_uri="http://shop.localhost:5000/callback")
    assert opened(agent, login).domain == "shop.localhost"


@pytest.mark.parametrize(
    "uri",
    [
        "http://other.localhost:5000/callback",
        "http://below.shop.localhost:5000/callback",
        "http://localhost:5000/callback",
        "http://shop.localhost.evil.example/callback",
        "http://evillocalhost/callback",
    ],
)
def test_a_trial_s_redirect_address_of_another_name(agent: Agent, provider: Provider, uri: str) -> None:
    app = provider.sign_record(provider.record(verified_domains=["shop.localhost", "evillocalhost.example"]))
    refused(agent, provider, "redirect address", app=app, redirect_uri=uri)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:8000/callback", "http://[::1]:1/", "example.shop.app:/callback"])
def test_a_native_app_redirects_to_this_machine(agent: Agent, provider: Provider, uri: str) -> None:
    app = provider.sign_record(provider.record(is_native=True))
    assert opened(agent, provider.begin(app=app, redirect_uri=uri)).domain == "shop.example"
