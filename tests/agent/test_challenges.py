"""Challenges that are not shown: out of place, of another form, for another agent, come by another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim_applet_tools.agent.agent import Agent
from sim_applet_tools.agent.challenge import PLAIN_BYTES
from sim_applet_tools.errors import (
    ProviderAnswerError,
    ProviderRefusedError,
)
from tests.agent.conftest import IDENTITY, PIN, clock, enrolled, new_person
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider
from tests.agent.refusal import opened, refused

# --- the challenge


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"issuer": "https://other.example"}, "another provider"),
        ({"exp": clock() - 1, "iat": clock() - 100}, "run out"),
        ({"iat": clock() + 600, "exp": clock() + 700}, "not valid yet"),
        ({"exp": clock() + 3600}, "lives longer"),
        ({"mode": "remote"}, "does not fit"),
        ({"mode": "ciba"}, "redirect address"),
        ({"language": "zh"}, "not how it came here"),
    ],
)
def test_a_challenge_out_of_place(agent: Agent, provider: Provider, change: dict[str, Any], match: str) -> None:
    provider.bend_challenge = lambda challenge: {**challenge, **change}
    refused(agent, provider, match)


def test_a_login_that_leads_back_to_nowhere(agent: Agent, provider: Provider) -> None:
    """Only what came without a browser (ciba) has no address to return to."""

    def bend(challenge: dict[str, Any]) -> dict[str, Any]:
        return {**challenge, "request": {**challenge["request"], "redirect_uri": ""}}

    provider.bend_challenge = bend
    refused(agent, provider, "redirect address")


def test_a_salt_used_twice(agent: Agent, provider: Provider) -> None:
    provider.bend_challenge = lambda challenge: {**challenge, "leaf_salt": challenge["ctx_salt"]}
    refused(agent, provider, "one salt twice")


@pytest.mark.parametrize("acr", ["urn:tally:acr:remote"])
def test_a_local_login_never_carries_the_remote_acr(agent: Agent, provider: Provider, acr: str) -> None:
    refused(agent, provider, "does not fit", acr=acr)


@pytest.mark.parametrize(
    "request_",
    [
        {"purpose": "to\u2066sell"},
        {"items": [{"name": "email", "purpose": "x\u0000y", "essential": False}]},
        {"authorization_details": [{"type": "door", "place": "\u202edoor"}]},
    ],
)
def test_texts_that_may_not_be_shown(agent: Agent, provider: Provider, request_: dict[str, Any]) -> None:
    refused(agent, provider, "holds", **request_)


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"sub": ""},
        {"sub": 7},
        {"kind": "payment"},
        {"challenge_id": "short"},
        {"ctx_salt": "AA"},
        {"session": {"digest": "x", "browser": "", "is_known": True}},
        {"iat": 1.5},
        {"iat": True},
        {"exp": 1 << 60},
    ],
)
def test_a_challenge_of_another_form(agent: Agent, provider: Provider, change: dict[str, Any]) -> None:
    provider.bend_challenge = lambda challenge: {**challenge, **change}
    with pytest.raises(ProviderAnswerError):
        opened(agent, provider.begin())


def test_items_out_of_order_or_twice(agent: Agent, provider: Provider) -> None:
    email, name = ({"name": each, "purpose": "", "essential": False} for each in ("email", "name"))
    for items in ([name, email], [email, email]):
        with pytest.raises(ProviderAnswerError, match="order"):
            opened(agent, provider.begin(items=items))


@pytest.mark.parametrize(
    "bend",
    [
        lambda plain: plain.rstrip(),
        lambda plain: plain + b" ",
        lambda plain: plain[:-1].replace(b'"kind"', b'"kind":"login","kind"')[:PLAIN_BYTES].ljust(PLAIN_BYTES),
        lambda _: b"[" * PLAIN_BYTES,
        lambda _: b"\xff" * PLAIN_BYTES,
        lambda _: b" " * PLAIN_BYTES,
    ],
)
def test_a_plaintext_of_another_form(agent: Agent, provider: Provider, bend: Callable[[bytes], bytes]) -> None:
    provider.bend_plain = bend
    with pytest.raises(ProviderAnswerError):
        opened(agent, provider.begin())


def test_a_challenge_for_another_agent_s_key(agent: Agent, provider: Provider) -> None:
    from joserfc import jwe  # noqa: PLC0415
    from joserfc.jwk import ECKey  # noqa: PLC0415

    header = {"alg": "ECDH-ES", "enc": "A256GCM"}
    other = jwe.encrypt_compact(header, b"{}".ljust(PLAIN_BYTES), ECKey.generate_key("P-256"))
    for bent in (other, "a.b.c", "x" * 40_000, "....", other[:-4] + "AAAA"):
        provider.bend_jwe = lambda _, bent=bent: bent
        with pytest.raises(ProviderAnswerError):
            opened(agent, provider.begin())


def test_other_algorithms_are_not_decrypted(agent: Agent, provider: Provider) -> None:
    from joserfc import jwe  # noqa: PLC0415

    key = next(iter(provider.agents.values())).key
    for alg, enc in (("ECDH-ES+A128KW", "A256GCM"), ("ECDH-ES", "A128CBC-HS256")):
        sealed = jwe.encrypt_compact({"alg": alg, "enc": enc}, b"{}".ljust(PLAIN_BYTES), key, algorithms=[alg, enc])
        provider.bend_jwe = lambda _, sealed=sealed: sealed
        with pytest.raises(ProviderAnswerError, match="not encrypted to this agent"):
            opened(agent, provider.begin())


# --- two agents, two ways


def test_a_challenge_belongs_to_the_first_agent_that_fetches_it(
    agent: Agent, provider: Provider, ledger: Ledger, tmp_path: Path
) -> None:
    other_person = new_person(ledger, "0x" + "77" * 32)
    with enrolled(provider, other_person, tmp_path / "other") as other:
        login = provider.begin()
        prompt = opened(agent, login)
        with pytest.raises(ProviderRefusedError, match="another agent") as caught:
            opened(other, login)
        assert caught.value.reason == "challenge-taken"
        with pytest.raises(ProviderRefusedError) as caught:
            other.approve(prompt, PIN)
        assert caught.value.reason == "unknown-challenge"
        agent.approve(opened(agent, login), PIN)
    assert login.identity == IDENTITY


def test_a_local_handle_needs_its_secret_and_a_remote_one_has_none(agent: Agent, provider: Provider) -> None:
    login = provider.begin()
    for secret in (None, "x" * 22):
        with pytest.raises(ProviderRefusedError, match="not known"):
            agent.open(login.local_handle, secret, "en")
    remote = provider.begin(mode="remote")
    with pytest.raises(ProviderRefusedError, match="not known"):
        agent.open(remote.remote_handle, "x" * 22, "en")
    with pytest.raises(ProviderRefusedError, match="not known"):
        agent.open("unknown-handle-of-22-chars", None, "en")


def test_a_remote_challenge_for_a_local_hand_over_is_not_shown(agent: Agent, provider: Provider) -> None:
    """A provider that turned a login on this machine into a weaker one."""
    provider.bend_challenge = lambda each: {
        **each,
        "mode": "remote",
        "request": {**each["request"], "acr": "urn:tally:acr:remote"},
    }
    refused(agent, provider, "not how it came here")
