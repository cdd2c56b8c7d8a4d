"""OCSP over the read model, signed as it is asked for.

`thisUpdate` is the time of the block that an answer holds for, `nextUpdate` that time and the cut-off bound: whoever
keeps answers until then still refuses a certificate within the bound after the block that held it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pki_chain.errors import StaleError, TallyError
from pki_chain.gateway.freshness import Freshness, Moment
from pki_chain.gateway.signers import (
    SELF_SIGNED,
    Issuer,
    Signers,
    issuer_of,
    one_issuer,
    serial_of,
    status_of_authority,
)
from pki_chain.index.authorities import Authorities
from pki_chain.index.authority_records import AuthorityRecord
from pki_chain.index.errors import NotReadyError
from pki_chain.index.queries import ReadModel, facts_of
from pki_chain.ports import Status
from pki_chain.status.certificate_status import UNKNOWN, CertificateStatus, derive_status
from pki_chain.status.delegated_key import DelegatedKeys, NotDelegatedError
from pki_chain.status.ocsp import (
    ResponseStatus,
    SingleResponse,
    encode_failure,
    encode_response,
    encode_single,
    is_about,
)
from pki_chain.status.ocsp_request import CertId, OcspRequest, OcspRequestError, parse_ocsp_request
from pki_chain.status.status_key import StatusKey, StatusKeys

MEDIA_TYPE: Final = "application/ocsp-response"
REQUEST_TYPE: Final = "application/ocsp-request"
MAX_REQUEST_BYTES: Final = 16 * 1024
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """Octets to send, and for how many seconds HTTP caches may keep them (0: not at all)."""

    content: bytes
    cache_s: int


@dataclass(frozen=True, slots=True)
class Said:
    """What is said about one certificate of an issuer, as of a block of this time."""

    content: bytes
    issuer: Issuer
    block_time: int
    key_hash: bytes


class OcspAnswers:
    """Answers from one read model. Safe for threads."""

    def __init__(
        self, read_model: ReadModel, freshness: Freshness, keys: StatusKeys, delegated: DelegatedKeys | None = None
    ) -> None:
        self._read_model = read_model
        self._freshness = freshness
        self._signers = Signers(Authorities(read_model), keys, delegated)

    def answer(self, content: bytes) -> OcspAnswer:
        """The answer to a request, an error of OCSP included: it always has one."""
        try:
            request = parse_ocsp_request(content)
            with self._read_model.snapshot():
                moment = self._freshness.moment()
                said = [self.say(each, moment) for each in request.certificates]
                key = self.key(request, said)
            return self.sign(request, said, moment, key)
        except TallyError as error:
            return failure_of(error)

    def key(self, request: OcspRequest, said: Sequence[Said]) -> StatusKey:
        """The key that may sign all this. Raises `NoStatusKeyError`, `NotDelegatedError`."""
        issuer = one_issuer(each.issuer for each in said)
        return self._signers.for_ocsp(issuer, request.certificates[0], int(self._freshness.now()))

    def sign(self, request: OcspRequest, said: Sequence[Said], moment: Moment, key: StatusKey) -> OcspAnswer:
        """The answer of these."""
        now = int(self._freshness.now())
        answer = encode_response(key, now, [each.content for each in said], request.nonce)
        return OcspAnswer(answer, 0 if request.nonce is not None else moment.cache_s)

    def say(self, certificate: CertId, moment: Moment) -> Said:
        """What is said about one certificate as of a moment; the caller holds the snapshot."""
        named = self._signers.named(certificate)
        sha256, status = self._status(certificate, named, moment.block.time)
        this_update = min(moment.block.time, int(self._freshness.now()))
        content = encode_single(
            SingleResponse(certificate, sha256, status, this_update, moment.block.time + moment.cut_off_s)
        )
        return Said(content, issuer_of(named[0]) if named else SELF_SIGNED, moment.block.time, certificate.key_hash)

    def _status(
        self, certificate: CertId, named: Sequence[AuthorityRecord], block_time: int
    ) -> tuple[bytes | None, CertificateStatus]:
        """SHA-256 of the DER, and status. Where several certificates have one CertID, which only their own maker can
        bring about, the worst of them. `named` is the CA that it names; then the certificate may be a CA's too."""
        if not certificate.is_understood:
            return None, UNKNOWN
        found = [
            (sha256, derive_status(facts_of(facts), block_time))
            for issuer, sha256, *facts in self._read_model.cert_id_rows(certificate.key_hash, certificate.serial)
            if is_about(certificate, issuer)
        ]
        if named:
            below = self._signers.below(named)
            found += [
                (each.sha256, status_of_authority(each, block_time))
                for each in below
                if serial_of(each) == certificate.serial
            ]
        bad = [each for each in found if each[1].state is not Status.VALID]
        return bad[0] if bad else found[0] if found else (None, UNKNOWN)


def failure_of(error: TallyError) -> OcspAnswer:
    """What OCSP says of a failure: nothing of it may be cached."""
    if isinstance(error, OcspRequestError):
        status = ResponseStatus.MALFORMED_REQUEST
    elif isinstance(error, NotDelegatedError):
        status = ResponseStatus.UNAUTHORIZED
    elif isinstance(error, StaleError | NotReadyError):
        status = ResponseStatus.TRY_LATER
    else:
        status = ResponseStatus.INTERNAL_ERROR
    return OcspAnswer(encode_failure(status), 0)


def read_path(text: str) -> bytes:
    """The request in a path, from base64, its percent signs decoded. Raises `OcspRequestError`.

    Source: RFC 6960 appendix A.1; RFC 5019 §5.
    """
    try:
        if len(text) <= 2 * MAX_REQUEST_BYTES and _BASE64.fullmatch(text):
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        pass
    raise OcspRequestError("The path holds no OCSP request in base64. Encode the DER, and its + / = as %2B %2F %3D.")
