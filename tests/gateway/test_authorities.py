"""`/v1/authorities`, and orders about the trust list as they are posted."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import pytest
from cryptography import x509

from pki_chain import ports
from pki_chain.chain.abi import load_interface
from pki_chain.errors import LedgerUnavailableError
from pki_chain.gateway.order_forms import read_order
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.gateway.strict_json import JsonObject
from pki_chain.ports import Address, CertificateId, MemberState, TrustScope
from pki_chain.station.issuers import fetch_issuers
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.delegation import parse_delegation
from tests.authorities import delegated, issuing, root
from tests.certificates import BLOCK_TIME, DAY_S, key
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import AUTHORITY, KINDS, MEMBER_NAMES, OPERATOR

BY = Address("0x" + "aa" * 20)
ROOT = root()
CA = issuing(ROOT)
SIGNED = {"deadline": 99, "signer": "0x" + "aa" * 20, "signature": "0x" + "11" * 65}


@pytest.fixture
def listed(gateway: Gateway) -> Gateway:
    for draft, parent in ((ROOT, bytes(32)), (CA, parse_authority(ROOT.encode()).id)):
        authority = parse_authority(draft.encode())
        published = ports.AuthorityPublished(
            authority=authority.id,
            member=AUTHORITY,
            parent=CertificateId(parent),
            scope=TrustScope.IKE | TrustScope.TLS,
            path_length=1,
            trusted_from=BLOCK_TIME,
            trusted_until=BLOCK_TIME + 1_000 * DAY_S,
            subject_hash=bytes(32),
            key_identifier_hash=bytes(32),
            by=BY,
            der=draft.encode(),
        )
        gateway.ledger.mine([published])
    made = parse_delegation(delegated(CA, "ocsp").encode())
    given = ports.DelegationPublished(
        made.id, parse_authority(CA.encode()).id, made.kind, made.not_before, made.not_after, made.der
    )
    gateway.ledger.mine([given])
    gateway.catch_up()
    return gateway


def authority_id() -> str:
    return "0x" + parse_authority(CA.encode()).id.hex()


def test_the_list_is_for_everybody(listed: Gateway) -> None:
    answer = listed.client.get("/v1/authorities")
    assert answer.status_code == 200
    assert "no-store" not in answer.headers["Cache-Control"]
    first, second = answer.get_json()["authorities"]
    assert (first["parent"], second["parent"]) == (None, first["id"])
    assert second["scope"] == ["ike", "tls"]
    assert (second["state"], second["withdrawn"], second["ended_at"]) == ("live", None, None)
    assert base64.b64decode(second["der"]) == CA.encode()
    assert [each["kind"] for each in second["delegations"]] == ["ocsp-signing"]
    assert len(listed.client.get(f"/v1/authorities?member={AUTHORITY}").get_json()["authorities"]) == 2
    assert listed.client.get("/v1/authorities?member=1").get_json()["authorities"] == []


@pytest.mark.parametrize("query", ["member=0", "member=65536", "member=x", "member=1&member=2", "owner=1", "member="])
def test_other_questions_are_refused(listed: Gateway, query: str) -> None:
    answer = listed.client.get(f"/v1/authorities?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad-member")


def test_one_authority_comes_with_its_chain(listed: Gateway) -> None:
    path = f"/v1/authorities/{authority_id()}"
    assert listed.client.get(path).get_json()["id"] == authority_id()
    chain = listed.client.get(path, headers={"Accept": "application/pem-certificate-chain"})
    assert chain.mimetype == "application/pem-certificate-chain"
    assert chain.headers["Vary"] == "Accept"
    (own, above) = x509.load_pem_x509_certificates(chain.data)
    own.verify_directly_issued_by(above)
    assert own == x509.load_der_x509_certificate(CA.encode())


def test_what_is_not_there_or_not_asked_well(listed: Gateway) -> None:
    ask = listed.client.get
    assert ask("/v1/authorities/0x" + "00" * 32).status_code == 404
    assert ask("/v1/authorities/0x12").get_json()["code"] == "bad-authority"
    wrong = ask(f"/v1/authorities/{authority_id()}", headers={"Accept": "text/html"})
    assert (wrong.status_code, wrong.get_json()["code"]) == (406, "not-acceptable")


def test_states(listed: Gateway) -> None:
    authority = parse_authority(CA.encode()).id
    listed.ledger.mine([ports.AuthorityWithdrawn(authority, AUTHORITY, BY, 1)])
    listed.catch_up()
    first, second = listed.client.get("/v1/authorities").get_json()["authorities"]
    assert (first["state"], second["state"]) == ("live", "withdrawn")
    assert second["withdrawn"] == {"at": listed.ledger.time, "reason": 2}
    assert second["ended_at"] == listed.ledger.time
    suspended = ports.MemberChanged(
        AUTHORITY, ports.MemberKind.CERTIFICATE_AUTHORITY, ports.MemberState.SUSPENDED, "Example CA"
    )
    listed.ledger.mine([suspended])
    listed.catch_up()
    assert [each["state"] for each in listed.client.get("/v1/authorities").get_json()["authorities"]] == [
        "barred",
        "withdrawn",
    ]


def test_a_ca_below_one_of_a_suspended_member_is_barred_too(listed: Gateway) -> None:
    """As `isLive` of the contract: the members of all of them must be active."""
    below = parse_authority(issuing(CA, "Other member's", key(7)).encode())
    listed.ledger.mine(
        [
            ports.AuthorityPublished(
                authority=below.id,
                member=OPERATOR,
                parent=parse_authority(CA.encode()).id,
                scope=TrustScope.IKE,
                path_length=0,
                trusted_from=BLOCK_TIME,
                trusted_until=BLOCK_TIME + 1_000 * DAY_S,
                subject_hash=bytes(32),
                key_identifier_hash=bytes(32),
                by=BY,
                der=below.der,
            )
        ]
    )
    listed.ledger.mine(
        [ports.MemberChanged(AUTHORITY, KINDS[AUTHORITY], MemberState.SUSPENDED, MEMBER_NAMES[AUTHORITY])]
    )
    listed.catch_up()
    found = listed.client.get("/v1/authorities").get_json()["authorities"]
    assert [each["state"] for each in found] == ["barred"] * 3
    assert listed.client.get(f"/v1/authorities?member={OPERATOR}").get_json()["authorities"][0]["state"] == "barred"
    assert listed.client.get(f"/v1/authorities/0x{below.id.hex()}").get_json()["state"] == "barred"


def test_it_is_not_answered_when_the_read_model_is_stale(listed: Gateway) -> None:
    listed.clock.seconds += 3_600
    assert listed.client.get("/v1/authorities").status_code == 503
    assert listed.client.get(f"/v1/authorities/{authority_id()}").status_code == 503


class Answers:
    """What a gateway would answer, in place of a client of gateways."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/v1/authorities"
        return self.content


def test_a_station_builds_issuers_from_it(listed: Gateway) -> None:
    answer = listed.client.get("/v1/authorities").get_json()
    found = fetch_issuers(Answers(answer))  # type: ignore[arg-type]
    assert [each.subject for each in found] == [ROOT.subject, CA.subject]
    # A gateway that puts a CA of its own below the root is not believed.
    forged = issuing(ROOT).replace(signer=CA.key)
    answer["authorities"][1]["der"] = base64.b64encode(forged.encode()).decode()
    answer["authorities"][1]["id"] = "0x" + parse_authority(forged.encode()).id.hex()
    assert [each.subject for each in fetch_issuers(Answers(answer))] == [ROOT.subject]  # type: ignore[arg-type]
    for wrong in ({}, {"authorities": 1}, {"authorities": [{}]}, {"authorities": [{"id": "0x"}]}):
        with pytest.raises(LedgerUnavailableError, match="not well formed"):
            fetch_issuers(Answers(wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "function"),
    [
        (
            {"order": "publish-authority", "der": "0x30", "member": 4, "scope": 3, "until": 98, **SIGNED},
            "publishAuthority",
        ),
        ({"order": "delegate", "der": "0x30"}, "delegate"),
        ({"order": "withdraw-authority", "id": "0x" + "07" * 32, "reason": 2, **SIGNED}, "withdraw"),
    ],
)
def test_orders_become_calls(gateway: Gateway, fields: dict[str, Any], function: str) -> None:
    _, call = read_order(JsonObject(fields), gateway.services.calls)
    assert call.to == gateway.consortium.trust_list
    interface = load_interface("TrustList")
    assert call.data[:4] == interface.encode(function, _some(interface.functions[function]))[:4]
    for name in set(fields) - {"order"}:
        with pytest.raises(EnvelopeError):
            read_order(JsonObject({**fields, name: None}), gateway.services.calls)
    with pytest.raises(EnvelopeError):
        read_order(JsonObject({**fields, "more": 1}), gateway.services.calls)
    if "scope" in fields:
        for scope in (0, 8):
            with pytest.raises(EnvelopeError):
                read_order(JsonObject({**fields, "scope": scope}), gateway.services.calls)


def _some(entry: Any) -> list[Any]:
    values: dict[str, Any] = {"bytes": b"", "bytes32": bytes(32), "address": "0x" + "00" * 20}
    return [values.get(each.type, 0) for each in entry.inputs]


def test_pem_of_ssl_reads_the_chain(listed: Gateway) -> None:
    """Python's ssl takes the chain as a file of CAs."""
    chain = listed.client.get(
        f"/v1/authorities/{authority_id()}", headers={"Accept": "application/pem-certificate-chain"}
    ).text
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=chain)
    assert len(context.get_ca_certs()) == 2
