"""The parts of a provider, put together once a process."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Text, cast, select

from identity_oidc.authentication.dpop import DpopVerifier, load_nonce_secret
from identity_oidc.authentication.jws import MalformedJwsError, parse_public_jwk, require
from identity_oidc.authentication.waiting import news_of
from identity_oidc.clients import Client, parse_stored
from identity_oidc.config import ProviderConfig
from identity_oidc.errors import ConfigurationError
from identity_oidc.ports import Clock, IdentityLedger
from identity_oidc.store.database import Database
from identity_oidc.store.schema import CLIENTS
from identity_oidc.store.statement import Statement, given
from identity_oidc.subscribers.base import IdentityId as SubscriberIdentity
from identity_oidc.subscribers.base import SubscriberBase
from identity_oidc.tokens.key_ring import KeyRing

EXTENSION: Final = "tiger-tally-oidc"
_FIND_CLIENT: Final = Statement(
    select(cast(CLIENTS.c.registration, Text).label("registration"), CLIENTS.c.record, CLIENTS.c.secret_hash).where(
        CLIENTS.c.client_id == given(CLIENTS.c.client_id), CLIENTS.c.is_active
    )
)


@dataclass(frozen=True, slots=True)
class Provider:
    """`subscribers` is None where there is no subscriber base: then no data is released, and an identity is a person
    of its own. `members` are the keys that sign registration records, as the agent API shows them."""

    config: ProviderConfig
    clock: Clock
    database: Database
    keys: KeyRing
    ledger: IdentityLedger
    subscribers: SubscriberBase | None
    dpop: DpopVerifier
    members: tuple[dict[str, Any], ...]

    @classmethod
    def open(
        cls,
        config: ProviderConfig,
        clock: Clock,
        ledger: IdentityLedger,
        subscribers: SubscriberBase | None = None,
    ) -> Provider:
        """Raises `ConfigurationError`, `StorageError`."""
        database = Database.open(config.provider.database)
        return cls(
            config=config,
            clock=clock,
            database=database,
            keys=KeyRing.open(config.keys, clock),
            ledger=ledger,
            subscribers=subscribers,
            dpop=DpopVerifier(config.issuer, load_nonce_secret(database)),
            members=load_members(config),
        )

    @property
    def issuer(self) -> str:
        return self.config.issuer

    def now(self) -> int:
        return int(self.clock())

    def find_client(self, client_id: str) -> Client | None:
        """An app that may log people in now."""
        if not client_id.isprintable():  # NUL, halves of characters: databases fail on them, and no app has them
            return None
        with self.database.reading() as connection:
            row = _FIND_CLIENT.first(connection, client_id=client_id)
        if row is None:
            return None
        client = parse_stored(row["registration"], row["record"], row["secret_hash"])
        return client if client.record_expires_at > self.now() else None

    def news_of(self, waiting: Collection[str]) -> dict[str, str]:
        """Of these challenges those whose pages wait no more. Raises `StorageError`."""
        with self.database.reading() as connection:
            return news_of(connection, waiting, self.now())

    def person_of(self, identity: bytes) -> str | None:
        """The person whom the operator knows by this identity; None for nobody: no login then (R-ID-3)."""
        if self.subscribers is None:
            return f"identity:{identity.hex()}"
        return self.subscribers.person_of(SubscriberIdentity(identity))


def load_members(config: ProviderConfig) -> tuple[dict[str, Any], ...]:
    """`provider.members`: an array of {member, name, keys}. Raises `ConfigurationError`."""
    path = config.provider.members
    if path is None:
        return ()
    try:
        content = json.loads(path.read_text("utf-8"))
        for member in content:
            is_whole = set(member) == {"member", "name", "keys"} and type(member["member"]) is int
            require(is_whole and bool(member["keys"]), "each has exactly member, name and keys")
            for key in member["keys"]:
                parse_public_jwk(key)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): see provider.members") from error
    except (ValueError, TypeError, KeyError, MalformedJwsError) as error:
        raise ConfigurationError(f"{path} is no array of members with their public P-256 keys: {error}") from error
    return tuple(content)
