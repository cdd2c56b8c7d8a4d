"""Steps that show relying parties: OCSP as openssl reads it, and two devices that meet over TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from pki_chain.demo.stage import OPERATOR, VENDOR, Stage, require
from pki_chain.monitor.bundle_directory import load_signers
from pki_chain.relying_party import NotTrustedError, OcspSource, RelyingParty
from pki_chain.x509.pem import encode_pem

Say = Callable[[str], None]

_TIMEOUT_S = 20.0


def ask_by_ocsp(stage: Stage, say: Say) -> None:
    """What openssl says of a valid device and of a revoked one, by the key that the gateway publishes."""
    signers = _signers(stage)
    valid, revoked = (_pem(stage, number) for number in (0, 1))
    if shutil.which("openssl") is None:
        say("openssl is not installed: not shown")
        return
    command = ["openssl", "ocsp", "-url", f"{stage.gateways[OPERATOR]}/ocsp", "-VAfile", str(signers)]
    for certificate in (valid, revoked):
        command += ["-issuer", str(certificate), "-cert", str(certificate)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603
    answers = [line.rpartition(": ")[2] for line in done.stdout.splitlines() if line.startswith(str(stage.root))]
    require("Response verify OK" in done.stderr, f"openssl does not verify the answer: {done.stderr}")
    require(answers == ["good", "revoked"], f"openssl says {answers}")
    say("openssl ocsp, by the key in /bundles/signers.pem: the first device is good, the second is revoked")


def meet_over_tls(stage: Stage, say: Say) -> None:
    """Two devices trust what the consortium publishes, and one call at the handshake; a held one is cut off."""
    signers = load_signers(_signers(stage))
    trusted = stage.root / "trusted"
    sync = ("bundle", "sync", str(trusted), "--gateway", stage.gateways[OPERATOR], "--signers", str(_signers(stage)))
    count = stage.processes.run((*sync, "--once"), stage.root).content["certificates"]
    party = RelyingParty([OcspSource(stage.gateways[OPERATOR], signers)], max_age_s=0.0)
    require(_meet(stage, trusted, party) == "accepted", "two valid devices did not let each other in")
    say(f"tally bundle sync: {count:,} certificates to trust; two devices let each other in over mutual TLS")
    sha256 = party.check(stage.devices()[2].read_bytes()).certificate.sha256.hex()
    stage.tally(VENDOR, "certificate", "hold", sha256)
    stage.wait_for_state(sha256, "held")
    require(_meet(stage, trusted, party) == "held", "a held device was let in")
    stage.tally(VENDOR, "certificate", "release", sha256)
    stage.wait_for_state(sha256, "valid")
    require(_meet(stage, trusted, party) == "accepted", "a released device was not let in")
    say("one of them is held: the other refuses it at the next handshake; released: it is let in again")


def _meet(stage: Stage, trusted: Path, party: RelyingParty) -> str:
    """The first device lets the third one in, or says why not."""
    here, there = socket.socketpair()
    with here, there:
        for each in (here, there):
            each.settimeout(_TIMEOUT_S)
        client = threading.Thread(target=_connect, args=(stage, trusted, there))
        client.start()
        try:
            with _context(stage, trusted, 0, ssl.PROTOCOL_TLS_SERVER).wrap_socket(here, server_side=True) as connection:
                party.check_peer(connection)
        except NotTrustedError as error:
            return error.reason
        except (ssl.SSLError, OSError) as error:
            return str(error)
        finally:
            client.join()
    return "accepted"


def _connect(stage: Stage, trusted: Path, there: socket.socket) -> None:
    context = _context(stage, trusted, 2, ssl.PROTOCOL_TLS_CLIENT)
    try:
        with context.wrap_socket(there) as connection:
            connection.recv(1)
    except (ssl.SSLError, OSError):
        return  # the other side says what came of it


def _context(stage: Stage, trusted: Path, number: int, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # by number here; check_peer compares names where there are some
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(_pem(stage, number), stage.devices()[number].with_suffix(".key"))
    context.load_verify_locations(trusted / "current" / "certificates.pem")
    return context


def _pem(stage: Stage, number: int) -> Path:
    source = stage.devices()[number]
    target = stage.root / f"{source.stem}.pem"
    target.write_text(encode_pem("CERTIFICATE", source.read_bytes()), encoding="ascii")
    return target


def _signers(stage: Stage) -> Path:
    target = stage.root / "signers.pem"
    target.write_bytes(stage.ask("/bundles/signers.pem", OPERATOR).content)
    return target
