"""A gateway over a recorded ledger that has a key to sign with, and what strangers' software says to its answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from werkzeug.serving import WSGIRequestHandler, make_server

from pki_chain.chain.signer import create_passphrase
from pki_chain.x509.pem import encode_pem_certificates
from tests.gateway.conftest import Gateway, gateway
from tests.index.recorded_ledger import certificates

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

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


@pytest.fixture
def address(publishing: Gateway) -> Iterator[str]:
    """The gateway's application on a socket."""
    with served(publishing.client.application.wsgi_app) as found:
        yield found


@contextmanager
def served(application: WSGIApplication, host: str = "127.0.0.1") -> Iterator[str]:
    """A WSGI application on a port of its own."""
    server = make_server(host, 0, application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="gateway")
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def signers(publishing: Gateway) -> list[x509.Certificate]:
    """Certificates of the keys that the gateway signs with."""
    keys = publishing.services.status_keys.published(publishing.clock())
    return [x509.load_der_x509_certificate(key.certificate) for key in keys]
