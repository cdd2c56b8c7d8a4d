"""The table of rules, through the validators' own code."""

from __future__ import annotations

import pytest

from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.reasons import Reason
from pki_chain.x509.verify import check_certificate
from tests.certificate_cases import Case, cases

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_case(case: Case) -> None:
    if case.reason is None:
        assert check_certificate(case.der, case.rules).der == case.der
        assert parse_certificate(case.der).der == case.der
        return
    with pytest.raises(CertificateRefusedError) as refused:
        check_certificate(case.der, case.rules)
    assert refused.value.reason is case.reason, refused.value.detail
    assert case.reason.text in refused.value.message


def test_every_reason_of_the_check_has_a_case() -> None:
    assert {case.reason for case in CASES if case.reason} == set(map(Reason, range(1, 30)))
