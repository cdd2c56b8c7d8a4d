"""A serial number stands once under an issuer's name, so that issuer and serial name one certificate.

Source: RFC 5280 §4.1.2.2. All self-signed devices of a member share its name as issuer; what a CA issued has the CA's.
"""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.policy.context import BatchContext
from pki_chain.policy.settings import RuleSettings
from pki_chain.x509.certificate import Certificate
from pki_chain.x509.reasons import Reason


@dataclass(frozen=True, slots=True)
class RepeatedSerials:
    """Rejects a certificate whose issuer and serial number another certificate has."""

    name: str = "repeated_serials"

    def judge(self, certificate: Certificate, context: BatchContext) -> Reason | None:
        found = context.serials_in_use.certificates_with_serial(certificate.issuer, certificate.serial_number)
        return Reason.SERIAL_REPEATED if any(other != certificate.certificate_id for other in found) else None


def create(settings: RuleSettings) -> RepeatedSerials:  # noqa: ARG001
    """The rule; it has no settings."""
    return RepeatedSerials()
