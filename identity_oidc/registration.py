"""Registering apps: the admitting member signs the record, the provider keeps it with the app's metadata."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import insert, select, update

from identity_oidc import base64url
from identity_oidc.authentication.jws import CompactJws, MalformedJwsError, parse_json, parse_public_jwk, thumbprint
from identity_oidc.clients import Client
from identity_oidc.errors import InputError, NotFoundError
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.store.schema import CLIENTS

RECORD_TYPE: Final = "app-registration+jwt"
_AHEAD_S: Final = 60


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered app; `secret` is shown once, and None for apps that authenticate otherwise."""

    client: Client
    secret: str | None


def sign_record(key: ec.EllipticCurvePrivateKey, record: Mapping[str, Any]) -> str:
    """The record as the member signs it. Source: docs/sim-agent-api.yaml, "Registration record"."""
    numbers = key.public_key().public_numbers()
    x, y = (base64url.encode(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
    kid = thumbprint({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    header = rfc8785.dumps({"alg": "ES256", "kid": kid, "typ": RECORD_TYPE})
    text = f"{base64url.encode(header)}.{base64url.encode(rfc8785.dumps(dict(record)))}"
    r, s = decode_dss_signature(key.sign(text.encode("ascii"), ec.ECDSA(SHA256())))
    return f"{text}.{base64url.encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def register(
    provider: Provider, registration: Mapping[str, Any], record: str, *, new_secret: bool = False
) -> Registered:
    """Keep an app, or its new version. The secret of before stays, unless a new one is asked for.

    Raises `InputError`.
    """
    client = Client.parse(registration, record)
    verify_record(provider, client)
    if client.may_refresh and not client.grant_days:
        raise InputError("may_refresh needs grant_days: a permission for one login only leaves nothing to refresh")
    needs_secret = client.token_endpoint_auth_method.startswith("client_secret")
    if new_secret and not needs_secret:
        raise InputError(f"an app that authenticates by {client.token_endpoint_auth_method} has no secret")
    now = provider.now()
    with provider.database.writing() as connection:
        known = connection.execute(select(CLIENTS.c.secret_hash).where(CLIENTS.c.client_id == client.client_id)).first()
        kept = known.secret_hash if known is not None and needs_secret and not new_secret else None
        secret = secrets.token_urlsafe(32) if needs_secret and kept is None else None
        values = {
            "registration": dict(registration),
            "record": record,
            "secret_hash": base64url.digest(secret) if secret else kept,
            "is_active": True,
            "updated_at": now,
        }
        mine = CLIENTS.c.client_id == client.client_id
        if known is None:
            connection.execute(insert(CLIENTS).values(client_id=client.client_id, created_at=now, **values))
        else:
            connection.execute(update(CLIENTS).where(mine).values(values))
        record_act(
            connection, now, "app-registered", client=client.client_id, record=sha256(record.encode()).hexdigest()
        )
    return Registered(client, secret)


def withdraw(provider: Provider, client_id: str) -> None:
    """No login for this app any more. Raises `NotFoundError`."""
    with provider.database.writing() as connection:
        now = provider.now()
        mine = CLIENTS.c.client_id == client_id
        changed = connection.execute(update(CLIENTS).where(mine).values(is_active=False, updated_at=now))
        if changed.rowcount != 1:
            raise NotFoundError(f"no app {client_id!r} is registered here")
        record_act(connection, now, "app-withdrawn", client=client_id)


def verify_record(provider: Provider, client: Client) -> None:
    """The record is signed by a key of the member that it names, in the form and the time in which agents take it.

    Raises `InputError`.
    """
    members = [member for member in provider.members if member["member"] == client.member]
    try:
        jws = CompactJws.parse(client.record)
        header, record = parse_json(jws.header), parse_json(jws.payload)
    except MalformedJwsError as error:
        raise InputError(f"record is {error}") from error
    keys = [key for member in members for key in member["keys"]]
    signing = next((key for key in keys if thumbprint(key) == header.get("kid")), None)
    is_right = header == {"alg": "ES256", "kid": header.get("kid"), "typ": RECORD_TYPE}
    if signing is None or not is_right or not jws.is_signed_by(parse_public_jwk(signing)):
        raise InputError(f"record is not signed by a key of member {client.member} (provider.members)")
    if client.member_name not in [member["name"] for member in members]:
        raise InputError(f"record: member_name is not the name of member {client.member} (provider.members)")
    if rfc8785.dumps(record) != jws.payload:
        raise InputError("record is not in canonical form (RFC 8785): sign it with `tally oidc app sign`")
    if client.record_expires_at <= provider.now():
        raise InputError("record has run out: have the member sign it anew")
    if record["iat"] > provider.now() + _AHEAD_S:
        raise InputError("record: iat lies ahead: compare the clocks, and have the member sign it anew")
