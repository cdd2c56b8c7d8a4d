"""OCSP over the read model: signed on first demand, kept while nothing changed, never beyond the bounds.

`thisUpdate` is the time of the block that an answer holds for, `nextUpdate` that time and the cut-off bound: whoever
keeps answers until then still refuses a certificate within the bound after the block that held it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from pki_chain.errors import StaleError, TallyError
from pki_chain.gateway.freshness import Freshness, Moment
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.errors import NotReadyError
from pki_chain.index.queries import ReadModel, facts_of
from pki_chain.ports import Status
from pki_chain.status.certificate_status import UNKNOWN, CertificateStatus, derive_status
from pki_chain.status.ocsp import ResponseStatus, SingleResponse, encode_failure, encode_response, is_about
from pki_chain.status.ocsp_request import CertId, OcspRequest, OcspRequestError, parse_ocsp_request
from pki_chain.status.status_key import StatusKeys

MEDIA_TYPE: Final = "application/ocsp-response"
REQUEST_TYPE: Final = "application/ocsp-request"
MAX_REQUEST_BYTES: Final = 16 * 1024
_MAX_KEPT: Final = 20_000
_KEPT_S: Final = 20
"""An answer is signed anew when its block is so old, so that whoever gets it may use it for a while yet."""
_MAX_CHANGES: Final = 1_000
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """Octets to send, and for how many seconds HTTP caches may keep them (0: not at all)."""

    content: bytes
    cache_s: int


class OcspAnswers:
    """Answers from one read model. Safe for threads."""

    def __init__(self, read_model: ReadModel, freshness: Freshness, keys: StatusKeys) -> None:
        self._read_model = read_model
        self._freshness = freshness
        self._keys = keys

    def answer(self, content: bytes) -> OcspAnswer:
        """The answer to a request, an error of OCSP included: it always has one."""
        try:
            request = parse_ocsp_request(content)
            return self.sign(request)[0]
        except TallyError as error:
            return failure_of(error)

    def sign(self, request: OcspRequest) -> tuple[OcspAnswer, Moment]:
        """A fresh answer. Raises `StaleError`, `NotReadyError`, `IndexFaultError`, `NoStatusKeyError`."""
        now = int(self._freshness.now())
        key = self._keys.signer(now)
        with self._read_model.snapshot():
            moment = self._freshness.moment()
            next_update = moment.block.time + moment.cut_off_s
            this_update = min(moment.block.time, now)
            responses = [
                SingleResponse(each, *self._status(each, moment.block.time), this_update, next_update)
                for each in request.certificates
            ]
        answer = encode_response(key, now, responses, request.nonce)
        return OcspAnswer(answer, 0 if request.nonce is not None else moment.cache_s), moment

    def _status(self, certificate: CertId, block_time: int) -> tuple[bytes | None, CertificateStatus]:
        """SHA-256 of the DER, and status. Where several certificates have one CertID, which only their own maker can
        bring about, the worst of them."""
        if not certificate.is_understood:
            return None, UNKNOWN
        found = [
            (sha256, derive_status(facts_of(facts), block_time))
            for issuer, sha256, *facts in self._read_model.cert_id_rows(certificate.key_hash, certificate.serial)
            if is_about(certificate, issuer)
        ]
        bad = [each for each in found if each[1].state is not Status.VALID]
        return bad[0] if bad else found[0] if found else (None, UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Kept:
    content: bytes
    block_time: int
    keys: tuple[bytes, ...]


class OcspCache:
    """Answers without nonce that were signed before, for one thread. An event drops those that it makes untrue."""

    def __init__(
        self, answers: OcspAnswers, read_model: ReadModel, change_log: ChangeLog, freshness: Freshness
    ) -> None:
        self._answers = answers
        self._read_model = read_model
        self._change_log = change_log
        self._freshness = freshness
        self._kept: dict[bytes, _Kept] = {}
        self._by_key: dict[bytes, set[bytes]] = {}
        self._version = -1
        self._position = -1
        self._moment: Moment | None = None

    def answer(self, content: bytes) -> OcspAnswer:
        """As `OcspAnswers.answer`."""
        try:
            moment = self._look()
            kept = self._kept.get(content)
            if kept is not None and self._freshness.now() - kept.block_time < _KEPT_S:
                return OcspAnswer(kept.content, moment.cache_s)
            request = parse_ocsp_request(content)
            answer, moment = self._answers.sign(request)
        except TallyError as error:
            return failure_of(error)
        if request.nonce is None:
            self._keep(
                content, _Kept(answer.content, moment.block.time, tuple(x.key_hash for x in request.certificates))
            )
        return answer

    def _look(self) -> Moment:
        """The moment now; what is kept and no longer true is dropped. Raises as `Freshness.moment`."""
        version = self._read_model.version()
        if version == self._version and self._moment is not None:
            self._moment = self._freshness.again(self._moment)
            return self._moment
        with self._read_model.snapshot():
            moment, position = self._freshness.moment(), self._change_log.position()
            if position < self._position:
                self._drop_all()
            elif position > self._position and self._kept:
                changed = self._change_log.changed_keys(self._position, _MAX_CHANGES)
                self._drop(changed) if len(changed) < _MAX_CHANGES else self._drop_all()
        self._version, self._position, self._moment = version, position, moment
        return moment

    def _keep(self, content: bytes, kept: _Kept) -> None:
        while len(self._kept) >= _MAX_KEPT:
            self._forget(next(iter(self._kept)))
        self._forget(content)
        self._kept[content] = kept
        for key in kept.keys:
            self._by_key.setdefault(key, set()).add(content)

    def _forget(self, content: bytes) -> None:
        kept = self._kept.pop(content, None)
        for key in () if kept is None else kept.keys:
            with_key = self._by_key.get(key, set())
            with_key.discard(content)
            if not with_key:
                self._by_key.pop(key, None)

    def _drop(self, changed: list[bytes]) -> None:
        for key in changed:
            for content in tuple(self._by_key.get(key, ())):
                self._forget(content)

    def _drop_all(self) -> None:
        self._kept.clear()
        self._by_key.clear()


def failure_of(error: TallyError) -> OcspAnswer:
    """What OCSP says of a failure: nothing of it may be cached."""
    if isinstance(error, OcspRequestError):
        status = ResponseStatus.MALFORMED_REQUEST
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
