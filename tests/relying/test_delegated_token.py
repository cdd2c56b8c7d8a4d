"""Keys that CAs delegated, in a real token: OCSP and lists of CAs are signed there, or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import move

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus

from pki_chain.chain.signer import create_passphrase
from pki_chain.cli.main import main
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.app import create_app
from pki_chain.gateway.services import DELEGATED_KEYS, open_delegated_keys
from pki_chain.ports import DelegationKind
from pki_chain.status.status_key import NoStatusKeyError
from tally_service import pkcs11_session
from tally_service.key_token import KeyToken, close_session
from tests.authorities import root as authority_certificate
from tests.gateway.conftest import Gateway, opened, problem_code
from tests.index.recorded_ledger import RecordedLedger
from tests.key_token import PIN, token
from tests.relying.issuer import Issuer, publish_root, store_pem

__all__ = ["token"]

OCSP, CRL = DelegationKind.OCSP_SIGNING, DelegationKind.CRL_SIGNING


@pytest.fixture
def in_files(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway as it was before there was a token."""
    with opened(tmp_path, RecordedLedger(int(time.time()) - 60)) as found:
        create_passphrase(found.config.keystore.passphrase_file)
        yield found


@pytest.fixture
def publishing(in_files: Gateway, token: KeyToken) -> Gateway:
    """The same, begun anew with settings that name the token."""
    section = replace(in_files.config.gateway, pkcs11_module=token.module, pkcs11_pin_file=token.pin_file)
    config = replace(in_files.config, gateway=section)
    return replace(in_files, config=config, client=create_app(config, in_files.clock).test_client())


@pytest.fixture
def root(publishing: Gateway) -> Issuer:
    made = publish_root(publishing)
    publishing.ledger.accept([made.device(0)])
    publishing.catch_up()
    return made


def files(gateway: Gateway, suffix: str) -> list[Path]:
    return sorted((gateway.config.gateway.data / DELEGATED_KEYS).glob("*" + suffix))


def ask(issuer: Issuer) -> ocsp.OCSPResponse:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(issuer.device(0)),
        x509.load_der_x509_certificate(issuer.authority.der),
        hashes.SHA256(),
    )
    content = builder.build().public_bytes(serialization.Encoding.DER)
    answer = issuer.gateway.client.post("/ocsp", data=content, content_type="application/ocsp-request")
    assert answer.status_code == 200
    return ocsp.load_der_ocsp_response(answer.data)


def test_the_token_signs_ocsp_and_lists_of_a_ca(publishing: Gateway, root: Issuer) -> None:
    by_ocsp, by_list = (x509.load_der_x509_certificate(root.delegate(kind)) for kind in (OCSP, CRL))
    publishing.ledger.revoke(root.device(0))
    publishing.catch_up()
    assert (len(files(publishing, ".pkcs11")), files(publishing, ".key")) == (2, [])
    answer, key = ask(root), by_ocsp.public_key()
    assert (answer.certificates, answer.certificate_status) == ([by_ocsp], OCSPCertStatus.REVOKED)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    read = x509.load_der_x509_crl(publishing.client.get(f"/crl/{root.name}.crl").data)
    assert read.is_signature_valid(by_list.public_key())  # type: ignore[arg-type]
    assert not read.is_signature_valid(key)
    open_delegated_keys(publishing.config).check()


def test_keys_of_files_go_on_until_one_of_the_token_ends_later(
    in_files: Gateway, publishing: Gateway, root: Issuer
) -> None:
    first = replace(root, gateway=in_files).delegate(OCSP, days=5)
    publishing.catch_up()
    assert ask(root).certificates == [x509.load_der_x509_certificate(first)]
    second = root.delegate(OCSP, days=6)
    publishing.catch_up()
    assert ask(root).certificates == [x509.load_der_x509_certificate(second)]
    assert (len(files(publishing, ".key")), len(files(publishing, ".pkcs11"))) == (1, 1)


def test_without_its_token_nothing_is_signed_and_nothing_is_made(
    publishing: Gateway, root: Issuer, token: KeyToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pkcs11_session, "_PAUSE_S", 0.0)
    root.delegate(OCSP)
    root.delegate(CRL)
    publishing.catch_up()
    assert ask(root).response_status is OCSPResponseStatus.SUCCESSFUL
    (place,) = (token.pin_file.parent / "tokens").iterdir()
    move(place, token.pin_file.parent / "pulled")
    assert ask(root).response_status is OCSPResponseStatus.INTERNAL_ERROR
    refused = publishing.client.get(f"/crl/{root.name}.crl")
    assert problem_code(refused, 503) == "no-status-key"
    assert not [each for each in (PIN, "not there", str(token.pin_file)) if each in refused.get_data(as_text=True)]
    keys = open_delegated_keys(publishing.config)
    with pytest.raises(NoStatusKeyError, match="is not there"):
        keys.check()
    with pytest.raises(NoStatusKeyError, match="is not there"):
        keys.create(CRL, root.authority.der)
    assert len(files(publishing, ".pkcs11")) == 2
    move(token.pin_file.parent / "pulled", place)
    assert ask(root).response_status is OCSPResponseStatus.SUCCESSFUL
    assert publishing.client.get(f"/crl/{root.name}.crl").status_code == 200


def test_another_key_under_its_name_signs_nothing(publishing: Gateway, root: Issuer) -> None:
    root.delegate(OCSP)
    publishing.catch_up()
    (mine,) = files(publishing, ".pkcs11")
    root.certify(CRL)
    (other,) = set(files(publishing, ".pkcs11")) - {mine}
    mine.write_text(other.read_text())
    assert ask(root).response_status is OCSPResponseStatus.INTERNAL_ERROR
    mine.write_text("not hexadecimal")
    with pytest.raises(ConfigurationError, match="no key's id"):
        open_delegated_keys(publishing.config).check()


def test_settings_without_the_token_are_refused(in_files: Gateway, publishing: Gateway, root: Issuer) -> None:
    root.delegate(OCSP)
    publishing.catch_up()
    with pytest.raises(ConfigurationError, match=r"gateway\.pkcs11_module"):
        open_delegated_keys(in_files.config).check()
    without = replace(root, gateway=in_files)
    assert ask(without).response_status is OCSPResponseStatus.INTERNAL_ERROR


def test_the_command_makes_the_key_in_the_token_and_says_why_not(
    tmp_path: Path, token: KeyToken, capsys: pytest.CaptureFixture[str]
) -> None:
    create_passphrase(tmp_path / "keystore" / "passphrase")
    path = tmp_path / "tally.toml"
    path.write_text(
        '[member]\nid = 1\nname = "Example Mobile"\n[gateway]\n'
        f'pkcs11_module = "{token.module}"\npkcs11_pin_file = "{token.pin_file}"\n'
    )
    authority = store_pem(tmp_path / "ca.pem", authority_certificate().encode())
    command = ("gateway", "delegation-key", str(authority), "--kind", "ocsp", "--config", str(path), "--out")

    def run(out: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main([*command, str(tmp_path / out)])
        printed = capsys.readouterr()
        return ended.value.code, printed.out + printed.err

    assert run("first.csr")[0] == 0
    assert x509.load_pem_x509_csr((tmp_path / "first.csr").read_bytes()).is_signature_valid
    assert len(list((tmp_path / "data" / "gateway" / DELEGATED_KEYS).glob("*.pkcs11"))) == 1
    close_session()
    token.pin_file.write_text("wrong-pin")
    code, text = run("second.csr")
    assert (code, "refuses the PIN" in text, "wrong-pin" in text) == (78, True, False)
    assert not (tmp_path / "second.csr").exists()
