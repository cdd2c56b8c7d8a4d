"""Enrolment: the card vouches for the agent's own key, at one provider, until a day."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import rfc8785

from sim_applet_tools.agent.agent_key import create_key, store_key
from sim_applet_tools.agent.app_record import MemberKeys
from sim_applet_tools.agent.approval import agent_text, compact
from sim_applet_tools.agent.card import OpenCard, look_at_card, sign_and_learn_key
from sim_applet_tools.agent.fields import IDENTITY_ID, MAX_INTEGER
from sim_applet_tools.agent.home import AgentHome, Enrolment, Memory, members_document
from sim_applet_tools.agent.http_connection import HttpConnection
from sim_applet_tools.agent.jws import thumbprint
from sim_applet_tools.agent.names import verify_name
from sim_applet_tools.agent.notices import after_card_look, after_identity_look, identity_notices
from sim_applet_tools.agent.provider_client import Configuration, ProviderClient, parse_members
from sim_applet_tools.agent.watch import IdentityWatch
from sim_applet_tools.errors import ChallengeRefusedError, InputError, ProviderAnswerError
from sim_applet_tools.iot_safe.signature_check import SeenNonces

DEFAULT_LIFETIME_S = 180 * 86_400
MAX_MEMBERS_BYTES = 128 * 1024


def members_fingerprint(members: tuple[MemberKeys, ...]) -> str:
    """SHA-256 over the JCS form of the members' keys, first 16 bytes, in groups of four hexadecimal digits."""
    digest = sha256(rfc8785.dumps(members_document(members))).hexdigest()[:32]
    return " ".join(digest[start : start + 4] for start in range(0, 32, 4))


def load_members(path: Path) -> tuple[MemberKeys, ...]:
    """Members' keys from a file of the same form as `members` in the provider's configuration."""
    try:
        raw = path.read_bytes()[: MAX_MEMBERS_BYTES + 1]
        document = json.loads(raw)
        if not isinstance(document, list) or not 1 <= len(document) <= 64:
            raise InputError(f"{path}: not a list of 1 to 64 members")
        return parse_members(document, str(path))
    except (OSError, ValueError, RecursionError, ProviderAnswerError) as error:
        raise InputError(f"{path} holds no members' keys as the agent API writes them: {error}") from error


def enrol(
    configuration: Configuration,
    identity: str,
    label: str,
    *,
    home: AgentHome,
    connection: HttpConnection,
    open_card: OpenCard,
    pin: str,
    passphrase: bytes | None,
    clock: Callable[[], int],
    seen: SeenNonces,
    watch: IdentityWatch | None = None,
    lifetime_s: int = DEFAULT_LIFETIME_S,
) -> Enrolment:
    """Make a key, have the card sign for it, hand it in, and keep it; a key of before at this provider is dropped.

    `configuration.members` are pinned as they are. With a watch the card's key must be the ledger's, else nothing is
    sent.
    """
    if not IDENTITY_ID.fullmatch(identity):
        raise InputError(
            f"{identity!r} is no identity id: 0x and 64 hexadecimal digits in lower case, from your operator"
        )
    try:
        verify_name(label, "the label")
    except ChallengeRefusedError as error:
        raise InputError(f"the label {label!r} of this agent: {error.message}") from error
    if not 0 < len(label) <= 64:
        raise InputError("the label of this agent has 1 to 64 characters")
    now = clock()
    key = create_key()
    jti = secrets.token_urlsafe(16)
    text = agent_text(
        identity,
        configuration.issuer,
        jti,
        thumbprint(key.public_key()),
        iat=now,
        exp=min(now + min(lifetime_s, configuration.max_enrolment_s), MAX_INTEGER),
    )
    signature, card_key = sign_and_learn_key(open_card, text, pin, seen)
    x = card_key.public_numbers().x.to_bytes(32, "big")
    memory = after_card_look(Memory(), look_at_card(open_card))
    if watch is not None:
        sight = watch.look(identity)
        if any(notice.code in {"identity-unknown", "key-not-mine"} for notice in identity_notices(sight, x, memory)):
            raise InputError(
                f"the ledger holds another key for {identity} than this card's: check the identity id, and that this "
                "is the right card"
            )
        memory = after_identity_look(memory, sight, x)
    client = ProviderClient(configuration.issuer, connection, key, None, clock)
    agent_id, token, expires_at = client.enrol(compact(text, signature), label)
    enrolment = Enrolment(
        issuer=configuration.issuer,
        identity=identity,
        agent_id=agent_id,
        access_token=token,
        expires_at=expires_at,
        card_key=card_key,
        members=configuration.members,
        loopback_port=configuration.loopback_port,
        has_wake=configuration.has_wake,
    )
    place = home.provider(configuration.issuer)
    apps = place.memory().apps
    place.create()
    place.key_path.unlink(missing_ok=True)
    store_key(place.key_path, key, passphrase)
    place.store_enrolment(enrolment)
    place.change(lambda _: replace(memory, apps=apps))
    return enrolment
