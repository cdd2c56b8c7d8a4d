"""The native sample as a process of its own: it opens "the system's browser", and learns who logged in by loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from identity_oidc.provider import Provider
from sim_applet_tools.agent.agent import Agent
from tests.agent.conftest import PIN
from tests.oidc.parties import Answer, Browser, LoginPage, add_client, ask

BOUND_S = 60.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def native(provider: Provider) -> str:
    add_client(
        provider,
        "native",
        record={"is_native": True},
        redirect_uris=["http://127.0.0.1/callback"],
        token_endpoint_auth_method="none",
    )
    return "native"


@contextmanager
def running(provider: Provider, client_id: str, directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The app, and the address that it had the system open."""
    opened, program = directory / "opened", directory / "browser"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" >{opened}.new && mv {opened}.new {opened}\n')
    program.chmod(0o700)
    command = [sys.executable, "-m", "examples.native_app.native_app", provider.issuer, client_id]
    environment = os.environ | {"BROWSER": f"{program} %s"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        end, pause = time.monotonic() + BOUND_S, threading.Event()
        while not opened.exists():
            assert process.poll() is None, "the app ended"
            assert time.monotonic() < end, "the app opened no browser"
            pause.wait(0.05)
        yield process, opened.read_text()
    finally:
        process.kill()
        process.communicate()


def approve(browser: Browser, agent: Agent, address: str) -> Answer:
    shown = browser.get(address)
    page = LoginPage(shown.location.partition("?")[0], browser.get(shown.location))
    outcome = agent.approve(agent.open(page.handle, page.local_secret, "en"), PIN)
    assert outcome.completion_uri is not None
    return browser.get(outcome.completion_uri)


def test_a_native_app_logs_in_by_the_system_browser(
    provider: Provider, native: str, browser: Browser, agent: Agent, tmp_path: Path
) -> None:
    with running(provider, native, tmp_path) as (process, address):
        asked = parse_qs(urlsplit(address).query)
        assert asked["code_challenge_method"] == ["S256"]
        port = urlsplit(asked["redirect_uri"][0]).port
        assert port not in {None, 80}, "the system chose it"
        done = approve(browser, agent, address)
        forged = f"http://127.0.0.1:{port}/callback?code=x&state=another&iss=x"
        assert ask("GET", forged).status == 404, "an answer to no question of ours"
        assert ask("GET", f"http://127.0.0.1:{port}/other").status == 404
        assert ask("GET", done.location).status == 200
        output, _ = process.communicate(timeout=BOUND_S)
        assert process.returncode == 0
        assert output.startswith("logged in: ")
        assert "@people.example" in output


def test_a_native_app_refuses_an_answer_of_another_provider(
    provider: Provider, native: str, browser: Browser, agent: Agent, tmp_path: Path
) -> None:
    with running(provider, native, tmp_path) as (process, address):
        done = approve(browser, agent, address)
        ask("GET", done.location.partition("&iss=")[0] + "&iss=https%3A%2F%2Fevil.example")
        output, _ = process.communicate(timeout=BOUND_S)
        assert process.returncode == 1
        assert output == "not logged in: the answer comes from another provider\n"


def test_a_code_of_a_native_app_is_worth_nothing_without_its_verifier(
    provider: Provider, native: str, browser: Browser, agent: Agent, tmp_path: Path
) -> None:
    with running(provider, native, tmp_path) as (_, address):
        done = approve(browser, agent, address)
        form = {"grant_type": "authorization_code", "client_id": native, "code": done.parameters["code"]}
        stolen = form | {"redirect_uri": done.location.partition("?")[0]}
        for verifier in ({}, {"code_verifier": "x" * 43}):
            answer = browser.post(f"{provider.issuer}/token", stolen | verifier)
            assert answer.json["error"] in {"invalid_grant", "invalid_request"}
