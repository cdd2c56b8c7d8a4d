"""Certificates of CAs, and those that they issued: what Python says of them and what the contracts say.

What a CA issued is judged alike, down to the reason. Of a CA's own certificate the contract's word decides, and Python
believes no less: whatever the contract takes, validators take too.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import pytest
from eth_abi import encode

from pki_chain.chain.abi import load_interface
from pki_chain.chain.calls import TRANSACTION_GAS
from pki_chain.chain.connection import Connection, call_object, parse_bytes
from pki_chain.errors import RefusedError
from pki_chain.ports import Address, AuthorityPublished, CertificateId, TrustScope
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.delegation import parse_delegation
from pki_chain.x509.errors import AuthorityRefusedError
from pki_chain.x509.profile import CELL_CA, KeyPurpose
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.trust_chain import ListedAuthority, build_issuers
from tests.agreement.agreement import differences, python_verdict
from tests.agreement.mutation import parse, systematic
from tests.agreement.parser_contract import ParserContract
from tests.authorities import (
    CA_TRUE,
    CERT_AND_CRL_SIGN,
    CRL_SIGN,
    ROOT_KEY,
    delegated,
    identifier,
    issued,
    issuing,
    root,
    rsa_authority_key,
)
from tests.certificates import (
    ANY_PURPOSE,
    CLIENT_AUTH,
    IPSEC_IKE,
    NAME,
    SERVER_AUTH,
    Draft,
    PrivateKey,
    alternative_names,
    authority_key,
    basic_constraints,
    dns,
    extension,
    integer,
    key,
    key_purposes,
    key_usage,
    name,
    rsa_key,
    rules,
    sequence,
    sign,
    subject_key,
    tlv,
)
from tests.ledger import OPERATOR, VENDOR, Consortium, consortium, ledger_engine
from tests.trust_list import at, end, publish, trust_root

__all__ = ["consortium", "ledger_engine"]

pytestmark = pytest.mark.chain

PARSER = Address("0x00000000000000000000000000000000000C0DE5")
LENIENT = dataclasses.replace(CELL_CA, eku_allowed=KeyPurpose(0x800F), longest_life_days=100_000)


class ParserAtHead:
    """Runs the parser on a ledger that has a trust list, without a transaction: its code is laid over an address."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._code = b""

    def deploy(self, bytecode: str) -> str:
        creation = call_object(None, bytes.fromhex(bytecode[2:]), gas=TRANSACTION_GAS)
        self._code = parse_bytes(self._connection.request("eth_call", [creation, "latest"]))
        return PARSER

    def call(self, to: str, data: bytes) -> bytes:
        question = call_object(Address(to), data, gas=TRANSACTION_GAS)
        overlay = {to: {"code": "0x" + self._code.hex()}}
        return parse_bytes(self._connection.request("eth_call", [question, "latest", overlay]))


@dataclass(frozen=True, slots=True)
class Authorities:
    """What stands on the list: `narrow` is trusted for IKE alone, `short` for 300 days."""

    root: Draft
    elliptic: Draft
    classic: Draft
    narrow: Draft
    short: Draft
    rules: CertificateRules
    parser: ParserContract


@pytest.fixture(scope="module")
def authorities(consortium: Consortium) -> Authorities:
    label = secrets.token_hex(4)
    top = at(consortium, root(f"Root {label}"), 3_000)
    trust_root(consortium, top.encode(), TrustScope.IKE | TrustScope.TLS, end(consortium, 2_900))
    below = {
        "elliptic": issuing(top, f"Elliptic {label}"),
        "classic": issuing(top, f"Classic {label}", rsa_authority_key()),
        "narrow": issuing(top, f"Narrow {label}", key(104)),
        "short": issuing(top, f"Short {label}", key(105)),
    }
    below = {kind: at(consortium, draft, 2_000) for kind, draft in below.items()}
    for kind, draft in below.items():
        scope = TrustScope.IKE if kind == "narrow" else TrustScope.IKE | TrustScope.TLS
        publish(consortium, draft.encode(), scope, end(consortium, 300 if kind == "short" else 1_900))
    published = [
        event.content
        for event in consortium.ledger.events(consortium.file.founding_block, consortium.ledger.head().number)
        if isinstance(event.content, AuthorityPublished)
    ]
    listed = [
        ListedAuthority(
            id=each.authority,
            parent=CertificateId(each.parent) if any(each.parent) else None,
            scope=each.scope,
            trusted_from=each.trusted_from,
            trusted_until=each.trusted_until,
            ended_at=0,
            der=each.der,
        )
        for each in published
    ]
    against = dataclasses.replace(rules(LENIENT, block_time=consortium.now()), issuers=build_issuers(listed))
    parser = ParserContract(ParserAtHead(consortium.ledger.connection), consortium.file.trust_list)
    return Authorities(top, **below, rules=against, parser=parser)


def device(consortium: Consortium, authority: Draft, days: int = 365) -> Draft:
    return at(consortium, issued(authority), days)


def with_purposes(authority: Draft, *purposes: str) -> tuple[bytes, ...]:
    return (
        authority_key(identifier(authority.key)),
        subject_key(),
        key_usage(),
        *((key_purposes(*purposes),) if purposes else ()),
        alternative_names(dns(NAME)),
    )


def nameless(authority: Draft, *, critical: bool = True) -> tuple[bytes, ...]:
    names = extension("2.5.29.17", sequence(dns(NAME)), critical=critical)
    return (authority_key(identifier(authority.key)), subject_key(), key_usage(), names)


def issued_cases(consortium: Consortium, its: Authorities) -> list[tuple[str, Draft, Reason | None]]:
    good = device(consortium, its.elliptic)
    narrow = device(consortium, its.narrow)
    without_names = (authority_key(identifier(its.elliptic.key)), subject_key(), key_usage())
    return [
        ("P-256", good, None),
        ("RSA", device(consortium, its.classic), None),
        ("unknown issuer", good.replace(issuer=name("Nobody")), Reason.UNKNOWN_ISSUER),
        ("other key identifier", device(consortium, its.elliptic.replace(key=key(106))), Reason.UNKNOWN_ISSUER),
        (
            "no AKI",
            good.replace(extensions=(subject_key(), *nameless(its.elliptic)[2:3], alternative_names(dns(NAME)))),
            Reason.MISSING_EXTENSION,
        ),
        ("signed by another", good.replace(signer=key(107)), Reason.BAD_SIGNATURE),
        ("signed by the device", good.replace(signer=None), Reason.BAD_SIGNATURE),
        (
            "algorithm of another key",
            device(consortium, its.classic).replace(inner_algorithm=good.inner_algorithm),
            Reason.BAD_SIGNATURE,
        ),
        ("outlives its issuer", device(consortium, its.short, 301), Reason.ISSUER_NOT_LIVE),
        ("as long as its issuer", device(consortium, its.short, 299), None),
        ("IKE", narrow.replace(extensions=with_purposes(its.narrow, IPSEC_IKE)), None),
        ("any purpose", narrow.replace(extensions=with_purposes(its.narrow, ANY_PURPOSE)), None),
        ("no purpose", narrow.replace(extensions=with_purposes(its.narrow)), None),
        ("TLS", narrow.replace(extensions=with_purposes(its.narrow, SERVER_AUTH)), Reason.ISSUER_OUT_OF_SCOPE),
        (
            "both",
            narrow.replace(extensions=with_purposes(its.narrow, IPSEC_IKE, CLIENT_AUTH)),
            Reason.ISSUER_OUT_OF_SCOPE,
        ),
        ("other purposes", good.replace(extensions=with_purposes(its.elliptic, "1.2.3")), Reason.ISSUER_OUT_OF_SCOPE),
        ("both in scope", good.replace(extensions=with_purposes(its.elliptic, IPSEC_IKE, CLIENT_AUTH)), None),
        ("nameless", good.replace(subject=sequence(), extensions=nameless(its.elliptic)), None),
        (
            "nameless, SAN not critical",
            good.replace(subject=sequence(), extensions=nameless(its.elliptic, critical=False)),
            Reason.BAD_CRITICALITY,
        ),
        ("nameless, no SAN", good.replace(subject=sequence(), extensions=without_names), Reason.MISSING_EXTENSION),
        ("named, SAN critical", good.replace(extensions=nameless(its.elliptic)), Reason.BAD_CRITICALITY),
        ("another's O", good.replace(subject=name("Another")), Reason.SUBJECT_NOT_OWNER),
        ("the CA's name", good.replace(subject=its.elliptic.subject), Reason.SUBJECT_NOT_OWNER),
        ("a CA", good.with_extensions(basic_constraints(CA_TRUE)), Reason.CA_CERTIFICATE),
        ("self-signed", Draft(validity=good.validity, extensions=with_purposes(its.elliptic)), Reason.UNKNOWN_ISSUER),
    ]


def test_issued_certificates(consortium: Consortium, authorities: Authorities) -> None:
    table = issued_cases(consortium, authorities)
    ders = [draft.encode() for _, draft, _ in table]
    assert not differences(authorities.parser, ders, authorities.rules)
    judged = {
        label: python_verdict(der, authorities.rules).reason for der, (label, *_) in zip(ders, table, strict=True)
    }
    assert judged == {label: reason for label, _, reason in table}


@pytest.mark.parametrize("kind", ["elliptic", "classic"])
def test_every_element_of_an_issued_certificate_bent(
    consortium: Consortium, authorities: Authorities, kind: str
) -> None:
    """One element bent and the CA's signature made anew: the checks behind the signature are reached."""
    authority: Draft = getattr(authorities, kind)
    draft = device(consortium, authority).replace(extensions=with_purposes(authority, IPSEC_IKE, SERVER_AUTH))
    bent = bent_and_signed(draft.encode(), authority.key, 3 if kind == "elliptic" else 20)
    assert len(bent) > 100
    found = differences(authorities.parser, bent, authorities.rules)
    assert not found, f"{len(found)} of {len(bent)} differ:\n" + "\n".join(found[:20])
    reasons = Counter(python_verdict(one, authorities.rules).reason for one in bent)
    assert {None, Reason.UNKNOWN_ISSUER} < set(reasons), reasons


def bent_and_signed(der: bytes, signer: PrivateKey, step: int) -> list[bytes]:
    """Each `step`th of all systematic changes, where a signed part is left."""
    (tree,) = parse(der)
    made = []
    for node in islice(systematic(tree), 0, None, step):
        if node.children is None or len(node.children) != 3:
            continue
        signed, algorithm = node.children[0].encode(), node.children[1].encode()
        made.append(sequence(signed, algorithm, tlv(0x03, b"\0" + sign(signer, signed))))
    return list(dict.fromkeys(made))


# Certificates of CAs and of their delegates


def contract_takes(consortium: Consortium, function: str, arguments: Sequence[object], *, sender: Address) -> bool:
    data = load_interface("TrustList").encode(function, arguments)
    try:
        consortium.ledger.connection.call(consortium.file.trust_list, data, sender=sender, gas=TRANSACTION_GAS)
    except RefusedError as refused:
        if "TrustListBadCertificate" in refused.message or "TrustListBadTime" in refused.message:
            return False
        raise
    return True


def root_is_taken(consortium: Consortium, der: bytes) -> bool:
    content = encode(["uint16", "bytes", "uint8", "uint40"], [OPERATOR, der, 1, end(consortium, 1)])
    return contract_takes(consortium, "trustRootByVote", [content], sender=consortium.file.consortium)


def is_taken(parse_it: Callable[[bytes], object], der: bytes) -> bool:
    try:
        parse_it(der)
    except AuthorityRefusedError:
        return False
    return True


def test_certificates_of_authorities(consortium: Consortium) -> None:
    label = secrets.token_hex(4)
    good = at(consortium, root(f"Other {label}"), 100)
    constraints, usage, own = good.extensions or ()
    table: list[tuple[str, Draft, bool]] = [
        ("good", good, True),
        ("RSA", at(consortium, root(f"RSA {label}", rsa_authority_key()), 100), True),
        ("path length", good.replace(extensions=(basic_constraints(CA_TRUE, integer(0)), usage, own)), True),
        ("EKU of IKE", good.with_extensions(key_purposes(IPSEC_IKE)), True),
        ("own AKI", good.with_extensions(authority_key(identifier(ROOT_KEY))), True),
        ("not a CA", good.replace(extensions=(basic_constraints(), usage, own)), False),
        ("no constraints", good.replace(extensions=(usage, own)), False),
        (
            "constraints not critical",
            good.replace(extensions=(basic_constraints(CA_TRUE, critical=False), usage, own)),
            False,
        ),
        ("no usage", good.replace(extensions=(constraints, own)), False),
        (
            "usage not critical",
            good.replace(extensions=(constraints, key_usage(CERT_AND_CRL_SIGN, critical=False), own)),
            False,
        ),
        ("no keyCertSign", good.replace(extensions=(constraints, key_usage(CRL_SIGN), own)), False),
        ("no SKI", good.replace(extensions=(constraints, usage)), False),
        ("name constraints", good.with_extensions(extension("2.5.29.30", sequence(), critical=True)), False),
        ("extension twice", good.with_extensions(own), False),
        ("empty subject", good.replace(subject=sequence()), False),
        ("signed by another", good.replace(signer=key(108)), False),
        ("small RSA key", root_of_rsa(consortium, label, 1_024), False),
        ("version 1", good.replace(version=b"", extensions=None), False),
    ]
    for case, draft, taken in table:
        der = draft.encode()
        assert root_is_taken(consortium, der) is taken, case
        assert is_taken(parse_authority, der) is taken, case


def root_of_rsa(consortium: Consortium, label: str, bits: int) -> Draft:
    return at(consortium, root(f"Small {label}", rsa_key(bits)), 100)


def test_every_element_of_an_authority_bent(consortium: Consortium) -> None:
    """Whatever the contract takes, Python takes: no CA stands on the list that validators do not believe."""
    der = at(consortium, root(f"Bent {secrets.token_hex(4)}"), 100).encode()
    bent = bent_and_signed(der, ROOT_KEY, 8)
    taken = [one for one in bent if root_is_taken(consortium, one)]
    assert 10 < len(taken) < len(bent) // 2
    assert not [one.hex() for one in taken if not is_taken(parse_authority, one)]


def test_delegations(consortium: Consortium, authorities: Authorities) -> None:
    ocsp = at(consortium, delegated(authorities.elliptic, "ocsp"), 30)
    lists = at(consortium, delegated(authorities.elliptic, "crl"), 396)
    own, issuer, usage, purposes, no_check = ocsp.extensions or ()
    table: list[tuple[str, Draft, bool]] = [
        ("OCSP", ocsp, True),
        ("OCSP by RSA", at(consortium, delegated(authorities.classic, "ocsp"), 30), True),
        ("CRL", lists, True),
        ("OCSP too long", at(consortium, ocsp, 31), False),
        ("CRL too long", at(consortium, lists, 397), False),
        ("no nocheck", ocsp.replace(extensions=(own, issuer, usage, purposes)), False),
        ("another purpose", ocsp.replace(extensions=(own, issuer, usage, key_purposes(SERVER_AUTH), no_check)), False),
        (
            "no digitalSignature",
            ocsp.replace(extensions=(own, issuer, key_usage(b"\x03\x02\x06\x40"), purposes, no_check)),
            False,
        ),
        ("a CA", ocsp.with_extensions(basic_constraints(CA_TRUE)), False),
        ("no SKI", ocsp.replace(extensions=(issuer, usage, purposes, no_check)), False),
        ("no AKI", ocsp.replace(extensions=(own, usage, purposes, no_check)), False),
        ("lists in another name", lists.replace(subject=name("Lists")), False),
        ("neither", lists.replace(extensions=(own, issuer, usage)), False),
    ]
    sender = consortium.members[VENDOR].keys["relayer"].address
    for case, draft, taken in table:
        der = draft.encode()
        assert contract_takes(consortium, "delegate", [der], sender=sender) is taken, case
        assert is_taken(parse_delegation, der) is taken, case
