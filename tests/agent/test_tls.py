"""The way to the provider: TLS whose certificate is checked, no redirects, bounded answers, one connection kept."""

from __future__ import annotations

import datetime as dt
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sim_applet_tools.agent.http_connection import MAX_ANSWER_BYTES, HttpConnection
from sim_applet_tools.agent.provider_client import fetch_configuration
from sim_applet_tools.errors import ProviderAnswerError, ProviderRefusedError, ProviderUnavailableError
from tests.agent.ledger import Ledger
from tests.agent.provider import Provider
from tests.agent.provider_http import serve


def certificate(folder: Path, address: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for `address`, and a server with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{address}.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def test_a_provider_with_a_trusted_certificate(tmp_path: Path) -> None:
    path, context = certificate(tmp_path, "127.0.0.1")
    with serve(Provider(Ledger()), context) as provider, HttpConnection(provider.issuer, ca_file=str(path)) as http:
        assert fetch_configuration(provider.issuer, http).issuer == provider.issuer
        assert fetch_configuration(provider.issuer, http).member == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"])
def test_a_certificate_that_is_not_trusted_or_of_another(tmp_path: Path, address: str) -> None:
    path, context = certificate(tmp_path, address)
    trusted = None if address == "127.0.0.1" else str(path)
    with (
        serve(Provider(Ledger()), context) as provider,
        HttpConnection(provider.issuer, ca_file=trusted) as http,
        pytest.raises(ProviderUnavailableError, match="not trusted"),
    ):
        fetch_configuration(provider.issuer, http)


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that gives these answers, one a connection, whatever it is asked."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for answer in answers:
            with suppress(OSError):  # the client may leave in the middle, and the test before the last answer
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n", ProviderRefusedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b" " * 200_000, ProviderAnswerError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", ProviderAnswerError),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n[]", ProviderRefusedError),
        (b"HTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}", ProviderUnavailableError),
        (b"SSH-2.0-hello\r\n", ProviderUnavailableError),
        (b"", ProviderUnavailableError),
    ],
)
def test_answers_that_are_none(answer: bytes, error: type[Exception]) -> None:
    assert MAX_ANSWER_BYTES < 200_000
    with answering(answer) as issuer, HttpConnection(issuer) as http, pytest.raises(error):
        fetch_configuration(issuer, http)


@pytest.mark.parametrize(("value", "shown"), [(b"7", "in 7 s"), (b"\x1b[2J", "in some s"), (b"-1", "in some s")])
def test_a_provider_s_header_is_not_shown_but_as_a_number(value: bytes, shown: str) -> None:
    answer = b"HTTP/1.1 503 Later\r\nRetry-After: " + value + b"\r\nContent-Length: 2\r\n\r\n{}"
    with answering(answer) as issuer, HttpConnection(issuer) as http, pytest.raises(ProviderUnavailableError) as info:
        fetch_configuration(issuer, http)
    assert info.value.message.endswith(shown)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_closed_while_the_person_read(method: str) -> None:
    once = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with answering(once, once) as issuer, HttpConnection(issuer) as http:
        assert http.ask("GET", "/", {}, None).body == b"{}"
        kept = http._open
        assert kept is not None
        assert select.select([kept.sock], [], [], 30)[0], "the server's end of the connection"
        assert http.ask(method, "/", {}, b"{}").body == b"{}"


def test_a_post_that_may_have_been_taken_in_is_not_sent_twice() -> None:
    once = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with answering(b"", once) as issuer, HttpConnection(issuer) as http, pytest.raises(ProviderUnavailableError):
        http.ask("POST", "/", {}, b"{}")
