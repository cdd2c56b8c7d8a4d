"""`tally oidc`: the OpenID provider, its apps, keys, grants and sessions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from identity_oidc.config import ProviderConfig
from identity_oidc.errors import InputError, NotFoundError, ProviderError

JSON_KEY: Final = "identity_oidc.json"
EXIT_CODES: Final = (
    "\b\nExit codes:\n  0    done\n  2    wrong usage\n  65   an input is not of the form asked for\n"
    "  66   no such thing\n  69   the token with the signing keys does not sign\n"
    "  70   a defect of this program\n  74   a file or database could not be read or written\n"
    "  75   what is known of the ledger is too old\n  78   a setting is missing or wrong"
)


class OidcGroup(click.Group):
    """Reports this package's errors as one line, or with `--json` as one object, and exits with their code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if not isinstance(cmd, click.Group):
            cmd.epilog = cmd.epilog or EXIT_CODES
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ProviderError as error:
            content = {"error": error.code, "message": error.message, "exit_code": error.exit_code}
            click.echo(json.dumps(content) if ctx.meta.get(JSON_KEY) else f"error: {error.message}", err=True)
            ctx.exit(error.exit_code)


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    ctx.meta[JSON_KEY] = value or bool(ctx.meta.get(JSON_KEY))
    return bool(ctx.meta[JSON_KEY])


_json_option: Final = click.option(
    "--json", "as_json", is_flag=True, callback=_remember, is_eager=True, help="Print one JSON object, not text."
)


def provider_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--config` and `--json`, and passes the settings as first argument."""

    @click.option(
        "--config",
        "config_path",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("oidc.toml"),
        envvar="TALLY_OIDC_CONFIG",
        show_default=True,
        show_envvar=True,
        help="The provider's settings.",
    )
    @_json_option
    @wraps(function)
    def command(*arguments: Any, config_path: Path, **options: Any) -> Any:
        return function(ProviderConfig.load(config_path), *arguments, **options)

    return command


def show(content: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False) if as_json else text)


@click.group(name="oidc", cls=OidcGroup, short_help="Log people in to apps with the key on their SIM.")
def oidc() -> None:
    """The OpenID provider: serve it, register apps, rotate its keys, look at grants and sessions."""


@oidc.command(short_help="Serve until SIGTERM or SIGINT.")
@provider_command
def serve(config: ProviderConfig, *, as_json: bool) -> None:
    """Serve on [provider] host and port until SIGTERM or SIGINT."""
    from identity_oidc.service.supervisor import run

    address = f"http://{config.provider.host}:{config.provider.port}"
    show({"issuer": config.issuer, "address": address}, f"{config.issuer} starts at {address}", as_json=as_json)
    run(config)


@oidc.group(name="app", cls=OidcGroup, short_help="Register and withdraw apps.")
def app() -> None:
    """Apps that members admitted."""


@app.command(name="sign", short_help="Sign an app's registration record as the member that admits it.")
@click.argument("record", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key",
    "key_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The member's private key: PEM, P-256.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Holds the key's passphrase, where it has one.",
)
@_json_option
def sign_app(*, record: Path, key_path: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Print RECORD (JSON, docs/sim-agent-api.yaml AppRecord) signed by the member's key. Needs no provider."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from identity_oidc.clients import parse_record
    from identity_oidc.registration import sign_record

    passphrase = passphrase_file.read_bytes().strip() if passphrase_file else None
    try:
        key = load_pem_private_key(key_path.read_bytes(), passphrase)
    except (ValueError, TypeError) as error:
        raise InputError(f"{key_path} is no private key in PEM, or its passphrase is another") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise InputError(f"{key_path} holds no P-256 key")
    text = sign_record(key, _read_object(record))
    parse_record(text)  # nothing is signed that no provider would take
    show({"record": text}, text, as_json=as_json)


@app.command(name="add", short_help="Register an app, or its new version.")
@click.argument("registration", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rotate", is_flag=True, help="Replace the app's secret, such as one that leaked: it ends now.")
@provider_command
def add_app(config: ProviderConfig, *, registration: Path, rotate: bool, as_json: bool) -> None:
    """Register the app of REGISTRATION (JSON: its metadata, and the signed record). Its secret is shown once."""
    from identity_oidc.registration import register

    content = _read_object(registration)
    record = content.pop("record", None)
    if not isinstance(record, str):
        raise InputError(f"{registration} has no record: make one with `tally oidc app sign`")
    made = register(_open(config), content, record, new_secret=rotate)
    client_id = made.client.client_id
    text = f"app {client_id} is registered" + (f"\nsecret (shown once): {made.secret}" if made.secret else "")
    show({"client_id": client_id, "client_secret": made.secret}, text, as_json=as_json)


@app.command(name="list", short_help="List the apps that are registered.")
@provider_command
def list_apps(config: ProviderConfig, *, as_json: bool) -> None:
    """Print each app with its policy and whether it is active."""
    from sqlalchemy import select

    from identity_oidc.store.schema import CLIENTS

    with _open(config).database.reading() as connection:
        rows = connection.execute(select(CLIENTS).order_by(CLIENTS.c.client_id)).mappings().all()
    apps = [
        {
            "client_id": row["client_id"],
            "policy": row["registration"].get("policy", "strict"),
            "active": row["is_active"],
        }
        for row in rows
    ]
    text = "\n".join(f"{each['client_id']}\t{each['policy']}\t{'active' if each['active'] else 'off'}" for each in apps)
    show({"apps": apps}, text or "no app is registered", as_json=as_json)


@app.command(name="withdraw", short_help="Give an app no login any more.")
@click.argument("client_id")
@provider_command
def withdraw_app(config: ProviderConfig, *, client_id: str, as_json: bool) -> None:
    """Give CLIENT_ID no login any more, from now on."""
    from identity_oidc.registration import withdraw

    withdraw(_open(config), client_id)
    show({"client_id": client_id}, f"app {client_id} gets no login any more", as_json=as_json)


@oidc.group(name="keys", cls=OidcGroup, short_help="Make and rotate the keys that sign tokens.")
def keys() -> None:
    """Keys that sign ID Tokens; a running provider takes a new one up by itself."""


@keys.command(name="new", short_help="Make a key; it takes over after it was published for a while.")
@click.option("--algorithm", type=click.Choice(["ES256", "RS256"]), multiple=True, help="Default: both.")
@click.option("--at-once", is_flag=True, help="The old key is no longer trusted: end it now.")
@provider_command
def new_key(config: ProviderConfig, *, algorithm: tuple[str, ...], at_once: bool, as_json: bool) -> None:
    """Make a key of each algorithm, and end its predecessor when it takes over.

    It is a file of [keys] directory or, with pkcs11_module, a key that never leaves that token.
    """
    from identity_oidc.tokens.key_ring import ALGORITHMS, rotate

    made = [rotate(config.keys, time.time, each, at_once=at_once) for each in algorithm or ALGORITHMS]
    content = [{"kid": key.kid, "algorithm": key.algorithm, "signs_from": key.signs_from} for key in made]
    text = "\n".join(f"{key.kid} signs {key.algorithm} from {_time(key.signs_from)}" for key in made)
    show({"keys": content}, text, as_json=as_json)


@keys.command(name="list", short_help="List the keys and when each signs.")
@provider_command
def list_keys(config: ProviderConfig, *, as_json: bool) -> None:
    """Print each key with its times."""
    from identity_oidc.tokens.key_ring import load_entries

    try:
        entries = load_entries(config.keys.directory)
    except OSError as error:
        raise NotFoundError(f"{config.keys.directory} has no keys: make them with `tally oidc keys new`") from error
    content = [{name: getattr(entry, name) for name in entry.__slots__} for entry in entries]
    text = "\n".join(
        f"{entry.kid}\t{entry.algorithm}\t{'token' if entry.token_id else 'file'}\tfrom {_time(entry.signs_from)}"
        + (f"\tuntil {_time(entry.signs_until)}" if entry.signs_until else "")
        for entry in entries
    )
    show({"keys": content}, text, as_json=as_json)


@oidc.command(short_help="Count grants and releases of each app.")
@provider_command
def grants(config: ProviderConfig, *, as_json: bool) -> None:
    """Print how many live grants each app has, and how often data was released under them. Nobody is named."""
    from sqlalchemy import func, select

    from identity_oidc.store.schema import GRANTS, RELEASES

    live = GRANTS.c.withdrawn_at.is_(None), GRANTS.c.expires_at > int(time.time())
    with _open(config).database.reading() as connection:
        counts = select(GRANTS.c.client_id, func.count()).where(*live).group_by(GRANTS.c.client_id)
        found = {row[0]: row[1] for row in connection.execute(counts)}
        released = select(RELEASES.c.client_id, func.count()).group_by(RELEASES.c.client_id)
        releases = {row[0]: row[1] for row in connection.execute(released)}
    content = [
        {"client_id": name, "grants": found.get(name, 0), "releases": releases.get(name, 0)}
        for name in sorted({*found, *releases})
    ]
    text = "\n".join(f"{each['client_id']}\t{each['grants']} grants\t{each['releases']} releases" for each in content)
    show({"apps": content}, text or "no grants", as_json=as_json)


@oidc.command(short_help="Count sessions, or end all of an identity.")
@click.option("--end", "identity", metavar="IDENTITY", help="End every session and token of this identity.")
@provider_command
def sessions(config: ProviderConfig, *, identity: str | None, as_json: bool) -> None:
    """Print how many people are logged in; with --end log an identity out everywhere."""
    from sqlalchemy import func, select

    from identity_oidc.logout.ending import end_identity
    from identity_oidc.store.schema import SESSIONS

    database = _open(config).database
    now = int(time.time())
    if identity is not None:
        with database.writing() as connection:
            ended = end_identity(connection, _identity(identity), now, with_agents=False)
        show({"ended": ended}, f"{ended} sessions ended", as_json=as_json)
        return
    live = SESSIONS.c.ended_at.is_(None), SESSIONS.c.identity.is_not(None), SESSIONS.c.expires_at > now
    with database.reading() as connection:
        count = connection.execute(select(func.count()).select_from(SESSIONS).where(*live)).scalar_one()
    show({"sessions": count}, f"{count} sessions", as_json=as_json)


@oidc.command(short_help="List holds that people asked for, or lift one.")
@click.option("--lift", "identity", metavar="IDENTITY", help="Lift the hold here: be sure that the person asks.")
@provider_command
def holds(config: ProviderConfig, *, identity: str | None, as_json: bool) -> None:
    """Print identities that their persons hold, and whether the ledger shows the hold: place it if it does not."""
    from sqlalchemy import select

    from identity_oidc.authentication.holds import lift_hold
    from identity_oidc.store.schema import HOLDS

    database = _open(config).database
    if identity is not None:
        with database.writing() as connection:
            if not lift_hold(connection, _identity(identity), int(time.time())):
                raise NotFoundError(f"no hold of {identity} here")
        show({"lifted": identity}, f"the hold of {identity} is lifted here", as_json=as_json)
        return
    with database.reading() as connection:
        rows = connection.execute(select(HOLDS).order_by(HOLDS.c.placed_at)).mappings().all()
    content = [
        {
            "identity": "0x" + row["identity"].hex(),
            "placed_at": row["placed_at"],
            "on_ledger": bool(row["on_ledger_at"]),
        }
        for row in rows
    ]
    text = "\n".join(
        f"{each['identity']}\t{'on the ledger' if each['on_ledger'] else 'NOT on the ledger'}" for each in content
    )
    show({"holds": content}, text or "no holds", as_json=as_json)


def _open(config: ProviderConfig) -> Any:
    from identity_oidc.service.assembly import assemble

    return assemble(config)


def _identity(text: str) -> bytes:
    try:
        found = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InputError(f"{text!r} is no identity id: 0x and 64 hexadecimal digits")
    return found


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no JSON file that can be read") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no JSON object")
    return found


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
