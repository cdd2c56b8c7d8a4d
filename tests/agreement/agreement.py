"""One certificate, two implementations: what Python says, and where the contract says something else."""

from __future__ import annotations

from collections.abc import Sequence

from parser_contract import ParserContract, Verdict

from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import CertificateRules
from pki_chain.x509.verify import check_certificate


def python_verdict(der: bytes, rules: CertificateRules) -> Verdict:
    """What the validators' code says."""
    try:
        certificate = check_certificate(der, rules)
    except CertificateRefusedError as refused:
        return Verdict(refused.reason)
    return Verdict(None, certificate.not_after, certificate.spki_hash, certificate.tbs_hash)


def differences(contract: ParserContract, ders: Sequence[bytes], rules: CertificateRules) -> list[str]:
    """One line for each certificate on which the two differ, in reason or in what they read."""
    pairs = zip(ders, contract.check(ders, rules), strict=True)
    return [
        f"contract {solidity}, Python {python}: {der.hex()}"
        for der, solidity in pairs
        if (python := python_verdict(der, rules)) != solidity
    ]
