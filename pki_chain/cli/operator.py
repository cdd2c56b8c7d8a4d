"""An operator's command: its record of identities, what signs for it, and identities as they are named."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pki_chain.cli.member import load_signer
from pki_chain.config import MemberConfig
from pki_chain.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pki_chain.identity.card_files import Addressee
    from pki_chain.identity.orders import IdentityOrders
    from pki_chain.identity.register import IdentityRegister
    from pki_chain.station.gateway_client import GatewayClient

_ID = re.compile(r"0x[0-9a-f]{64}")


def read_identity(text: str) -> bytes:
    """An id as it is written. Raises `InputError`."""
    if not _ID.fullmatch(text.lower()):
        raise InputError(f"{text!r} is no identity: 0x and 64 hexadecimal digits")
    return bytes.fromhex(text[2:])


def addressee(config: MemberConfig) -> Addressee:
    """For whom files from cards must be: this operator, on this consortium's registry."""
    from pki_chain.identity.card_files import Addressee

    return Addressee(config.member.id, config.load_consortium().identity_registry)


def open_register(config: MemberConfig) -> IdentityRegister:
    """The operator's own record, locked. Raises `ConfigurationError`, `StorageError`."""
    from pki_chain.identity.register import IdentityRegister

    return IdentityRegister(config.identity.data)


def identity_orders(config: MemberConfig, key: str, client: GatewayClient) -> IdentityOrders:
    """What signs orders with one of this member's keys."""
    from pki_chain.chain.typed_data import TypedTexts
    from pki_chain.identity.orders import IdentityOrders

    return IdentityOrders(TypedTexts(config.load_consortium()), load_signer(config, key), client)


def fetch_identity(client: GatewayClient, identity: bytes) -> dict[str, Any]:
    """What a gateway says of an identity. Raises `NotFoundError`, also for an answer about another."""
    answer = client.get(f"/v1/identities/0x{identity.hex()}")
    counter = answer.get("counter")
    if answer.get("identity") != "0x" + identity.hex() or isinstance(counter, bool) or not isinstance(counter, int):
        raise NotFoundError(f"the gateway says nothing of identity 0x{identity.hex()}: ask another")
    return answer


def time_text(seconds: int) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
