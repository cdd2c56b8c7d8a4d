"""Keys that somebody has seen in a wrong place: a list of SHA-256 of SubjectPublicKeyInfo, kept by the member."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pki_chain.errors import ConfigurationError
from pki_chain.policy.context import BatchContext
from pki_chain.policy.settings import RuleSettings
from pki_chain.x509.certificate import Certificate
from pki_chain.x509.reasons import Reason

_MAX_FILE_BYTES = 64 * 1024 * 1024
_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class CompromisedKeys:
    """Rejects keys on the list."""

    spki_hashes: frozenset[bytes]
    name: str = "compromised_keys"

    def judge(self, certificate: Certificate, context: BatchContext) -> Reason | None:  # noqa: ARG002
        return Reason.COMPROMISED_KEY if certificate.spki_hash in self.spki_hashes else None


def create(settings: RuleSettings) -> CompromisedKeys:
    """The rule; `file` has one hash a line, in hexadecimal. Raises ConfigurationError."""
    lines = settings.take_lines("file", _MAX_FILE_BYTES)
    for line in lines:
        if not _HASH.fullmatch(line):
            raise ConfigurationError(
                f"{settings.path}: rules.compromised_keys.file: {line[:80]!r} is not a SHA-256 in hex; correct the line"
            )
    return CompromisedKeys(frozenset(bytes.fromhex(line) for line in lines))
