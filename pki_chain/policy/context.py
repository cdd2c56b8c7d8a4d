"""What a rule may know beside the certificate. Rules do no I/O of their own: they ask the ports here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from pki_chain.ports import CertificateId, NameRange
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import Profile
from pki_chain.x509.rules import CertificateRules, Issuer


class EvidenceMissingError(Exception):
    """A port cannot answer now. The entry is then abstained from (evidence_missing), not rejected."""


class NamesInUse(Protocol):
    """Who has a name, as far as this validator's own read model knows."""

    def keys_with_name(self, name: SubjectAltName) -> Collection[bytes]:
        """SPKI hashes of all live certificates with this name, and of undecided entries that came earlier.

        Earlier entries of the same batch count. Raises EvidenceMissingError.
        """
        ...


class SerialsInUse(Protocol):
    """Which certificates have a serial number, as far as this validator's own read model knows."""

    def certificates_with_serial(self, issuer: bytes, serial_number: int) -> Collection[CertificateId]:
        """Ids of certificates accepted, or submitted earlier and undecided, under this issuer (the Name's TLV).

        Raises EvidenceMissingError.
        """
        ...


@dataclass(frozen=True, slots=True)
class BatchContext:
    """One entry's circumstances. `block_time` is its submission's, `now` this validator's clock; both seconds (UTC).

    `issuers` are the CAs on the trust list then, for a profile of certificates that CAs issue.
    """

    block_time: int
    now: int
    profile: Profile
    organisation: str
    ranges: tuple[NameRange, ...]
    names_in_use: NamesInUse
    serials_in_use: SerialsInUse
    issuers: tuple[Issuer, ...] = ()

    def certificate_rules(self) -> CertificateRules:
        """The part that the contract knows too."""
        return CertificateRules(self.profile, self.organisation, self.ranges, self.block_time, self.issuers)
