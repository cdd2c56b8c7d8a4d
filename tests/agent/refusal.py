"""What tests of refusals share."""

from __future__ import annotations

from typing import Any

import pytest

from sim_applet_tools.agent.agent import Agent, Prompt
from sim_applet_tools.errors import (
    ChallengeRefusedError,
)
from tests.agent.provider import Login, Provider


def opened(agent: Agent, login: Login) -> Prompt:
    return agent.open(login.local_handle, login.local_secret, "en")


def refused(agent: Agent, provider: Provider, match: str, **begin: Any) -> None:
    """The challenge is not shown, for this reason, and the card was not asked."""
    login = provider.begin(**begin)
    with pytest.raises(ChallengeRefusedError, match=match):
        opened(agent, login)
    assert login.state == "open"
