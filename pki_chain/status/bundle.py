"""Trust bundles: the valid certificates of a scope, as files that other software takes, and what vouches for them.

A bundle is vouched for by a manifest, a JWS that a gateway's status key signs. It holds for a block and says until when
it may be relied on; so it is renewed while the certificates stay the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from pki_chain.errors import InputError
from pki_chain.status import encoding
from pki_chain.status.status_key import StatusKey

TYPE: Final = "tiger-tally-bundle+jws"
_MAX_MANIFEST: Final = 8_192
_SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
_DATA: Final = bytes.fromhex("2a864886f70d010701")


class BundleError(InputError):
    """A bundle or manifest cannot be relied on; the text says why."""

    code = "bad-bundle"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds. `digest` is of the certificates (`digest_of`); times are seconds since 1970.

    `profile` and `member` are 0, `suffix` "" where the scope is not restricted. `authorities` is "" for certificates of
    devices, else what CAs the bundle has: those for ike, tls or slice.
    """

    consortium: str
    profile: int
    member: int
    suffix: str
    count: int
    digest: str
    block: int
    this_update: int
    next_update: int
    authorities: str = ""


def digest_of(sha256s: Iterable[bytes]) -> str:
    """SHA-256 of the certificates' SHA-256 in ascending order, in hexadecimal: formats and order do not matter."""
    return hashlib.sha256(b"".join(sorted(sha256s))).hexdigest()


def encode_pkcs7(certificates: Sequence[bytes]) -> bytes:
    """A certs-only SignedData. Source: RFC 2315 §9.1; RFC 5652 §5.1 (degenerate case)."""
    content = encoding.sequence(encoding.object_identifier(_DATA))
    signed_data = encoding.sequence(
        encoding.integer(1),
        encoding.set_of(),
        content,
        encoding.explicit(0, *sorted(certificates)),
        encoding.set_of(),
    )
    return encoding.sequence(encoding.object_identifier(_SIGNED_DATA), encoding.explicit(0, signed_data))


def sign_manifest(key: StatusKey, manifest: Manifest) -> str:
    """A compact JWS (ES256); `x5t#S256` names the signing certificate. Raises `NoStatusKeyError`.

    Source: RFC 7515 §7.1; RFC 7518 §3.4.
    """
    header = {"alg": "ES256", "typ": TYPE, "x5t#S256": _encode(hashlib.sha256(key.certificate).digest())}
    parts = (json.dumps(each, separators=(",", ":")).encode() for each in (header, asdict(manifest)))
    signed = ".".join(_encode(part) for part in parts)
    r, s = decode_dss_signature(key.sign(signed.encode("ascii")))
    return f"{signed}.{_encode(r.to_bytes(32) + s.to_bytes(32))}"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def verify_manifest(text: str, signers: Sequence[x509.Certificate], now: float) -> Manifest:
    """The manifest, signed by one of these and not out of date. Raises `BundleError`."""
    if len(text) > _MAX_MANIFEST:
        raise BundleError(f"The manifest is longer than {_MAX_MANIFEST} characters. Ask a gateway.")
    for signer in signers:
        if not signer.not_valid_before_utc.timestamp() <= now < signer.not_valid_after_utc.timestamp():
            continue
        pem = signer.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            read = jws.deserialize_compact(text, ECKey.import_key(pem), algorithms=["ES256"])
        except (JoseError, ValueError):
            continue
        manifest = _read_manifest(read.headers().get("typ"), read.payload)
        if now > manifest.next_update:
            raise BundleError("The manifest is out of date. Ask a gateway that does not lag.")
        return manifest
    raise BundleError("The manifest is signed by nobody who is known. Check the file of signers.")


def _read_manifest(kind: object, payload: bytes) -> Manifest:
    try:
        content: Any = json.loads(payload)
        manifest = Manifest(**content)
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"The manifest's content is not of its form: {error}. Use a later version.") from error
    texts = (manifest.consortium, manifest.suffix, manifest.digest, manifest.authorities)
    numbers = (
        manifest.profile,
        manifest.member,
        manifest.count,
        manifest.block,
        manifest.this_update,
        manifest.next_update,
    )
    if (
        kind != TYPE
        or not all(isinstance(each, str) for each in texts)
        or not all(type(each) is int and each >= 0 for each in numbers)
    ):
        raise BundleError("The manifest's content is not of its form. Use a later version.")
    return manifest
