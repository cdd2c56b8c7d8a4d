"""What stations and administrators post, signed by the keys of a founded consortium."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import Any

from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import batch_digest
from pki_chain.ports import HoldKind, Submission
from tests.ledger import VENDOR, Consortium


def envelope_content(
    consortium: Consortium, certificates: Sequence[bytes], lot: int, *, signer: Signer | None = None
) -> dict[str, Any]:
    """A submission by the vendor's station."""
    station = consortium.members[VENDOR].keys["station"]
    submission = Submission(station.address, 2, lot, secrets.randbits(256), consortium.now() + 6 * 86_400)
    typed = consortium.texts.submission(submission, batch_digest(certificates))
    return {
        "station": submission.station,
        "profile": submission.profile,
        "lot": lot,
        "nonce": str(submission.nonce),
        "deadline": submission.deadline,
        "certificates": [base64.b64encode(der).decode() for der in certificates],
        "signature": "0x" + (signer or station).sign(typed).hex(),
    }


def order_content(
    consortium: Consortium, order: str, label: str, certificate: bytes, counter: int, *, member: int = VENDOR
) -> dict[str, Any]:
    """A hold, release or revocation by a key of a member."""
    signer = consortium.members[member].keys[label]
    deadline = consortium.now() + 3_600
    fields: dict[str, Any] = {"order": order, "certificate": "0x" + certificate.hex(), "deadline": deadline}
    if order == "revoke":
        typed = consortium.texts.revoke(certificate, 1, deadline)
        fields["reason"] = 1
    else:
        make = consortium.texts.hold if order == "hold" else consortium.texts.release
        typed = make(certificate, HoldKind.OWNER, 0, counter, deadline)
        fields |= {"kind": int(HoldKind.OWNER), "reason": 0, "counter": counter}
    return {**fields, "signer": signer.address, "signature": "0x" + signer.sign(typed).hex()}
