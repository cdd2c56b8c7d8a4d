"""What the commands of `tally sim agent` are put together from: enrolments, card, console, watch on the ledger."""

from __future__ import annotations

import locale
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim_applet_tools.cli.card_choice import CardChoice, seen_nonces
from sim_applet_tools.cli.output import read_secret
from sim_applet_tools.errors import ConfigurationError, NotEnrolledError, SimError, WatchUnavailableError

if TYPE_CHECKING:
    from sim_applet_tools.agent.agent import Agent
    from sim_applet_tools.agent.card import OpenCard
    from sim_applet_tools.agent.challenge import Language
    from sim_applet_tools.agent.home import AgentHome, ProviderHome
    from sim_applet_tools.agent.terminal import Style
    from sim_applet_tools.agent.watch import IdentitySight, IdentityWatch
    from sim_applet_tools.iot_safe.session import IotSafeApplet

WATCH_ENTRY_POINTS = "tally.identity_watch"
WATCH_TIMEOUT_S = 3.0


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="TALLY_AGENT_HOME",
        help="Folder of the agent instead of ~/.local/state/tally/agent.",
    )(command)


def provider_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--ca-file`, `--key-passphrase-file`."""
    for option in (
        click.option("--ca-file", envvar="TALLY_AGENT_CA_FILE", help="Roots for TLS instead of the system's (PEM)."),
        click.option(
            "--key-passphrase-file",
            metavar="FILE",
            envvar="TALLY_AGENT_KEY_PASSPHRASE_FILE",
            help="Passphrase of the agent's own key.",
        ),
    ):
        command = option(command)
    return command


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`provider_options` and `--gateway`."""
    gateway = click.option(
        "--gateway", envvar="TALLY_AGENT_GATEWAY", metavar="URL", help="Gateways (commas) to ask about your identity."
    )
    return gateway(provider_options(command))


def language_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--language", type=click.Choice(["en", "zh"]), envvar="TALLY_AGENT_LANGUAGE", help="Else your locale's."
    )(command)


def in_language(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--language`: the command gets the one chosen as `language`, and what fails in it is said in that."""

    @wraps(command)
    def speaking(*arguments: Any, language: str | None, **options: Any) -> Any:
        from sim_applet_tools.agent.error_wording import errors_in

        chosen = chosen_language(language)
        with errors_in(chosen):
            return command(*arguments, language=chosen, **options)

    return language_option(speaking)


def clock() -> int:
    """Seconds since 1970."""
    return int(time.time())


def chosen_language(language: str | None) -> Language:
    name = language or os.environ.get("LC_ALL") or os.environ.get("LANG") or (locale.getlocale()[0] or "")
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"


def passphrase(key_passphrase_file: str | None) -> bytes | None:
    if key_passphrase_file is None:
        return None
    return read_secret(key_passphrase_file, "passphrase of the agent's key").encode()


def enrolled_at(home: AgentHome, issuer: str | None) -> ProviderHome:
    """The provider named, or the only one."""
    if issuer is not None:
        place = home.provider(issuer)
        place.load_enrolment()
        return place
    places = home.enrolled()
    if not places:
        raise NotEnrolledError("this agent is not enrolled anywhere: `tally sim agent enrol ISSUER --identity ID`")
    if len(places) > 1:
        names = ", ".join(place.load_enrolment().issuer for place in places)
        raise ConfigurationError(f"this agent is enrolled at several providers: name one with --issuer: {names}")
    return places[0]


@contextmanager
def card_opener(card: CardChoice) -> Iterator[OpenCard]:
    """Reaches a reader anew each time; a card file is opened once, so that its passphrase is asked for once."""
    if card.card_file is None:
        yield card.applet
        return
    with card.applet() as applet:

        @contextmanager
        def opened() -> Iterator[IotSafeApplet]:
            applet.select()
            yield applet

        yield opened


@contextmanager
def assembled_agent(
    place: ProviderHome,
    open_card: OpenCard,
    *,
    gateway: str | None,
    ca_file: str | None,
    key_passphrase_file: str | None,
) -> Iterator[Agent]:
    """The agent of one enrolment."""
    from sim_applet_tools.agent.agent import Agent
    from sim_applet_tools.agent.agent_key import load_key
    from sim_applet_tools.agent.http_connection import HttpConnection
    from sim_applet_tools.agent.provider_client import ProviderClient

    enrolment = place.load_enrolment()
    key = load_key(place.key_path, passphrase(key_passphrase_file))
    with ExitStack() as stack:
        connection = stack.enter_context(HttpConnection(enrolment.issuer, ca_file=ca_file))
        client = ProviderClient(enrolment.issuer, connection, key, enrolment.access_token, clock)
        watch = identity_watch(gateway)
        yield Agent(enrolment, key, client, place, open_card, clock=clock, seen=seen_nonces(), watch=watch)


def identity_watch(gateway: str | None) -> IdentityWatch | None:
    """The adapter that an installed package registers for looking at identities through a gateway's REST interface.

    Entry point group `tally.identity_watch`, name `gateway`: a callable `(url, timeout_s)` that gives an object with
    `look(identity)`; what that gives has the attributes of `IdentitySight`.
    """
    if gateway is None:
        return None
    from importlib.metadata import entry_points

    found = next(iter(entry_points(group=WATCH_ENTRY_POINTS, name="gateway")), None)
    if found is None:
        raise ConfigurationError(
            "--gateway needs the package pki_chain of the same version: install it, or leave it out"
        )
    return _Guarded(found.load, gateway)


class _Guarded:
    """Another package's watch: what it gives becomes our values, what it raises our error.

    It is loaded at its first look, which is beside the provider's and the card's answers and not before them.
    """

    def __init__(self, load: Callable[[], Any], gateway: str) -> None:
        self._load = load
        self._gateway = gateway
        self._inner: Any = None

    def look(self, identity: str) -> IdentitySight:
        from sim_applet_tools.agent.watch import IdentityKey, IdentitySight

        try:
            self._inner = self._inner or self._load()(self._gateway, WATCH_TIMEOUT_S)
            sight = self._inner.look(identity)
        except SimError:
            raise
        except Exception as error:  # whatever it is, the person is told, and nothing is taken for granted
            text = str(getattr(error, "message", error))
            raise WatchUnavailableError(f"the gateway gives no answer about your identity: {text}") from error
        waiting = sight.replacement_key
        return IdentitySight(
            identity=identity,
            state=sight.state,
            keys=tuple(IdentityKey(key.x, key.y, key.since) for key in sight.keys),
            block_time=sight.block_time,
            replacement_due_at=sight.replacement_due_at,
            replacement_key=None if waiting is None else IdentityKey(waiting.x, waiting.y, waiting.since),
        )


class RichConsole:
    """A terminal. Names and texts are printed as they are: no markup, no emoji codes, no highlighting."""

    _STYLES = {"plain": "", "strong": "bold", "info": "cyan", "warning": "bold yellow", "alarm": "bold white on red"}  # noqa: RUF012

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def show(self, text: str, style: Style = "plain") -> None:
        self._console.print(text, style=self._STYLES[style] or None)

    def ask(self, question: str) -> str:
        return str(click.prompt(question, default="", show_default=False, err=True)).strip()

    def ask_secret(self, question: str) -> str:
        return str(click.prompt(question, default="", show_default=False, hide_input=True, err=True)).strip()
