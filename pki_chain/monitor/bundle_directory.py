"""A directory with the certificates that may be trusted now, for software that reads files.

`DIR/current` is a link to a generation that is never changed; a new one is written beside it, and the link is replaced
in one step, so no reader ever sees half of one. Where nobody vouches for the certificates any more, the directory is
emptied: what cannot be checked is not trusted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import os
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography import x509

from pki_chain.errors import ConfigurationError, StorageError, TallyError
from pki_chain.status.bundle import BundleError, Manifest, digest_of, encode_pkcs7, verify_manifest
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.pem import encode_pem, encode_pem_certificates

CURRENT: Final = "current"
MANIFEST: Final = "manifest.jws"
TOLD: Final = "told"
"""For which certificates the command succeeded last: where it did not, the next process runs it."""

_GENERATIONS: Final = "generations"
_COMMAND_TIMEOUT_S: Final = 60
_EMPTY: Final = digest_of(())

log = logging.getLogger(__name__)


class Reader(Protocol):
    """Where a bundle is read, such as `GatewayReader`."""

    def read(self, path: str, query: dict[str, object]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Which certificates; 0 and "" do not restrict. `authorities` is "" for those of devices; ike, tls or slice for
    CAs that count for that, which have neither profile nor suffix."""

    profile: int = 0
    member: int = 0
    suffix: str = ""
    authorities: str = ""

    @property
    def paths(self) -> tuple[str, str]:
        """Where a gateway has the manifest, and the bundle with it."""
        if self.authorities:
            return "/bundles/authorities.jws", "/bundles/authorities.json"
        return "/bundles/manifest.jws", "/bundles/certificates.json"

    def query(self) -> dict[str, object]:
        """As a gateway takes it."""
        named = {
            "profile": self.profile,
            "member": self.member,
            "suffix": self.suffix,
            "scope": self.authorities,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look brought: the number of certificates in the directory, whether it was changed, and whether the command
    has still to be run."""

    count: int
    changed: bool
    withdrawn: bool = False
    untold: bool = False


class BundleDirectory:
    """Keeps a directory current. One process a directory."""

    def __init__(
        self,
        directory: Path,
        reader: Reader,
        signers: Sequence[x509.Certificate],
        scope: Scope,
        *,
        command: Sequence[str] = (),
        max_age_s: float | None = None,
    ) -> None:
        """`command` is run after each change, with the new generation in TALLY_BUNDLE.

        `max_age_s` is how long after a manifest's block its certificates stay without another; by default until its
        own next update. Raises `StorageError`.
        """
        self._directory = directory
        self._reader = reader
        self._signers = tuple(signers)
        self._scope = scope
        self._command = tuple(command)
        self._max_age_s = max_age_s
        self._must_run = False
        self._manifest: Manifest | None = None
        self._digest = ""
        self._count = 0
        try:
            (directory / _GENERATIONS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make {directory}: {error.strerror}. Choose another place.") from error
        self._recover()
        self._must_run = bool(self._command) and self._digest != self._told()

    @property
    def block(self) -> int:
        """The block that the certificates were last vouched for at; 0 before."""
        return 0 if self._manifest is None else self._manifest.block

    def look(self, now: float) -> Outcome:
        """Ask once, and bring the directory up to date. Where that fails and the certificates are no longer vouched
        for, they are withdrawn. Raises `StorageError`; `TallyError` of what failed while they still are."""
        try:
            outcome = self._renew(now)
        except (TallyError, CertificateRefusedError) as error:
            if isinstance(error, StorageError) or now <= self._ends():
                self._run_command()  # what changed before is told also while no gateway answers
                raise
            withdrawn = self._digest != _EMPTY
            if withdrawn:
                log.error("nobody vouches for the certificates any more: withdrawn. %s", error)  # noqa: TRY400
                self._write((), _EMPTY, 0 if self._manifest is None else self._manifest.block)
            outcome = Outcome(0, changed=withdrawn, withdrawn=True)
        self._run_command()
        return replace(outcome, untold=self._must_run)

    def _ends(self) -> float:
        """Until when what is in the directory is vouched for."""
        if self._manifest is None:
            return 0.0
        if self._max_age_s is not None:
            return self._manifest.this_update + self._max_age_s
        return float(self._manifest.next_update)

    def _renew(self, now: float) -> Outcome:
        text = self._reader.read(self._scope.paths[0], self._scope.query()).decode("ascii", "replace")
        manifest = self._judge(text, now)
        changed = manifest.digest != self._digest
        if changed:
            text, manifest, ders = self._fetch(now, manifest.block)
            self._write(ders, manifest.digest, manifest.block)
        self._manifest = manifest
        _replace(self._directory / MANIFEST, text.encode())
        return Outcome(self._count, changed=changed)

    def _judge(self, text: str, now: float) -> Manifest:
        """The manifest, if it is later than the last and about what was asked. Raises `BundleError`."""
        manifest = verify_manifest(text, self._signers, now)
        found = Scope(manifest.profile, manifest.member, manifest.suffix, manifest.authorities)
        if found != self._scope:
            raise BundleError("The manifest is about another scope than was asked for. Ask another gateway.")
        last = self._manifest
        if last is not None and manifest.consortium != last.consortium:
            raise BundleError("The manifest is of another consortium than the last one. Check the gateways.")
        if last is not None and manifest.block < last.block:
            raise BundleError(f"The manifest of block {manifest.block} is older than the last, {last.block}.")
        return manifest

    def _fetch(self, now: float, least_block: int) -> tuple[str, Manifest, list[bytes]]:
        """A bundle whose certificates are those of its manifest, each of a form that may be trusted."""
        try:
            content: Any = json.loads(self._reader.read(self._scope.paths[1], self._scope.query()))
            text = str(content["manifest"])
            ders = [base64.b64decode(each["der"], validate=True) for each in content["certificates"]]
        except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
            raise BundleError("The bundle is not of its form. Ask another gateway.") from error
        manifest = self._judge(text, now)
        if manifest.block < least_block:
            raise BundleError("The bundle is older than the manifest that was given alone. Ask another gateway.")
        # Among devices never a CA's: daemons would take it for one
        read = parse_authority if self._scope.authorities else parse_certificate
        certificates = [read(der) for der in ders]
        if digest_of(hashlib.sha256(der).digest() for der in ders) != manifest.digest:
            raise BundleError("The bundle's certificates are not those of its manifest. Ask another gateway.")
        return text, manifest, [each.der for each in certificates if now <= each.not_after]

    def _write(self, ders: Sequence[bytes], digest: str, block: int) -> None:
        """A new generation, and the link to it. Files that were there before are linked, not copied."""
        name = f"{block:012}-{digest[:16]}"
        target = self._directory / _GENERATIONS / name
        before = self._directory / CURRENT / "certificates"
        try:
            shutil.rmtree(target, ignore_errors=True)
            (target / "certificates").mkdir(parents=True)
            for der in ders:
                _place(target / "certificates", before, der)
            (target / "certificates.pem").write_text(encode_pem_certificates(ders), encoding="ascii")
            (target / "certificates.p7b").write_bytes(encode_pkcs7(ders))
            link = self._directory / f".{CURRENT}.new"
            link.unlink(missing_ok=True)
            link.symlink_to(Path(_GENERATIONS) / name)
            previous = (self._directory / CURRENT).resolve()
            link.replace(self._directory / CURRENT)
        except OSError as error:
            raise StorageError(
                f"Cannot write {target}: {error.strerror}. Free space or choose another place."
            ) from error
        self._digest, self._count, self._must_run = digest, len(ders), bool(self._command)
        for old in (self._directory / _GENERATIONS).iterdir():
            if old.resolve() not in {target.resolve(), previous}:  # who reads the last one now may finish
                shutil.rmtree(old, ignore_errors=True)

    def _recover(self) -> None:
        """Go on from what an earlier process left. What is not as it should be is written anew."""
        try:
            files = sorted((self._directory / CURRENT / "certificates").iterdir())
            ders = [ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii")) for path in files]
            self._digest, self._count = digest_of(hashlib.sha256(der).digest() for der in ders), len(ders)
            text = (self._directory / MANIFEST).read_text(encoding="ascii")
            payload = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
            self._manifest = verify_manifest(text, self._signers, payload["this_update"])
        except (OSError, ValueError, TypeError, KeyError, IndexError, TallyError):
            return

    def _run_command(self) -> None:
        """Again until it succeeds: a daemon that was not told still trusts what it had."""
        if not self._must_run:
            return
        environment = {**os.environ, "TALLY_BUNDLE": str((self._directory / CURRENT).resolve())}
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command
                self._command, env=environment, check=False, timeout=_COMMAND_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as error:
            raise ConfigurationError(f"There is no command {self._command[0]}. Correct --run.") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            log.error("%s failed and is run again: %s", self._command[0], error)  # noqa: TRY400 - no defect of ours
            return
        if done.returncode != 0:
            log.error("%s ended with status %d and is run again", self._command[0], done.returncode)
            return
        _replace(self._directory / TOLD, self._digest.encode())
        self._must_run = False

    def _told(self) -> str:
        try:
            return (self._directory / TOLD).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return ""


def load_signers(path: Path) -> list[x509.Certificate]:
    """Certificates of status keys from a PEM file. Raises `ConfigurationError`."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}. Give the file of signers.") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{path} holds no certificates in PEM. Fetch a gateway's /bundles/signers.pem and compare it."
        ) from error


def _place(target: Path, before: Path, der: bytes) -> None:
    name = hashlib.sha256(der).hexdigest() + ".pem"
    try:
        os.link(before / name, target / name)
    except OSError:
        (target / name).write_text(encode_pem("CERTIFICATE", der), encoding="ascii")


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}. Free space or choose another place.") from error
