"""Apps: what the admitting member registered of each, strictly parsed.

A registration is a JSON object of relying-party metadata (OpenID Connect Registration §2) and, in `record`, the compact
JWS over name, verified domains, sector and logo that the member signed (docs/sim-agent-api.yaml, AppRecord).
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from identity_oidc import base64url
from identity_oidc.claims import CLAIMS
from identity_oidc.errors import InputError

Policy = Literal["strict", "basic"]
AUTHENTICATION_METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
SIGNING_ALGORITHMS: Final = ("ES256", "RS256")
LOOPBACK_HOSTS: Final = ("127.0.0.1", "[::1]")
LANGUAGES: Final = ("en", "zh")
MAX_REDIRECT_URI_CHARS: Final = 512
_MAX_REGISTRATION_CHARS: Final = 65_536
_PARSED: Final = 1_024
_RECORD_MEMBERS: Final = frozenset(
    {
        "client_id",
        "name",
        "verified_domains",
        "sector",
        "logo_digest",
        "is_native",
        "member",
        "member_name",
        "iat",
        "exp",
    }
)
_RECORD_TEXTS: Final = MappingProxyType({"client_id": 128, "name": 64, "sector": 253, "member_name": 64})
_MOST_DOMAINS: Final = 16
_LOGO_DIGEST: Final = re.compile(r"([A-Za-z0-9_-]{43})?")
_DOMAIN: Final = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
)  # as agents have it (docs/sim-agent-api.yaml): they would refuse every login of an app with another
_URI: Final = re.compile(r"[A-Za-z0-9:/?@!$&'()*+,;=._~%\[\]-]+")  # RFC 3986 §2, without `#`
_RSA_BITS: Final = (2_048, 8_192)
_RSA_EXPONENT: Final = 65_537
_PRIVATE_USE_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


@dataclass(frozen=True, slots=True)
class Client:
    """A registered app. `record` is the member's JWS; `items` maps a claim to its purpose in each language."""

    client_id: str
    name: str
    verified_domains: tuple[str, ...]
    sector: str
    is_native: bool
    member: int
    member_name: str
    record: str
    record_expires_at: int
    redirect_uris: tuple[str, ...]
    policy: Policy = "strict"
    token_endpoint_auth_method: str = "client_secret_basic"  # noqa: S105  a method's name
    id_token_signed_response_alg: str = "ES256"  # noqa: S105  an algorithm's name
    userinfo_signed_response_alg: str = ""
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str = ""
    jwks: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    items: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    purpose: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    may_refresh: bool = False
    single_sign_on_s: int = 0
    grant_days: int = 0
    secret_hash: bytes | None = None

    @classmethod
    def parse(cls, registration: Mapping[str, Any], record: str, secret_hash: bytes | None = None) -> Self:
        """A registration and its record. Raises `InputError` naming the member that is wrong."""
        content = dict(registration)
        if len(json.dumps(content)) > _MAX_REGISTRATION_CHARS:
            raise InputError("the registration is too long")
        admitted = parse_record(record)
        client = cls(
            client_id=admitted["client_id"],
            name=admitted["name"],
            verified_domains=tuple(admitted["verified_domains"]),
            sector=admitted["sector"],
            is_native=admitted["is_native"],
            member=admitted["member"],
            member_name=admitted["member_name"],
            record=record,
            record_expires_at=admitted["exp"],
            redirect_uris=_texts(content, "redirect_uris", 16, least=1),
            policy=_choice(content, "policy", ("strict", "basic"), "strict"),  # type: ignore[arg-type]  # checked
            token_endpoint_auth_method=_choice(
                content, "token_endpoint_auth_method", AUTHENTICATION_METHODS, "client_secret_basic"
            ),
            id_token_signed_response_alg=_choice(content, "id_token_signed_response_alg", SIGNING_ALGORITHMS, "ES256"),
            userinfo_signed_response_alg=_choice(
                content, "userinfo_signed_response_alg", ("", *SIGNING_ALGORITHMS), ""
            ),
            post_logout_redirect_uris=_texts(content, "post_logout_redirect_uris", 16),
            backchannel_logout_uri=_text(content, "backchannel_logout_uri"),
            jwks=_jwks(content),
            items=_items(content),
            purpose=_languages(content.pop("purpose", {}), "purpose"),
            may_refresh=_truth(content, "may_refresh"),
            single_sign_on_s=_number(content, "single_sign_on_s", 86_400),
            grant_days=_number(content, "grant_days", 3_660),
            secret_hash=secret_hash,
        )
        if content:
            raise InputError(f"{min(content)!r} is no member of a registration: leave it out")
        client._check()
        return client

    def has_redirect_uri(self, uri: str) -> bool:
        """Exact comparison; a native app may vary the port of a loopback address. Source: RFC 9700 §2.1, RFC 8252."""
        if uri in self.redirect_uris:
            return True
        return self.is_native and any(is_loopback_variant(uri, each) for each in self.redirect_uris)

    def has_secret(self, secret: str) -> bool:
        """Compared in constant time, as digests."""
        return self.secret_hash is not None and hmac.compare_digest(base64url.digest(secret), self.secret_hash)

    def text_of(self, texts: Mapping[str, str], language: str) -> str:
        return texts.get(language) or texts.get("en", "")

    def _check(self) -> None:
        method = self.token_endpoint_auth_method
        if method == "none" and not self.is_native:
            raise InputError("token_endpoint_auth_method none is for native apps: an app with a server authenticates")
        if method == "private_key_jwt" and not self.jwks:
            raise InputError("private_key_jwt needs the app's public keys in jwks")
        for uri in self.redirect_uris:
            _check_redirect_uri(uri, self.verified_domains, is_native=self.is_native)
        for uri in (*self.post_logout_redirect_uris, *filter(None, [self.backchannel_logout_uri])):
            _check_redirect_uri(uri, self.verified_domains, is_native=self.is_native)
        if self.backchannel_logout_uri and not self.backchannel_logout_uri.startswith("https://"):
            raise InputError("backchannel_logout_uri must be https")


@lru_cache(maxsize=_PARSED)
def parse_stored(registration: str, record: str, secret_hash: bytes | None) -> Client:
    """As `Client.parse`, and once for one content: the row is read for each request, so what changes counts at once."""
    return Client.parse(json.loads(registration), record, secret_hash)


def is_loopback_variant(uri: str, registered: str) -> bool:
    """Whether both are the same http loopback address but for the port. Source: RFC 8252 §7.3."""
    asked, known = re.fullmatch(r"http://(127\.0\.0\.1|\[::1\])(?::([0-9]{1,5}))?(/[^#]*)?", uri), urlsplit(registered)
    if asked is None or known.scheme != "http" or int(asked[2] or 80) > 65_535:
        return False
    host = f"[{known.hostname}]" if ":" in (known.hostname or "") else known.hostname
    path = known.path + (f"?{known.query}" if known.query else "")
    return host in LOOPBACK_HOSTS and asked[1] == host and (asked[3] or "") == path


def parse_record(record: str) -> dict[str, Any]:
    """The payload of a registration record, as agents take it; its signature is checked where it is registered.

    Raises `InputError`. Source: docs/sim-agent-api.yaml, AppRecord.
    """
    try:
        payload = json.loads(base64url.parse(record.split(".")[1]))
    except (ValueError, IndexError) as error:
        raise InputError("record is no compact JWS over JSON") from error
    if not isinstance(payload, dict) or set(payload) != _RECORD_MEMBERS:
        raise InputError(f"record must have exactly these members: {', '.join(sorted(_RECORD_MEMBERS))}")
    for name, most in _RECORD_TEXTS.items():
        value = payload[name]
        if not isinstance(value, str) or not 1 <= len(value) <= most or not value.isprintable():
            raise InputError(f"record: {name} must be a text of 1 to {most} printable characters")
    if not payload["client_id"].isascii():  # RFC 6749, appendix A.1
        raise InputError("record: client_id must be ASCII")
    domains = payload["verified_domains"]
    is_array = isinstance(domains, list) and 1 <= len(domains) <= _MOST_DOMAINS
    if not is_array or not all(isinstance(each, str) and _DOMAIN.fullmatch(each) for each in domains):
        raise InputError(
            f"record: verified_domains must be an array of 1 to {_MOST_DOMAINS} domains, such as shop.example"
            " (no addresses)"
        )
    if not isinstance(payload["logo_digest"], str) or not _LOGO_DIGEST.fullmatch(payload["logo_digest"]):
        raise InputError("record: logo_digest must be the logo's SHA-256 in base64url, or empty")
    if (
        any(type(payload[name]) is not int for name in ("member", "iat", "exp"))
        or type(payload["is_native"]) is not bool
    ):
        raise InputError("record: member, iat and exp are numbers, is_native is true or false")
    return payload


def _check_redirect_uri(uri: str, domains: tuple[str, ...], *, is_native: bool) -> None:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"redirect URI {uri[:80]!r} is no address") from error
    if len(uri) > MAX_REDIRECT_URI_CHARS or not _URI.fullmatch(uri):
        raise InputError(f"redirect URI {uri[:80]!r} is too long, has a fragment, or characters that none has")
    if is_native and parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"}:
        return
    if is_native and _PRIVATE_USE_SCHEME.fullmatch(parts.scheme):
        return
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host) and host in domains):
        raise InputError(f"redirect URI {uri[:80]!r} must be https (native apps: loopback, or a scheme with a dot)")
    # A host with other characters may be another one to a browser than it is to Python.
    is_host = parts.username is None and (_DOMAIN.fullmatch(host) is not None or _is_loopback(host))
    if not is_host or not any(host == each or host.endswith(f".{each}") for each in domains):
        raise InputError(f"redirect URI {uri[:80]!r} is on none of the record's verified_domains")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _texts(content: dict[str, Any], name: str, most: int, *, least: int = 0) -> tuple[str, ...]:
    value = content.pop(name, [])
    if not isinstance(value, list) or not least <= len(value) <= most or not all(isinstance(v, str) for v in value):
        raise InputError(f"{name} must be an array of {least} to {most} texts")
    return tuple(value)


def _text(content: dict[str, Any], name: str) -> str:
    value = content.pop(name, "")
    if not isinstance(value, str) or len(value) > MAX_REDIRECT_URI_CHARS:
        raise InputError(f"{name} must be a text")
    return value


def _truth(content: dict[str, Any], name: str) -> bool:
    value = content.pop(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false")
    return value


def _number(content: dict[str, Any], name: str, most: int) -> int:
    value = content.pop(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise InputError(f"{name} must be a number from 0 to {most}")
    return value


def _choice(content: dict[str, Any], name: str, choices: tuple[str, ...], default: str) -> str:
    value = content.pop(name, default)
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(filter(None, choices))}")
    return str(value)


def _languages(value: object, name: str) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(
        key in LANGUAGES and isinstance(text, str) and len(text) <= 200 and text.isprintable()
        for key, text in value.items()
    ):
        raise InputError(f"{name} must be an object with texts of at most 200 printable characters for en and zh")
    return MappingProxyType(value)


def _items(content: dict[str, Any]) -> Mapping[str, Mapping[str, str]]:
    value = content.pop("items", {})
    if not isinstance(value, dict) or len(value) > 32 or not set(value) <= set(CLAIMS):
        raise InputError("items must be an object of at most 32 claims of OpenID Connect Core §5.1, each with purposes")
    return MappingProxyType({name: _languages(text, f"items.{name}") for name, text in value.items()})


def _jwks(content: dict[str, Any]) -> Mapping[str, Any]:
    value = content.pop("jwks", {})
    keys = value.get("keys") if isinstance(value, dict) else None
    if value == {}:
        return MappingProxyType({})
    if not isinstance(keys, list) or not 1 <= len(keys) <= 8 or not all(isinstance(key, dict) for key in keys):
        raise InputError("jwks must be a JWK Set of one to eight keys")
    for key in keys:
        _check_key(key)
    return MappingProxyType(value)


def _check_key(key: Mapping[str, Any]) -> None:
    """Public, on P-256 or of RSA with 2048 to 8192 bits. Source: RFC 7518 §3.3, §3.4."""
    try:
        if "d" in key or key["kty"] not in {"EC", "RSA"}:
            raise InputError("jwks must hold public EC or RSA keys only")
        if key["kty"] == "EC":
            is_good = key["crv"] == "P-256" and all(len(base64url.parse(key[name])) == 32 for name in ("x", "y"))
        else:
            modulus, exponent = (int.from_bytes(base64url.parse(key[name])) for name in ("n", "e"))
            bits = modulus.bit_length()
            is_good = _RSA_BITS[0] <= bits <= _RSA_BITS[1] and modulus % 2 == 1
            is_good &= _RSA_EXPONENT <= exponent < 1 << 32 and exponent % 2 == 1
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError("jwks: a key is not of the form of RFC 7518") from error
    if not is_good:
        raise InputError("jwks: a key is neither on P-256 nor of RSA with 2048 to 8192 bits and exponent 65537 or more")
