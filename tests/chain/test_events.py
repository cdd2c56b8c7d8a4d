"""Events: every one of the interfaces is read, and what is not well formed is refused."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from pki_chain import ports
from pki_chain.chain import events
from pki_chain.chain.abi import load_interface
from pki_chain.errors import LedgerUnavailableError

SUBMITTED = "CertificateSubmitted(bytes32,uint40,uint8,bytes)"


def log(signature: str, topics: list[bytes], data: bytes) -> dict[str, Any]:
    return {
        "topics": ["0x" + each.hex() for each in (keccak(signature.encode()), *topics)],
        "data": "0x" + data.hex(),
        "blockNumber": "0x5",
        "transactionHash": "0x" + "07" * 32,
        "logIndex": "0x3",
    }


def submitted(certificate: bytes, batch: int, entry: int, der: bytes) -> dict[str, Any]:
    return log(SUBMITTED, [certificate, batch.to_bytes(32)], encode(["uint8", "bytes"], [entry, der]))


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, (1 << 40) - 1),
    st.integers(0, 255),
    st.binary(max_size=2100),
)
def test_the_hand_made_decoder_reads_what_the_abi_says(certificate: bytes, batch: int, entry: int, der: bytes) -> None:
    event = events.parse_event(submitted(certificate, batch, entry, der))
    assert event == ports.LoggedEvent(
        5, b"\x07" * 32, 3, ports.CertificateSubmitted(ports.CertificateId(certificate), batch, entry, der)
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-32],
        lambda data: data + bytes(32),
        lambda data: data[:95],
        lambda data: data[:32] + (96).to_bytes(32) + data[64:],
        lambda data: data[:64] + (1 << 200).to_bytes(32) + data[96:],
        lambda data: b"\x01" + data[1:],
        lambda data: data[:-1] + b"\x01",
        lambda _: b"",
    ],
)
def test_a_certificate_event_that_is_not_well_formed_is_refused(spoil: Any) -> None:
    data = encode(["uint8", "bytes"], [1, b"\x30" * 50])
    assert events.parse_event(log(SUBMITTED, [b"\x01" * 32, bytes(32)], data)) is not None
    with pytest.raises(LedgerUnavailableError, match="not well formed"):
        events.parse_event(log(SUBMITTED, [b"\x01" * 32, bytes(32)], spoil(data)))
    with pytest.raises(LedgerUnavailableError, match="not well formed"):
        events.parse_event(log(SUBMITTED, [b"\x01" * 32], data))


def test_every_event_of_the_interfaces_is_known() -> None:
    names = {
        entry.name
        for contract in ("Consortium", "CertificateRegistry", "IdentityRegistry", "TrustList", "Directory")
        for entry in load_interface(contract).events.values()
    }
    assert names == set(events._MAKERS) | events._IGNORED | {"CertificateSubmitted"}


def test_an_unknown_event_is_refused_and_founding_is_left_aside() -> None:
    with pytest.raises(LedgerUnavailableError, match="unknown to this version"):
        events.parse_event(log("Unheard(uint256)", [], b""))
    with pytest.raises(LedgerUnavailableError, match="unknown to this version"):
        events.parse_event(log(SUBMITTED, [], b"") | {"topics": []})
    founded = log("ConsortiumFounded(bytes32,bytes32)", [b"\x01" * 32], b"\x02" * 32)
    assert events.parse_event(founded) is None


ENDORSED = "BatchEndorsed(uint40,uint16,address,uint256,uint256,bytes,uint256,uint256,bool)"
ENDORSED_TYPES = ["address", "uint256", "uint256", "bytes", "uint256", "uint256", "bool"]


def test_reasons_of_an_endorsement() -> None:
    values = ["0x" + "ab" * 20, 5, 8, b"\x01\x00\x07\x03\x01\x2c", 5, 2, True]
    topics = [(9).to_bytes(32), (2).to_bytes(32)]
    event = events.parse_event(log(ENDORSED, topics, encode(ENDORSED_TYPES, values)))
    assert event is not None
    assert isinstance(event.content, ports.BatchEndorsed)
    assert event.content.reasons == ((1, 7), (3, 300))
    assert event.content.endorser != "0x" + "ab" * 20, "EIP-55"
    values[3] = b"\x01\x00"
    with pytest.raises(LedgerUnavailableError, match="BatchEndorsed that is not well formed"):
        events.parse_event(log(ENDORSED, topics, encode(ENDORSED_TYPES, values)))
    with pytest.raises(LedgerUnavailableError, match="BatchEndorsed that is not well formed"):
        events.parse_event(log(ENDORSED, topics[:1], encode(ENDORSED_TYPES, values)))


def test_values_that_are_none_of_the_contracts_are_refused() -> None:
    held = "CertificateHeld(bytes32,uint16,address,uint8,uint8,uint16,uint40)"
    data = ["0x" + "ab" * 20, 9, 6, 0, 0]
    types = ["address", "uint8", "uint8", "uint16", "uint40"]
    with pytest.raises(LedgerUnavailableError, match="CertificateHeld"):
        events.parse_event(log(held, [b"\x01" * 32, (1).to_bytes(32)], encode(types, data)))
    data[1] = 1
    assert events.parse_event(log(held, [b"\x01" * 32, (1).to_bytes(32)], encode(types, data))) is not None
