"""Certificates of small cells, without a ledger."""

from __future__ import annotations

import time

from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import SMALL_CELL, SanType
from pki_chain.x509.self_signed import create_key, issue


def issue_for(
    name: str, *, key: ec.EllipticCurvePrivateKey | None = None, not_before: int | None = None, lifetime_days: int = 30
) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    """A small cell's certificate of this name and its key."""
    made = key or create_key()
    der = issue(
        made,
        profile=SMALL_CELL,
        organisation="Acme Cells",
        names=[SubjectAltName(SanType.DNS, name.encode())],
        not_before=int(time.time()) - 60 if not_before is None else not_before,
        lifetime_days=lifetime_days,
    )
    return der, made
