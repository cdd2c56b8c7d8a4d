"""Trust bundles over the read model: one set of certificates for all formats, kept until it changes."""

from __future__ import annotations

import base64
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from pki_chain.gateway.freshness import Freshness, Moment
from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.index.change_log import BundleScope, ChangeLog, LiveCertificate
from pki_chain.index.queries import ReadModel
from pki_chain.status.bundle import Manifest, digest_of, encode_pkcs7, sign_manifest
from pki_chain.status.status_key import StatusKeys
from pki_chain.x509.pem import encode_pem_certificates

MAX_CERTIFICATES: Final = 50_000
MAX_SCOPES: Final = 4
_LONGEST_SUFFIX: Final = 253
_NUMBERS: Final = {"profile": 65_535, "member": 65_535}

MEDIA_TYPES: Final = {"pem": "application/x-pem-file", "p7b": "application/pkcs7-mime", "json": "application/json"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """The certificates of a scope as they were up to a change's position."""

    position: int
    digest: str
    certificates: tuple[LiveCertificate, ...]


class BundleAnswers:
    """Bundles from one read model. Safe for threads."""

    def __init__(
        self, read_model: ReadModel, change_log: ChangeLog, freshness: Freshness, keys: StatusKeys, consortium: bytes
    ) -> None:
        """`consortium` is the founding's hash, which tells consortia apart."""
        self._read_model = read_model
        self._change_log = change_log
        self._freshness = freshness
        self._keys = keys
        self._consortium = consortium
        self._lock = threading.Lock()
        self._kept: OrderedDict[BundleScope, Bundle] = OrderedDict()

    def bundle(self, scope: BundleScope) -> tuple[Bundle, Moment]:
        """The bundle now. Raises `RejectedError` for a scope with too many certificates, and as `Freshness.moment`."""
        with self._lock, self._read_model.snapshot():
            moment = self._freshness.moment()
            position = self._change_log.position()
            kept = self._kept.get(scope)
            if kept is None or self._change_log.has_changed(scope, kept.position):
                found = self._change_log.live(scope, MAX_CERTIFICATES + 1)
                if len(found) > MAX_CERTIFICATES:
                    raise RejectedError(
                        422,
                        "scope-too-large",
                        f"More than {MAX_CERTIFICATES} certificates are in this scope. Narrow it by profile, member or"
                        " suffix, or ask for the status of each.",
                    )
                kept = Bundle(position, digest_of(each.sha256 for each in found), found)
            else:
                kept = Bundle(position, kept.digest, kept.certificates)
            self._kept[scope] = kept
            self._kept.move_to_end(scope)
            while len(self._kept) > MAX_SCOPES:
                self._kept.popitem(last=False)
        return kept, moment

    def manifest(self, scope: BundleScope) -> tuple[str, Moment]:
        """The signed manifest of the bundle now. Raises `NoStatusKeyError` too."""
        bundle, moment = self.bundle(scope)
        return self.sign(scope, bundle, moment), moment

    def sign(self, scope: BundleScope, bundle: Bundle, moment: Moment) -> str:
        """The manifest of a bundle. Raises `NoStatusKeyError`."""
        manifest = Manifest(
            consortium="0x" + self._consortium.hex(),
            profile=scope.profile or 0,
            member=scope.owner or 0,
            suffix=scope.suffix,
            count=len(bundle.certificates),
            digest=bundle.digest,
            block=moment.block.number,
            this_update=moment.block.time,
            next_update=moment.block.time + moment.cut_off_s,
        )
        return sign_manifest(self._keys.signer(self._freshness.now()), manifest)

    def signers(self) -> str:
        """Certificates of all keys whose signatures may be met, in PEM. Raises `NoStatusKeyError`."""
        now = self._freshness.now()
        self._keys.signer(now)
        return encode_pem_certificates(key.certificate for key in self._keys.published(now))


def read_scope(arguments: MultiDict[str, str]) -> BundleScope:
    """The scope that a query names: `profile`, `member`, `suffix`, each once. Raises `EnvelopeError`."""
    unknown = arguments.keys() - {*_NUMBERS, "suffix"}
    if unknown or any(len(arguments.getlist(name)) != 1 for name in arguments):
        raise EnvelopeError(400, "bad-scope", "A scope is profile, member and suffix, each at most once.")
    numbers = {name: _number(name, arguments[name]) for name in _NUMBERS if name in arguments}
    suffix = arguments.get("suffix", "")
    if "suffix" in arguments and not is_domain(suffix):
        raise EnvelopeError(400, "bad-scope", "suffix must be a lower-case domain name, such as cells.acme.example.")
    return BundleScope(numbers.get("profile"), numbers.get("member"), suffix)


def is_domain(text: str) -> bool:
    """Whether it is a domain name as names of certificates have it."""
    labels = text.split(".")
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    return 0 < len(text) <= _LONGEST_SUFFIX and all(each and set(each) <= allowed for each in labels)


def render(bundle: Bundle, form: str, manifest: str) -> bytes:
    """The bundle in one of `MEDIA_TYPES`; only JSON has the manifest with it."""
    if form == "pem":
        return encode_pem_certificates(each.der for each in bundle.certificates).encode()
    if form == "p7b":
        return encode_pkcs7([each.der for each in bundle.certificates])
    content = {"manifest": manifest, "certificates": [certificate_content(each) for each in bundle.certificates]}
    return json.dumps(content, separators=(",", ":")).encode()


def certificate_content(certificate: LiveCertificate) -> dict[str, Any]:
    """A valid certificate as lists show it."""
    return {
        "sha256": certificate.sha256.hex(),
        "der": base64.b64encode(certificate.der).decode(),
        "profile": certificate.profile,
        "member": certificate.owner,
        "not_after": certificate.not_after,
        "names": [{"kind": kind, "value": value} for kind, value in certificate.names],
    }


def _number(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= _NUMBERS[name]:
        return int(text)
    raise EnvelopeError(400, "bad-scope", f"{name} must be a number from 1 to {_NUMBERS[name]}.")
