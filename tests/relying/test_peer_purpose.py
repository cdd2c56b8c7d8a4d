"""TLS peers whose CA-issued certificates say for what they are, or do not: the one call refuses all others."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pki_chain.chain.signer import create_passphrase
from pki_chain.ports import DelegationKind, TrustScope
from pki_chain.relying_party import NotTrustedError, OcspSource, RelyingParty
from tests.authorities import issued
from tests.certificates import CLIENT_AUTH, IPSEC_IKE, REALM, SERVER_AUTH, integer, key, key_purposes
from tests.gateway.conftest import Gateway, opened
from tests.index.recorded_ledger import RecordedLedger
from tests.relying.conftest import served
from tests.relying.issuer import Issuer, current, publish_below, publish_root, store_pem

ANY = "2.5.29.37.0"
OWN = key(7)


@dataclass
class Site:
    """A gateway, a root and a CA below it, and what a relying party has of those that are for TLS."""

    gateway: Gateway
    root: Issuer
    below: Issuer
    party: RelyingParty
    directory: Path

    def publish(self, issuer: Issuer, *purposes: str) -> bytes:
        """A valid certificate of this CA for our key."""
        number = self.gateway.ledger.head().number
        draft = issued(issuer.draft, f"{number:012x}.{REALM}").replace(key=OWN, serial_number=integer(number))
        if purposes:
            draft = draft.replace(extensions=(*draft.extensions, key_purposes(*purposes)))
        der = current(draft, self.gateway.ledger.time, 30).encode()
        self.gateway.ledger.accept([der])
        self.gateway.catch_up()
        return der

    def context(self, side: int, der: bytes | None) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if der is not None:
            path = self.directory / "own.key"
            pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            path.write_bytes(OWN.private_bytes(pem, pkcs8, serialization.NoEncryption()))
            context.load_cert_chain(store_pem(self.directory / "own.pem", der), path)
        return context

    def of_server(self, der: bytes) -> str:
        """What a client that verifies no chain itself says of a server with this certificate."""
        ours = self.context(ssl.PROTOCOL_TLS_CLIENT, None)
        return self.judge(*shake(ours, self.context(ssl.PROTOCOL_TLS_SERVER, der))[:1])

    def of_client(self, der: bytes, issuer: Issuer) -> str:
        """What a server says of a client with this certificate; its TLS wants the chain, or asks for none."""
        ours = self.context(ssl.PROTOCOL_TLS_SERVER, self.publish(issuer, SERVER_AUTH))
        ours.verify_mode = ssl.CERT_OPTIONAL
        for each in (self.root, self.below):
            ours.load_verify_locations(cadata=each.authority.der)
        return self.judge(shake(self.context(ssl.PROTOCOL_TLS_CLIENT, der), ours)[1])

    def judge(self, connection: ssl.SSLObject) -> str:
        try:
            self.party.check_peer(connection)
        except NotTrustedError as error:
            return error.reason
        return "accepted"


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A handshake in memory, to its end."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True))
    waiting = [*sides, *sides, *sides]
    for side in waiting:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return sides


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    both = TrustScope.TLS | TrustScope.IKE
    with opened(tmp_path, RecordedLedger(int(time.time()) - 60)) as gateway:
        create_passphrase(gateway.config.keystore.passphrase_file)
        gateway.services.status_keys.create("Example Mobile", gateway.ledger.time - 86_400)
        root = publish_root(gateway, scope=both)
        below = publish_below(gateway, root, TrustScope.IKE)
        for each in (root, below):
            each.delegate(DelegationKind.OCSP_SIGNING)
        gateway.catch_up()
        cas = tmp_path / "cas.pem"
        cas.write_bytes(gateway.client.get("/bundles/authorities.pem?scope=tls").data)
        signers = x509.load_pem_x509_certificates(gateway.client.get("/bundles/signers.pem").data)
        with served(gateway.client.application.wsgi_app) as address:
            source = OcspSource(address, signers, authorities=cas)
            yield Site(gateway, root, below, RelyingParty([source], clock=gateway.clock), tmp_path)


@pytest.mark.parametrize(
    ("purposes", "said"),
    [
        ((), "accepted"),
        ((SERVER_AUTH,), "accepted"),
        ((CLIENT_AUTH, SERVER_AUTH), "accepted"),
        ((CLIENT_AUTH,), "purpose"),
        ((IPSEC_IKE,), "purpose"),
        ((ANY,), "purpose"),
    ],
)
def test_a_server_is_for_servers(site: Site, purposes: tuple[str, ...], said: str) -> None:
    assert site.of_server(site.publish(site.root, *purposes)) == said


def test_a_client_is_for_clients(site: Site) -> None:
    assert site.of_client(site.publish(site.root, CLIENT_AUTH), site.root) == "accepted"
    assert site.of_client(site.publish(site.root), site.root) == "accepted"
    with pytest.raises(ssl.SSLError, match="unsuitable certificate purpose"):
        site.of_client(site.publish(site.root, SERVER_AUTH), site.root)


def test_a_ca_that_counts_for_ike_alone_lets_nobody_into_tls(site: Site) -> None:
    """Whatever its certificates say, or leave out, and valid as they are on the ledger."""
    for purposes in ((), (IPSEC_IKE,), (SERVER_AUTH,)):
        assert site.of_server(site.publish(site.below, *purposes)) == "unavailable"
    assert site.of_client(site.publish(site.below), site.root) == "unavailable"
