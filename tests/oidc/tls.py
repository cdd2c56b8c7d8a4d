"""A certificate authority of a test's own, and a browser and an agent that believe it: the way a deployment has it."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.oidc.card_in_software import SoftAgent
from tests.oidc.parties import Answer, LoginPage

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Loopback:
    """Files of a certificate for 127.0.0.1 and shop.localhost, and of its key; the certificate is its own authority."""

    certificate: Path
    key: Path


def make_loopback_certificate(directory: Path) -> Loopback:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    names = [x509.DNSName("shop.localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=6))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .sign(key, hashes.SHA256())
    )
    found = Loopback(directory / "loopback.pem", directory / "loopback.key")
    found.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    no = serialization.NoEncryption()
    found.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no))
    return found


APP_HOST = "shop.localhost"


@dataclass
class TlsBrowser:
    """A browser with a jar of cookies that believes the test's authority; it follows no redirect by itself."""

    ca_file: Path
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.verify = str(self.ca_file)

    def get(self, address: str) -> Answer:
        return self._ask("GET", address)

    def post(self, address: str, fields: dict[str, str]) -> Answer:
        return self._ask("POST", address, fields)

    def follow(self, address: str, until: str) -> Answer:
        """Follows redirects by GET until the next address begins with `until`; the answer that leads there."""
        answer = self.get(address)
        for _ in range(10):
            assert answer.status in {302, 303}, f"{address} gave {answer.status}: {answer.text}"
            address = urljoin(address, answer.location)
            if address.startswith(until):
                return answer
            answer = self.get(address)
        raise AssertionError(f"no way to {until}")

    def close(self) -> None:
        self.session.close()

    def _ask(self, method: str, address: str, fields: dict[str, str] | None = None) -> Answer:
        """Names under .localhost are this machine, to browsers, but not to every system. Source: RFC 6761 §6.3."""
        host = urlsplit(address).netloc
        near = address.replace(f"//{APP_HOST}:", "//127.0.0.1:", 1)
        found = self.session.request(
            method, near, data=fields, headers={"Host": host}, timeout=TIMEOUT_S, allow_redirects=False
        )
        return self._answer(found)

    @staticmethod
    def _answer(found: requests.Response) -> Answer:
        headers = {name.lower(): value for name, value in found.headers.items()}
        return Answer(found.status_code, headers, found.content, [])


@dataclass
class TlsAgent(SoftAgent):
    """The agent in software, over https."""

    ca_file: Path = Path()

    def log_in(self, browser: TlsBrowser, login_address: str, refused: tuple[str, ...] = ()) -> Answer:
        """Approves the login that the browser was sent to; the provider's answer, which leads to the app."""
        page = LoginPage(login_address.partition("?")[0], browser.get(login_address))
        challenge = self.challenge(page)
        approved = self.approve(challenge, self.approval(challenge, refused))
        assert approved.status == 200, approved.text
        return browser.get(approved.json["completion_uri"])

    def _send(self, method: str, path: str, body: object, proof: str) -> Answer:
        headers = {"DPoP": proof, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"DPoP {self.token}"
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.ca_file)
            content = None if body is None else json.dumps(body)
            found = session.request(
                method, f"{self.issuer}/agent/v1{path}", headers=headers, data=content, timeout=TIMEOUT_S
            )
        answer = TlsBrowser._answer(found)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer
