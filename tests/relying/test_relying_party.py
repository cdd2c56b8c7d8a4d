"""R-DEV-4, R-DEV-9: one call says who may be spoken to; whatever is not known to be good is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from pki_chain.errors import InputError
from pki_chain.relying_party import NotTrustedError, OcspSource, RelyingParty
from pki_chain.x509.certificate import parse_certificate
from tests.certificates import REALM, Draft, alternative_names, dns, integer, key, key_usage, subject_key
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import certificate, twin
from tests.relying.conftest import served
from tests.relying.ocsp_requests import request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

KNOWN = certificate(0)
NAME = f"00a1b2c3d000.{REALM}"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def party(publishing: Gateway, address: str, signers: list[x509.Certificate]) -> RelyingParty:
    return RelyingParty([OcspSource(address, signers)], max_age_s=5, clock=publishing.clock)


def reason(party: RelyingParty, der: bytes = KNOWN, name: str | None = None) -> str:
    with pytest.raises(NotTrustedError) as refused:
        party.check(der, name=name)
    assert refused.value.message.endswith(".")
    return refused.value.reason


def test_a_valid_certificate(party: RelyingParty, publishing: Gateway) -> None:
    verdict = party.check(KNOWN, name=NAME)
    assert verdict.certificate.der == KNOWN
    assert (verdict.known_at, verdict.known_until) == (publishing.clock(), publishing.clock() + 5)


def test_what_is_refused_and_why(party: RelyingParty, publishing: Gateway) -> None:
    assert reason(party, b"") == "malformed"
    assert reason(party, KNOWN[:-1]) == "malformed"
    assert reason(party, certificate(9)) == "unknown"
    assert reason(party, name=f"00a1b2c3d001.{REALM}") == "name"
    publishing.ledger.hold(KNOWN)
    publishing.ledger.revoke(certificate(1))
    publishing.catch_up()
    assert reason(party) == "held"
    assert reason(party, certificate(1)) == "revoked"
    publishing.ledger.release(KNOWN)
    publishing.catch_up()
    assert party.check(KNOWN)
    publishing.clock.seconds = parse_certificate(KNOWN).not_after + 1
    assert reason(party) == "expired"
    publishing.clock.seconds = parse_certificate(KNOWN).not_before - 16
    assert reason(party) == "not-yet-valid"


def test_the_same_key_and_number_with_another_name(party: RelyingParty) -> None:
    """OCSP names no more than issuer, key and number: whoever has the key could write the rest anew."""
    forged = Draft(
        key=key(0),
        serial_number=integer(1),
        extensions=(subject_key(), key_usage(), alternative_names(dns(f"victim.{REALM}"))),
    ).encode()
    assert parse_certificate(forged).spki == parse_certificate(KNOWN).spki
    assert reason(party, forged) == "unknown"
    assert reason(party, twin(KNOWN)) == "unknown"
    assert party.check(KNOWN)


def test_an_answer_is_used_again_for_so_long_and_no_longer(party: RelyingParty, publishing: Gateway) -> None:
    party.check(KNOWN)
    publishing.ledger.hold(KNOWN)
    begun = publishing.clock()
    publishing.catch_up()
    publishing.clock.seconds = begun + 4.9
    assert party.check(KNOWN)
    publishing.clock.seconds = begun + 5
    assert reason(party) == "held"


def test_nothing_is_used_beyond_its_own_end(publishing: Gateway, address: str, signers: list[x509.Certificate]) -> None:
    party = RelyingParty([OcspSource(address, signers)], max_age_s=3_600, clock=publishing.clock)
    party.check(KNOWN)
    publishing.clock.seconds = publishing.ledger.time + 59
    assert party.check(KNOWN)
    publishing.clock.seconds = publishing.ledger.time + 60
    assert reason(party) == "unavailable"  # the gateway lags by now


def test_who_follows_the_feed_forgets_at_once(party: RelyingParty, publishing: Gateway) -> None:
    party.check(KNOWN)
    publishing.ledger.hold(KNOWN)
    publishing.indexer.advance()
    assert party.check(KNOWN)
    party.forget(parse_certificate(KNOWN).sha256)
    assert reason(party) == "held"
    party.forget()


def test_another_gateway_is_asked_when_one_is_away(
    publishing: Gateway, address: str, signers: list[x509.Certificate]
) -> None:
    away, up = OcspSource(NOWHERE, signers), OcspSource(address, signers)
    assert RelyingParty([away, up], clock=publishing.clock).check(KNOWN)
    assert reason(RelyingParty([away], clock=publishing.clock)) == "unavailable"


def test_a_stranger_signs_nothing_that_is_believed(publishing: Gateway, address: str) -> None:
    stranger = x509.load_der_x509_certificate(certificate(2))
    assert reason(RelyingParty([OcspSource(address, [stranger])], clock=publishing.clock)) == "unavailable"


def test_an_expired_signer_is_not_believed(publishing: Gateway, address: str, signers: list[x509.Certificate]) -> None:
    source = OcspSource(address, signers)
    publishing.services.status_keys.create("Example Mobile", int(publishing.clock()) - 1)
    publishing.clock.seconds += 1
    assert reason(RelyingParty([source], clock=publishing.clock)) == "unavailable"


def test_nobody_to_ask_is_a_mistake(signers: list[x509.Certificate]) -> None:
    with pytest.raises(InputError):
        RelyingParty([])
    with pytest.raises(InputError):
        OcspSource(NOWHERE, [])


def test_what_is_kept_is_bounded(publishing: Gateway, address: str, signers: list[x509.Certificate]) -> None:
    party = RelyingParty([OcspSource(address, signers)], kept=1, clock=publishing.clock)
    party.check(KNOWN)
    party.check(certificate(1))
    assert list(party._kept) == [parse_certificate(certificate(1)).sha256]


# A gateway that means ill


Liar = Callable[[Gateway, bytes], bytes]


def replay(gateway: Gateway, _: bytes) -> bytes:
    return gateway.services.ocsp_answers.answer(request([KNOWN], "sha256", nonce=b"o" * 32)).content


def no_nonce(gateway: Gateway, _: bytes) -> bytes:
    return gateway.services.ocsp_answers.answer(request([KNOWN], "sha256")).content


def about_another(gateway: Gateway, asked: bytes) -> bytes:
    nonce = ocsp.load_der_ocsp_request(asked).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    return gateway.services.ocsp_answers.answer(request([certificate(2)], "sha256", nonce=nonce)).content


def two_at_once(gateway: Gateway, asked: bytes) -> bytes:
    nonce = ocsp.load_der_ocsp_request(asked).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    both = request([KNOWN, certificate(1)], "sha256", nonce=nonce)
    return gateway.services.ocsp_answers.answer(both).content


def bent(gateway: Gateway, asked: bytes) -> bytes:
    content = bytearray(gateway.services.ocsp_answers.answer(asked).content)
    content[80] ^= 1
    return bytes(content)


def cut(gateway: Gateway, asked: bytes) -> bytes:
    return gateway.services.ocsp_answers.answer(asked).content[:-5]


def endless(_: Gateway, __: bytes) -> bytes:
    return bytes(1 << 20)


def try_later(_: Gateway, __: bytes) -> bytes:
    return bytes.fromhex("30030a0103")


@pytest.mark.parametrize(
    "liar",
    [replay, no_nonce, about_another, two_at_once, bent, cut, endless, try_later],
    ids=lambda each: each.__name__,
)
def test_a_gateway_that_means_ill_lets_nobody_in(
    publishing: Gateway, signers: list[x509.Certificate], liar: Liar
) -> None:
    """Held at the gateway, and the answers of before are at hand."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        content = liar(publishing, environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("200 OK", [("Content-Type", "application/ocsp-response"), ("Content-Length", str(len(content)))])
        return [content]

    with served(application) as address:
        party = RelyingParty([OcspSource(address, signers)], clock=publishing.clock)
        assert reason(party) == "unavailable"


def test_an_answer_that_is_too_old_is_none(publishing: Gateway, address: str, signers: list[x509.Certificate]) -> None:
    """The relying party's own clock decides, also where the gateway's stands still."""
    at = publishing.ledger.time
    for seconds, good in ((at + 59, True), (at + 61, False), (at - 14, True), (at - 16, False)):
        party = RelyingParty([OcspSource(address, signers)], clock=lambda seconds=seconds: seconds)
        if good:
            assert party.check(KNOWN)
        else:
            assert reason(party) == "unavailable"
