"""Transactions are taken when they can get into a block; each limit refuses just beyond it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.chain.connection import Connection
from pki_chain.chain.engine.transaction import MAX_TRANSACTION_BYTES, parse_transaction
from pki_chain.errors import InputError
from tests.chain.wallet import await_receipt

CHAIN = 77
KEYS = ["0x" + "00" * 32]
ACCESS = [{"address": "0x" + "22" * 20, "storageKeys": KEYS}]

LEGACY: dict[str, Any] = {"gasPrice": 0}
ACCESS_LIST: dict[str, Any] = {"gasPrice": 0, "accessList": ACCESS, "type": 1}
DYNAMIC_FEE: dict[str, Any] = {"maxFeePerGas": 0, "maxPriorityFeePerGas": 0, "accessList": ACCESS * 2}

BOUNDARIES = [
    (LEGACY, 21_000),
    (LEGACY | {"data": b"\x00" * 100}, 21_000 + 10 * 100),
    (LEGACY | {"data": b"\x01" * 100}, 21_000 + 40 * 100),
    (LEGACY | {"to": b"", "data": b"\x00" * 100}, 53_000 + 4 * 100 + 2 * 4),
    (LEGACY | {"to": b"", "data": b"\x00" * 10_000}, 21_000 + 10 * 10_000),
    (ACCESS_LIST, 21_000 + 4_300),
    (DYNAMIC_FEE, 21_000 + 8_600),
]


def signed(chain_id: int = CHAIN, **fields: Any) -> bytes:
    values = {"to": b"\x11" * 20, "value": 0, "gas": 100_000, "nonce": 0, "chainId": chain_id, "data": b""} | fields
    if not values["to"]:
        del values["to"]
    return bytes(Account.create().sign_transaction(values).raw_transaction)


@pytest.mark.parametrize(("fields", "least"), BOUNDARIES)
def test_gas_for_the_bytes_alone(fields: dict[str, Any], least: int) -> None:
    raw = signed(**fields, gas=least)
    assert parse_transaction(raw, CHAIN).raw == raw
    with pytest.raises(InputError, match=f"take, {least}, and"):
        parse_transaction(signed(**fields, gas=least - 1), CHAIN)


@pytest.mark.chain
@pytest.mark.parametrize(("fields", "least"), BOUNDARIES)
def test_what_is_taken_gets_into_a_block(connection: Connection, fields: dict[str, Any], least: int) -> None:
    digest = connection.request(
        "eth_sendRawTransaction", ["0x" + signed(connection.chain_id(), **fields, gas=least).hex()]
    )
    assert await_receipt(connection, digest)["blockNumber"]


@pytest.mark.parametrize("fields", [LEGACY, ACCESS_LIST, DYNAMIC_FEE])
def test_limits(fields: dict[str, Any]) -> None:
    parse_transaction(signed(**fields, gas=1 << 24, nonce=(1 << 64) - 2), CHAIN)
    with pytest.raises(InputError, match="EIP-7825"):
        parse_transaction(signed(**fields, gas=(1 << 24) + 1), CHAIN)
    with pytest.raises(InputError, match="EIP-2681"):
        parse_transaction(signed(**fields, nonce=(1 << 64) - 1), CHAIN)
    with pytest.raises(InputError, match="signed for chain 78"):
        parse_transaction(signed(78, **fields), CHAIN)
    raw = signed(**fields)
    fits = b""
    length = MAX_TRANSACTION_BYTES - 200
    while len(fits) != MAX_TRANSACTION_BYTES:  # a signature's length varies by an octet now and then
        fits = signed(**fields, data=b"\x01" * length, gas=1 << 24)
        length += MAX_TRANSACTION_BYTES - len(fits)
    parse_transaction(fits, CHAIN)
    with pytest.raises(InputError, match="at most 131072"):
        parse_transaction(fits + b"\x00", CHAIN)
    for bad in (raw + b"\x00", raw[:-1], b"\x03" + raw[1:], b"\x00" + raw, b"", b"\xc0", b"\x02\x80"):
        with pytest.raises(InputError):
            parse_transaction(bad, CHAIN)


def test_a_transaction_for_any_chain_is_refused() -> None:
    fields = rlp.decode(signed(**LEGACY))
    fields[6] = b"\x1b"
    with pytest.raises(InputError, match="signed for chain any"):
        parse_transaction(rlp.encode(fields), CHAIN)


@given(st.recursive(st.binary(max_size=40), lambda inner: st.lists(inner, max_size=12), max_leaves=40), st.booleans())
def test_any_rlp_is_taken_or_refused(content: Any, typed: bool) -> None:
    _expect_verdict((b"\x02" if typed else b"") + rlp.encode(content))


@given(
    st.lists(st.one_of(st.binary(max_size=33), st.just([])), min_size=9, max_size=12),
    st.sampled_from([b"", b"\1", b"\2"]),
)
def test_fields_of_any_kind_are_taken_or_refused(fields: list[Any], kind: bytes) -> None:
    _expect_verdict(kind + rlp.encode(fields))


def _expect_verdict(raw: bytes) -> None:
    """Nothing but a transaction or `InputError` comes out."""
    with suppress(InputError):
        assert parse_transaction(raw, CHAIN).raw == raw
