"""A live name belongs to one key: nobody gets a certificate for a name that another device is using."""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.policy.context import BatchContext
from pki_chain.policy.settings import RuleSettings
from pki_chain.x509.certificate import Certificate
from pki_chain.x509.reasons import Reason


@dataclass(frozen=True, slots=True)
class LiveNames:
    """Rejects a certificate with a name that a live or an earlier undecided one with another key has."""

    name: str = "live_names"

    def judge(self, certificate: Certificate, context: BatchContext) -> Reason | None:
        for name in certificate.names:
            if any(key != certificate.spki_hash for key in context.names_in_use.keys_with_name(name)):
                return Reason.NAME_LIVE_ELSEWHERE
        return None


def create(settings: RuleSettings) -> LiveNames:  # noqa: ARG001
    """The rule; it has no settings."""
    return LiveNames()
