"""A device that speaks to devices of other vendors, trusting only what the consortium publishes.

    peer.py listen  PORT      --key K --certificate C --trusted DIR --gateway URL --signers FILE [--name NAME]
    peer.py connect HOST PORT --key K --certificate C --trusted DIR --gateway URL --signers FILE [--name NAME]

DIR is `current` of a directory that `tally bundle sync` keeps. TLS makes sure that the peer has the key of a
certificate in there; one call, `check_peer`, makes sure that the certificate is valid now and for this name. With
`--authorities DIR`, which `tally bundle sync --authorities tls` keeps, peers whose certificates those CAs issued come
in too, by the same call. A device with such a certificate has its chain in the file of its certificate.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
from pathlib import Path

from pki_chain.monitor.bundle_directory import load_signers
from pki_chain.relying_party import NotTrustedError, OcspSource, RelyingParty

TIMEOUT_S = 10.0


def context_of(arguments: argparse.Namespace, protocol: int) -> ssl.SSLContext:
    """Made anew for each connection: `current` may have changed since the last one."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # check_peer compares the name
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(arguments.certificate, arguments.key)
    for directory in (arguments.trusted, arguments.authorities):
        if directory is not None and (content := (directory / "certificates.pem").read_text("ascii")):
            context.load_verify_locations(cadata=content)
    return context


def listen(arguments: argparse.Namespace, party: RelyingParty) -> int:
    """Serve one connection after the other."""
    with socket.create_server(("127.0.0.1", arguments.port)) as server:
        print(f"listening on {server.getsockname()[1]}", flush=True)
        while True:
            raw, _ = server.accept()
            raw.settimeout(TIMEOUT_S)
            try:
                context = context_of(arguments, ssl.PROTOCOL_TLS_SERVER)
                with context.wrap_socket(raw, server_side=True) as connection:
                    verdict = party.check_peer(connection, name=arguments.name)
                    connection.sendall(b"welcome\n")
                    hang_up(connection)
                    print(f"accepted {verdict.certificate.names[0].text}", flush=True)
            except NotTrustedError as error:
                print(f"refused: {error.reason}", flush=True)
            except (ssl.SSLError, OSError) as error:
                print(f"refused: {getattr(error, 'reason', None) or error}", flush=True)
            finally:
                raw.close()


def hang_up(connection: ssl.SSLSocket) -> None:
    """End, and wait for the other side to end: closing on what it still sends would reset what it has not read yet."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def connect(arguments: argparse.Namespace, party: RelyingParty) -> int:
    """Connect, and say whether both sides let each other in."""
    try:
        with socket.create_connection((arguments.host, arguments.port), TIMEOUT_S) as raw:
            context = context_of(arguments, ssl.PROTOCOL_TLS_CLIENT)
            with context.wrap_socket(raw) as connection:
                verdict = party.check_peer(connection, name=arguments.name)
                connection.sendall(b"hello\n")
                welcome = connection.recv(64)
    except NotTrustedError as error:
        print(f"refused: {error.reason}")
        return 1
    except (ssl.SSLError, OSError) as error:
        print(f"refused: {getattr(error, 'reason', None) or error}")
        return 1
    if not welcome:
        print("refused by the peer")
        return 1
    print(f"accepted {verdict.certificate.names[0].text}")
    return 0


def main() -> int:
    """0 when both sides let each other in."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for act in (listen, connect):
        command = commands.add_parser(act.__name__)
        command.set_defaults(act=act)
        if act is connect:
            command.add_argument("host")
        command.add_argument("port", type=int)
        for name in ("key", "certificate", "trusted", "signers"):
            command.add_argument(f"--{name}", type=Path, required=True)
        command.add_argument("--gateway", action="append", required=True)
        command.add_argument("--authorities", type=Path)
        command.add_argument("--name")
    arguments = parser.parse_args()
    signers = load_signers(arguments.signers)
    authorities = None if arguments.authorities is None else arguments.authorities / "certificates.pem"
    party = RelyingParty([OcspSource(each, signers, authorities=authorities) for each in arguments.gateway])
    status: int = arguments.act(arguments, party)
    return status


if __name__ == "__main__":
    sys.exit(main())
