"""Status keys in a real token: rotated into it without a gap, and no answer is signed while it is away."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import move

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPResponseStatus

from pki_chain.chain.signer import create_passphrase
from pki_chain.cli.main import main
from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.status.bundle import verify_manifest
from pki_chain.status.crl import load_revocation_list
from pki_chain.status.status_key import LEAD_S, RENEW_BEFORE_S, NoStatusKeyError, StatusKeys
from tally_service import pkcs11_session
from tally_service.key_token import KeyToken, close_session
from tests.gateway.conftest import Gateway, problem_code
from tests.index.recorded_ledger import SMALL_CELL, certificate
from tests.key_token import PIN, token
from tests.relying.ocsp_requests import request

__all__ = ["token"]

CRL_PATH = f"/crl/{SMALL_CELL}/0-of-1.crl"


@pytest.fixture
def keys(publishing: Gateway, token: KeyToken) -> StatusKeys:
    """The gateway's, which signs with a file, and makes its next key in the token."""
    found = publishing.services.status_keys
    found._token = token
    return found


def ask_ocsp(gateway: Gateway) -> ocsp.OCSPResponse:
    response = gateway.client.post("/ocsp", data=request([certificate(0)]), content_type="application/ocsp-request")
    assert response.status_code == 200
    return ocsp.load_der_ocsp_response(response.data)


def test_status_keys_rotate_from_a_file_into_a_token_without_a_gap(publishing: Gateway, keys: StatusKeys) -> None:
    first = keys.signer(publishing.clock())
    later = first.ends - RENEW_BEFORE_S + 1
    assert keys.renew("Example Mobile", later) is not None
    assert [key.is_in_token for key in keys.published(later)] == [False, True]
    assert keys.signer(later + LEAD_S - 1) == first
    second = keys.signer(later + LEAD_S)
    assert second.is_in_token
    certificate = x509.load_der_x509_certificate(second.certificate)
    certificate.verify_directly_issued_by(certificate)
    directory = publishing.config.gateway.data / "status-keys"
    assert len(list(directory.glob("*.key"))) == 1, "that of the first"


def test_ocsp_lists_and_manifests_are_signed_by_the_token(publishing: Gateway, keys: StatusKeys) -> None:
    now = int(publishing.clock())
    signer = x509.load_der_x509_certificate(keys.create("Example Mobile", now - 1))
    public_key = signer.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    answer = ask_ocsp(publishing)
    assert answer.certificates == [signer]
    public_key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    load_revocation_list(publishing.client.get(CRL_PATH).data, [signer])
    manifest = publishing.client.get("/bundles/manifest.jws").get_data(as_text=True)
    assert verify_manifest(manifest, [signer], now).count == 3


def test_without_its_token_nothing_is_signed(
    publishing: Gateway, keys: StatusKeys, token: KeyToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pkcs11_session, "_PAUSE_S", 0.0)
    keys.create("Example Mobile", int(publishing.clock()) - 1)
    keys.check(publishing.clock())
    (place,) = (token.pin_file.parent / "tokens").iterdir()
    move(place, token.pin_file.parent / "pulled")
    assert ask_ocsp(publishing).response_status is OCSPResponseStatus.INTERNAL_ERROR
    for path in (CRL_PATH, "/bundles/manifest.jws"):
        refused = publishing.client.get(path)
        assert problem_code(refused, 503) == "no-status-key"
        assert not [each for each in (PIN, "not there", str(token.pin_file)) if each in refused.get_data(as_text=True)]
    with pytest.raises(NoStatusKeyError, match="is not there"):
        keys.check(publishing.clock())
    with pytest.raises(NoStatusKeyError, match="is not there"):
        keys.create("Example Mobile", int(publishing.clock()))
    move(token.pin_file.parent / "pulled", place)
    assert ask_ocsp(publishing).response_status is OCSPResponseStatus.SUCCESSFUL


def test_a_certificate_of_another_key_is_refused(publishing: Gateway, keys: StatusKeys, token: KeyToken) -> None:
    now = int(publishing.clock())
    keys.create("Example Mobile", now)
    keys.create("Example Mobile", now + 1)
    directory = publishing.config.gateway.data / "status-keys"
    one, other = sorted(directory.glob("*.pkcs11"))
    one.write_text(other.read_text())
    with pytest.raises(NoStatusKeyError, match="not the one"):
        StatusKeys(directory, keys._load_passphrase, token).check(now)
    with pytest.raises(ConfigurationError, match=r"gateway\.pkcs11_module"):
        StatusKeys(directory, keys._load_passphrase).check(now)
    one.write_text("not hexadecimal")
    with pytest.raises(ConfigurationError, match="no key's id"):
        StatusKeys(directory, keys._load_passphrase, token).check(now)


@pytest.fixture
def config(tmp_path: Path, token: KeyToken) -> Path:
    create_passphrase(tmp_path / "keystore" / "passphrase")
    path = tmp_path / "tally.toml"
    path.write_text(
        '[member]\nid = 1\nname = "Example Mobile"\n[gateway]\n'
        f'pkcs11_module = "{token.module}"\npkcs11_pin_file = "{token.pin_file}"\n'
    )
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    printed = capsys.readouterr()
    return ended.value.code, printed.out + printed.err


def test_the_command_makes_a_key_in_the_token_and_says_why_not(
    config: Path, token: KeyToken, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("gateway", "status-key", "--config", str(config))
    code, text = run(capsys, *command, "--new", "--in-days", "0", "--json")
    assert (code, [key["in_token"] for key in json.loads(text)["keys"]]) == (0, [True])
    assert "in the token" in run(capsys, *command)[1]
    close_session()
    token.pin_file.write_text("wrong-pin")
    code, text = run(capsys, *command, "--new")
    assert (code, "refuses the PIN" in text, "wrong-pin" in text) == (78, True, False)


@pytest.mark.parametrize("line", ['pkcs11_module = "x.so"', 'pkcs11_pin_file = "pin"'])
def test_module_and_pin_file_go_together(tmp_path: Path, line: str) -> None:
    (tmp_path / "tally.toml").write_text(f'[member]\nid = 1\nname = "Example Mobile"\n[gateway]\n{line}\n')
    with pytest.raises(ConfigurationError, match=r"pkcs11_module and gateway\.pkcs11_pin_file"):
        MemberConfig.load(tmp_path / "tally.toml", {})
