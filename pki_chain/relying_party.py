"""One call at a handshake: may the holder of this certificate be spoken to now?

    party = RelyingParty([OcspSource("https://gateway.example", signers)])    # or ProofSource
    verdict = party.check_peer(tls_socket, name="00a1b2c3d000.cells.acme.example")

Whatever is not known to be valid is refused: no answer, a late one, one that nobody known signed (R-DEV-4, R-DEV-9).
Possession of the key is the handshake's to prove: ask after it, before anything is sent.
"""

from __future__ import annotations

import secrets
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from pki_chain.errors import InputError, RefusedError
from pki_chain.ports import Status, TrustScope
from pki_chain.proof.errors import ProofRefusedError
from pki_chain.proof.proof import parse_proof
from pki_chain.proof.verifier import Verifier, identify
from pki_chain.status.answer_signer import find_issuer, is_signed_by, is_signed_for
from pki_chain.status.ocsp import read_cert_hash
from pki_chain.x509.certificate import Certificate, parse_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.object_identifiers import CLIENT_AUTH, SERVER_AUTH

TOLERANCE_S: Final = 15
"""How far clocks may differ."""

MAX_ANSWER_BYTES: Final = 64 * 1024
NONCE_BYTES: Final = 32
_CERT_HASH_OID: Final = "1.3.36.8.3.13"
_PURPOSE_OF_PEER: Final = {True: CLIENT_AUTH, False: SERVER_AUTH}
"""By whether we are the server. Source: RFC 5280 §4.2.1.12."""

_REASONS: Final = {x509.ReasonFlags.certificate_hold: "held"}


class NotTrustedError(RefusedError):
    """Do not speak to the peer. `reason` is one word for a program: malformed, not-yet-valid, expired,
    name, purpose, unknown, held, revoked, or unavailable where nobody could say."""

    def __init__(self, reason: str, message: str, *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.reason = reason


class SourceUnavailableError(Exception):
    """A source has no answer that can be believed. The next one is asked."""


@dataclass(frozen=True, slots=True)
class KnownStatus:
    """What a source vouches for. `state` is valid, held, revoked or unknown; times are seconds since 1970; `is_for_tls`
    is False where it is known that the CA which issued it is not trusted for TLS."""

    state: str
    this_update: float
    next_update: float
    is_for_tls: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """A peer that may be spoken to, and until when that was known."""

    certificate: Certificate
    known_at: float
    known_until: float
    is_for_tls: bool = True


class StatusSource(Protocol):
    """Where status comes from: a responder that is trusted, or a proof that is verified."""

    def status(self, certificate: Certificate, now: float) -> KnownStatus:
        """The status of just this certificate. Raises `SourceUnavailableError`."""


class OcspSource:
    """OCSP of a gateway, believed because of its signature and not because of who sent it."""

    def __init__(
        self,
        gateway: str,
        signers: Sequence[x509.Certificate],
        timeout_s: float = 2.0,
        *,
        authorities: Path | None = None,
    ) -> None:
        """`signers` are certificates of status keys, from the gateway's `/bundles/signers.pem`, compared once.

        `authorities` is a PEM file of the CAs whose certificates are believed too, by answers that these CAs let sign:
        `current/certificates.pem` of a directory that `tally bundle sync --authorities` keeps. It is read each time.
        """
        if not signers:
            raise InputError("No signer is given: nobody's answer could be believed. Give the gateway's signers.pem.")
        self._url = gateway.rstrip("/") + "/ocsp"
        self._signers = tuple(signers)
        self._authorities = authorities
        self._client = _Client(timeout_s)

    def status(self, certificate: Certificate, now: float) -> KnownStatus:
        """Ask with a nonce, verify, compare. Raises `SourceUnavailableError`."""
        loaded = x509.load_der_x509_certificate(certificate.der)
        authority = None if loaded.issuer == loaded.subject else self._issuer_of(loaded, now)
        nonce = secrets.token_bytes(NONCE_BYTES)
        request = (
            ocsp.OCSPRequestBuilder()
            .add_certificate(loaded, authority or loaded, hashes.SHA256())
            .add_extension(x509.OCSPNonce(nonce), critical=False)
            .build()
        )
        headers = {"Content-Type": "application/ocsp-request"}
        content = self._client.ask("POST", self._url, headers, request.public_bytes(Encoding.DER))
        try:
            answer = ocsp.load_der_ocsp_response(content)
            if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                raise SourceUnavailableError(f"{self._url} answers {answer.response_status.name.lower()}")
            # 1. signed by somebody who is known, or whom the CA certified for it. RFC 6960 §3.2
            if not self._is_signed(answer, authority, now):
                raise SourceUnavailableError(f"{self._url}: nobody who may do so signed the answer")
            return self._judge(answer, request, nonce, certificate, now)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise SourceUnavailableError(f"{self._url} answers what is no OCSP response: {error}") from error

    def _issuer_of(self, certificate: x509.Certificate, now: float) -> x509.Certificate:
        """The CA of a certificate, as the file has it now. Raises `SourceUnavailableError`."""
        try:
            content = b"" if self._authorities is None else self._authorities.read_bytes()
            known = x509.load_pem_x509_certificates(content) if content else []
        except (OSError, ValueError) as error:
            raise SourceUnavailableError(f"{self._authorities} cannot be read: no CA is believed") from error
        living = [each for each in known if now <= each.not_valid_after_utc.timestamp()]
        authority = find_issuer(certificate, living)
        if authority is None:
            raise SourceUnavailableError("a CA issued the certificate, and none that is believed here")
        return authority

    def _is_signed(self, answer: ocsp.OCSPResponse, authority: x509.Certificate | None, now: float) -> bool:
        if authority is not None:
            return is_signed_for(answer, authority, now)
        return any(is_signed_by(answer, signer, now) for signer in self._signers)

    def _judge(
        self, answer: ocsp.OCSPResponse, request: ocsp.OCSPRequest, nonce: bytes, certificate: Certificate, now: float
    ) -> KnownStatus:
        # 2. to this question
        if answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce != nonce:
            raise SourceUnavailableError(f"{self._url} answers an older question")
        asked = (request.issuer_name_hash, request.issuer_key_hash, request.serial_number)
        if (answer.issuer_name_hash, answer.issuer_key_hash, answer.serial_number) != asked:
            raise SourceUnavailableError(f"{self._url} answers about another certificate")
        # 3. in time
        end = answer.next_update_utc
        if end is None or now > end.timestamp() or answer.this_update_utc.timestamp() > now + TOLERANCE_S:
            raise SourceUnavailableError(f"{self._url} answers out of time: compare the clocks")
        times = (answer.this_update_utc.timestamp(), end.timestamp())
        if answer.certificate_status is ocsp.OCSPCertStatus.REVOKED:
            reason = answer.revocation_reason
            return KnownStatus("revoked" if reason is None else _REASONS.get(reason, "revoked"), *times)
        # 4. about these very octets: a CertID does not say that
        if answer.certificate_status is not ocsp.OCSPCertStatus.GOOD or _cert_hash(answer) != certificate.sha256:
            return KnownStatus("unknown", *times)
        return KnownStatus("valid", *times)


class ProofSource:
    """Proofs of a gateway, believed because they verify by a trust file: nobody who answers need be trusted."""

    def __init__(self, gateway: str, verifier: Verifier, *, max_age_s: int = 30, timeout_s: float = 5.0) -> None:
        """`max_age_s` is how old a proof's block may be, and how long what it shows is used after that block."""
        self._url = gateway.rstrip("/") + "/v1/certificates/"
        self._verifier = verifier
        self._max_age_s = max_age_s
        self._client = _Client(timeout_s)

    def status(self, certificate: Certificate, now: float) -> KnownStatus:
        """Fetch and verify a proof of presence or absence. Raises `SourceUnavailableError`."""
        identity = identify(certificate.der)
        query = f"spki={certificate.spki_hash.hex()}&tbs={certificate.tbs_hash.hex()}"
        url = f"{self._url}{certificate.sha256.hex()}/proof?{query}"
        content = self._client.ask("GET", url, {"Accept": "application/cbor"}, None)
        try:
            proven = self._verifier.verify(parse_proof(content), identity, int(now), max_age_s=self._max_age_s)
        except ProofRefusedError as error:
            raise SourceUnavailableError(f"{self._url} proves nothing: {error}") from error
        state = "valid" if proven.is_good else "unknown"
        if proven.status.state in {Status.HELD, Status.REVOKED}:
            state = proven.status.state.name.lower()
        is_for_tls = TrustScope.TLS in proven.scope
        return KnownStatus(state, proven.block_time, proven.block_time + self._max_age_s, is_for_tls)


class _Client:
    """HTTP with bounds; a session a thread."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._local = threading.local()

    def ask(self, method: str, url: str, headers: dict[str, str], content: bytes | None) -> bytes:
        """The body of a 200. Raises `SourceUnavailableError`."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # no proxy of the environment
        try:
            with session.request(
                method, url, data=content, headers=headers, timeout=self._timeout_s, allow_redirects=False, stream=True
            ) as response:
                body: bytes = response.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
                status = response.status_code
        except Exception as error:  # requests' and urllib3's; nothing else is raised here
            raise SourceUnavailableError(f"{url} does not answer") from error
        if status != 200 or len(body) > MAX_ANSWER_BYTES:
            raise SourceUnavailableError(f"{url} answers status {status} and {len(body)} bytes")
        return body


class RelyingParty:
    """Decides about peers. Safe for threads."""

    def __init__(
        self,
        sources: Sequence[StatusSource],
        *,
        max_age_s: float = 5.0,
        kept: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Sources are asked in order; an answer is used again for `max_age_s`, and never beyond its own end.

        The oldest news that a peer is let in on is thus the source's cut-off bound.
        """
        if not sources:
            raise InputError("No source of status is given: nobody could be let in. Give one.")
        self._sources = tuple(sources)
        self._max_age_s = max_age_s
        self._most_kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, Verdict] = OrderedDict()

    def check(self, der: bytes, *, name: str | None = None) -> Verdict:
        """Whether the certificate may be relied on now, for this name. Raises `NotTrustedError`."""
        now = self._clock()
        # 1. what it says. The ledger's reader and ours are the same, and strict.
        try:
            certificate = parse_certificate(der)
        except CertificateRefusedError as error:
            raise NotTrustedError(
                "malformed", f"The peer's certificate cannot be published: {error}. Refuse it."
            ) from error
        # 2. its time
        if now < certificate.not_before - TOLERANCE_S:
            raise NotTrustedError("not-yet-valid", "The peer's certificate is not valid yet. Compare the clocks.")
        if now > certificate.not_after:
            raise NotTrustedError("expired", "The peer's certificate has expired. It needs another.")
        # 3. its name
        if name is not None and name not in {each.text for each in certificate.names}:
            raise NotTrustedError("name", f"The peer's certificate is not for {name}. It is somebody else.")
        # 4. what the ledger says, not older than allowed
        with self._lock:
            kept = self._kept.get(certificate.sha256)
            if kept is not None and kept.known_at <= now < kept.known_until:
                return kept
            self._kept.pop(certificate.sha256, None)
        verdict = self._ask(certificate, now)
        with self._lock:
            self._kept[certificate.sha256] = verdict
            while len(self._kept) > self._most_kept:
                self._kept.popitem(last=False)
        return verdict

    def check_peer(self, connection: ssl.SSLSocket | ssl.SSLObject, *, name: str | None = None) -> Verdict:
        """As `check`, for the certificate that the other side of a TLS connection showed. Raises `NotTrustedError`.

        Where it says for what it is, that must be TLS on that side; OpenSSL looks only where it verifies a chain.
        """
        der = connection.getpeercert(binary_form=True)
        if not der:
            raise NotTrustedError("malformed", "The peer showed no certificate. Ask for one (ssl.CERT_REQUIRED).")
        verdict = self.check(der, name=name)
        purposes, wanted = verdict.certificate.extensions.key_purposes, _PURPOSE_OF_PEER[connection.server_side]
        if purposes and wanted not in purposes:
            raise NotTrustedError("purpose", "The peer's certificate is not for this side of TLS. It needs another.")
        if not verdict.is_for_tls:
            raise NotTrustedError("purpose", "The peer's certificate is of a CA that is not for TLS. It needs another.")
        return verdict

    def forget(self, sha256: bytes | None = None) -> None:
        """Use nothing that was known about a certificate, or about any: for whoever follows the change feed."""
        with self._lock:
            if sha256 is None:
                self._kept.clear()
            else:
                self._kept.pop(sha256, None)

    def _ask(self, certificate: Certificate, now: float) -> Verdict:
        failures = []
        for source in self._sources:
            try:
                status = source.status(certificate, now)
            except SourceUnavailableError as error:
                failures.append(str(error))
                continue
            if status.state != "valid":
                raise NotTrustedError(status.state, f"The ledger's answer about the peer is {status.state}. Refuse it.")
            until = min(now + self._max_age_s, status.next_update)
            return Verdict(certificate, now, until, status.is_for_tls)
        raise NotTrustedError(
            "unavailable",
            "Nobody could say whether the peer's certificate is valid, so it is refused. Look after the gateways.",
            detail="; ".join(failures),
        )


def _cert_hash(answer: ocsp.OCSPResponse) -> bytes:
    for extension in answer.single_extensions:
        value = extension.value
        if extension.oid.dotted_string == _CERT_HASH_OID and isinstance(value, x509.UnrecognizedExtension):
            return read_cert_hash(value.value)
    return b""
