"""The table of rules, through the contract; and what is accepted, through openssl as a third opinion."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from tests.agreement.agreement import differences, openssl_verifies, python_verdict
from tests.agreement.parser_contract import ParserContract
from tests.certificate_cases import Case, cases
from tests.certificates import Draft, authority_key, extension, key, oid, rules, sequence

CASES = cases()
OPENSSL_DIFFERS = {
    "notBefore at the allowance": "openssl has no allowance for clocks",
    "notAfter now": "openssl ends a certificate one second early; RFC 5280 §4.1.2.5: notAfter is inclusive",
    "one moment": "likewise",
}


def by_rules() -> dict[CertificateRules, list[Case]]:
    found: dict[CertificateRules, list[Case]] = defaultdict(list)
    for case in CASES:
        found[case.rules].append(case)
    return found


@pytest.mark.chain
def test_contract_gives_the_reason_of_the_table(contract: ParserContract) -> None:
    wrong = []
    for against, group in by_rules().items():
        for case, verdict in zip(group, contract.check([case.der for case in group], against), strict=True):
            if verdict.reason is not case.reason:
                wrong.append(f"{case.title}: {verdict.reason!r} instead of {case.reason!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.chain
def test_contract_reads_what_python_reads(contract: ParserContract) -> None:
    found = [
        line for against, group in by_rules().items() for line in differences(contract, [c.der for c in group], against)
    ]
    assert not found, "\n".join(found)


@pytest.mark.chain
@pytest.mark.parametrize("seed", range(10))
def test_batch_mates_change_nothing(contract: ParserContract, seed: int) -> None:
    """The contract uses the same memory for one certificate after the other; whatever came before must not show."""
    wrong = []
    for against, group in by_rules().items():
        mates = Random(seed).sample(group * 2, 2 * len(group))  # noqa: S311 - repeatable, not secret
        verdicts = contract.check([case.der for case in mates], against)
        wrong += [
            case.title for case, verdict in zip(mates, verdicts, strict=True) if verdict.reason is not case.reason
        ]
    assert not wrong


@pytest.mark.openssl
def test_openssl_accepts_what_we_accept(tmp_path: Path) -> None:
    accepted = [case for case in CASES if case.reason is None and case.title not in OPENSSL_DIFFERS]
    assert not [case.title for case in accepted if not openssl_verifies(case.der, tmp_path)]


@pytest.mark.openssl
def test_openssl_refuses_a_wrong_signature(tmp_path: Path) -> None:
    wrong = next(case for case in CASES if case.title == "signature with another r")
    assert not openssl_verifies(wrong.der, tmp_path)


@pytest.mark.openssl
def test_openssl_refuses_a_proxy_certificate_that_we_accept(tmp_path: Path) -> None:
    """Written down in docs/decisions/0004-certificate-rules.md."""
    information = sequence(sequence(oid("1.3.6.1.5.5.7.21.1")))
    proxy = Draft().with_extensions(extension("1.3.6.1.5.5.7.1.14", information)).encode()
    assert python_verdict(proxy, rules()).reason is None
    assert not openssl_verifies(proxy, tmp_path)
    assert openssl_verifies(Draft().with_extensions(extension("1.3.6.1.5.5.7.1.99", information)).encode(), tmp_path)


@pytest.mark.openssl
def test_openssl_overlooks_a_wrong_signature_that_we_refuse(tmp_path: Path) -> None:
    """With an AKI that differs from SKI, openssl takes a certificate for one of another issuer."""
    wrong = Draft(signer=key(1)).with_extensions(authority_key(b"\x22" * 20)).encode()
    assert openssl_verifies(wrong, tmp_path)
    assert python_verdict(wrong, rules()).reason is Reason.BAD_SIGNATURE
