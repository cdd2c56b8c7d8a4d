"""Two hosts in network name spaces, each with a charon of its own, and a cable between them. Needs root."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.demo.processes import wait_until
from pki_chain.demo.stage import require
from pki_chain.ipsec.charon import Charon, CharonError
from pki_chain.x509.pem import encode_pem

DAEMON = "/usr/sbin/charon-systemd"
IS_POSSIBLE = (
    os.geteuid() == 0
    and Path(DAEMON).exists()
    and Path("/dev/net/tun").exists()
    and all(shutil.which(each) for each in ("ip", "ping"))
)
"""Whether this machine and this user can have such hosts."""

CONFIGURATION = """charon-systemd {{
  # The user-space ESP, so that this runs where the kernel has none; it must stand before kernel-netlink.
  load = random nonce openssl sha2 hmac kdf drbg pem pkcs1 pkcs8 x509 revocation constraints pubkey curl \
kernel-libipsec kernel-netlink socket-default updown vici
  plugins {{
    vici {{
      socket = unix://{socket}
    }}
  }}
  filelog {{
    log {{
      path = {log}
      ike = 2
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace, its addresses, and the daemon's socket."""

    namespace: str
    outer: str
    inner: str
    directory: Path

    @property
    def socket(self) -> Path:
        return self.directory / "vici"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the host, whatever comes of it."""
        return _run("ip", "netns", "exec", self.namespace, *command)

    def reaches(self, other: Host) -> bool:
        """One ping through the tunnel, of at most a second."""
        return self.run("ping", "-c", "1", "-W", "1", "-I", self.inner, other.inner).returncode == 0


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own


def _ip(*arguments: str) -> None:
    """Raises `DemoFailedError`."""
    done = _run("ip", *arguments)
    require(done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def two_hosts(directory: Path) -> Iterator[tuple[Host, Host]]:
    """A gateway and a cell, with their daemons."""
    tag = secrets.token_hex(3)
    hosts = (
        Host(f"tt-gw-{tag}", "192.0.2.1", "10.9.0.1", directory / "gateway"),
        Host(f"tt-cell-{tag}", "192.0.2.2", "10.9.1.1", directory / "cell"),
    )
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for host in hosts:
            host.directory.mkdir(parents=True)
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
            _ip("-n", host.namespace, "addr", "add", f"{host.inner}/32", "dev", "lo")
        ends = [f"g{tag}", f"c{tag}"]
        _ip(
            "link",
            "add",
            ends[0],
            "netns",
            hosts[0].namespace,
            "type",
            "veth",
            "peer",
            "name",
            ends[1],
            "netns",
            hosts[1].namespace,
        )
        for host, end in zip(hosts, ends, strict=True):
            _ip("-n", host.namespace, "addr", "add", f"{host.outer}/24", "dev", end)
            _ip("-n", host.namespace, "link", "set", end, "up")
            daemons.append(start_daemon(host))
        yield hosts
    finally:
        for daemon in daemons:
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=30)
        for host in hosts:
            _run("ip", "netns", "del", host.namespace)


def start_daemon(host: Host) -> subprocess.Popen[bytes]:
    """charon in the host, once its socket answers."""
    configuration = host.directory / "strongswan.conf"
    configuration.write_text(CONFIGURATION.format(socket=host.socket, log=host.directory / "log"))
    with (host.directory / "output").open("wb") as output:
        daemon = subprocess.Popen(  # noqa: S603 - our own command
            [str(shutil.which("ip")), "netns", "exec", host.namespace, DAEMON],
            env={**os.environ, "STRONGSWAN_CONF": str(configuration)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    wait_until("charon starts", host.socket.exists)
    return daemon


def write_settings(
    host: Host,
    other: Host,
    der: bytes,
    key: ec.EllipticCurvePrivateKey,
    *,
    initiator: bool = False,
    authority: str = "",
) -> Path:
    """`ipsec.toml` of a host with its certificate and key; `authority` is what its section of this name holds."""
    (host.directory / "own.cer").write_text(encode_pem("CERTIFICATE", der))
    key_file = host.directory / "own.key.pem"
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    key_file.chmod(0o600)
    path = host.directory / "ipsec.toml"
    path.write_text(
        f"""[local]
certificate = "own.cer"
key = "own.key.pem"

[connection]
version = "2"
encap = "yes"
local_addrs = ["{host.outer}"]
remote_addrs = ["{other.outer if initiator else "%any"}"]
proposals = ["aes128gcm16-prfsha256-ecp256"]

[child]
local_ts = ["{host.inner}/32"]
remote_ts = ["{other.inner}/32"]
esp_proposals = ["aes128gcm16-ecp256"]
"""
        + (f"\n[authority]\n{authority}" if authority else "")
    )
    return path


def cell_initiates(cell: Host, name: str, timeout_s: int = 5) -> bool:
    """Whether the cell's connection of this name comes up anew in time."""
    charon = Charon(cell.socket)
    try:
        charon.end(name)  # who is cut off by force is not always told, and would take the old SA for one that stands
        try:
            charon.initiate(name, timeout_s)
        except CharonError:
            return False
        return True
    finally:
        charon.close()
