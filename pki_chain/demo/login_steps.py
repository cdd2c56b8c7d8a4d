"""The step that ends it all: a person logs in to an app with the card, and no more once the identity is held."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pki_chain.demo.identity_steps import wait_for_identity
from pki_chain.demo.login_site import LoginSite, missing
from pki_chain.demo.processes import wait_until
from pki_chain.demo.stage import OPERATOR, Stage, require
from pki_chain.demo.visitor import Visitor

Say = Callable[[str], None]


def log_in(stage: Stage, say: Say) -> None:
    """Sample app, provider, agent and card; then a hold by the operator, and its end."""
    if why := missing():
        say(f"left out: {why}")
        return
    site = LoginSite.on_free_ports(stage)
    with stage.timed("OpenID provider, sample app, agent enrolled by the card"):
        reader = site.start_reader()
        site.start_provider()
        site.start_app()
        site.start_agent(reader)
    say(f"provider {site.issuer}, sample app {site.app}, and the person's agent beside the card {site.agent}")
    pin_file = site.desk.folder / "new-pin"
    person = Visitor()
    with stage.timed("a login: app, provider's page, agent, card, back to the app"):
        sub = _log_in(site, person, pin_file)
    where = "in the reader of a real pcscd" if stage.has_reader else "inside of the agent (no reader here)"
    say(f"button, page, agent, PIN: the card {where} signed, and the app knows its customer as {sub}")
    require(person.is_logged_in(site.issuer), "the provider has no session of the person")
    _hold(site, person, say)
    again = _log_in(site, Visitor(), pin_file)
    require(again == sub, f"after the release the app knows its customer as {again}")
    say("released: the same card logs in again, and to the app it is the same customer")
    stage.login = {"sample app": site.app, "login provider": site.issuer, "agent": site.agent, "PIN in": str(pin_file)}
    say("to click through it yourself, let it run on: make demo KEEP=1")


def _log_in(site: LoginSite, person: Visitor, pin_file: Path) -> str:
    """The customer's name at the app."""
    orders = person.log_in(site.app, pin_file.read_text(encoding="ascii").strip())
    found = re.search(r"Customer <code>([^<]+)</code>, mail address: [^<]+@people\.example", orders.text)
    require(orders.status == 200 and found is not None, f"the app shows no orders: {orders.status} {orders.text[:300]}")
    return found[1] if found else ""


def _hold(site: LoginSite, person: Visitor, say: Say) -> None:
    stage = site.stage
    identity = stage.identity
    with stage.timed("a held identity's session ended, from the command on"):
        stage.tally(OPERATOR, "identity", "hold", identity)
        wait_until("the held identity's session ends", lambda: not person.is_logged_in(site.issuer))
    wait_for_identity(stage, identity, "held")
    refused = Visitor().ask_agent(site.app)
    require(not refused.fields("checkbox") and "held" in refused.message(), f"a held identity: {refused.message()}")
    say(f"held: the session at the provider is over, and the next login is refused: {refused.message()}")
    stage.tally(OPERATOR, "identity", "release", identity)
    wait_for_identity(stage, identity, "active")
