"""Gas a certificate, from receipts of the embedded engine: a submission and three endorsements, by batch size."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.typed_data import batch_digest
from pki_chain.x509.self_signed import create_key
from tests.bench.figures import Figure
from tests.ledger import AUTHORITY, OEM, OPERATOR, VENDOR, Consortium, found_consortium

FLOOR_605 = 48_400
"""Call data, two SHA-256, P256VERIFY, one slot and the DER in the event at 605 octets, 100 a batch; no parsing, profile
or endorsement. Measured earlier with the same engine."""

_SIZES = (1, 10, 100)


def certificate(organisation: str, space: str, now: int) -> bytes:
    """A small-cell certificate as a line makes it, with serialNumber, SKI, AKI and EKU: close to 605 octets."""
    key = create_key()
    eui = secrets.token_hex(6)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, eui),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{eui}.{space}"),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)  # noqa: FBT003
    return (
        x509.CertificateBuilder()
        .serial_number(secrets.randbits(126) | 1 << 126)
        .issuer_name(subject)
        .subject_name(subject)
        .not_valid_before(datetime.fromtimestamp(now - 60, UTC))
        .not_valid_after(datetime.fromtimestamp(now + 365 * 86_400, UTC))
        .public_key(key.public_key())
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(identifier.digest, None, None), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.IPSEC_IKE]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{eui}.{space}")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def _gas(consortium: Consortium, transaction_hash: bytes) -> int:
    receipt: Any = consortium.ledger.connection.request("eth_getTransactionReceipt", ["0x" + transaction_hash.hex()])
    return int(receipt["gasUsed"], 16)


def _full_batch(certificates: list[bytes], consortium: Consortium, lot: int) -> int:
    """How many of these fit 128 KiB of transaction."""
    submission, signature = consortium.submission(certificates, lot)
    count = len(certificates)
    while len(consortium.calls.submit(submission, certificates[:count], signature).data) > 128 * 1024 - 300:
        count -= 1
    return count


def measure() -> Iterator[Figure]:
    """Figures of gas, for certificates of about 605 octets."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedEngine(Path(directory) / "ledger", port=0) as engine:
        consortium = found_consortium([engine.endpoint], Path(directory))
        vendor = consortium.members[VENDOR]
        lot = consortium.open_lot()
        now = consortium.now()
        pool = [certificate(vendor.name, vendor.space, now) for _ in range(200)]
        full = _full_batch(pool, consortium, lot)
        for size in (*_SIZES, full):
            batch = [certificate(vendor.name, vendor.space, now) for _ in range(size)]
            submission, signature = consortium.submission(batch, lot)
            receipt = consortium.send(consortium.calls.submit(submission, batch, signature))
            assert receipt.succeeded, receipt.revert
            number = consortium.ledger.batch_of(batch_digest(batch))
            submitting = _gas(consortium, receipt.transaction_hash)
            endorsing = 0
            for member in (OPERATOR, OEM, AUTHORITY):
                endorsing += _gas(consortium, consortium.endorse(number, member).transaction_hash)
            stands = consortium.ledger.batch(number)
            assert stands.present == stands.accepted == (1 << size) - 1
            length = sum(map(len, batch)) / size
            what = f"{'full batch' if size == full else 'batch'} of {size}, {length:.0f} octets each"
            aim = "70,000" if size == full else ""
            total = (submitting + endorsing) / size
            yield Figure("gas", f"{what}, with three endorsements", total, "gas", aim, FLOOR_605, "floor")
            yield Figure("gas", f"{what}, submission alone", submitting / size, "gas", "", FLOOR_605, "floor")
        consortium.close()
