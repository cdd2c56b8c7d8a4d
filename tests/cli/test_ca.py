"""`tally ca` and the proposals about CAs, as far as they go without a ledger: what is read, and what is refused."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode

from pki_chain.cli import ca
from pki_chain.cli.main import main
from pki_chain.errors import InputError, NotFoundError
from pki_chain.founding.authority_terms import format_scope, load_authority_certificate, parse_scope, parse_until
from pki_chain.founding.proposal import ProposalKind, encode_content
from pki_chain.ports import TrustScope
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.delegation import parse_delegation
from pki_chain.x509.errors import AuthorityRefusedError
from tests.authorities import delegated, issued, issuing, root

ROOT = root()
CA = issuing(ROOT)
LEAST = '[member]\nid = 4\nname = "Example CA"\n[station]\ngateways = ["http://127.0.0.1:9"]\n'


def write(directory: Path, label: str, der: bytes, *, pem: bool = False) -> str:
    path = directory / label
    path.write_bytes(ssl.DER_cert_to_PEM_cert(der).encode() if pem else der)
    return str(path)


def test_scopes_and_days() -> None:
    assert parse_scope("ike,tls") == TrustScope.IKE | TrustScope.TLS
    assert format_scope(TrustScope.IKE | TrustScope.SLICE) == "ike,slice"
    assert parse_until("2031-12-31") == 1_956_527_999
    assert parse_until("99") == 99
    for wrong in ("", "IKE", "ike,", "ssl"):
        with pytest.raises(InputError, match="is not made of"):
            parse_scope(wrong)
    for wrong in ("2031-13-01", "tomorrow", "-1", "99999999999999"):
        with pytest.raises(InputError, match="neither a day"):
            parse_until(wrong)


def test_certificates_are_read_from_der_and_pem(tmp_path: Path) -> None:
    for pem in (False, True):
        assert load_authority_certificate(Path(write(tmp_path, "ca", CA.encode(), pem=pem))) == CA.encode()
    (tmp_path / "two").write_text(ssl.DER_cert_to_PEM_cert(CA.encode()) * 2)
    (tmp_path / "long").write_bytes(b"0" * 9_000)
    (tmp_path / "bent").write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    for label, text in (
        ("two", "more than one"),
        ("long", "longer than"),
        ("bent", "cannot read"),
        ("none", "cannot read"),
    ):
        with pytest.raises(InputError, match=text):
            load_authority_certificate(tmp_path / label)


def test_a_root_is_proposed_with_its_terms(tmp_path: Path) -> None:
    file = write(tmp_path, "root", ROOT.encode())
    content = encode_content(ProposalKind.TRUST_ROOT, ("4", file, "ike,tls", "99"))
    assert decode(["uint16", "bytes", "uint8", "uint40"], content) == (4, ROOT.encode(), 3, 99)
    identity = "0x" + parse_authority(ROOT.encode()).id.hex()
    withdrawal = encode_content(ProposalKind.WITHDRAW_AUTHORITY, (identity, "1"))
    assert decode(["bytes32", "uint8"], withdrawal) == (parse_authority(ROOT.encode()).id, 1)
    for arguments, text in (
        (("4", file, "ike"), "takes MEMBER FILE"),
        (("4", file, "all", "99"), "is not made of"),
        (("4", write(tmp_path, "ca", CA.encode()), "ike", "99"), "is not a root"),
        (("x", file, "ike", "99"), "Correct the arguments"),
    ):
        with pytest.raises(InputError, match=text):
            encode_content(ProposalKind.TRUST_ROOT, arguments)
    with pytest.raises(AuthorityRefusedError, match="not a CA's"):
        encode_content(ProposalKind.TRUST_ROOT, ("4", write(tmp_path, "cell", issued(CA).encode()), "ike", "99"))


def test_what_is_named_is_an_id_or_a_file(tmp_path: Path) -> None:
    authority, signer = parse_authority(CA.encode()), parse_delegation(delegated(CA, "crl").encode())
    assert ca._identify("0x" + authority.id.hex().upper()) == authority.id
    assert ca._identify(write(tmp_path, "ca", authority.der)) == authority.id
    assert ca._identify(write(tmp_path, "signer", signer.der)) == signer.id
    with pytest.raises(InputError, match="neither an id"):
        ca._identify("0x12")
    with pytest.raises(AuthorityRefusedError, match="it delegates nothing"):
        ca._identify(write(tmp_path, "cell", issued(CA).encode()))


def test_an_end_that_was_not_given_is_as_late_as_both_allow() -> None:
    authority = parse_authority(CA.encode())
    listed = {"der": base64.b64encode(ROOT.encode()).decode(), "trusted_until": authority.not_after - 7}
    answer = {"authorities": [listed]}
    assert ca._longest(answer, authority.issuer, authority) == authority.not_after - 7
    listed["trusted_until"] = authority.not_after + 7
    assert ca._longest(answer, authority.issuer, authority) == authority.not_after
    with pytest.raises(NotFoundError, match="not on the trust list"):
        ca._longest({"authorities": []}, authority.issuer, authority)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


@pytest.fixture
def settings(tmp_path: Path) -> str:
    path = tmp_path / "tally.toml"
    path.write_text(LEAST)
    return str(path)


def test_mistakes_are_told_before_anything_is_sent(
    tmp_path: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root_file, signer = write(tmp_path, "root", ROOT.encode()), write(tmp_path, "ocsp", delegated(CA, "ocsp").encode())
    for arguments, code, text in (
        (("publish", root_file, "--scope", "ike"), 65, "members vote on it"),
        (("publish", signer, "--scope", "ike"), 65, "not a CA's certificate"),
        (("delegate",), 65, "give FILE alone"),
        (("delegate", signer, "--kind", "ocsp"), 65, "give FILE alone"),
        (("delegate", "--ca-key", root_file, "--kind", "ocsp"), 65, "give FILE alone"),
        (("delegate", root_file), 65, "publish it as an authority"),
        (("withdraw", "0x1"), 65, "neither an id"),
    ):
        ended, _, told = run(capsys, "ca", *arguments, "--config", settings)
        assert (ended, text in told) == (code, True), (arguments, told)
        ended, _, told = run(capsys, "ca", *arguments, "--config", settings, "--json")
        assert ended == code
        document = json.loads(told)
        assert (text in document["message"], document["exit_code"]) == (True, code)


def test_the_list_is_printed(
    monkeypatch: pytest.MonkeyPatch, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    each: dict[str, Any] = {
        "id": "0x" + "11" * 32,
        "member": 4,
        "parent": "0x" + "22" * 32,
        "state": "live",
        "scope": ["ike"],
        "trusted_until": 1_956_527_999,
        "delegations": [{"id": "0x" + "33" * 32, "kind": "ocsp-signing", "not_after": 99, "withdrawn": None}],
    }
    monkeypatch.setattr(GatewayClient, "get", lambda *_: {"authorities": [each]})
    code, text, _ = run(capsys, "ca", "list", "--config", settings)
    assert code == 0
    for wanted in ("live", "ocsp-signing", "2031-12-31"):
        assert wanted in text.replace("\n", "")
    code, text, _ = run(capsys, "ca", "list", "--config", settings, "--json")
    assert json.loads(text)["authorities"][0]["id"] == each["id"]
