"""Trust bundles of CAs: those of the trust list that count now for a scope, for software that builds chains itself."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Final

from werkzeug.datastructures import MultiDict

from pki_chain.gateway.freshness import Freshness, Moment
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.index.authorities import Authorities
from pki_chain.index.authority_records import AuthorityRecord
from pki_chain.index.queries import ReadModel
from pki_chain.ports import TrustScope
from pki_chain.status.bundle import Manifest, digest_of, encode_pkcs7, sign_manifest
from pki_chain.status.status_key import StatusKeys
from pki_chain.x509.pem import encode_pem_certificates

_SCOPES: Final = {(each.name or "").lower(): each for each in TrustScope}
_MOST_MEMBERS: Final = 65_535


@dataclass(frozen=True, slots=True)
class AuthorityScope:
    """What a bundle of CAs is about: `ike`, `tls` or `slice`, and whose CAs; None does not restrict."""

    use: str
    member: int | None = None


@dataclass(frozen=True, slots=True)
class AuthorityBundle:
    """The CAs of a scope, parents before their children."""

    digest: str
    authorities: tuple[AuthorityRecord, ...]


class AuthorityBundles:
    """Bundles of CAs from one read model. Safe for threads."""

    def __init__(self, read_model: ReadModel, freshness: Freshness, keys: StatusKeys, consortium: bytes) -> None:
        """`consortium` is the founding's hash, which tells consortia apart."""
        self._read_model = read_model
        self._authorities = Authorities(read_model)
        self._freshness = freshness
        self._keys = keys
        self._consortium = consortium

    def bundle(self, scope: AuthorityScope) -> tuple[AuthorityBundle, Moment]:
        """The bundle now: neither withdrawn nor out of time nor of a member without rights, up to the root, as
        `TrustList.isLive` has it. Raises as `Freshness.moment`."""
        with self._read_model.snapshot():
            moment = self._freshness.moment()
            found = tuple(
                each
                for each in self._authorities.authorities(scope.member)
                if _SCOPES[scope.use] in each.scope and each.is_live(moment.block.time) and not each.ended_at
            )
        return AuthorityBundle(digest_of(each.sha256 for each in found), found), moment

    def sign(self, scope: AuthorityScope, bundle: AuthorityBundle, moment: Moment) -> str:
        """The manifest of a bundle. Raises `NoStatusKeyError`."""
        manifest = Manifest(
            consortium="0x" + self._consortium.hex(),
            profile=0,
            member=scope.member or 0,
            suffix="",
            authorities=scope.use,
            count=len(bundle.authorities),
            digest=bundle.digest,
            block=moment.block.number,
            this_update=moment.block.time,
            next_update=moment.block.time + moment.cut_off_s,
        )
        return sign_manifest(self._keys.signer(self._freshness.now()), manifest)


def read_authority_scope(arguments: MultiDict[str, str]) -> AuthorityScope:
    """The scope that a query names: `scope`, and perhaps `member`, each once. Raises `EnvelopeError`."""
    if arguments.keys() - {"scope", "member"} or any(len(arguments.getlist(name)) != 1 for name in arguments):
        raise EnvelopeError(400, "bad-scope", "Name scope, and perhaps member, each once.")
    use, member = arguments.get("scope", ""), arguments.get("member")
    if use not in _SCOPES:
        raise EnvelopeError(400, "bad-scope", f"scope must be one of {', '.join(_SCOPES)}.")
    if member is None:
        return AuthorityScope(use)
    if not (member.isascii() and member.isdigit() and len(member) <= 5 and 0 < int(member) <= _MOST_MEMBERS):
        raise EnvelopeError(400, "bad-scope", f"member must be a number from 1 to {_MOST_MEMBERS}.")
    return AuthorityScope(use, int(member))


def render_authorities(bundle: AuthorityBundle, form: str, manifest: str) -> bytes:
    """The bundle as `pem`, `p7b` or `json`; only JSON has the manifest with it."""
    ders = [each.der for each in bundle.authorities]
    if form == "pem":
        return encode_pem_certificates(ders).encode()
    if form == "p7b":
        return encode_pkcs7(ders)
    listed = [
        {
            "id": "0x" + each.id.hex(),
            "sha256": each.sha256.hex(),
            "der": base64.b64encode(each.der).decode(),
            "member": each.member,
            "trusted_until": each.trusted_until,
        }
        for each in bundle.authorities
    ]
    return json.dumps({"manifest": manifest, "certificates": listed}, separators=(",", ":")).encode()
