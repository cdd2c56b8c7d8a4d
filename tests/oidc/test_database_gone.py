"""A database that is away: nobody logs in, nothing is taken for granted, and afterwards all goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from identity_oidc.provider import Provider
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, RelyingParty, ask


def _is_no_file(path: Path) -> None:
    path.mkdir()


def _is_empty(path: Path) -> None:
    path.touch()


def _is_no_database(path: Path) -> None:
    path.write_bytes(b"something else " * 1_000)


@contextmanager
def gone(provider: Provider, directory: Path, instead: Callable[[Path], None]) -> Iterator[None]:
    """Without the database's files, and with something else in their place."""
    path, away = directory / "oidc.sqlite", directory / "away"
    away.mkdir(exist_ok=True)
    provider.database.close()
    files = list(directory.glob("oidc.sqlite*"))
    assert path in files
    for file in files:
        shutil.move(file, away)
    instead(path)
    try:
        yield
    finally:
        provider.database.close()
        for left in directory.glob("oidc.sqlite*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for file in files:
            shutil.move(away / file.name, file)


@pytest.mark.parametrize("instead", [_is_no_file, _is_empty, _is_no_database])
def test_a_database_that_is_gone_is_told_and_takes_nothing(  # noqa: PLR0917  fixtures
    provider: Provider,
    app: RelyingParty,
    browser: Browser,
    ledger: LedgerInMemory,
    tmp_path: Path,
    instead: Callable[[Path], None],
) -> None:
    soft = SoftAgent.enrolled(app.issuer, ledger, IDENTITY)
    challenge = soft.challenge(app.begin(browser))
    body = soft.approval(challenge)
    with gone(provider, tmp_path, instead):
        assert browser.get(app.address()).status == 503
        refused = soft.approve(challenge, body)
        assert (refused.status, refused.json["code"]) == (503, "storage")
        assert app.redeem("x" * 43).status == 503
        ready = ask("GET", f"{app.issuer}/readyz")
        assert (ready.status, ready.json["failing"]) == (503, ["database"])
        assert ask("GET", f"{app.issuer}/healthz").status == 200
        for answer in (refused, ready):
            assert str(tmp_path) not in answer.text
            assert "sqlite" not in answer.text.lower()
    done = browser.get(soft.approve(challenge, body).json["completion_uri"])
    code = done.parameters["code"]
    with gone(provider, tmp_path, instead):
        assert app.redeem(code).status == 503
    tokens = app.redeem(code)
    assert tokens.status == 200, "a code that could not be taken is not used up"
    with gone(provider, tmp_path, instead):
        assert app.userinfo(tokens.json["access_token"]).status == 503
        assert app.ask("introspect", token=tokens.json["access_token"]).status == 503
    assert app.userinfo(tokens.json["access_token"]).status == 200
