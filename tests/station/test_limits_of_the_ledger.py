"""Batches as a station cuts them fit the real engine: gas, octets of a transaction, and everything gets in."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.chain.typed_data import batch_digest
from pki_chain.station.batch import MAXIMUM_GAS, MAXIMUM_TRANSACTION_BYTES, estimated_gas, split
from pki_chain.station.outbox import Entry, EntryState
from tests.certificates import (
    DAY_S,
    Draft,
    access,
    alternative_names,
    authority_key,
    distribution_points,
    dns,
    extension,
    integer,
    key_usage,
    name,
    subject_key,
    tlv,
    validity,
)
from tests.ledger import VENDOR, Consortium

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("limits of the ledger")]

LONGEST = 2_048
SIGNATURE_SLACK = 3
"""A DER signature varies by this many octets."""


def fill(room: int, label: int) -> str:
    """Labels of this length, at most so many characters in all."""
    labels = []
    while room > 0:
        labels.append("a" * min(room, label))
        room -= label + 1
    return ".".join(labels)


def with_names(consortium: Consortium, count: int, label: int, size: int) -> bytes:
    """Names of this size, or as long as fit."""
    vendor = consortium.members[VENDOR]
    stems = [f"{secrets.token_hex(6)}." for _ in range(count)]
    names = [f"{stem}{fill(size - len(stem) - len(vendor.space) - 1, label)}.{vendor.space}" for stem in stems]
    return encode(consortium, (alternative_names(*(dns(each) for each in names)),))


def with_extensions(consortium: Consortium, size: int, *more: bytes) -> bytes:
    vendor = consortium.members[VENDOR]
    names = alternative_names(dns(f"{secrets.token_hex(6)}.{vendor.space}"))
    opaque = extension("1.3.6.1.4.1.55555.1", tlv(0x04, secrets.token_bytes(size)))
    return encode(consortium, (names, *more, opaque))


def encode(consortium: Consortium, more: tuple[bytes, ...]) -> bytes:
    now = consortium.now()
    return Draft(
        key=ec.generate_private_key(ec.SECP256R1()),
        serial_number=integer(secrets.randbits(120) | 1 << 120),
        subject=name(consortium.members[VENDOR].name),
        validity=validity(now - 60, now + 300 * DAY_S),
        extensions=(subject_key(), key_usage(), *more),
    ).encode()


def submit_all(consortium: Consortium, certificates: list[bytes]) -> list[tuple[int, int, int]]:
    """Cut as a station does and submit; for each batch its entries, octets of call data, and gas."""
    lot = consortium.open_lot()
    entries = [
        Entry(number, lot, 2, b"", der, "", EntryState.WAITING, 0, "", 0) for number, der in enumerate(certificates)
    ]
    told = []
    for batch in split(entries):
        ders = [each.der for each in batch]
        submission, signature = consortium.submission(ders, lot)
        call = consortium.calls.submit(submission, ders, signature)
        receipt = consortium.send(call)
        assert receipt.succeeded, (len(ders), receipt.revert)
        stands = consortium.ledger.batch(consortium.ledger.batch_of(batch_digest(ders)))
        assert stands.present == (1 << len(ders)) - 1, "not all got in"
        answer = consortium.ledger.connection.request(
            "eth_getTransactionReceipt", ["0x" + receipt.transaction_hash.hex()]
        )
        told.append((len(ders), len(call.data), int(answer["gasUsed"], 16)))
    return told


@pytest.mark.parametrize("label", [60, 1], ids=["long labels", "many labels"])
def test_certificates_of_2048_octets_with_eight_names(consortium: Consortium, label: int) -> None:
    make = partial(with_names, consortium, 8, label)
    size = next(size for size in range(250, 100, -1) if len(make(size)) <= LONGEST - SIGNATURE_SLACK)
    certificates = [make(size) for _ in range(45)]
    assert min(map(len, certificates)) > 1_950
    told = submit_all(consortium, certificates)
    assert len(told) > 1, "they all fit at once: make the test longer"
    assert sum(count for count, _, _ in told) == 45


def test_a_batch_of_128_kib(consortium: Consortium) -> None:
    """Octets that cost no parsing: full by size, not by gas."""
    certificates = [with_extensions(consortium, 500) for _ in range(160)]
    told = submit_all(consortium, certificates)
    count, octets, gas = told[0]
    assert octets > MAXIMUM_TRANSACTION_BYTES - 1_024 - max(map(len, certificates)) - 96, (count, octets, gas)
    assert octets + 300 < MAXIMUM_TRANSACTION_BYTES


def test_a_batch_of_200_is_full_by_number(consortium: Consortium) -> None:
    certificates = [with_names(consortium, 1, 60, 40) for _ in range(201)]
    assert [count for count, _, _ in submit_all(consortium, certificates)] == [200, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda consortium: with_names(consortium, 1, 60, 40),
        lambda consortium: with_names(consortium, 1, 60, 240),
        lambda consortium: with_names(consortium, 1, 1, 240),
        lambda consortium: with_names(consortium, 4, 60, 160),
        lambda consortium: with_names(consortium, 8, 60, 49),
        lambda consortium: with_extensions(consortium, 1_500),
        lambda consortium: with_extensions(
            consortium, 8, distribution_points(*("http://crl.acme.example/" + "a" * 200 for _ in range(4)))
        ),
        lambda consortium: with_extensions(
            consortium, 8, access("http://ocsp.acme.example/" + "a" * 200), authority_key()
        ),
        lambda consortium: with_extensions(
            consortium, 8, *(extension(f"1.3.6.1.4.1.55555.{number}", b"\x05\x00") for number in range(2, 9))
        ),
    ],
    ids=[
        "small",
        "long name",
        "many labels",
        "four names",
        "eight short names",
        "opaque",
        "CDP",
        "AIA",
        "many extensions",
    ],
)
def test_the_estimate_is_above_what_a_receipt_says(consortium: Consortium, make: Callable[[Consortium], bytes]) -> None:
    certificates = [make(consortium) for _ in range(20)]
    ((count, _, gas),) = submit_all(consortium, certificates)
    estimated = 400_000 + sum(map(estimated_gas, certificates))
    assert count == 20
    assert gas <= estimated <= MAXIMUM_GAS, (gas // 20, estimated // 20, len(certificates[0]))
