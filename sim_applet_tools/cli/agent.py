"""`tally sim agent`: beside the card, it shows what apps ask and has the card sign the answer."""

from __future__ import annotations

import platform
import sys
import time
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim_applet_tools.cli.agent_account import apps, hold, leave, members, status
from sim_applet_tools.cli.agent_parts import (
    RichConsole,
    assembled_agent,
    card_opener,
    clock,
    connection_options,
    enrolled_at,
    home_option,
    identity_watch,
    in_language,
    passphrase,
)
from sim_applet_tools.cli.card_choice import CardChoice, card_options, seen_nonces
from sim_applet_tools.cli.output import SimGroup, json_option, print_result, read_secret, secret_option
from sim_applet_tools.errors import InputError

if TYPE_CHECKING:
    from sim_applet_tools.agent.app_record import MemberKeys
    from sim_applet_tools.agent.challenge import Language


@click.group(cls=SimGroup, short_help="Log in with the card: enrol, approve, watch.")
def agent() -> None:
    """Log in with the key on the card: this program shows what an app asks, and the card signs the answer.

    Nothing is approved without the PIN, typed each time.
    """


@agent.command(short_help="Enrol this agent at a provider, with the card.")
@click.argument("issuer")
@click.option("--identity", required=True, help="Your identity id (0x and 64 digits), from your operator.")
@click.option("--label", default=lambda: platform.node()[:64] or "agent", help="What your page calls this agent.")
@click.option("--member-keys", type=click.Path(path_type=Path, exists=True), help="Pin these members' keys (JSON).")
@click.option("--fingerprint", help="Pin the provider's list of members' keys if this is its fingerprint.")
@secret_option("--pin-file", "PIN")
@home_option
@connection_options
@in_language
@card_options
@json_option
def enrol(
    card: CardChoice,
    issuer: str,
    identity: str,
    label: str,
    member_keys: Path | None,
    fingerprint: str | None,
    pin_file: str | None,
    home: Path | None,
    gateway: str | None,
    ca_file: str | None,
    key_passphrase_file: str | None,
    language: Language,
    as_json: bool,
) -> None:
    """Make a key for this agent and have the card vouch for it at the provider ISSUER.

    The keys of the members that admit apps are pinned now: compare their fingerprint with what a member publishes, or
    bring them with --member-keys.
    """
    from dataclasses import replace

    from sim_applet_tools.agent.enrolment import enrol as enrol_agent
    from sim_applet_tools.agent.enrolment import load_members, members_fingerprint
    from sim_applet_tools.agent.home import AgentHome
    from sim_applet_tools.agent.http_connection import HttpConnection
    from sim_applet_tools.agent.provider_client import fetch_configuration
    from sim_applet_tools.agent.wording import say

    with HttpConnection(issuer, ca_file=ca_file) as connection, card_opener(card) as open_card:
        configuration = fetch_configuration(issuer, connection)
        if member_keys is not None:
            configuration = replace(configuration, members=load_members(member_keys))
        else:
            _confirm_members(configuration.members, fingerprint, language)
        enrolment = enrol_agent(
            configuration,
            identity,
            label,
            home=AgentHome(home),
            connection=connection,
            open_card=open_card,
            pin=read_secret(pin_file, "PIN"),
            passphrase=passphrase(key_passphrase_file),
            clock=clock,
            seen=seen_nonces(),
            watch=identity_watch(gateway),
        )
    result = {
        "issuer": enrolment.issuer,
        "identity": enrolment.identity,
        "agent_id": enrolment.agent_id,
        "expires_at": enrolment.expires_at,
        "members_fingerprint": members_fingerprint(enrolment.members),
    }
    print_result(result, say(language, "enrolled", issuer=issuer, label=label), as_json=as_json)


@agent.command("open", short_help="Answer one login, from a page's link.")
@click.argument("link")
@home_option
@connection_options
@in_language
@card_options
@json_option
def open_link(
    card: CardChoice,
    link: str,
    home: Path | None,
    gateway: str | None,
    ca_file: str | None,
    key_passphrase_file: str | None,
    language: Language,
    as_json: bool,
) -> None:
    """Show the login behind LINK (tally-agent://..., or - to read it from standard input) and ask what to do."""
    from sim_applet_tools.agent.home import AgentHome
    from sim_applet_tools.agent.issuer import parse_link
    from sim_applet_tools.agent.terminal import TerminalFace

    options = {"gateway": gateway, "ca_file": ca_file, "key_passphrase_file": key_passphrase_file}
    with ExitStack() as stack:
        hand_over = parse_link(sys.stdin.readline() if link == "-" else link)
        place = enrolled_at(AgentHome(home), hand_over.issuer)
        open_card = stack.enter_context(card_opener(card))
        parts = stack.enter_context(assembled_agent(place, open_card, **options))
        face = TerminalFace(parts, RichConsole(), language)
        decision = face.handle(hand_over.handle, hand_over.local_secret)
    uri = None if decision.outcome is None else decision.outcome.completion_uri
    if uri is not None:
        webbrowser.open(uri)
    print_result({"decision": decision.kind, "completion_uri": uri}, uri or decision.kind, as_json=as_json)


@agent.command(short_help="Wait for logins; with a page in your browser.")
@click.option("--issuer", help="The provider, where there are several.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the local page; else as the provider says.")
@click.option("--terminal", "in_terminal", is_flag=True, help="Ask here instead of in the browser.")
@home_option
@connection_options
@in_language
@card_options
@json_option
def run(
    card: CardChoice,
    issuer: str | None,
    port: int | None,
    in_terminal: bool,
    home: Path | None,
    gateway: str | None,
    ca_file: str | None,
    key_passphrase_file: str | None,
    language: Language,
    as_json: bool,
) -> None:
    """Wait for logins until interrupted: those of pages on this machine, and those that come into the inbox."""
    from sim_applet_tools.agent.home import AgentHome
    from sim_applet_tools.agent.page.app import LocalPage
    from sim_applet_tools.agent.page.server import serve_page
    from sim_applet_tools.agent.terminal import TerminalFace
    from sim_applet_tools.agent.waiting import PATROL_S, Patrol, Waiting
    from sim_applet_tools.agent.wording import say

    options = {"gateway": gateway, "ca_file": ca_file, "key_passphrase_file": key_passphrase_file}
    with ExitStack() as stack:
        place = enrolled_at(AgentHome(home), issuer)
        open_card = stack.enter_context(card_opener(card))
        parts = stack.enter_context(assembled_agent(place, open_card, **options))
        console = RichConsole()
        beside = stack.enter_context(assembled_agent(place, open_card, **options))
        patrol = Patrol(beside, console, language, time.monotonic)
        waiting = None
        if in_terminal:
            face = TerminalFace(parts, console, language)
            waiting = Waiting(parts, face, console, beside if parts.enrolment.has_wake else None)
            stack.callback(waiting.close)
        pages: list[LocalPage] = []

        def make_page(host: str) -> LocalPage:
            pages.append(LocalPage(parts, host, language, None if waiting is None else waiting.take))
            return pages[0]

        chosen_port = parts.enrolment.loopback_port if port is None else port
        host = stack.enter_context(serve_page(chosen_port, make_page))
        uri = f"http://{host}" if in_terminal else f"http://{host}{pages[0].home_path}"
        console.show(say(language, "waiting"))
        print_result({"page": uri}, say(language, "waiting_page", uri=uri), as_json=as_json)
        sys.stdout.flush()
        stack.enter_context(suppress(KeyboardInterrupt))
        while waiting is None:
            patrol.go()
            time.sleep(PATROL_S)
        while True:
            patrol.go()
            decision = waiting.next_decision()
            outcome = None if decision is None else decision.outcome
            if outcome is not None and outcome.completion_uri is not None:
                webbrowser.open(outcome.completion_uri)


for command in (status, hold, apps, members, leave):
    agent.add_command(command)


def _confirm_members(members: tuple[MemberKeys, ...], fingerprint: str | None, language: Language) -> None:
    from sim_applet_tools.agent.enrolment import members_fingerprint
    from sim_applet_tools.agent.wording import say

    found = members_fingerprint(members)
    if fingerprint is not None:
        if "".join(fingerprint.split()) != "".join(found.split()):
            raise InputError(f"the provider's list of members' keys has the fingerprint {found}: nothing was done")
        return
    names = ", ".join(f"{member.name} ({member.member})" for member in members)
    click.echo(say(language, "members_offered", names=names, fingerprint=found), err=True)
    click.confirm(say(language, "members_taken"), abort=True, err=True)
