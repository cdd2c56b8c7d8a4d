"""Proofs that devices carry: files beside their certificates, believed for as long as the reader's policy allows.

For who meets a device where no gateway can be asked. Source: docs/proofs.md, A proof that the device carries.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pki_chain.errors import StorageError, TallyError
from pki_chain.ports import Status, TrustScope
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.proof import MAX_PROOF_BYTES, parse_proof
from pki_chain.proof.trust import MAX_TRUST_BYTES, parse_trust
from pki_chain.proof.verifier import ProvenStatus, Verifier, identify
from pki_chain.relying_party import KnownStatus, SourceUnavailableError
from pki_chain.x509.certificate import Certificate, parse_certificate
from pki_chain.x509.errors import CertificateRefusedError

PROOF: Final = ".proof"
CERTIFICATES: Final = (".cer", ".pem")
MAX_FILES: Final = 20_000
_MAX_CERTIFICATE_BYTES: Final = 65_536
_VERIFIED_AGAIN_S: Final = 300.0
"""So the trust file's own end is seen too, without every proof being verified at every look."""

_Stamp = tuple[int, int, int]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Carried:
    """A certificate and what its proof showed; None where it showed nothing."""

    stamps: tuple[_Stamp, _Stamp]
    der: bytes
    proven: ProvenStatus | None
    verified_at: float


class ProofFolder:
    """`NAME.proof` beside `NAME.cer` or `NAME.pem`. A file that changed is read anew, the trust file too.

    `max_age_s` is how old a proof's block may be. `unsafe_unsealed`: believe who filled the folder, where the ledger's
    engine seals nothing.
    """

    def __init__(self, directory: Path, trust: Path, max_age_s: int, *, unsafe_unsealed: bool = False) -> None:
        """Raises `StorageError`, `ProofRefusedError` for a trust file that is none."""
        self._directory = directory
        self._trust = trust
        self._max_age_s = max_age_s
        self._unsafe_unsealed = unsafe_unsealed
        self._carried: dict[Path, _Carried] = {}
        self._seen: dict[bytes, int] = {}
        self._trust_stamp: _Stamp | None = None
        self._verifier = self._load_verifier()

    def certificates(self, now: float) -> dict[bytes, int]:
        """DER of the self-signed ones that are proven valid, and the block of each proof: to be listed one by one. What
        a CA issued is met by its CA. Raises as at the start."""
        self._look(now)
        found = [(each.der, proven) for each, proven in self._current(now) if not proven.authorities]
        return {der: proven.block_number for der, proven in found if proven.is_good}

    def status(self, certificate: Certificate, now: float) -> KnownStatus:
        """As a source of `RelyingParty`. Raises `SourceUnavailableError` where the folder proves nothing of it."""
        try:
            self._look(now)
        except TallyError as error:
            raise SourceUnavailableError(f"{self._directory} proves nothing: {error}") from error
        found = [proven for each, proven in self._current(now) if each.der == certificate.der]
        if not found:
            raise SourceUnavailableError(f"{self._directory} has no proof of this certificate that is young enough")
        newest = max(found, key=lambda proven: proven.block_number)
        state = "valid" if newest.is_good else "unknown"
        if newest.status.state in {Status.HELD, Status.REVOKED}:
            state = newest.status.state.name.lower()
        is_for_tls = TrustScope.TLS in newest.scope
        return KnownStatus(state, newest.block_time, newest.block_time + self._max_age_s, is_for_tls)

    def _current(self, now: float) -> Iterator[tuple[_Carried, ProvenStatus]]:
        for each in self._carried.values():
            if each.proven is not None and now - each.proven.block_time <= self._max_age_s:
                yield each, each.proven

    def _look(self, now: float) -> None:
        """Read what changed. Raises `StorageError`, `ProofRefusedError` for a trust file that is none."""
        if _stamp(self._trust) != self._trust_stamp:
            self._verifier = self._load_verifier()
            self._carried.clear()
        found: dict[Path, _Carried] = {}
        try:
            files = sorted(path for path in self._directory.iterdir() if path.suffix == PROOF)
        except OSError as error:
            raise StorageError(f"Cannot read {self._directory}: {error.strerror}. Give the proofs' folder.") from error
        for path in files[:MAX_FILES]:
            try:
                found[path] = self._read(path, now)
            except (TallyError, CertificateRefusedError, OSError, ValueError) as error:
                log.warning("%s proves nothing: %s", path.name, error)
        self._carried = found

    def _read(self, path: Path, now: float) -> _Carried:
        beside = next((at for suffix in CERTIFICATES if (at := path.with_suffix(suffix)).is_file()), None)
        if beside is None:
            raise StorageError("no certificate stands beside it as .cer or .pem")
        stamps = _stamp(path), _stamp(beside)
        known = self._carried.get(path)
        if known is not None and known.stamps == stamps and now - known.verified_at < _VERIFIED_AGAIN_S:
            return known
        der = _read_certificate(beside)
        try:
            proven = self._verify(path, der, now)
        except ProofRefusedError as error:
            if error.refusal is Refusal.HEADER_FROM_FUTURE:
                raise
            log.warning("%s proves nothing: %s", path.name, error)
            proven = None
        return _Carried(stamps, der, proven, now)

    def _verify(self, path: Path, der: bytes, now: float) -> ProvenStatus:
        identity = identify(der)
        proof = parse_proof(_bounded(path, MAX_PROOF_BYTES))
        least_block = self._seen.get(identity.certificate, 0)
        proven = self._verifier.verify(proof, identity, int(now), max_age_s=self._max_age_s, least_block=least_block)
        self._seen[identity.certificate] = proven.block_number
        return proven

    def _load_verifier(self) -> Verifier:
        try:
            self._trust_stamp = _stamp(self._trust)
            content = _bounded(self._trust, MAX_TRUST_BYTES)
        except OSError as error:
            raise StorageError(f"Cannot read {self._trust}: {error.strerror}. Give the trust file.") from error
        return Verifier(parse_trust(content), unsafe_unsealed=self._unsafe_unsealed)


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


def _bounded(path: Path, most: int) -> bytes:
    """A file's content, cut after one octet more than it may have."""
    with path.open("rb") as stream:
        return stream.read(most + 1)


def _read_certificate(path: Path) -> bytes:
    content = _bounded(path, _MAX_CERTIFICATE_BYTES)
    if content.startswith(b"-----BEGIN CERTIFICATE-----"):
        content = ssl.PEM_cert_to_DER_cert(content.decode("ascii").strip())
    return parse_certificate(content).der
