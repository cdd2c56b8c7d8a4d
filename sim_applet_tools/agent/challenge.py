"""A challenge as the provider sends it, encrypted and filled to one size. Source: docs/sim-agent-api.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.fields import RANDOM_ID, Fields, parse_object
from sim_applet_tools.agent.names import verify_text
from sim_applet_tools.errors import ChallengeRefusedError, ProviderAnswerError

PLAIN_BYTES = 16_384
MAX_JWE_CHARS = 32_768
MAX_LIFETIME_S = 120
MAX_CLOCK_SKEW_S = 60
ACR_REMOTE = "urn:tally:acr:remote"
Mode = Literal["local", "remote", "ciba"]
Kind = Literal["login", "grant"]
Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
ITEM_NAME = re.compile(r"[A-Za-z0-9_.:/#-]{1,128}")


@dataclass(frozen=True, slots=True)
class Item:
    """One claim asked for, and what for."""

    name: str
    purpose: str
    is_essential: bool


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the provider says of a login or grant. Digests and salts are 32 bytes; times seconds since 1970."""

    challenge_id: str
    issuer: str
    iat: int
    exp: int
    kind: Kind
    mode: Mode
    app: str
    """The registration record's JWS, not verified yet."""
    client_id: str
    redirect_uri: str
    scope: str
    items: tuple[Item, ...]
    purpose: str
    nonce: str
    code_challenge: str
    acr: str
    grant_expires_at: int
    sso_seconds: int
    authorization_details: tuple[dict[str, Any], ...]
    sub: str
    session: bytes
    browser: str
    is_known_browser: bool
    language: Language
    ctx_salt: bytes
    leaf_salt: bytes


def decrypt_challenge(jwe: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The plaintext of a compact JWE (ECDH-ES, A256GCM) of the one size; a `ProviderAnswerError` else."""
    from joserfc import jwe as joserfc_jwe  # noqa: PLC0415  only where there is a challenge to open
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import ECKey  # noqa: PLC0415

    if len(jwe) > MAX_JWE_CHARS:
        raise ProviderAnswerError("the challenge is longer than the agent API allows: tell the provider")
    try:
        opened = joserfc_jwe.decrypt_compact(jwe, ECKey.import_key(key), algorithms=["ECDH-ES", "A256GCM"])
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ProviderAnswerError(
            "the challenge is not encrypted to this agent, or damaged: begin the login again"
        ) from error
    plain = opened.plaintext or b""
    if len(plain) != PLAIN_BYTES or "zip" in opened.protected:
        raise ProviderAnswerError("the challenge is not filled to the one size: tell the provider")
    return plain


def parse_challenge(plain: bytes, *, issuer: str, now: int) -> Challenge:
    """The challenge in `plain`. `ProviderAnswerError` for its form; `ChallengeRefusedError` where it is of another
    issuer, out of its time, of an acr that does not fit its mode, or holds what may not be shown."""
    fields = Fields(parse_object(plain, "challenge", PLAIN_BYTES), "challenge")
    request = Fields(fields.take("request"), "challenge, request")
    session = Fields(fields.take("session"), "challenge, session")
    challenge = Challenge(
        challenge_id=fields.text("challenge_id", 64, pattern=RANDOM_ID),
        issuer=fields.text("issuer", 256),
        iat=fields.time("iat"),
        exp=fields.time("exp"),
        kind=fields.choice("kind", _KINDS),
        mode=fields.choice("mode", _MODES),
        app=fields.text("app", 4096),
        client_id=request.text("client_id", 128),
        redirect_uri=request.text("redirect_uri", 512, least=0),
        scope=request.text("scope", 512, least=0),
        items=_items(request.array("items", 32), request),
        purpose=request.text("purpose", 200, least=0),
        nonce=request.text("nonce", 256, least=0),
        code_challenge=request.text("code_challenge", 43, least=0, pattern=re.compile(r"([A-Za-z0-9_-]{43})?")),
        acr=request.text("acr", 128),
        grant_expires_at=request.time("grant_expires_at"),
        sso_seconds=request.integer("sso_seconds", 0, 86_400),
        authorization_details=_details(request.array("authorization_details", 8), request),
        sub=fields.text("sub", 128),
        session=session.digest("digest"),
        browser=session.text("browser", 64, least=0),
        is_known_browser=session.boolean("is_known"),
        language=fields.choice("language", LANGUAGES),
        ctx_salt=fields.digest("ctx_salt"),
        leaf_salt=fields.digest("leaf_salt"),
    )
    for each in (fields, request, session):
        each.end()
    _verify_sense(challenge, issuer, now)
    _verify_texts(challenge)
    return challenge


_KINDS: tuple[Kind, ...] = ("login", "grant")
_MODES: tuple[Mode, ...] = ("local", "remote", "ciba")


def _items(values: list[Any], request: Fields) -> tuple[Item, ...]:
    items = []
    for value in values:
        fields = Fields(value, "challenge, item")
        name = fields.text("name", 128, pattern=ITEM_NAME)
        items.append(Item(name, fields.text("purpose", 200, least=0), fields.boolean("essential")))
        fields.end()
    names = [item.name for item in items]
    if names != sorted(set(names)):
        request.fail("items are not in order, or repeated")
    return tuple(items)


def _details(values: list[Any], request: Fields) -> tuple[dict[str, Any], ...]:
    for value in values:
        if not isinstance(value, dict) or not isinstance(value.get("type"), str) or not 0 < len(value["type"]) <= 128:
            request.fail("authorization_details holds an entry without type")
    return tuple(values)


def _verify_sense(challenge: Challenge, issuer: str, now: int) -> None:
    if challenge.issuer != issuer:
        raise ChallengeRefusedError(
            f"the challenge is of another provider ({challenge.issuer!r}) than the one that was asked ({issuer!r}): "
            "do not approve it, and tell your operator"
        )
    if not 0 < challenge.exp - challenge.iat <= MAX_LIFETIME_S:
        raise ChallengeRefusedError(f"the challenge lives longer than {MAX_LIFETIME_S} s: tell the provider")
    if not challenge.iat - MAX_CLOCK_SKEW_S <= now < challenge.exp:
        raise ChallengeRefusedError(
            "the challenge has run out, or is not valid yet: begin the login again, and check this machine's clock"
        )
    if (challenge.acr == ACR_REMOTE) != (challenge.mode == "remote"):
        raise ChallengeRefusedError(
            f"the assurance {challenge.acr!r} does not fit a {challenge.mode} login: tell the provider"
        )
    if (challenge.mode == "ciba") != (not challenge.redirect_uri):
        raise ChallengeRefusedError("a redirect address is there for every login but ciba: tell the provider")
    if challenge.ctx_salt == challenge.leaf_salt:
        raise ChallengeRefusedError("the challenge uses one salt twice: tell the provider")


def _verify_texts(challenge: Challenge) -> None:
    verify_text(challenge.purpose, "the purpose")
    verify_text(challenge.browser, "the browser's name")
    for item in challenge.items:
        verify_text(item.purpose, f"the purpose of {item.name}")
    for detail in challenge.authorization_details:
        _verify_leaves(detail)


def _verify_leaves(value: Any) -> None:
    if isinstance(value, str):
        verify_text(value, "the authorization details")
    elif isinstance(value, dict):
        for name, inner in value.items():
            verify_text(name, "the authorization details")
            _verify_leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            _verify_leaves(inner)
