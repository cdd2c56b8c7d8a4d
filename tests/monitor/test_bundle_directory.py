"""A daemon's directory holds what is valid now, is replaced in one step, and is emptied when nobody vouches for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from pki_chain.cli import bundle as module
from pki_chain.errors import ConfigurationError, LedgerUnavailableError, RefusedError
from pki_chain.monitor.bundle_directory import BundleDirectory, Outcome, Scope, load_signers
from pki_chain.monitor.gateway_reader import GatewayReader
from pki_chain.status.bundle import BundleError
from pki_chain.x509.certificate import parse_certificate
from tests.gateway.conftest import Gateway
from tests.index.recorded_ledger import SMALL_CELL, certificate, certificates


class Kept:
    """A directory that follows the gateway, and the file that its command writes to."""

    def __init__(
        self, gateway: Gateway, reader: Any, signers: list[x509.Certificate], path: Path, **options: Any
    ) -> None:
        self.path = path / "trusted"
        self.calls = path / "calls"
        write = (
            f"import os,pathlib; pathlib.Path({str(self.calls)!r}).open('a').write(os.environ['TALLY_BUNDLE']+'\\n')"
        )
        options.setdefault("command", (sys.executable, "-c", write))
        options.setdefault("scope", Scope())
        self._gateway = gateway
        self.directory = BundleDirectory(self.path, reader, signers, **options)

    def look(self) -> Outcome:
        return self.directory.look(self._gateway.clock())

    def held(self) -> set[bytes]:
        pem = (self.path / "current" / "certificates.pem").read_bytes()
        ders = {each.public_bytes(Encoding.DER) for each in _load(pem)}
        files = (self.path / "current" / "certificates").iterdir()
        assert {path.stem for path in files} == {parse_certificate(der).sha256.hex() for der in ders}
        return ders

    def runs(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


def _load(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem) if pem else []


@pytest.fixture
def reader(address: str) -> GatewayReader:
    return GatewayReader([address])


@pytest.fixture
def kept(publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path) -> Kept:
    return Kept(publishing, reader, signers, tmp_path)


def test_it_follows_holds_and_releases(kept: Kept, publishing: Gateway) -> None:
    assert kept.look() == Outcome(3, changed=True)
    assert kept.held() == set(certificates(3))
    assert kept.look() == Outcome(3, changed=False)
    assert kept.runs() == 1
    publishing.ledger.hold(certificate(0))
    publishing.catch_up()
    assert kept.look() == Outcome(2, changed=True)
    assert kept.held() == set(certificates(2, first=1))
    publishing.ledger.release(certificate(0))
    publishing.catch_up()
    assert kept.look().changed
    assert kept.held() == set(certificates(3))
    assert kept.runs() == 3
    content = (kept.path / "current" / "certificates.p7b").read_bytes()
    assert len(pkcs7.load_der_pkcs7_certificates(content)) == 3
    assert len(list((kept.path / "generations").iterdir())) == 2


def test_a_reader_of_the_last_generation_may_finish(kept: Kept, publishing: Gateway) -> None:
    kept.look()
    before = (kept.path / "current").resolve()
    publishing.ledger.hold(certificate(0))
    publishing.catch_up()
    kept.look()
    assert (kept.path / "current").resolve() != before
    assert len(list((before / "certificates").iterdir())) == 3


def test_nobody_vouches_any_more(kept: Kept, publishing: Gateway) -> None:
    kept.look()
    end = publishing.ledger.time + 60
    publishing.clock.seconds = end
    with pytest.raises(LedgerUnavailableError):  # the gateway lags; what is there is still vouched for
        kept.look()
    assert len(kept.held()) == 3
    publishing.clock.seconds = end + 1
    assert kept.look() == Outcome(0, changed=True, withdrawn=True)
    assert kept.held() == set()
    assert kept.runs() == 2
    assert kept.look() == Outcome(0, changed=False, withdrawn=True)
    publishing.ledger.mine(after_s=120)
    publishing.catch_up()
    assert kept.look() == Outcome(3, changed=True)


def test_a_new_directory_without_a_gateway_is_empty(
    publishing: Gateway, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    kept = Kept(publishing, GatewayReader(["http://127.0.0.1:9"]), signers, tmp_path)
    assert kept.look() == Outcome(0, changed=True, withdrawn=True)
    assert kept.held() == set()


def test_an_operator_may_choose_a_longer_time(
    publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    kept = Kept(publishing, reader, signers, tmp_path, max_age_s=3_600)
    kept.look()
    publishing.clock.seconds = publishing.ledger.time + 3_600
    with pytest.raises(LedgerUnavailableError):
        kept.look()
    publishing.clock.seconds += 1
    assert kept.look().withdrawn


def test_another_process_goes_on(
    kept: Kept, publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    kept.look()
    again = Kept(publishing, reader, signers, tmp_path)
    assert again.look() == Outcome(3, changed=False)
    (file, *_) = (kept.path / "current" / "certificates").iterdir()
    file.unlink()
    third = Kept(publishing, reader, signers, tmp_path)
    assert third.look() == Outcome(3, changed=True)
    assert len(third.held()) == 3


def test_a_command_that_fails_is_run_again(
    publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    flag = tmp_path / "ready"
    script = f"import pathlib,sys; sys.exit(0 if pathlib.Path({str(flag)!r}).exists() else 1)"
    kept = Kept(publishing, reader, signers, tmp_path, command=(sys.executable, "-c", script))
    assert kept.look() == Outcome(3, changed=True, untold=True)
    flag.touch()
    assert kept.look() == Outcome(3, changed=False)
    missing = Kept(publishing, reader, signers, tmp_path / "other", command=("no-such-command",))
    with pytest.raises(ConfigurationError):
        missing.look()


def test_a_command_that_did_not_succeed_is_run_by_the_next_process_and_while_no_gateway_answers(
    publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    """Or a daemon would go on trusting a held certificate that has left the directory already."""
    fails = (sys.executable, "-c", "raise SystemExit(1)")
    assert Kept(publishing, reader, signers, tmp_path, command=fails).look().untold
    kept = Kept(publishing, reader, signers, tmp_path)
    assert kept.look() == Outcome(3, changed=False)
    assert kept.runs() == 1
    publishing.ledger.hold(certificate(0))
    publishing.catch_up()
    assert Kept(publishing, reader, signers, tmp_path, command=fails).look() == Outcome(2, changed=True, untold=True)
    kept = Kept(publishing, GatewayReader(["http://127.0.0.1:9"]), signers, tmp_path)
    with pytest.raises(LedgerUnavailableError):
        kept.look()
    assert kept.runs() == 2
    assert Kept(publishing, reader, signers, tmp_path).look() == Outcome(2, changed=False)
    assert kept.runs() == 2


def test_looking_once_says_that_the_command_failed(
    publishing: Gateway, address: str, signer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(time=publishing.clock))
    command = ["sync", str(tmp_path / "trusted"), "--gateway", address, "--signers", str(signer_file), "--once"]
    failed = CliRunner().invoke(module.bundle, [*command, "--run", f"{sys.executable} -c 'raise SystemExit(3)'"])
    assert isinstance(failed.exception, ConfigurationError)
    assert "did not succeed" in failed.exception.message
    done = CliRunner().invoke(module.bundle, [*command, "--run", f"{sys.executable} -c pass"])
    assert (done.exit_code, done.output) == (0, "3 certificates, unchanged\n")


def test_scopes_are_asked_for_and_compared(
    publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    kept = Kept(publishing, reader, signers, tmp_path, scope=Scope(profile=SMALL_CELL, member=2))
    assert kept.look().count == 3
    with pytest.raises(RefusedError):
        reader.read("/bundles/manifest.jws", {"suffix": "UP"})


class Bent:
    """A gateway whose answers are bent on the way."""

    def __init__(self, reader: GatewayReader, path: str) -> None:
        self._reader = reader
        self._path = path
        self.kept: dict[str, bytes] = {}
        self.bend: Any = None

    def read(self, path: str, query: dict[str, object]) -> bytes:
        content = self._reader.read(path, query)
        self.kept.setdefault(path, content)
        return self.bend(self, content) if self.bend and path == self._path else content  # type: ignore[no-any-return]


def _without_one(_: Bent, content: bytes) -> bytes:
    bundle = json.loads(content)
    bundle["certificates"].pop()
    return json.dumps(bundle).encode()


def _not_of_its_form(_: Bent, __: bytes) -> bytes:
    return b'{"certificates": []}'


def _old(bent: Bent, _: bytes) -> bytes:
    return bent.kept["/bundles/certificates.json"]


@pytest.mark.parametrize("bend", [_without_one, _not_of_its_form, _old])
def test_a_bundle_that_is_not_its_manifest_s_is_refused(
    publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path, bend: Any
) -> None:
    bent = Bent(reader, "/bundles/certificates.json")
    kept = Kept(publishing, bent, signers, tmp_path)
    kept.look()
    publishing.ledger.hold(certificate(0))
    publishing.catch_up()
    bent.bend = bend
    with pytest.raises(BundleError):
        kept.look()
    assert len(kept.held()) == 3  # until the manifest is out of date
    bent.bend = None
    assert kept.look().count == 2


def test_an_older_manifest_is_refused(
    publishing: Gateway, reader: GatewayReader, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    bent = Bent(reader, "/bundles/manifest.jws")
    kept = Kept(publishing, bent, signers, tmp_path)
    kept.look()
    publishing.ledger.mine()
    publishing.catch_up()
    kept.look()
    bent.bend = lambda each, _: each.kept["/bundles/manifest.jws"]
    with pytest.raises(BundleError, match="older than the last"):
        kept.look()


def test_a_stranger_s_manifest_is_refused(publishing: Gateway, reader: GatewayReader, tmp_path: Path) -> None:
    kept = Kept(publishing, reader, [x509.load_der_x509_certificate(certificate(0))], tmp_path)
    assert kept.look().withdrawn
    assert kept.held() == set()


def test_the_file_of_signers(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_signers(tmp_path / "missing")
    (tmp_path / "empty").write_text("nothing")
    with pytest.raises(ConfigurationError):
        load_signers(tmp_path / "empty")
