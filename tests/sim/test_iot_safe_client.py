"""The client against the emulator, and against cards that misbehave."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from sim_applet_tools.errors import CardResponseError, ConfigurationError, InputError, SignatureRefusedError, SimError
from sim_applet_tools.iot_safe.commands import CommandBuilder, Kind, Mode, ObjectName
from sim_applet_tools.iot_safe.pin import (
    APPROVAL_KEY,
    APPROVAL_PREFIX,
    CERTIFICATE_FILE,
    DEVICE_KEY,
    PEER_KEY,
    POSSESSION_PREFIX,
    SESSION_KEY,
    ApprovalCard,
)
from sim_applet_tools.iot_safe.responses import parse_object_list, parse_signature
from sim_applet_tools.iot_safe.session import IotSafeApplet, find_applet
from sim_applet_tools.iot_safe.signature_check import SeenInFile, SeenInMemory
from sim_applet_tools.profiles import load_profile, parse_application_id, parse_profile, profile_names
from sim_applet_tools.status_words import (
    ConditionsNotSatisfiedError,
    EmptyContainerError,
    NotFoundError,
    PinRequiredError,
    StatusWordError,
    WrongPinError,
    error_of,
)
from sim_applet_tools.transport.loopback import LoopbackTransport, RawCard
from tests.sim.card_targets import fresh_emulator
from tests.sim.scripted_card import BentCard, ScriptedCard

TALLY = load_profile("tally")
OK = b"\x90\x00"
TEXT = APPROVAL_PREFIX + b"x" * 384


def _applet(card: RawCard | None = None) -> IotSafeApplet:
    applet = IotSafeApplet(LoopbackTransport(card or fresh_emulator()), TALLY, TALLY.application_ids[0])
    applet.select()
    return applet


def _active(card: RawCard | None = None) -> tuple[ApprovalCard, ec.EllipticCurvePublicKey]:
    applet = _applet(card)
    key = applet.generate_key_pair(APPROVAL_KEY)
    approval = ApprovalCard(applet)
    approval.personalise("123456", "11223344")
    approval.change_pin("123456", "65432100")
    return approval, key


@pytest.mark.parametrize("is_t1", [False, True])
@pytest.mark.parametrize("mode", [Mode.FULL_TEXT, Mode.HASH])
@pytest.mark.parametrize("size", [0, 1, 251, 252, 253, 2048])
def test_signs_and_verifies(is_t1: bool, mode: Mode, size: int) -> None:
    applet = _applet(fresh_emulator(is_t1=is_t1))
    key = applet.generate_key_pair(DEVICE_KEY)
    text = b"t" * size
    if size == 0 and mode is Mode.FULL_TEXT:
        with pytest.raises(StatusWordError, match="6A80"):
            applet.sign(DEVICE_KEY, text, key, mode=mode)
        return
    signature = applet.sign(DEVICE_KEY, text, key, mode=mode)
    assert applet.verify(DEVICE_KEY, text, signature, mode=mode)
    assert not applet.verify(DEVICE_KEY, text[:-1] + b"!", signature, mode=mode)


def test_last_block_mode_is_refused_by_our_card_and_spoken_to_others() -> None:
    applet = _applet()
    key = applet.generate_key_pair(DEVICE_KEY)
    with pytest.raises(ConditionsNotSatisfiedError):
        applet.sign(DEVICE_KEY, b"text", key, mode=Mode.LAST_BLOCK)
    update = CommandBuilder(TALLY).compute_signature_last_block(b"ab", bytes(32), 64)
    assert update.data == bytes.fromhex("9A026162" + "9C20" + "00" * 32 + "9D0400000040")


def test_agrees_on_a_secret() -> None:
    applet = _applet()
    peer = ec.generate_private_key(ec.SECP256R1())
    own = applet.generate_key_pair(SESSION_KEY)
    applet.put_public_key(PEER_KEY, peer.public_key())
    assert applet.public_key(PEER_KEY) == peer.public_key()
    assert applet.shared_secret(SESSION_KEY, PEER_KEY) == peer.exchange(ec.ECDH(), own)
    with pytest.raises(ConditionsNotSatisfiedError):
        applet.put_public_key(DEVICE_KEY, peer.public_key())


@pytest.mark.parametrize("size", [1, 199, 200, 201, 2048])
def test_a_file_is_read_back_as_written(size: int) -> None:
    applet = _applet()
    with pytest.raises(EmptyContainerError):
        applet.read_file(CERTIFICATE_FILE)
    content = bytes(index % 251 for index in range(size))
    ApprovalCard(applet).write_file(CERTIFICATE_FILE, content)
    assert applet.read_file(CERTIFICATE_FILE) == content


def test_random_bytes_differ() -> None:
    applet = _applet()
    assert applet.random_bytes(32) != applet.random_bytes(32)
    for size in (0, 257):
        with pytest.raises(InputError):
            applet.random_bytes(size)


def test_objects_by_label_and_unknown_ones() -> None:
    applet = _applet()
    assert applet.object_info(Kind.PRIVATE_KEY, ObjectName(b"device", is_label=True)).object_id == b"\x02"
    with pytest.raises(NotFoundError):
        applet.object_info(Kind.FILE, ObjectName(b"\x09"))


def test_approves_with_one_pin_a_signature() -> None:
    approval, key = _active()
    seen = SeenInMemory()
    approval.sign_approval(TEXT, "65432100", key, seen=seen)
    approval.sign_approval(TEXT, "65432100", seen=seen)
    approval.applet.select()
    assert approval.status().signature_counter == 2
    with pytest.raises(PinRequiredError):
        approval.applet.sign(APPROVAL_KEY, TEXT, key)
    with pytest.raises(WrongPinError) as caught:
        approval.sign_approval(TEXT, "11111111", key, seen=seen)
    assert caught.value.tries_left == 2
    assert "11111111" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"hello", APPROVAL_PREFIX[:-1], b" " + APPROVAL_PREFIX])
def test_text_without_the_prefix_is_refused_before_the_card_and_by_it(text: bytes) -> None:
    approval, key = _active()
    with pytest.raises(InputError):
        approval.sign_approval(text, "65432100", key, seen=SeenInMemory())
    approval.verify_pin("65432100")
    with pytest.raises(StatusWordError, match="6A80"):
        approval.applet.sign(APPROVAL_KEY, text, key)


def test_modes_that_hide_the_text_are_refused_for_approvals() -> None:
    approval, key = _active()
    for mode in (Mode.HASH, Mode.LAST_BLOCK):
        approval.verify_pin("65432100")
        with pytest.raises(ConditionsNotSatisfiedError):
            approval.applet.sign(APPROVAL_KEY, TEXT, key, mode=mode)


def test_no_key_is_made_after_personalisation() -> None:
    approval, _ = _active()
    for name in (APPROVAL_KEY, DEVICE_KEY):
        with pytest.raises(ConditionsNotSatisfiedError):
            approval.applet.generate_key_pair(name)


@pytest.mark.parametrize("pin", ["12345", "123456789", "12345a", "", "\uff11\uff12\uff13\uff14\uff15\uff16"])
def test_what_is_no_pin_is_not_sent(pin: str) -> None:
    approval, _ = _active()
    with pytest.raises(InputError) as caught:
        approval.verify_pin(pin)
    assert not pin or pin not in str(caught.value)
    assert approval.status().pin_tries == 3


def test_a_signature_under_another_key_is_not_passed_on() -> None:
    applet = _applet()
    applet.generate_key_pair(DEVICE_KEY)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(SignatureRefusedError, match="does not verify"):
        applet.sign(DEVICE_KEY, b"text", other)


def test_a_nonce_that_comes_twice_is_refused(tmp_path: Path) -> None:
    """A card that answers a second signature with the bytes of the first, which verify."""
    kept: list[bytes] = []

    def bend(command: bytes, answer: bytes) -> bytes:
        if command[1] == 0x2B and command[2] == 0x80:
            kept.append(answer)
            return kept[0]
        return answer

    applet = _applet(BentCard(fresh_emulator(is_t1=True), bend))
    key = applet.generate_key_pair(DEVICE_KEY)
    seen = SeenInFile(tmp_path / "seen")
    applet.sign(DEVICE_KEY, b"text", key, seen=seen)
    with pytest.raises(SignatureRefusedError, match="nonce twice"):
        applet.sign(DEVICE_KEY, b"text", key, seen=SeenInFile(tmp_path / "seen"))


def test_a_nonce_that_is_the_key_is_refused() -> None:
    """What the unmended simulator does: r is the public key's X."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    private = ec.generate_private_key(ec.SECP256R1())
    d, x = private.private_numbers().private_value, private.public_key().public_numbers().x
    from hashlib import sha256  # noqa: PLC0415

    digest = int.from_bytes(sha256(b"text").digest(), "big")
    r = x % order
    s = pow(d, -1, order) * (digest + r * d) % order
    raw = b"\x33\x40" + r.to_bytes(32, "big") + s.to_bytes(32, "big") + OK
    applet = IotSafeApplet(LoopbackTransport(ScriptedCard([OK, raw])), TALLY, TALLY.application_ids[0])
    with pytest.raises(SignatureRefusedError, match="nonce twice"):
        applet.sign(DEVICE_KEY, b"text", private.public_key())


def test_sessions_are_closed_after_an_error() -> None:
    card = ScriptedCard([OK, b"\x6a\x80", OK])
    applet = IotSafeApplet(LoopbackTransport(card), TALLY, TALLY.application_ids[0])
    with pytest.raises(StatusWordError):
        applet.sign(DEVICE_KEY, b"text", ec.generate_private_key(ec.SECP256R1()).public_key())
    assert card.sent[-1] == bytes.fromhex("802A0101")


def test_stale_sessions_are_closed_first_where_the_stack_needs_it() -> None:
    orange = load_profile("orange")
    private = ec.generate_private_key(ec.SECP256R1())
    card = ScriptedCard([b"\x69\x85", OK, b"\x6f\x00"])
    applet = IotSafeApplet(LoopbackTransport(card), orange, orange.application_ids[0])
    with pytest.raises(StatusWordError):
        applet.sign(ObjectName(b"306"), b"text", private.public_key())
    assert [raw[:4].hex() for raw in card.sent] == ["002a0101", "002a0001", "002b8001", "002a0101"]


@pytest.mark.parametrize(
    ("profile", "raw"),
    [
        ("tally", b"\x33\x40" + b"\x01" * 64),
        ("wolfssl", b"\x33\x00\x40" + b"\x01" * 64),
    ],
)
def test_signature_lengths_of_stacks(profile: str, raw: bytes) -> None:
    assert parse_signature(raw, load_profile(profile)) == b"\x01" * 64
    other = "wolfssl" if profile == "tally" else "tally"
    with pytest.raises(CardResponseError):
        parse_signature(raw, load_profile(other))


def test_der_signatures_are_turned_into_r_and_s() -> None:
    document = {
        "description": "",
        "application_ids": ["A0000005590010"],
        "class_byte": "80",
        "signature_length": "ber",
        "signature_form": "der",
        "file_size_order": "big",
        "close_sessions_first": True,
        "session": 1,
        "has_pin": False,
    }
    der = encode_dss_signature(1, 2)
    profile = parse_profile("der", document)
    assert parse_signature(b"\x33" + bytes((len(der),)) + der, profile) == bytes(31) + b"\x01" + bytes(31) + b"\x02"
    with pytest.raises(CardResponseError):
        parse_signature(b"\x33\x40" + b"\x01" * 64, profile)
    for key in document:
        with pytest.raises(ConfigurationError, match=key):
            parse_profile("der", {name: value for name, value in document.items() if name != key})


def test_file_sizes_in_both_orders() -> None:
    raw = bytes.fromhex("C30D8301016001034A0101" + "2002" + "0102")
    assert parse_object_list(raw, load_profile("tally"))[0].size == 0x0102
    assert parse_object_list(raw, load_profile("orange"))[0].size == 0x0201


def test_the_applet_is_found_among_aids() -> None:
    transport = LoopbackTransport(fresh_emulator())
    found = find_applet(transport, [load_profile(name) for name in reversed(profile_names())])
    assert found.profile.name == "tally"
    with pytest.raises(NotFoundError, match="A0000005590010"):
        find_applet(transport, [load_profile("orange")])
    with pytest.raises(NotFoundError, match="F000000001"):
        find_applet(transport, [load_profile("tally")], [parse_application_id("F000000001")])


@pytest.mark.parametrize("text", ["zz", "A000", "A0" * 17])
def test_what_is_no_aid_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_application_id(text)


@given(st.binary(max_size=300), st.sampled_from([0x9000, 0x9000, 0x6985, 0x63C2, 0x6C01, 0x6105, 0x1234]))
def test_any_answer_is_a_value_or_an_error_of_ours(data: bytes, status_word: int) -> None:
    answer = data + status_word.to_bytes(2, "big")
    key = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    card = ScriptedCard([answer] * 400)
    applet = IotSafeApplet(LoopbackTransport(card), TALLY, TALLY.application_ids[0])
    for ask in (
        applet.application_data,
        applet.objects,
        ApprovalCard(applet).status,
        lambda: applet.generate_key_pair(DEVICE_KEY),
        lambda: applet.public_key(DEVICE_KEY),
        lambda: applet.read_file(CERTIFICATE_FILE),
        lambda: applet.shared_secret(SESSION_KEY, PEER_KEY),
    ):
        try:
            ask()
        except SimError:
            continue
    with pytest.raises(SimError):
        applet.sign(DEVICE_KEY, b"text", key)


@pytest.mark.parametrize("raw", [b"", b"\x90", b"\x61"])
def test_an_answer_too_short_is_refused(raw: bytes) -> None:
    applet = IotSafeApplet(LoopbackTransport(ScriptedCard([raw])), TALLY, TALLY.application_ids[0])
    with pytest.raises(CardResponseError, match="at least 2"):
        applet.select()


def test_an_answer_without_end_is_refused() -> None:
    card = ScriptedCard([b"\x00" * 256 + b"\x61\x00"] * 1000)
    applet = IotSafeApplet(LoopbackTransport(card), TALLY, TALLY.application_ids[0])
    with pytest.raises(CardResponseError, match="does not end"):
        applet.objects()


@pytest.mark.parametrize(
    "status_word",
    [
        0x63CF,
        0x6400,
        0x6700,
        0x6981,
        0x6982,
        0x6983,
        0x6984,
        0x6985,
        0x6989,
        0x6A80,
        0x6A82,
        0x6A84,
        0x6A86,
        0x6D00,
        0x6D01,
        0x6E00,
        0x6F00,
        0x63C2,
        0x1234,
    ],
)
def test_each_status_word_says_what_to_do(status_word: int) -> None:
    error = error_of(status_word, "COMMAND")
    assert f"{status_word:04X}" in error.message
    assert "; " in error.message
    if status_word != 0x1234:
        assert type(error) is not StatusWordError


def test_a_possession_text_is_signed_by_a_fresh_card_only_in_its_form() -> None:
    applet = _applet()
    key = applet.generate_key_pair(APPROVAL_KEY)
    applet.sign(APPROVAL_KEY, POSSESSION_PREFIX + b"A" * 43, key)
    with pytest.raises(StatusWordError, match="6A80"):
        applet.sign(APPROVAL_KEY, TEXT, key)
