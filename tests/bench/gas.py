"""Gas a certificate, from receipts of the embedded engine: submission and three endorsements, at several batch sizes."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
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

_LENGTH = 605
_SIZES = (1, 10, 100)


def certificate(organisation: str, space: str, now: int) -> bytes:
    """A small-cell certificate with SKI, AKI, EKU and a name that makes it 605 octets."""
    key = create_key()
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)  # noqa: FBT003

    def build(name: str) -> bytes:
        return (
            x509.CertificateBuilder()
            .serial_number(secrets.randbits(126) | 1 << 126)
            .issuer_name(subject)
            .subject_name(subject)
            .not_valid_before(_time(now - 60))
            .not_valid_after(_time(now + 365 * 86_400))
            .public_key(key.public_key())
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier(identifier.digest, None, None), critical=False)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )

    name = f"{secrets.token_hex(6)}.{space}"
    for _ in range(8):
        short = _LENGTH - len(build(name))
        if short <= 0:
            break
        name = "a" * min(short, 50) + "." + name if short > 1 else "a" + name
    return build(name)


def _time(seconds: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC)


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
