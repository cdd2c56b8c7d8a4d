"""Devices with different chains meet: one self-signed, one that a CA issued, trusting what the consortium publishes.

R-DEV-5, R-DEV-8.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki_chain import ports
from pki_chain.chain.signer import create_passphrase
from pki_chain.monitor.bundle_directory import BundleDirectory, Outcome, Scope
from pki_chain.monitor.gateway_reader import GatewayReader
from pki_chain.ports import DelegationKind, MemberKind, MemberState, TrustScope
from pki_chain.relying_party import NotTrustedError, OcspSource, RelyingParty
from pki_chain.status.bundle import BundleError, digest_of, verify_manifest
from pki_chain.x509.certificate import SubjectAltName, parse_certificate
from pki_chain.x509.pem import encode_pem
from pki_chain.x509.profile import SMALL_CELL, SanType
from pki_chain.x509.self_signed import create_key, issue
from tests.certificates import REALM, PrivateKey, key
from tests.gateway.conftest import Gateway, opened, problem_code
from tests.gateway.test_service import free_port
from tests.index.recorded_ledger import AUTHORITY, VENDOR, RecordedLedger, certificate
from tests.relying.conftest import served
from tests.relying.issuer import Issuer, publish_below, publish_root, store_pem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TLS = TrustScope.TLS | TrustScope.IKE
METER = 2
PATIENCE_S = 60.0
PEER = Path(__file__).resolve().parents[2] / "examples" / "mutual-tls" / "peer.py"


@pytest.fixture
def publishing(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway over a ledger of now, which has a key of its own."""
    with opened(tmp_path, RecordedLedger(int(time.time()) - 60)) as found:
        create_passphrase(found.config.keystore.passphrase_file)
        found.services.status_keys.create("Example Mobile", found.ledger.time - 86_400)
        yield found


@pytest.fixture
def address(publishing: Gateway) -> Iterator[str]:
    with served(publishing.client.application.wsgi_app) as found:
        yield found


@pytest.fixture
def signers(publishing: Gateway) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(publishing.client.get("/bundles/signers.pem").data)


@pytest.fixture
def below(publishing: Gateway) -> Issuer:
    """An issuing CA for TLS that lets the gateway answer, and under it devices 0 to 2."""
    made = publish_below(publishing, publish_root(publishing, scope=TLS), TLS)
    made.delegate(DelegationKind.OCSP_SIGNING)
    publishing.ledger.accept([made.device(number) for number in range(3)])
    tick(publishing)
    return made


def tick(gateway: Gateway) -> None:
    """A block of just now: each event is a second later on that ledger than the one before."""
    gateway.ledger.mine(time=max(int(time.time()) - 5, gateway.ledger.time))
    gateway.catch_up(age_s=0)


# Bundles of CAs


def shown(gateway: Gateway, form: str, query: str = "?scope=tls") -> bytes:
    response = gateway.client.get(f"/bundles/authorities.{form}{query}")
    assert response.status_code == 200, response.data
    return bytes(response.data)


def test_cas_come_in_all_formats_with_a_manifest(
    publishing: Gateway, below: Issuer, signers: list[x509.Certificate]
) -> None:
    expected = set(x509.load_pem_x509_certificates(shown(publishing, "pem")))
    assert x509.load_der_x509_certificate(below.authority.der) in expected
    assert len(expected) == 2
    assert set(pkcs7.load_der_pkcs7_certificates(shown(publishing, "p7b"))) == expected
    content = json.loads(shown(publishing, "json"))
    ders = [base64.b64decode(each["der"]) for each in content["certificates"]]
    assert {x509.load_der_x509_certificate(der) for der in ders} == expected
    assert [each["member"] for each in content["certificates"]] == [AUTHORITY, AUTHORITY]
    manifest = verify_manifest(content["manifest"], signers, publishing.clock())
    assert (manifest.authorities, manifest.count) == ("tls", 2)
    assert manifest.digest == digest_of(bytes.fromhex(each["sha256"]) for each in content["certificates"])
    assert verify_manifest(shown(publishing, "jws").decode(), signers, publishing.clock()) == manifest
    assert shown(publishing, "pem", "?scope=slice") == b""
    assert shown(publishing, "pem", f"?scope=ike&member={AUTHORITY}").count(b"BEGIN") == 2
    assert shown(publishing, "pem", f"?scope=ike&member={VENDOR}") == b""


def test_a_ca_that_counts_no_more_leaves_the_bundle(publishing: Gateway, below: Issuer) -> None:
    tag = publishing.client.get("/bundles/authorities.pem?scope=tls").headers["ETag"]
    again = publishing.client.get("/bundles/authorities.pem?scope=tls", headers={"If-None-Match": tag})
    assert again.status_code == 304
    below.withdraw()
    publishing.catch_up()
    after = publishing.client.get("/bundles/authorities.pem?scope=tls", headers={"If-None-Match": tag})
    assert (after.status_code, after.data.count(b"BEGIN")) == (200, 1)
    publishing.ledger.mine([ports.MemberChanged(AUTHORITY, MemberKind.OPERATOR, MemberState.SUSPENDED, "CA")])
    publishing.catch_up()
    assert shown(publishing, "pem") == b""


@pytest.mark.parametrize(
    "query", ["", "?scope=TLS", "?scope=", "?scope=tls&scope=ike", "?scope=tls&member=0", "?scope=tls&profile=2"]
)
def test_what_is_no_scope_of_cas_is_refused(publishing: Gateway, query: str) -> None:
    for form in ("pem", "jws"):
        assert problem_code(publishing.client.get(f"/bundles/authorities.{form}{query}"), 400) == "bad-scope"


def test_a_gateway_that_lags_gives_none(publishing: Gateway, below: Issuer) -> None:
    publishing.clock.seconds = publishing.ledger.time + 30.1
    assert problem_code(publishing.client.get("/bundles/authorities.pem?scope=tls"), 503) == "stale"


def test_a_directory_of_cas_follows_the_trust_list(
    publishing: Gateway, below: Issuer, address: str, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    kept = BundleDirectory(tmp_path / "cas", GatewayReader([address]), signers, Scope(authorities="tls"))
    assert kept.look(publishing.clock()) == Outcome(2, changed=True)
    below.withdraw()
    tick(publishing)
    assert kept.look(publishing.clock()) == Outcome(1, changed=True)

    class Crossed:
        """Gives the devices' bundle, signed and fresh, for that of the CAs."""

        def read(self, path: str, query: dict[str, object]) -> bytes:
            found = {"/bundles/authorities.jws": "manifest.jws", "/bundles/authorities.json": "certificates.json"}
            assert query == {"scope": "tls"}
            return GatewayReader([address]).read("/bundles/" + found[path], {})

    crossed = BundleDirectory(tmp_path / "cas", Crossed(), signers, Scope(authorities="tls"))
    with pytest.raises(BundleError, match="another scope"):
        crossed.look(publishing.clock())


# One call at a handshake


def party_of(publishing: Gateway, address: str, signers: list[x509.Certificate], cas: Path | None) -> RelyingParty:
    return RelyingParty([OcspSource(address, signers, authorities=cas)], max_age_s=0.0, clock=publishing.clock)


def reason(party: RelyingParty, der: bytes) -> str:
    with pytest.raises(NotTrustedError) as refused:
        party.check(der)
    return refused.value.reason


def test_the_one_call_takes_what_a_ca_issued(
    publishing: Gateway, below: Issuer, address: str, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    cas = tmp_path / "cas.pem"
    cas.write_bytes(shown(publishing, "pem"))
    party = party_of(publishing, address, signers, cas)
    assert party.check(below.device(0)).certificate.der == below.device(0)
    assert reason(party, below.device(9)) == "unknown"  # issued, and never published
    publishing.ledger.hold(below.device(0))
    publishing.ledger.revoke(below.device(1))
    tick(publishing)
    assert (reason(party, below.device(0)), reason(party, below.device(1))) == ("held", "revoked")
    below.withdraw()
    tick(publishing)
    assert reason(party, below.device(2)) == "revoked"


def test_without_the_ca_nobody_is_believed(
    publishing: Gateway, below: Issuer, address: str, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    cas = tmp_path / "cas.pem"
    for content in (None, b"", b"nothing", encode_pem("CERTIFICATE", publish_root(publishing, "Other").authority.der)):
        if content is not None:
            cas.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert reason(party_of(publishing, address, signers, cas), below.device(0)) == "unavailable"
    assert reason(party_of(publishing, address, signers, None), below.device(0)) == "unavailable"


SIGNER = create_key()


def responder(issuer: Issuer, now: int, *purposes: x509.ObjectIdentifier, days: int = 5) -> x509.Certificate:
    """A certificate that this CA issued, for the key of somebody who answers."""
    authority = x509.load_der_x509_certificate(issuer.authority.der)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Responder")]))
        .issuer_name(authority.subject)
        .public_key(SIGNER.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - 40 * 86_400, UTC))
        .not_valid_after(datetime.fromtimestamp(now + days * 86_400, UTC))
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    assert isinstance(issuer.draft.key, ec.EllipticCurvePrivateKey)
    return builder.sign(issuer.draft.key, hashes.SHA256())


def answering(issuer: Issuer, device: bytes, signer: x509.Certificate) -> WSGIApplication:
    """A gateway that says good to everything, signed by `SIGNER`."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = ocsp.load_der_ocsp_request(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        now = datetime.fromtimestamp(int(issuer.gateway.clock()), UTC)
        content = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                x509.load_der_x509_certificate(device),
                x509.load_der_x509_certificate(issuer.authority.der),
                hashes.SHA256(),
                ocsp.OCSPCertStatus.GOOD,
                now,
                now + timedelta(seconds=30),
                None,
                None,
            )
            .add_extension(asked.extensions.get_extension_for_class(x509.OCSPNonce).value, critical=False)
            .responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
            .certificates([signer])
            .sign(SIGNER, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )
        start_response("200 OK", [("Content-Type", "application/ocsp-response"), ("Content-Length", str(len(content)))])
        return [content]

    return application


def test_only_whom_the_ca_certified_for_it_is_heard(
    publishing: Gateway, below: Issuer, signers: list[x509.Certificate], tmp_path: Path
) -> None:
    """A device of the CA is no responder, nor is another CA's delegate, nor one whose time is over."""
    now, cas = int(publishing.clock()), store_pem(tmp_path / "cas.pem", below.authority.der)
    other = publish_root(publishing, "Other")
    said = {}
    for name, signer in {
        "right": responder(below, now, ExtendedKeyUsageOID.OCSP_SIGNING),
        "device": responder(below, now),
        "server": responder(below, now, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
        "of another": responder(other, now, ExtendedKeyUsageOID.OCSP_SIGNING),
        "ended": responder(below, now, ExtendedKeyUsageOID.OCSP_SIGNING, days=-1),
    }.items():
        with served(answering(below, below.device(0), signer)) as lying:
            said[name] = reason(party_of(publishing, lying, signers, cas), below.device(0))
    # The right one is heard, and says too little: not of which octets it speaks (CertHash).
    assert said == {
        "right": "unknown",
        **dict.fromkeys(("device", "server", "of another", "ended"), "unavailable"),
    }


# Mutual TLS


@dataclass
class Meeting:
    """Both devices' files, and what each has of what the consortium publishes."""

    gateway: Gateway
    below: Issuer
    cell: bytes
    arguments: list[str]
    files: dict[str, list[str]]
    everything: Path

    def speak(self, name: str, port: int) -> str:
        """What the device of this name says of the one that listens, by a ledger that is not old."""
        tick(self.gateway)
        done = subprocess.run(
            [sys.executable, PEER, "connect", "127.0.0.1", str(port), *self.files[name], *self.arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip() or done.stderr

    @contextmanager
    def listening(self, name: str) -> Iterator[tuple[int, Callable[[], str]]]:
        """The device of this name; its port, and what it says next."""
        command = [sys.executable, str(PEER), "listen", "0", *self.files[name], *self.arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            said = process.stdout
            assert said is not None
            try:
                yield int(said.readline().rpartition(" ")[2]), lambda: said.readline().strip()
            finally:
                process.terminate()


def store_device(directory: Path, name: str, own: PrivateKey, *chain: bytes) -> list[str]:
    path = directory / f"{name}.key"
    path.write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ["--key", str(path), "--certificate", str(store_pem(directory / f"{name}.pem", *chain))]


@pytest.fixture
def meeting(
    publishing: Gateway, below: Issuer, address: str, signers: list[x509.Certificate], tmp_path: Path
) -> Meeting:
    own = create_key()
    names = [SubjectAltName(SanType.DNS, f"00a1b2c3d0ff.{REALM}".encode())]
    now = publishing.ledger.time
    cell = issue(own, profile=SMALL_CELL, organisation="Acme Cells", names=names, not_before=now - 60, lifetime_days=9)
    publishing.ledger.accept([cell])
    tick(publishing)
    for scope, name in ((Scope(), "trusted"), (Scope(authorities="tls"), "cas")):
        BundleDirectory(tmp_path / name, GatewayReader([address]), signers, scope).look(publishing.clock())
    signer_file = tmp_path / "signers.pem"
    signer_file.write_bytes(publishing.client.get("/bundles/signers.pem").data)
    trusted, cas = tmp_path / "trusted" / "current", tmp_path / "cas" / "current"
    everything = tmp_path / "everything.pem"
    everything.write_text("".join((each / "certificates.pem").read_text() for each in (trusted, cas)))
    arguments = ["--trusted", str(trusted), "--authorities", str(cas), "--gateway", address]
    files = {
        "cell": store_device(tmp_path, "cell", own, cell),
        "meter": store_device(tmp_path, "meter", key(METER), below.device(METER), below.authority.der),
        "stranger": store_device(tmp_path, "stranger", key(9), below.device(9), below.authority.der),
    }
    return Meeting(publishing, below, cell, [*arguments, "--signers", str(signer_file)], files, everything)


def name_of(der: bytes) -> str:
    return parse_certificate(der).names[0].text


def until(wanted: tuple[str, str], meet: Callable[[], tuple[str, str]], *meanwhile: tuple[str, str]) -> None:
    """Both sides say this in the end. A loaded machine may ask in vain before, and what was kept may still hold."""
    end = time.monotonic() + PATIENCE_S
    while (said := meet()) != wanted:
        assert said in meanwhile or any("unavailable" in each for each in said), said
        assert time.monotonic() < end, said


def test_two_vendors_with_different_chains_speak_in_both_directions(meeting: Meeting) -> None:
    cell, meter = name_of(meeting.cell), name_of(meeting.below.device(METER))
    let_in = (f"accepted {cell}", f"accepted {meter}")
    with meeting.listening("cell") as (port, says):

        def meet(name: str) -> tuple[str, str]:
            return meeting.speak(name, port), says()

        until(let_in, lambda: meet("meter"))
        # Of the same CA, and never published.
        until(("refused by the peer", "refused: unknown"), lambda: meet("stranger"))
        meeting.gateway.ledger.hold(meeting.below.device(METER))
        until(("refused by the peer", "refused: held"), lambda: meet("meter"), let_in)  # kept for five seconds at most
    meeting.gateway.ledger.release(meeting.below.device(METER))
    with meeting.listening("meter") as (port, says):
        until((f"accepted {meter}", f"accepted {cell}"), lambda: (meeting.speak("cell", port), says()))
        meeting.gateway.ledger.hold(meeting.below.device(METER))
        until(("refused: held", ""), lambda: (meeting.speak("cell", port), ""))


@pytest.mark.openssl
def test_openssl_is_either_side(meeting: Meeting, tmp_path: Path) -> None:
    """It takes both chains from one file of what the consortium publishes; status is the other side's to ask."""
    files = {name: [each[1], each[3]] for name, each in meeting.files.items()}

    def options(name: str) -> list[str]:
        own, chain = files[name]
        return ["-key", own, "-cert", chain, "-cert_chain", chain, "-CAfile", str(meeting.everything)]

    with meeting.listening("cell") as (port, says):

        def meet(name: str) -> tuple[str, str]:
            tick(meeting.gateway)
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options(name)]
            done = subprocess.run(
                [*command, "-verify_return_error", "-quiet"],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                stdin=subprocess.PIPE,
            )
            return done.stdout.strip(), says()

        until(("welcome", f"accepted {name_of(meeting.below.device(METER))}"), lambda: meet("meter"))
        until(("", "refused: unknown"), lambda: meet("stranger"))
    port = free_port()
    command = ["openssl", "s_server", "-accept", str(port), *options("meter"), "-Verify", "2", "-verify_return_error"]
    with subprocess.Popen([*command, "-rev"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        try:
            while server.stdout.readline().strip() != "ACCEPT":
                assert server.poll() is None
            meter = name_of(meeting.below.device(METER))
            until((f"accepted {meter}", ""), lambda: (meeting.speak("cell", port), ""))
            unpublished = store_device(tmp_path, "unpublished", key(8), UNPUBLISHED)
            meeting.files["unpublished"] = unpublished
            assert meeting.speak("unpublished", port).startswith("refused")
        finally:
            server.terminate()


UNPUBLISHED = certificate(8)
