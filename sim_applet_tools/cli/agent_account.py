"""`tally sim agent status|hold|apps|members|leave`: the agent's own affairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim_applet_tools.cli.agent_parts import (
    assembled_agent,
    card_opener,
    clock,
    connection_options,
    enrolled_at,
    home_option,
    in_language,
    passphrase,
    provider_options,
)
from sim_applet_tools.cli.card_choice import CardChoice, card_options
from sim_applet_tools.cli.output import json_option, print_result
from sim_applet_tools.errors import InputError

if TYPE_CHECKING:
    from sim_applet_tools.agent.challenge import Language
    from sim_applet_tools.agent.home import ProviderHome
    from sim_applet_tools.agent.provider_client import HoldReason, ProviderClient


@click.command(short_help="Enrolments, card, and identity on the ledger.")
@click.option("--issuer", help="The provider, where there are several.")
@home_option
@connection_options
@in_language
@card_options
@json_option
def status(
    card: CardChoice,
    issuer: str | None,
    home: Path | None,
    gateway: str | None,
    ca_file: str | None,
    key_passphrase_file: str | None,
    language: Language,
    as_json: bool,
) -> None:
    """Look at the card's counter and at your identity on the ledger; exits 1 where there is an alarm."""
    from sim_applet_tools.agent.enrolment import members_fingerprint
    from sim_applet_tools.agent.home import AgentHome
    from sim_applet_tools.agent.wording import say_notice, sorted_notices

    options = {"gateway": gateway, "ca_file": ca_file, "key_passphrase_file": key_passphrase_file}
    with ExitStack() as stack:
        place = enrolled_at(AgentHome(home), issuer)
        open_card = stack.enter_context(card_opener(card))
        parts = stack.enter_context(assembled_agent(place, open_card, **options))
        sights = parts.look()
        enrolment = parts.enrolment
    notices = sorted_notices(sights.notices)
    result = {
        "issuer": enrolment.issuer,
        "identity": enrolment.identity,
        "expires_at": enrolment.expires_at,
        "members_fingerprint": members_fingerprint(enrolment.members),
        "state": None if sights.identity is None else sights.identity.state,
        "counter": None if sights.card is None else sights.card.signature_counter,
        "notices": [{"code": notice.code, "level": notice.level, **notice.values} for notice in notices],
    }
    lines = [f"{name}: {value}" for name, value in result.items() if name != "notices" and value is not None]
    lines += [say_notice(language, notice) for notice in notices]
    print_result(result, "\n".join(lines), as_json=as_json)
    if any(notice.level == "alarm" for notice in notices):
        click.get_current_context().exit(1)


@click.command(short_help="Have the operator hold your identity at once.")
@click.option("--reason", type=click.Choice(["lost", "stolen", "unknown-key", "unknown-login"]), required=True)
@click.option("--issuer", help="The provider, where there are several.")
@home_option
@provider_options
@in_language
@json_option
def hold(
    reason: HoldReason,
    issuer: str | None,
    home: Path | None,
    ca_file: str | None,
    key_passphrase_file: str | None,
    language: Language,
    as_json: bool,
) -> None:
    """Hold your identity: every login ends until your operator releases it. Needs no card."""
    from sim_applet_tools.agent.home import AgentHome
    from sim_applet_tools.agent.wording import say

    place = enrolled_at(AgentHome(home), issuer)
    with _client(place, ca_file, key_passphrase_file) as client:
        client.hold(reason)
    print_result({"held": True, "reason": reason}, say(language, "held_done"), as_json=as_json)


@click.command(short_help="Apps seen and blocked here.")
@click.option("--unblock", metavar="CLIENT_ID", help="Lift a block of this agent.")
@click.option("--issuer", help="The provider, where there are several.")
@home_option
@json_option
def apps(unblock: str | None, issuer: str | None, home: Path | None, as_json: bool) -> None:
    """List the apps that you approved or blocked with this agent."""
    from dataclasses import asdict, replace

    from sim_applet_tools.agent.home import AgentHome

    place = enrolled_at(AgentHome(home), issuer)
    memory = place.memory()
    if unblock is not None:
        if unblock not in memory.apps:
            raise InputError(f"no app {unblock!r} was seen here: `tally sim agent apps` lists them")
        memory = place.change(
            lambda before: replace(
                before, apps={**before.apps, unblock: replace(before.apps[unblock], is_blocked=False)}
            )
        )
    rows = {client_id: asdict(app) for client_id, app in memory.apps.items()}
    lines = [f"{client_id}  {row['name']}{'  BLOCKED' if row['is_blocked'] else ''}" for client_id, row in rows.items()]
    print_result({"apps": rows}, "\n".join(lines) or "none yet", as_json=as_json)


@click.command(short_help="Compare and take the members' keys.")
@click.option("--accept", metavar="FINGERPRINT", help="Pin the provider's list if this is its fingerprint.")
@click.option("--issuer", help="The provider, where there are several.")
@click.option("--ca-file", envvar="TALLY_AGENT_CA_FILE", help="Roots for TLS instead of the system's (PEM).")
@home_option
@json_option
def members(accept: str | None, issuer: str | None, ca_file: str | None, home: Path | None, as_json: bool) -> None:
    """Compare the pinned keys of the members that admit apps with those that the provider names now."""
    from dataclasses import replace

    from sim_applet_tools.agent.enrolment import members_fingerprint
    from sim_applet_tools.agent.home import AgentHome
    from sim_applet_tools.agent.http_connection import HttpConnection
    from sim_applet_tools.agent.provider_client import fetch_configuration

    place = enrolled_at(AgentHome(home), issuer)
    enrolment = place.load_enrolment()
    with HttpConnection(enrolment.issuer, ca_file=ca_file) as connection:
        offered = fetch_configuration(enrolment.issuer, connection).members
    pinned, now = members_fingerprint(enrolment.members), members_fingerprint(offered)
    if accept is not None:
        if "".join(accept.split()) != "".join(now.split()):
            raise InputError(f"the provider's list has the fingerprint {now}, not {accept}: nothing was changed")
        place.store_enrolment(replace(enrolment, members=offered))
        pinned = now
    names = ", ".join(f"{member.name} ({member.member})" for member in offered)
    text = f"pinned:  {pinned}\noffered: {now}\nmembers: {names}"
    print_result({"pinned": pinned, "offered": now, "same": pinned == now}, text, as_json=as_json)


@click.command(short_help="End the enrolment at a provider.")
@click.option("--issuer", help="The provider, where there are several.")
@home_option
@provider_options
@in_language
@json_option
def leave(
    issuer: str | None,
    home: Path | None,
    ca_file: str | None,
    key_passphrase_file: str | None,
    language: Language,
    as_json: bool,
) -> None:
    """End this agent's enrolment and forget its key."""
    from sim_applet_tools.agent.home import AgentHome
    from sim_applet_tools.agent.wording import say
    from sim_applet_tools.errors import NotEnrolledError

    place = enrolled_at(AgentHome(home), issuer)
    try:
        with _client(place, ca_file, key_passphrase_file) as client:
            client.leave()
    except NotEnrolledError:
        click.echo(say(language, "left_before"), err=True)
    place.remove()
    print_result({"left": True}, say(language, "left"), as_json=as_json)


@contextmanager
def _client(place: ProviderHome, ca_file: str | None, key_passphrase_file: str | None) -> Iterator[ProviderClient]:
    """Calls to the provider that need no card."""
    from sim_applet_tools.agent.agent_key import load_key
    from sim_applet_tools.agent.http_connection import HttpConnection
    from sim_applet_tools.agent.provider_client import ProviderClient

    enrolment = place.load_enrolment()
    key = load_key(place.key_path, passphrase(key_passphrase_file))
    with HttpConnection(enrolment.issuer, ca_file=ca_file) as connection:
        yield ProviderClient(enrolment.issuer, connection, key, enrolment.access_token, clock)
