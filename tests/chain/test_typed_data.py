"""Signed texts: their digests follow EIP-712, and what recovers from them is what the contracts accept."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.chain.calls import Calls
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import (
    TYPES,
    TypedData,
    TypedTexts,
    batch_digest,
    content_hash,
    recover,
    terms_hash,
)
from pki_chain.config import ConsortiumFile
from pki_chain.errors import InputError
from pki_chain.ports import (
    Activation,
    Address,
    Attestation,
    CardKey,
    CardProof,
    HoldKind,
    LotTerms,
    NameRange,
    PossessionPurpose,
    RangeKind,
    Registration,
    Role,
    Submission,
    TrustScope,
)

FILE = ConsortiumFile(
    chain_id=5_902_435_744_427_598,
    salt=b"\x07" * 32,
    consortium=Address("0x" + "11" * 20),
    directory=Address("0x" + "22" * 20),
    certificate_registry=Address("0x" + "33" * 20),
    identity_registry=Address("0x" + "55" * 20),
    trust_list=Address("0x" + "7e" * 20),
    code_hashes=MappingProxyType({}),
    endpoints=("http://127.0.0.1:1",),
    founding_block=0,
    founding_hash=b"\x00" * 32,
)
TEXTS = TypedTexts(FILE)
ACCOUNT = Address("0x" + "44" * 20)
ID = b"\x05" * 32
TERMS = LotTerms(2, 2, 1000, 99, (ACCOUNT,), (NameRange(RangeKind.DNS, 0, 0, 0, b"cells.example"),))
PROOF = CardProof(98, b"\x06" * 32, b"\x07" * 32)
ENTRY = Registration(ID, CardKey(ID, ID, Attestation.PERSONALISER, card_enforced=True, emulator=False), PROOF)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

ALL = [
    TEXTS.submission(Submission(ACCOUNT, 2, 3, 1 << 255, 99), ID),
    TEXTS.hold(ID, HoldKind.OWNER, 6, 0, 99),
    TEXTS.release(ID, HoldKind.EMERGENCY, 0, 65535, 99),
    TEXTS.revoke(ID, 1, 99),
    TEXTS.revoke_key(ID, 1, 99),
    TEXTS.key_compromise(ID),
    TEXTS.open_lot(TERMS, 1, 99),
    TEXTS.close_lot(1, 99),
    TEXTS.set_account(1, ACCOUNT, Role.STATION, 1, 99, active=True),
    TEXTS.join(1, ACCOUNT, Role.STATION),
    TEXTS.propose(2, b"content", 1, 99),
    TEXTS.vote(1, ID, 99, support=True),
    TEXTS.found(ID),
    TEXTS.register_identities([ENTRY], 99),
    TEXTS.activate_identities([Activation(ID, PROOF)], 99),
    TEXTS.hold_identity(ID, 65535, 99),
    TEXTS.release_identity(ID, 1, 99),
    TEXTS.revoke_identity(ID, 1, 99),
    TEXTS.replace_key(ENTRY, 1, 99),
    TEXTS.start_replacement(ENTRY, 1, 99),
    TEXTS.confirm_replacement(ID, ID, ID, 1, 99),
    TEXTS.cancel_replacement(ID, 1, 99),
    TEXTS.possession(1, ID, ID, ID, PossessionPurpose.ACTIVATE, 99),
    TEXTS.word(1, ID, ID, ID, PossessionPurpose.CANCEL, 98, 99),
    TEXTS.publish_authority(b"der", 1, TrustScope.IKE | TrustScope.TLS, 98, 99),
    TEXTS.withdraw(ID, 2, 99),
    TEXTS.trust_checkpoint(ID, 1, ID, 99, ID),
]


def by_hand(typed: TypedData) -> bytes:
    """The digest as EIP-712 defines it, without eth_account."""
    domain_type = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    separator = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address", "bytes32"],
            [
                keccak(domain_type),
                keccak(b"Tiger Tally"),
                keccak(b"1"),
                typed.domain.chain_id,
                typed.domain.verifying_contract,
                typed.domain.salt,
            ],
        )
    )
    fields = TYPES[typed.primary_type]
    text = f"{typed.primary_type}({','.join(f'{kind} {name}' for name, kind in fields)})"
    values = [keccak(text.encode()), *(typed.message[name] for name, _ in fields)]
    struct = keccak(encode(["bytes32", *(kind for _, kind in fields)], values))
    return keccak(b"\x19\x01" + separator + struct)


def test_every_text_is_covered() -> None:
    assert {typed.primary_type for typed in ALL} == set(TYPES)


@pytest.mark.parametrize("typed", ALL, ids=lambda typed: typed.primary_type)
def test_digest_and_recovery(typed: TypedData) -> None:
    assert typed.digest() == by_hand(typed)
    assert len(typed.signing_input()) == 66
    signer = Signer.ephemeral()
    signature = signer.sign(typed)
    assert recover(typed, signature) == signer.address
    for domain in (
        dataclasses.replace(typed.domain, chain_id=1),
        dataclasses.replace(typed.domain, salt=b"\x08" * 32),
        dataclasses.replace(typed.domain, verifying_contract=ACCOUNT),
    ):
        assert recover(dataclasses.replace(typed, domain=domain), signature) != signer.address


def test_signatures_that_contracts_refuse_are_refused() -> None:
    typed = TEXTS.close_lot(1, 99)
    signature = Signer.ephemeral().sign(typed)
    high = (ORDER - int.from_bytes(signature[32:64])).to_bytes(32)
    for bad in (
        b"",
        signature[:64],
        signature + b"\x00",
        signature[:64] + b"\x00",
        signature[:64] + b"\x1d",
        signature[:32] + high + bytes([55 - signature[64]]),
        bytes(64) + b"\x1b",
        b"\xff" * 32 + signature[32:],
    ):
        with pytest.raises(InputError, match="Sign the text again"):
            recover(typed, bad)


@pytest.mark.parametrize(
    "typed",
    [
        TEXTS.close_lot(1 << 40, 99),
        TEXTS.close_lot(-1, 99),
        TEXTS.revoke(b"\x01" * 33, 1, 99),
        TEXTS.revoke(b"\x01" * 31, 1, 99),
        TEXTS.revoke(ID, 256, 99),
        TEXTS.vote(1, ID, 1 << 64, support=True),
    ],
)
def test_fields_out_of_range_are_refused(typed: TypedData) -> None:
    with pytest.raises(InputError, match=r"out of range|must have 32 bytes"):
        Signer.ephemeral().sign(typed)


def test_terms_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="terms of a lot"):
        terms_hash(dataclasses.replace(TERMS, maximum=1 << 32))
    with pytest.raises(InputError, match="openLot"):
        Calls(FILE).open_lot(
            dataclasses.replace(TERMS, owner=-1), administrator=ACCOUNT, nonce=1, deadline=1, signature=b""
        )
    with pytest.raises(InputError, match="endorse"):
        Calls(FILE).endorse(1, ID, 1 << 256, 0, {})


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_batch_digest_is_eip_712s_of_an_array(certificates: list[bytes]) -> None:
    assert batch_digest(certificates) == keccak(b"".join(keccak(each) for each in certificates))


def test_a_vote_is_for_one_kind() -> None:
    content = (3).to_bytes(32)
    assert content_hash(2, content) == keccak(b"\x02" + content)
    assert content_hash(2, content) != content_hash(3, content)
    assert TEXTS.propose(2, content, 1, 99).message["contentHash"] == content_hash(2, content)
    for kind in (-1, 256):
        with pytest.raises(InputError, match="kind of proposal"):
            content_hash(kind, content)


def test_order_and_content_matter() -> None:
    assert batch_digest([b"a", b"b"]) != batch_digest([b"b", b"a"])
    assert batch_digest([b"ab"]) != batch_digest([b"a", b"b"])
    assert terms_hash(TERMS) != terms_hash(dataclasses.replace(TERMS, maximum=1001))
