"""OCSP answers that are kept while nothing changed, never beyond the bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pki_chain.errors import TallyError
from pki_chain.gateway.freshness import NEVER, Freshness, Moment
from pki_chain.gateway.ocsp_answers import OcspAnswer, OcspAnswers, Said, failure_of
from pki_chain.gateway.signers import SELF_SIGNED, Issuer, one_issuer
from pki_chain.index.authorities import Authorities
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.queries import ReadModel
from pki_chain.status.encoding import object_identifier
from pki_chain.status.ocsp_request import NONCE, CertId, OcspRequest, parse_ocsp_request
from pki_chain.status.status_key import StatusKey
from pki_chain.x509.der import OCTET_STRING

_MAX_KEPT: Final = 20_000
_KEPT_S: Final = 20
"""An answer is signed anew when its block is so old, so that whoever gets it may use it for a while yet."""
_MAX_CHANGES: Final = 1_000
_LOOK_EVERY_S: Final = 1.0
"""An answer that was found to hold is given again for so long, unless a block comes: keys can change without one."""

_NONCE_BEGINS: Final = object_identifier(NONCE)
_SHORT: Final = 126
"""Nonces below this have lengths of one octet."""


@dataclass(frozen=True, slots=True)
class _Signed:
    """An answer without nonce; it holds as long as all that it says does, and its key may sign."""

    content: bytes
    request: OcspRequest
    said: tuple[Said, ...]
    key: StatusKey


class OcspCache:
    """Answers from what was said before, for one thread. An event drops what it makes untrue; what is left is said
    again for a while, under a new signature where there is a nonce."""

    def __init__(
        self, answers: OcspAnswers, read_model: ReadModel, change_log: ChangeLog, freshness: Freshness
    ) -> None:
        self._answers = answers
        self._read_model = read_model
        self._change_log = change_log
        self._freshness = freshness
        self._singles: dict[bytes, Said] = {}
        self._by_key: dict[bytes, set[bytes]] = {}
        self._signed: dict[bytes, _Signed] = {}
        self._read: dict[bytes, tuple[CertId, ...]] = {}
        self._delegated: dict[Issuer, StatusKey] = {}
        self._authorities = Authorities(read_model)
        self._version = -1
        self._position = -1
        self._trust_list = (-1, -1)
        self._moment: Moment | None = None
        self._span = NEVER
        # What holds until the next look, found by all that a request says, or by what it asks about.
        self._ready: dict[bytes, OcspAnswer] = {}
        self._found: dict[tuple[CertId, ...], tuple[tuple[Said, ...], StatusKey]] = {}

    def answer(self, content: bytes) -> OcspAnswer:
        """As `OcspAnswers.answer`."""
        try:
            moment = self._look()
            ready = self._ready.get(content)
            if ready is not None:
                return ready
            signed = self._signed.get(content)
            if signed is not None and self._is_current(signed):
                ready = self._ready[content] = OcspAnswer(signed.content, moment.cache_s)
                return ready
            request = self._parse(content)
            said, key = self._found.get(request.certificates) or self._find(request, moment)
            answer = self._answers.sign(request, said, moment, key)
        except TallyError as error:
            return failure_of(error)
        if request.nonce is None:
            if len(self._signed) >= _MAX_KEPT:
                oldest = next(iter(self._signed))
                del self._signed[oldest]
                self._ready.pop(oldest, None)
            self._signed[content] = _Signed(answer.content, request, said, key)
        return answer

    def _find(self, request: OcspRequest, moment: Moment) -> tuple[tuple[Said, ...], StatusKey]:
        """What is to be said, and the key that may sign it."""
        said = tuple(self._say(each, moment) for each in request.certificates)
        found = said, self._key(request, said)
        if len(self._found) < _MAX_KEPT:
            self._found[request.certificates] = found
        return found

    def _parse(self, content: bytes) -> OcspRequest:
        """The request. Clients ask the same again with another nonce at the end, of the same length: then all octets
        before it were read before, and need not be read again. Raises `OcspRequestError`."""
        place = content.rfind(_NONCE_BEGINS) + len(_NONCE_BEGINS)
        size = len(content) - place - 4
        framed = place >= len(_NONCE_BEGINS) and 0 < size < _SHORT and content[place : place + 4] == _frame(size)
        if not framed:
            return parse_ocsp_request(content)
        before = content[: place + 4]
        certificates = self._read.get(before)
        if certificates is None:
            request = parse_ocsp_request(content)
            certificates = request.certificates
            if request.nonce != content[place + 4 :]:  # a nonce that looks like another
                return request
            if len(self._read) >= _MAX_KEPT:
                self._read.clear()
            self._read[before] = certificates
        return OcspRequest(certificates, content[place + 4 :])

    def _is_current(self, signed: _Signed) -> bool:
        asked = signed.request.certificates
        return (
            all(self._holds(each.encoded, said) for each, said in zip(asked, signed.said, strict=True))
            and self._key(signed.request, signed.said) is signed.key
        )

    def _key(self, request: OcspRequest, said: tuple[Said, ...]) -> StatusKey:
        """As `OcspAnswers.key`; what delegations say is looked at once a block."""
        issuer = one_issuer(each.issuer for each in said)
        key = self._delegated.get(issuer)
        if key is None or self._freshness.now() >= key.ends:
            key = self._answers.key(request, said)
            if issuer != SELF_SIGNED:
                self._delegated[issuer] = key
        return key

    def _holds(self, encoded: bytes, single: Said) -> bool:
        return self._singles.get(encoded) is single and self._freshness.now() - single.block_time < _KEPT_S

    def _say(self, certificate: CertId, moment: Moment) -> Said:
        kept = self._singles.get(certificate.encoded)
        if kept is not None and self._holds(certificate.encoded, kept):
            return kept
        with self._read_model.snapshot():  # a block may have come since the look; then what is said is of that one
            if self._read_model.version() != self._version:
                moment = self._freshness.moment()
            said = self._answers.say(certificate, moment)
        while len(self._singles) >= _MAX_KEPT:
            self._forget(next(iter(self._singles)))
        self._forget(certificate.encoded)
        self._singles[certificate.encoded] = said
        self._by_key.setdefault(certificate.key_hash, set()).add(certificate.encoded)
        return said

    def _look(self) -> Moment:
        """The moment now; what is kept and no longer true is dropped. Raises as `Freshness.moment`."""
        version = self._read_model.version()
        if version == self._version and self._moment is not None:
            if not self._freshness.is_within(self._span):
                self._clear_found()
                self._moment = self._freshness.again(self._moment)
                self._span = self._freshness.span(self._moment, _LOOK_EVERY_S)
            return self._moment
        self._clear_found()
        with self._read_model.snapshot():
            moment, position = self._freshness.moment(), self._change_log.position()
            trust_list = self._authorities.version()
            # What is said of a CA's own certificate is in no change of the feed.
            if position < self._position or trust_list != self._trust_list:
                self._drop_all()
            elif position > self._position and self._singles:
                changed = self._change_log.changed_keys(self._position, _MAX_CHANGES)
                self._drop(changed) if len(changed) < _MAX_CHANGES else self._drop_all()
        self._delegated.clear()
        self._version, self._position, self._moment = version, position, moment
        self._trust_list = trust_list
        self._span = self._freshness.span(moment, _LOOK_EVERY_S)
        return moment

    def _clear_found(self) -> None:
        self._ready.clear()
        self._found.clear()

    def _forget(self, encoded: bytes) -> None:
        single = self._singles.pop(encoded, None)
        if single is not None:
            with_key = self._by_key[single.key_hash]
            with_key.discard(encoded)
            if not with_key:
                del self._by_key[single.key_hash]

    def _drop(self, changed: list[bytes]) -> None:
        for key in changed:
            for encoded in tuple(self._by_key.get(key, ())):
                self._forget(encoded)

    def _drop_all(self) -> None:
        self._singles.clear()
        self._by_key.clear()
        self._signed.clear()


def _frame(size: int) -> bytes:
    """extnValue's OCTET STRING round the nonce's, up to the nonce."""
    return bytes((OCTET_STRING, size + 2, OCTET_STRING, size))
