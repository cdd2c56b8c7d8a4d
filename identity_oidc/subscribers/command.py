"""`tally subscribers`: check an operator's subscriber base, or make one of invented people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from identity_oidc.subscribers.errors import SubscriberError, SubscriberSettingError

_EPILOG = (
    "\b\nExit codes:\n  0    done\n  2    wrong usage\n  65   a row is not of the form asked for\n"
    "  69   the database does not answer, or lacks a view\n  78   a setting is missing or wrong"
)
_MOST_BYTES = 64 << 20

url_argument = click.argument("url", metavar="URL|FILE")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


class SubscribersGroup(click.Group):
    """Reports this package's errors as one line, or with `--json` as one object, and exits with their code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SubscriberError as error:
            as_json = "--json" in ctx.meta.get("arguments", ())
            document = {"error": error.code, "message": error.message, "exit_code": error.exit_code}
            click.echo(json.dumps(document) if as_json else f"error: {error.message}", err=True)
            ctx.exit(error.exit_code)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["arguments"] = tuple(args)
        return super().parse_args(ctx, args)


@click.group(name="subscribers", cls=SubscribersGroup, short_help="The operator's subscriber base.")
def subscribers() -> None:
    """The operator's subscriber base: who a person is stays there, and nowhere else.

    URL is an SQLAlchemy address without a password, such as sqlite:///people.sqlite; FILE holds one, with a password
    where it needs one.
    """


@subscribers.command(epilog=_EPILOG, short_help="Check that the documented views are there.")
@url_argument
@json_option
def check(url: str, *, as_json: bool) -> None:
    """Ask each view of docs/subscribers.md for a row with all its columns."""
    from identity_oidc.subscribers.sql import SqlSubscriberBase
    from identity_oidc.subscribers.views import VIEWS

    base = SqlSubscriberBase.open(read_url(url))
    try:
        base.check()
    finally:
        base.close()
    names = [view.name for view in VIEWS]
    _print({"views": names}, f"views there: {', '.join(names)}", as_json=as_json)


@subscribers.command(epilog=_EPILOG, short_help="Make invented people in an empty database.")
@url_argument
@click.option(
    "--batch",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Batch file of `tally identity prepare`: give its identities to people that have none, in order.",
)
@json_option
def demo(url: str, batch: Path | None, *, as_json: bool) -> None:
    """Make tables, views and twelve invented people, unless they are there; with --batch, give them identities."""
    from identity_oidc.subscribers.demo import assign_identities, create_demo_people, has_demo_people

    address = read_url(url)
    people: tuple[str, ...] = ()
    if batch is None or not has_demo_people(address):
        people = create_demo_people(address)
    given = assign_identities(address, read_identities(batch)) if batch is not None else {}
    text = [f"{len(people)} invented people made"] if people else []
    text += [f"{person}: identity 0x{identity}" for person, identity in given.items()]
    _print({"people": list(people), "identities": given}, "\n".join(text), as_json=as_json)


def read_url(text: str) -> str:
    """The address given, or the one in the file given. Raises `SubscriberSettingError`."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if "://" not in text:
        try:
            return Path(text).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SubscriberSettingError(
                f"{text!r} is neither a database's address nor a file that holds one: see docs/subscribers.md"
            ) from error
    try:
        has_password = make_url(text).password is not None
    except ArgumentError as error:
        raise SubscriberSettingError("the database's address is none that SQLAlchemy knows") from error
    if has_password:
        raise SubscriberSettingError("no password on a command line: put the address into a file, and name the file")
    return text


def read_identities(path: Path) -> tuple[bytes, ...]:
    """Identity ids of a batch file (docs/identity.md). Raises `SubscriberSettingError`."""
    from identity_oidc.subscribers.views import read_identity_id

    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(_MOST_BYTES))
        texts = content["identities"]
        found = tuple(read_identity_id(text.removeprefix("0x").lower()) for text in texts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SubscriberSettingError(f"{path} is no batch file of `tally identity prepare`") from error
    identities = tuple(each for each in found if each is not None)
    if len(identities) != len(found):
        raise SubscriberSettingError(f"{path} has an identity that is not 32 bytes in hexadecimal")
    return identities


def _print(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else text)
