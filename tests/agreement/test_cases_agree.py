"""The table of rules, through the contract; and what is accepted, through openssl as a third opinion."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from agreement import differences, openssl_verifies
from certificate_cases import Case, cases
from parser_contract import ParserContract

from pki_chain.x509.profile import CertificateRules

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
    for rules, group in by_rules().items():
        for case, verdict in zip(group, contract.check([case.der for case in group], rules), strict=True):
            if verdict.reason is not case.reason:
                wrong.append(f"{case.title}: {verdict.reason!r} instead of {case.reason!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.chain
def test_contract_reads_what_python_reads(contract: ParserContract) -> None:
    found = [
        line for rules, group in by_rules().items() for line in differences(contract, [c.der for c in group], rules)
    ]
    assert not found, "\n".join(found)


@pytest.mark.openssl
def test_openssl_accepts_what_we_accept(tmp_path: Path) -> None:
    accepted = [case for case in CASES if case.reason is None and case.title not in OPENSSL_DIFFERS]
    assert not [case.title for case in accepted if not openssl_verifies(case.der, tmp_path)]


@pytest.mark.openssl
def test_openssl_refuses_a_wrong_signature(tmp_path: Path) -> None:
    wrong = next(case for case in CASES if case.title == "signature with another r")
    assert not openssl_verifies(wrong.der, tmp_path)
