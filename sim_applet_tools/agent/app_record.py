"""The registration record of an app, signed by the member that admitted it. Source: docs/approval.md, decision 0010."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.fields import Fields, parse_object
from sim_applet_tools.agent.jws import is_signed_by, parse_jws, thumbprint
from sim_applet_tools.agent.names import verify_name
from sim_applet_tools.errors import ChallengeRefusedError, InputError

RECORD_TYPE = "app-registration+jwt"
MAX_JWS_CHARS = 4096
ADDRESS = re.compile(r"[!-\[\]-~]+")  # visible ASCII; a backslash is a slash to browsers
DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """A member of the consortium and its keys for registration records."""

    member: int
    name: str
    keys: tuple[ec.EllipticCurvePublicKey, ...]


@dataclass(frozen=True, slots=True)
class AppRecord:
    """A record whose signature was verified; `digest` is SHA-256 of its JWS signing input."""

    client_id: str
    name: str
    verified_domains: tuple[str, ...]
    sector: str
    logo_digest: bytes
    is_native: bool
    member: int
    member_name: str
    iat: int
    exp: int
    digest: bytes

    def domain_of(self, redirect_uri: str) -> str:
        """The verified domain that `redirect_uri` belongs to; a `ChallengeRefusedError` where none covers it."""
        if not redirect_uri:
            return self.verified_domains[0]
        try:
            parts = urlsplit(redirect_uri)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise _refused(f"the app's redirect address {redirect_uri!r} is malformed") from error
        if parts.username is not None or parts.fragment or not ADDRESS.fullmatch(redirect_uri):
            raise _refused(f"the app's redirect address {redirect_uri!r} is malformed")
        # A host with other characters than names have may be another one to a browser than it is here.
        name = host if DOMAIN.fullmatch(host) else ""
        covering = [domain for domain in self.verified_domains if name == domain or name.endswith(f".{domain}")]
        if parts.scheme == "https" and covering:
            return max(covering, key=len)
        if parts.scheme == "http" and host in covering and f".{host}".endswith(".localhost"):
            return host  # a trial on this machine, where browsers keep such a name. Source: RFC 6761 §6.3
        is_loopback = parts.scheme == "http" and host in {"127.0.0.1", "::1"}
        if self.is_native and (is_loopback or "." in parts.scheme):
            return self.verified_domains[0]
        raise _refused(f"the app's redirect address {redirect_uri!r} is on no domain that was verified for it")


def verify_app_record(
    text: str, members: Mapping[str, tuple[MemberKeys, ec.EllipticCurvePublicKey]], now: int
) -> AppRecord:
    """The record in the compact JWS `text`; `members` maps RFC 7638 thumbprints to pinned keys.

    1. form and type; 2. a pinned key; 3. its signature; 4. JCS form; 5. it names the member whose key it is; 6. it is
    in its time; 7. its names can be shown. `ChallengeRefusedError` or `ProviderAnswerError` else.
    """
    try:
        jws = parse_jws(text, MAX_JWS_CHARS)
    except InputError as error:
        raise _refused(f"the app's registration record is malformed ({error.message})") from error
    header = Fields(parse_object(jws.header, "registration record, header", 512), "registration record, header")
    if header.text("alg", 16) != "ES256" or header.text("typ", 64) != RECORD_TYPE:
        raise _refused("the app's registration record is of another type or algorithm")
    pinned = members.get(header.text("kid", 64))
    header.end()
    if pinned is None:
        raise _refused(
            "the app's registration record is under a member's key that this agent does not know: if the provider's "
            "members changed, see `tally sim agent members`"
        )
    member, key = pinned
    if not is_signed_by(jws, key):
        raise _refused("the signature of the app's registration record is wrong")
    document = parse_object(jws.payload, "registration record", MAX_JWS_CHARS)
    if rfc8785.dumps(document) != jws.payload:
        raise _refused("the app's registration record is not in canonical form")
    record = _read(Fields(document, "registration record"), sha256(jws.signing_input).digest())
    if (record.member, record.member_name) != (member.member, member.name):
        raise _refused(f"the app's registration record names another member than {member.name!r}, who signed it")
    if not record.iat <= now + 60 or not now < record.exp:
        raise _refused(f"the app's registration record ran out, or is not valid yet ({record.iat} to {record.exp})")
    verify_name(record.name, "the app's name")
    verify_name(record.member_name, "the member's name")
    return record


def pinned_keys(
    members: tuple[MemberKeys, ...],
) -> dict[str, tuple[MemberKeys, ec.EllipticCurvePublicKey]]:
    """For `verify_app_record`."""
    return {thumbprint(key): (member, key) for member in members for key in member.keys}


def _read(fields: Fields, digest: bytes) -> AppRecord:
    domains = fields.array("verified_domains", 16, least=1)
    if not all(isinstance(domain, str) and DOMAIN.fullmatch(domain) for domain in domains):
        fields.fail("verified_domains holds what is no domain in lower-case ASCII")
    record = AppRecord(
        client_id=fields.text("client_id", 128),
        name=fields.text("name", 64),
        verified_domains=tuple(domains),
        sector=fields.text("sector", 253),
        logo_digest=fields.digest("logo_digest", may_be_empty=True),
        is_native=fields.boolean("is_native"),
        member=fields.integer("member", 1, 65_535),
        member_name=fields.text("member_name", 64),
        iat=fields.time("iat"),
        exp=fields.time("exp"),
        digest=digest,
    )
    fields.end()
    return record


def _refused(why: str) -> ChallengeRefusedError:
    return ChallengeRefusedError(f"{why}: it is not shown, and cannot be approved")
