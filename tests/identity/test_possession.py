"""Possession proofs, and the files in which they come: taken as they are written down, or refused by line."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.errors import InputError
from pki_chain.identity.card_files import (
    ACTIVATIONS,
    REGISTRATIONS,
    Addressee,
    load_activations,
    load_registrations,
)
from pki_chain.identity.possession import parse_possession, signing_input, verify_possession
from pki_chain.ports import Attestation
from tests.identity.cards import HEADER, ORDER, TestCard, base64url, write_lines

DIGEST = bytes(range(32))
REGISTRY = "0x" + "aB" * 20
ADDRESSEE = Addressee(7, REGISTRY)


def test_a_card_s_proof_is_taken() -> None:
    card = TestCard()
    for twin in (False, True):  # low or high s, as the contract takes both
        proof = parse_possession(card.sign(DIGEST, twin=twin))
        assert proof.digest == DIGEST
        verify_possession(proof, DIGEST, card.x, card.y)
    assert len(signing_input(DIGEST)) == 103


def test_a_proof_of_something_else_is_refused() -> None:
    card, other = TestCard(), TestCard()
    proof = parse_possession(card.sign(DIGEST))
    with pytest.raises(InputError, match="something else"):
        verify_possession(proof, bytes(32), card.x, card.y)
    with pytest.raises(InputError, match="not by the key"):
        verify_possession(proof, DIGEST, other.x, other.y)
    with pytest.raises(InputError, match="not a point"):
        verify_possession(proof, DIGEST, card.x, card.x)


@pytest.mark.parametrize("type_", ["tally-approval+jwt", "tally-agent+jwt", "tally-possession+jwt", "JWT"])
def test_another_type_of_text_is_refused(type_: str) -> None:
    """An approval offered as proof, also one whose payload is 32 bytes."""
    with pytest.raises(InputError, match="type tally-possession"):
        parse_possession(TestCard().sign(DIGEST, header={"alg": "ES256", "typ": type_}))


def test_another_form_of_the_header_is_refused() -> None:
    with pytest.raises(InputError, match="type tally-possession"):
        parse_possession(TestCard().sign(DIGEST, header={"typ": HEADER["typ"], "alg": HEADER["alg"]}))


@pytest.mark.parametrize("r_s", [(0, 1), (1, 0), (ORDER, 1), (1, ORDER)])
def test_a_signature_out_of_range_is_refused(r_s: tuple[int, int]) -> None:
    raw = b"".join(each.to_bytes(32) for each in r_s)
    with pytest.raises(InputError, match="out of range"):
        parse_possession(f"{signing_input(DIGEST).decode()}.{base64url(raw)}")


def test_spare_bits_are_refused() -> None:
    jws = TestCard().sign(DIGEST)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = jws[:-1] + letters[letters.index(jws[-1]) ^ 1]
    with pytest.raises(InputError, match="canonical"):
        parse_possession(changed)


@given(st.text(max_size=300))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_possession(text)


def registration(card: TestCard, **changes: Any) -> dict[str, Any]:
    return {
        "identity": "0x" + secrets.token_hex(32),
        "key": card.jwk,
        "proof": card.sign(DIGEST),
        "attestation": "personaliser",
        "card_enforced": True,
        "emulator": False,
        **changes,
    }


def header(format_: str = REGISTRATIONS, **changes: Any) -> dict[str, Any]:
    return {"format": format_, "operator": 7, "registry": REGISTRY.lower(), **changes}


def test_a_registration_file(tmp_path: Path) -> None:
    cards = [TestCard() for _ in range(3)]
    lines = [registration(card) for card in cards]
    found = load_registrations(write_lines(tmp_path / "r", header(), *lines), ADDRESSEE)
    assert [each.key.x for each in found] == [card.x for card in cards]
    assert {each.key.attestation for each in found} == {Attestation.PERSONALISER}
    assert [each.identity.hex() for each in found] == [line["identity"][2:] for line in lines]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    lines = [registration(TestCard()) for _ in range(2)]
    path = write_lines(tmp_path / "r", header(), *lines)
    path.write_bytes(path.read_bytes()[:-30])
    assert len(load_registrations(path, ADDRESSEE)) == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"identity": "0x11"}, "identity"),
        ({"identity": "0x" + "AA" * 32}, "identity"),
        ({"key": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}, "32 bytes"),
        ({"key": {**TestCard().jwk, "d": "AA"}}, "alone"),
        ({"key": {**TestCard().jwk, "x": TestCard().jwk["y"]}}, "not a point"),
        ({"key": {**TestCard().jwk, "crv": "P-384"}}, "P-256"),
        ({"key": None}, "JWK"),
        ({"proof": "x.y.z"}, "compact JWS"),
        ({"proof": 1}, "no text"),
        ({"attestation": "vendor"}, "attestation is none of"),
        ({"emulator": True}, "an emulator is attested"),
        ({"emulator": 0}, "neither true nor false"),
        ({"card_enforced": "yes"}, "neither true nor false"),
        ({"iccid": "8986"}, "unknown: iccid"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    path = write_lines(tmp_path / "r", header(), registration(TestCard()), registration(TestCard(), **changes))
    with pytest.raises(InputError, match="line 3: ") as caught:
        load_registrations(path, ADDRESSEE)
    assert text in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"operator": 8},
        {"operator": True},
        {"registry": "0x" + "ac" * 20},
        {"format": ACTIVATIONS},
        {"format": "tally-identity-registrations/2"},
        {"batch": 1},
    ],
)
def test_a_file_for_somebody_else_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="line 1: "):
        load_registrations(write_lines(tmp_path / "r", header(**changes)), ADDRESSEE)


def test_an_identity_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    line = registration(TestCard())
    with pytest.raises(InputError, match="line 3: an identity stands there twice"):
        load_registrations(write_lines(tmp_path / "r", header(), line, line), ADDRESSEE)


@pytest.mark.parametrize("content", [b"", b"[]\n", b"{\n", b'{"a":1,"a":2}\n', b"\xff\n", b"[" * 100_000 + b"\n"])
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_registrations(path, ADDRESSEE)


def test_activation_files(tmp_path: Path) -> None:
    card, identity = TestCard(), secrets.token_hex(32)
    line = {"identity": "0x" + identity, "proof": card.sign(DIGEST)}
    (found,) = load_activations(write_lines(tmp_path / "a", header(ACTIVATIONS), line), ADDRESSEE)
    assert found.identity.hex() == identity
    with pytest.raises(InputError, match="unknown: key"):
        load_activations(write_lines(tmp_path / "a", header(ACTIVATIONS), {**line, "key": card.jwk}), ADDRESSEE)
    with pytest.raises(InputError, match="format"):
        load_registrations(write_lines(tmp_path / "a", header(ACTIVATIONS), line), ADDRESSEE)
    assert json.dumps(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("identity", "key", "proof", "attestation", "card_enforced", "emulator")


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON, max_size=4), st.binary(max_size=40))
def test_no_file_does_more_than_be_refused(tmp_path_factory: pytest.TempPathFactory, lines: Any, rest: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "r"
    content = "".join(json.dumps(line) + "\n" for line in [header(), *lines]).encode() + rest
    path.write_bytes(content)
    with suppress(InputError):
        assert load_registrations(path, ADDRESSEE) == ()
