"""Two workers of one provider: their counts are added up, and each takes a new key of the token up by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from identity_oidc.command import oidc
from tally_service.key_token import KeyToken
from tests.key_token import token
from tests.oidc.conftest import listening
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import ask, members
from tests.oidc.test_service import Service, gateway_of, wait_for

__all__ = ["token"]

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("oidc-service")]
METRICS_TOKEN = "m" * 32
REQUESTS = 40
"""On connections of their own: that one worker takes them all has a chance of 2^-39."""


@pytest.fixture
def running(tmp_path: Path, ledger: LedgerInMemory, token: KeyToken) -> Iterator[Service]:
    with gateway_of(ledger) as gateway:
        with listening() as (_, port):
            pass
        (tmp_path / "members.json").write_text(json.dumps(members()))
        (tmp_path / "metrics.token").write_text(METRICS_TOKEN)
        (tmp_path / "oidc.toml").write_text(
            f'[provider]\nissuer = "http://127.0.0.1:{port}"\nport = {port}\nmembers = "members.json"\nworkers = 2\n'
            f'database = "sqlite:///{tmp_path}/oidc.sqlite"\nmetrics_token_file = "metrics.token"\n'
            f'[keys]\nlook_every_s = 1\npkcs11_module = "{token.module}"\npkcs11_pin_file = "{token.pin_file}"\n'
            f'[ledger]\ngateways = ["{gateway}"]\npoll_s = 0.5\n'
        )
        new_keys(tmp_path)
        service = Service(tmp_path / "oidc.toml", f"http://127.0.0.1:{port}")
        service.start()
        try:
            yield service
        finally:
            service.kill()


def new_keys(directory: Path) -> set[str]:
    made = CliRunner().invoke(oidc, ["keys", "new", "--at-once", "--config", str(directory / "oidc.toml"), "--json"])
    assert made.exit_code == 0, made.output
    return {key["kid"] for key in json.loads(made.output)["keys"]}


def count_of(service: Service, route: str) -> int:
    answer = ask("GET", f"{service.issuer}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status == 200, answer.text
    found = re.search(rf'^tally_oidc_requests_total{{route="{route}",status="2xx"}} (\d+)$', answer.text, re.MULTILINE)
    return int(found[1]) if found else 0


def kids_of(service: Service) -> set[str]:
    return {key["kid"] for key in ask("GET", f"{service.issuer}/jwks").json["keys"]}


def test_workers_count_together_and_take_new_keys_of_the_token_up(running: Service, tmp_path: Path) -> None:
    for _ in range(REQUESTS):
        assert ask("GET", f"{running.issuer}/healthz").status == 200
    assert [count_of(running, "operations.health") for _ in range(8)] == [REQUESTS] * 8, "whichever worker answers"
    assert ask("GET", f"{running.issuer}/metrics").status == 401
    made = new_keys(tmp_path)
    wait_for(lambda: all(kids_of(running) == made for _ in range(8)), "the new keys at both workers")
    assert all(ask("GET", f"{running.issuer}/readyz").status == 200 for _ in range(8)), "each signed with the new one"
    assert "4711" not in (tmp_path / "log").read_text()
