"""Certificates that a CA issued: what is accepted, and each refusal with its own reason; openssl as another opinion."""

from __future__ import annotations

import dataclasses
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pki_chain.ports import CertificateId, TrustScope
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import CELL_CA, TLS_CA, ExtensionKind, KeyPurpose, SignatureAlgorithm
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules, Issuer
from pki_chain.x509.trust_chain import ListedAuthority, build_issuers
from pki_chain.x509.verify import check_certificate
from tests.authorities import P256_KEY, identifier, issued, issuing, root, rsa_authority_key
from tests.certificates import (
    ANY_PURPOSE,
    BLOCK_TIME,
    CLIENT_AUTH,
    DAY_S,
    DNS_RANGE,
    ECDSA_SHA256,
    IPSEC_IKE,
    NAME,
    ORGANISATION,
    RSA_SHA256,
    SAN,
    SERVER_AUTH,
    Draft,
    alternative_names,
    authority_key,
    basic_constraints,
    dns,
    extension,
    key,
    key_purposes,
    key_usage,
    name,
    rsa_key,
    sequence,
    tlv,
    validity,
)

ROOT = root()
ELLIPTIC = issuing(ROOT)
CLASSIC = issuing(ROOT, "RSA CA", rsa_authority_key())
EVERYTHING = TrustScope.IKE | TrustScope.TLS
UNTIL = BLOCK_TIME + 1_000 * DAY_S


def listed(
    draft: Draft,
    parent: Draft | None = None,
    *,
    scope: TrustScope = EVERYTHING,
    since: int = BLOCK_TIME - 100,
    until: int = UNTIL,
    ended_at: int = 0,
) -> ListedAuthority:
    above = None if parent is None else identity(parent)
    return ListedAuthority(identity(draft), above, scope, since, until, ended_at, draft.encode())


def identity(draft: Draft) -> CertificateId:
    return parse_authority(draft.encode()).id


def issuers(**changes: object) -> tuple[Issuer, ...]:
    """Both CAs; `changes` are of the one with a P-256 key."""
    return build_issuers(
        [listed(ROOT), listed(ELLIPTIC, ROOT, **changes), listed(CLASSIC, ROOT)]  # type: ignore[arg-type]
    )


def rules(known: tuple[Issuer, ...] | None = None, **changes: object) -> CertificateRules:
    profile = dataclasses.replace(CELL_CA, **changes)  # type: ignore[arg-type]
    return CertificateRules(profile, ORGANISATION, (DNS_RANGE,), BLOCK_TIME, issuers() if known is None else known)


@dataclass(frozen=True)
class Case:
    """A certificate, what it is checked against, and the reason, None for one that is accepted."""

    title: str
    draft: Draft
    reason: Reason | None
    rules: CertificateRules


def without(draft: Draft, part: bytes) -> Draft:
    assert part in (draft.extensions or ())
    return draft.replace(extensions=tuple(each for each in draft.extensions or () if each != part))


def nameless(*names: bytes, critical: bool = True) -> Draft:
    good = without(issued(ELLIPTIC), alternative_names(dns(NAME))).replace(subject=sequence())
    return good.with_extensions(extension(SAN, sequence(*names), critical=critical)) if names else good


def cases() -> Iterator[Case]:
    good, usual = issued(ELLIPTIC), rules()
    aki = authority_key(identifier(P256_KEY))
    yield Case("by a P-256 key", good, None, usual)
    yield Case("by an RSA key", issued(CLASSIC), None, usual)
    yield Case("empty subject, critical SAN", nameless(dns(NAME)), None, usual)
    yield Case("purpose IKE", good.with_extensions(key_purposes(IPSEC_IKE)), None, usual)
    yield Case("any purpose", good.with_extensions(key_purposes(ANY_PURPOSE)), None, usual)
    yield Case("TLS too", good.with_extensions(key_purposes(IPSEC_IKE, SERVER_AUTH, CLIENT_AUTH)), None, usual)
    end = validity(BLOCK_TIME, UNTIL)
    yield Case("as long as its issuer", good.replace(validity=end), None, usual)

    yield Case("issuer of another name", good.replace(issuer=name("Nobody")), Reason.UNKNOWN_ISSUER, usual)
    other = without(good, aki).with_extensions(authority_key(b"\x22" * 20))
    yield Case("issuer with another key identifier", other, Reason.UNKNOWN_ISSUER, usual)
    yield Case("no trust list", good, Reason.UNKNOWN_ISSUER, rules(()))
    own = good.replace(subject=ELLIPTIC.subject, issuer=None, key=P256_KEY)
    as_authority = dataclasses.replace(usual, organisation="Issuing CA")
    yield Case("issuer as subject, by the CA's own key", own, Reason.UNKNOWN_ISSUER, as_authority)
    yield Case("no key identifier", without(good, aki), Reason.MISSING_EXTENSION, usual)
    relaxed = rules(required_extensions=ExtensionKind(0))
    yield Case(
        "no key identifier, of a profile that does not ask", without(good, aki), Reason.MISSING_EXTENSION, relaxed
    )

    yield Case("withdrawn", good, Reason.ISSUER_NOT_LIVE, rules(issuers(ended_at=BLOCK_TIME)))
    yield Case("withdrawn later", good, None, rules(issuers(ended_at=BLOCK_TIME + 1)))
    yield Case("not trusted yet", good, Reason.ISSUER_NOT_LIVE, rules(issuers(since=BLOCK_TIME + 1)))
    yield Case("out of time", good, Reason.ISSUER_NOT_LIVE, rules(issuers(until=BLOCK_TIME - 1)))
    outlives = good.replace(validity=validity(BLOCK_TIME, UNTIL + 1))
    yield Case("outlives its issuer by a second", outlives, Reason.ISSUER_NOT_LIVE, usual)
    fallen = build_issuers([listed(ROOT, ended_at=BLOCK_TIME - 5), listed(ELLIPTIC, ROOT)])
    yield Case("root withdrawn", good, Reason.ISSUER_NOT_LIVE, rules(fallen))

    only_tls, only_ike = rules(issuers(scope=TrustScope.TLS)), rules(issuers(scope=TrustScope.IKE))
    yield Case("IKE by a CA for TLS", good, Reason.ISSUER_OUT_OF_SCOPE, only_tls)
    for_both = good.with_extensions(key_purposes(IPSEC_IKE, SERVER_AUTH))
    yield Case("IKE and TLS by a CA for TLS", for_both, Reason.ISSUER_OUT_OF_SCOPE, only_tls)
    yield Case("IKE and TLS by a CA for IKE", for_both, Reason.ISSUER_OUT_OF_SCOPE, only_ike)
    yield Case("TLS by a CA for TLS", good.with_extensions(key_purposes(SERVER_AUTH)), None, only_tls)
    open_purposes = rules(eku_allowed=KeyPurpose(0x800F))
    unknown = good.with_extensions(key_purposes("1.2.3"))
    yield Case("a purpose that no scope covers", unknown, Reason.ISSUER_OUT_OF_SCOPE, open_purposes)

    yield Case("signed by another key", good.replace(signer=key(5)), Reason.BAD_SIGNATURE, usual)
    yield Case("signed by its own key", good.replace(signer=None), Reason.BAD_SIGNATURE, usual)
    by_rsa = good.replace(inner_algorithm=RSA_SHA256, signer=rsa_key())
    yield Case("algorithm of another kind than the issuer's key", by_rsa, Reason.BAD_SIGNATURE, usual)
    by_elliptic = issued(CLASSIC).replace(inner_algorithm=ECDSA_SHA256, signer=P256_KEY)
    yield Case("ECDSA in an RSA key's place", by_elliptic, Reason.BAD_SIGNATURE, usual)
    yield Case("RSA signature cut short", issued(CLASSIC).replace(signature=b"\x01" * 255), Reason.BAD_SIGNATURE, usual)
    ecdsa_only = rules(signature_algorithms=SignatureAlgorithm.ECDSA_SHA256)
    yield Case("RSA, not in the profile", issued(CLASSIC), Reason.UNSUPPORTED_ALGORITHM, ecdsa_only)

    yield Case("subject of another member", good.replace(subject=name("Somebody")), Reason.SUBJECT_NOT_OWNER, usual)
    yield Case("empty subject, SAN not critical", nameless(dns(NAME), critical=False), Reason.BAD_CRITICALITY, usual)
    san_optional = rules(required_extensions=ExtensionKind.KEY_USAGE)
    yield Case("empty subject, no SAN", nameless(), Reason.MISSING_EXTENSION, san_optional)
    critical = without(good, alternative_names(dns(NAME)))
    critical = critical.with_extensions(extension(SAN, sequence(dns(NAME)), critical=True))
    yield Case("subject and critical SAN", critical, Reason.BAD_CRITICALITY, usual)
    yield Case("a CA", good.with_extensions(basic_constraints(b"\x01\x01\xff")), Reason.CA_CERTIFICATE, usual)
    may_sign = without(good, key_usage()).with_extensions(key_usage(bytes.fromhex("03020106")))
    yield Case("a key that may sign certificates", may_sign, Reason.BAD_KEY_USAGE, usual)
    too_long = good.replace(validity=validity(BLOCK_TIME, BLOCK_TIME + 1_095 * DAY_S + 1))
    yield Case("longer than three years", too_long, Reason.LIFETIME_TOO_LONG, usual)
    with_issuer = extension("2.5.29.35", sequence(tlv(0x80, identifier(P256_KEY)), tlv(0x82, b"\x01")))
    yield Case(
        "serial number in AKI", without(good, aki).with_extensions(with_issuer), Reason.MALFORMED_EXTENSION, usual
    )
    yield Case("RSA device key", good.replace(key=rsa_key()), Reason.KEY_ALGORITHM_NOT_ALLOWED, usual)


CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_case(case: Case) -> None:
    if case.reason is None:
        certificate = check_certificate(case.draft.encode(), case.rules)
        assert not certificate.is_self_signed
        assert certificate.organisation in {ORGANISATION, ""}
        return
    with pytest.raises(CertificateRefusedError) as refused:
        check_certificate(case.draft.encode(), case.rules)
    assert refused.value.reason is case.reason, refused.value.detail


def test_profile_for_tls_wants_purposes() -> None:
    against = dataclasses.replace(rules(), profile=TLS_CA)
    good = issued(ELLIPTIC).with_extensions(key_purposes(SERVER_AUTH))
    assert check_certificate(good.encode(), against).names[0].text == NAME
    for draft in (issued(ELLIPTIC), issued(ELLIPTIC).with_extensions(key_purposes(IPSEC_IKE))):
        with pytest.raises(CertificateRefusedError) as refused:
            check_certificate(draft.encode(), against)
        assert refused.value.reason is Reason.BAD_EXTENDED_KEY_USAGE


def test_without_rules_the_issuer_is_not_asked_for() -> None:
    for draft in (issued(ELLIPTIC), issued(CLASSIC), nameless(dns(NAME))):
        assert parse_certificate(draft.encode()).issuer == draft.issuer
    bent = issued(ELLIPTIC).replace(signature=b"\x30\x00")
    with pytest.raises(CertificateRefusedError) as refused:
        parse_certificate(bent.encode())
    assert refused.value.reason is Reason.BAD_SIGNATURE
    unnamed = without(issued(ELLIPTIC), authority_key(identifier(P256_KEY)))
    with pytest.raises(CertificateRefusedError) as refused:
        parse_certificate(unnamed.encode())
    assert refused.value.reason is Reason.MISSING_EXTENSION


def openssl_verifies(draft: Draft, folder: Path, at: int = BLOCK_TIME) -> bool:
    """`openssl verify` of the whole chain, with the root as its anchor."""
    for label, drafts in (("root", [ROOT]), ("between", [ELLIPTIC, CLASSIC]), ("leaf", [draft])):
        pem = "".join(ssl.DER_cert_to_PEM_cert(each.encode()) for each in drafts)
        (folder / f"{label}.pem").write_text(pem)
    arguments = [
        "-x509_strict",
        "-attime",
        str(at),
        "-CAfile",
        folder / "root.pem",
        "-untrusted",
        folder / "between.pem",
    ]
    return (
        subprocess.run(
            ["openssl", "verify", *arguments, folder / "leaf.pem"], capture_output=True, check=False
        ).returncode
        == 0
    )


@pytest.mark.openssl
def test_openssl_accepts_what_we_accept_and_no_other_signature(tmp_path: Path) -> None:
    accepted = [case for case in CASES if case.reason is None]
    assert not [case.title for case in accepted if not openssl_verifies(case.draft, tmp_path)]
    for title in ("signed by another key", "issuer of another name", "RSA signature cut short"):
        (wrong,) = (case for case in CASES if case.title == title)
        assert not openssl_verifies(wrong.draft, tmp_path)


def test_root_key_is_no_issuer_of_another_name() -> None:
    """The root issues too, under its own name alone."""
    by_root = issued(ROOT)
    assert check_certificate(by_root.encode(), rules()).issuer == ROOT.subject
    mixed = by_root.replace(issuer=ELLIPTIC.subject)
    with pytest.raises(CertificateRefusedError) as refused:
        check_certificate(mixed.encode(), rules())
    assert refused.value.reason is Reason.UNKNOWN_ISSUER
