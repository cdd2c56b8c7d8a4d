"""One certificate, two implementations: what Python says, and where the contract says something else."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.verify import check_certificate
from tests.agreement.parser_contract import ParserContract, Verdict
from tests.certificates import BLOCK_TIME


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


def openssl_verifies(der: bytes, folder: Path) -> bool:
    """`openssl verify` with the certificate as its own anchor, its signature checked, at the tests' block time."""
    path = folder / "certificate.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    arguments = ["-partial_chain", "-check_ss_sig", "-attime", str(BLOCK_TIME), "-CAfile", path, path]
    return subprocess.run(["openssl", "verify", *arguments], capture_output=True, check=False).returncode == 0
