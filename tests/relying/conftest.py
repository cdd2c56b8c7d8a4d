"""A gateway over a recorded ledger that has a key to sign with, and what strangers' software says to its answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pki_chain.chain.signer import create_passphrase
from pki_chain.x509.pem import encode_pem_certificates
from tests.gateway.conftest import Gateway, gateway
from tests.index.recorded_ledger import certificates

__all__ = ["gateway"]


@pytest.fixture
def publishing(gateway: Gateway) -> Gateway:
    """Three certificates are valid: `certificate(0)` to `certificate(2)`."""
    create_passphrase(gateway.config.keystore.passphrase_file)
    gateway.services.status_keys.create("Example Mobile", gateway.ledger.time - 86_400)
    gateway.ledger.accept(certificates(3))
    gateway.catch_up()
    return gateway


@pytest.fixture
def signer_file(publishing: Gateway, tmp_path: Path) -> Path:
    """The certificate of the signing key, in PEM, as a relying party has it."""
    path = tmp_path / "signers.pem"
    keys = publishing.services.status_keys.published(publishing.clock())
    path.write_text(encode_pem_certificates(key.certificate for key in keys), encoding="ascii")
    return path
