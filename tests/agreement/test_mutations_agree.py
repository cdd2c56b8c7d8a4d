"""Thousands of bent certificates: contract and Python must say the same of each, down to the reason."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import (
    IOT_DEVICE,
    SMALL_CELL,
    TLS_DEVICE,
    ExtensionKind,
    KeyAlgorithm,
    KeyPurpose,
    Profile,
    SanType,
    SignatureAlgorithm,
)
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.self_signed import issue
from tests.agreement.agreement import differences, openssl_verifies, python_verdict
from tests.agreement.mutation import Node, bend, bent_bytes, parse, put, signed_again, systematic
from tests.agreement.parser_contract import CERTIFICATES_A_CALL, ParserContract
from tests.certificate_cases import cases
from tests.certificates import (
    ALL_RANGES,
    ANY_PURPOSE,
    BLOCK_TIME,
    CN,
    IPSEC_IKE,
    NAME,
    ORG,
    ORGANISATION,
    RSA_SHA256,
    SERIAL_NUMBER,
    Draft,
    access,
    alternative_names,
    attribute,
    authority_key,
    basic_constraints,
    distribution_points,
    dns,
    extension,
    ip,
    key,
    key_purposes,
    key_usage,
    printable,
    rsa_key,
    rules,
    sequence,
    subject_key,
    uri,
    utf8,
)

LENIENT = rules(
    dataclasses.replace(
        IOT_DEVICE,
        key_algorithms=KeyAlgorithm.P256 | KeyAlgorithm.RSA,
        signature_algorithms=SignatureAlgorithm.ECDSA_SHA256 | SignatureAlgorithm.RSA_SHA256,
        san_types=SanType.DNS | SanType.URI | SanType.IP,
        eku_allowed=KeyPurpose(0x800F),
        required_extensions=ExtensionKind(0),
        longest_life_days=100_000,
    ),
    ALL_RANGES,
)
FULL = Draft(
    subject=sequence(
        attribute(ORG, utf8(ORGANISATION)), attribute(SERIAL_NUMBER, printable("SN-1")), attribute(CN, utf8(NAME))
    ),
    extensions=(
        subject_key(),
        authority_key(),
        basic_constraints(),
        key_usage(),
        key_purposes(IPSEC_IKE, ANY_PURPOSE, "1.2.3"),
        distribution_points("http://a/", "http://b/"),
        access(),
        extension("1.2.3.4", b"anything"),
        alternative_names(
            dns(NAME),
            dns("a.cells.acme.example"),
            uri("urn:acme:1"),
            ip(bytes([192, 0, 2, 1])),
            ip(b"\x20\1\r\xb8\xff" * 3 + b"\1"),
        ),
    ),
)
RSA = Draft(inner_algorithm=RSA_SHA256, key=rsa_key())
SERIAL_NUMBER_PATH = (0, 1)


def tree(der: bytes) -> Node:
    (root,) = parse(der)
    assert root.encode() == der
    return root


def issued(profile: Profile, *, common_name: str | None = None) -> bytes:
    """As our own tools make it, but for a serial number that is the same in every run."""
    names = [SubjectAltName(SanType.DNS, NAME.encode())]
    der = issue(
        key(),
        profile=profile,
        organisation=ORGANISATION,
        names=names,
        not_before=BLOCK_TIME - 60,
        lifetime_days=profile.longest_life_days,
        common_name=common_name,
    )
    return signed_again(put(tree(der), SERIAL_NUMBER_PATH, Node(0x02, b"\x40" * 16)))


USUAL = issued(SMALL_CELL)


def bases() -> list[Node]:
    """Certificates that are accepted, of all shapes; one in three is a usual one, which the contract reads faster."""
    accepted = [case.der for case in cases() if case.reason is None and case.rules.organisation == ORGANISATION]
    found = [FULL.encode(), *(der for der in accepted if python_verdict(der, LENIENT).reason is None)]
    usual = [USUAL, issued(SMALL_CELL, common_name=NAME), issued(TLS_DEVICE), issued(IOT_DEVICE), Draft().encode()]
    assert len(found) > 50
    return [tree(der) for der in (*found, *usual * (len(found) // len(usual) // 2))]


BASES = bases()


def test_bases_are_accepted() -> None:
    assert {python_verdict(der, LENIENT).reason for der in (FULL.encode(), USUAL)} == {None}
    assert python_verdict(RSA.encode(), LENIENT).reason is None
    assert python_verdict(signed_again(tree(FULL.encode())), LENIENT).reason is None
    assert python_verdict(FULL.replace(signature=b"").encode(), LENIENT).reason is Reason.BAD_SIGNATURE


@pytest.mark.chain
@pytest.mark.parametrize("der", [FULL.encode(), RSA.encode(), USUAL], ids=["full", "RSA", "usual"])
def test_every_element_bent_in_every_way(contract: ParserContract, der: bytes) -> None:
    bent = list(dict.fromkeys(signed_again(node) for node in systematic(tree(der)) if node.children))
    assert len(bent) > 2_000
    found = differences(contract, bent, LENIENT)
    assert not found, f"{len(found)} of {len(bent)} differ:\n" + "\n".join(found[:20])
    reasons = Counter(python_verdict(one, LENIENT).reason for one in bent)
    assert len(reasons) > 15, reasons


def mutants(random: Random) -> Iterator[bytes]:
    """Without end: one to three changes each, most of them signed again."""
    while True:
        node = random.choice(BASES)
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            node = bend(node, random)
        kind = random.random()
        if kind < 0.8:
            yield signed_again(node)
        elif kind < 0.9 and node.children:
            yield signed_again(node, bent_bytes(node.children[0].encode(), random))
        else:
            yield bent_bytes(node.encode(), random)


@pytest.mark.chain
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.sampled_from([LENIENT, rules(SMALL_CELL, ALL_RANGES)]))
def test_random_changes(contract: ParserContract, random: Random, against: CertificateRules) -> None:
    seeded = Random(random.getrandbits(64))  # noqa: S311 - repeatable, not secret
    found = differences(contract, list(islice(mutants(seeded), CERTIFICATES_A_CALL)), against)
    assert not found, "\n".join(found)


@pytest.mark.openssl
def test_openssl_accepts_the_mutants_that_we_accept(tmp_path: Path) -> None:
    accepted = []
    for der in islice(mutants(Random(3)), 3_000):  # noqa: S311 - repeatable, not secret
        if python_verdict(der, LENIENT).reason is None:
            certificate = parse_certificate(der)
            # openssl has no allowance for clocks, and ends a certificate one second early.
            if certificate.not_before <= BLOCK_TIME < certificate.not_after:
                accepted.append(der)
    assert len(accepted) > 100
    refused = [der.hex() for der in accepted[:300] if not openssl_verifies(der, tmp_path)]
    assert not refused, "\n".join(refused)
