"""Splitting into batches: as full as the limits allow, in order, nothing left out."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from pki_chain.station.batch import (
    MAXIMUM_ENTRIES,
    MAXIMUM_GAS,
    MAXIMUM_TRANSACTION_BYTES,
    encoded_bytes,
    estimated_gas,
    split,
)
from pki_chain.station.outbox import Entry, EntryState
from tests.authorities import issued, issuing, root
from tests.certificates import rsa_key
from tests.index.recorded_ledger import certificate


def entry(number: int, size: int) -> Entry:
    return Entry(number, 1, 2, b"", bytes(size), "", EntryState.WAITING, 0, "", 0)


@given(st.lists(st.integers(1, 70_000), max_size=450))
def test_every_batch_is_within_the_limits_and_nothing_is_lost(sizes: list[int]) -> None:
    entries = [entry(number, size) for number, size in enumerate(sizes)]
    batches = list(split(entries))
    assert [each for batch in batches for each in batch] == entries
    for batch in batches:
        assert 1 <= len(batch) <= MAXIMUM_ENTRIES
        assert len(batch) == 1 or sum(encoded_bytes(each.der) for each in batch) < MAXIMUM_TRANSACTION_BYTES
        assert len(batch) == 1 or sum(estimated_gas(each.der) for each in batch) < MAXIMUM_GAS


def test_small_cells_of_605_bytes_fill_a_transaction() -> None:
    sizes = [len(batch) for batch in split([entry(number, 605) for number in range(400)])]
    assert sizes[0] >= 150
    assert sum(sizes) == 400


def test_small_cells_with_a_name_fill_a_transaction_to_its_size() -> None:
    """Gas for names is estimated so that it is the octets that end a batch of usual certificates."""
    der = certificate(0)
    entries = [dataclasses.replace(entry(number, 1), der=der) for number in range(400)]
    size = len(next(split(entries)))
    assert size == min(MAXIMUM_ENTRIES, (MAXIMUM_TRANSACTION_BYTES - 1_024) // encoded_bytes(der))


def test_nothing_makes_no_batch() -> None:
    assert list(split([])) == []


def test_rsa_signatures_of_cas_are_dearer_as_measured() -> None:
    """Gas of an entry in a batch of 30 on the embedded engine: 105,541 and 211,351; 69,544 by a P-256 key."""
    by_key = {size: issued(issuing(root(), own=rsa_key(size))).encode() for size in (2_048, 4_096)}
    assert 105_541 < estimated_gas(by_key[2_048]) < 125_000
    assert 211_351 < estimated_gas(by_key[4_096]) < 235_000
    assert 69_544 < estimated_gas(issued(issuing(root())).encode()) < 80_000
