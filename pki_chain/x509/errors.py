"""The errors of this package: a certificate refused, and why."""

from __future__ import annotations

from typing import ClassVar

from pki_chain.errors import TallyError
from pki_chain.x509.reasons import Reason


class CertificateRefusedError(TallyError):
    """A certificate breaks a rule. `reason` is the numbered one; `detail` says where, for the log only."""

    code: ClassVar[str] = "certificate-refused"
    http_status: ClassVar[int] = 422
    exit_code: ClassVar[int] = 65

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"certificate refused: {reason.text}; {reason.remedy}", detail=detail)
        self.reason = reason


class AuthorityRefusedError(TallyError):
    """A certificate is not that of a CA, or of a CA's delegate, as the trust list takes it; the text says why."""

    code: ClassVar[str] = "authority-refused"
    http_status: ClassVar[int] = 422
    exit_code: ClassVar[int] = 65
