"""What a security gateway is, and how its tunnels look: `ipsec.toml`, whose connection keys are swanctl.conf's own."""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pki_chain.errors import ConfigurationError
from pki_chain.ipsec.authority import IssuingAuthorities
from pki_chain.ipsec.peer import Peer, parse_peer
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.pem import encode_pem

CHILD: Final = "tunnel"
_SECTIONS: Final = {"local", "connection", "child"}
_LOCAL: Final = {"certificate", "key"}
_OURS: Final = {"local", "remote", "children", "pools"}
_MAX_FILE_BYTES: Final = 1 << 20

Vici = dict[str, Any]
"""A section of strongSwan's configuration: texts, lists of texts, sections."""


@dataclass(frozen=True, slots=True)
class IpsecSettings:
    """`key` is a private key in PEM; `connection` and `child` are what all tunnels have in common."""

    local: Peer
    key: str
    connection: Mapping[str, Any]
    child: Mapping[str, Any]
    authority: IssuingAuthorities | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file and those that it names, relative to it. Raises `ConfigurationError`."""
        try:
            content = tomllib.loads(_read(path).decode("utf-8"))
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path} is not TOML: {error}. Correct it.") from error
        authority = content.pop("authority", None)
        if authority is not None and not isinstance(authority, dict):
            raise ConfigurationError(f"{path}: [authority] must be a section.")
        if content.keys() != _SECTIONS or content["local"].keys() != _LOCAL:
            raise ConfigurationError(
                f"{path} must have the sections local (with certificate and key), connection and child,"
                " perhaps authority, and no others."
            )
        if found := _OURS & content["connection"].keys():
            raise ConfigurationError(f"{path}: [connection] may not have {', '.join(sorted(found))}: peers decide it.")
        for section in ("connection", "child"):
            _require_texts(path, section, content[section])
        try:
            local = parse_peer(_der(_read(path.parent / content["local"]["certificate"])))
        except CertificateRefusedError as error:
            raise ConfigurationError(f"{path}: local.certificate is refused: {error}") from error
        key_path = path.parent / content["local"]["key"]
        if key_path.exists() and key_path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{key_path} can be read by others. Give it mode 0600.")
        key = _read(key_path).decode("ascii", "replace")
        issuing = None if authority is None else IssuingAuthorities.read(path, authority)
        return cls(local, key, content["connection"], content["child"], issuing)

    def connection_to(self, peer: Peer) -> Vici:
        """The connection with a peer, pinned to its one certificate."""
        pinned = {"auth": "pubkey", "certs": [encode_pem("CERTIFICATE", peer.der)], "id": peer.identity}
        return self._connection(pinned)

    def connection_to_issued(self, authority: IssuingAuthorities) -> Vici:
        """The connection with everybody whose certificate these CAs, and no others, issued."""
        return self._connection(
            {
                "auth": "pubkey",
                "cacerts": list(authority.certificates),
                "id": authority.identity,
                "revocation": authority.revocation,
            }
        )

    def _connection(self, remote: Vici) -> Vici:
        own = encode_pem("CERTIFICATE", self.local.der)
        return {
            **self.connection,
            "local": {"auth": "pubkey", "certs": [own], "id": self.local.identity},
            "remote": remote,
            "children": {CHILD: dict(self.child)},
        }


def _require_texts(path: Path, section: str, content: Mapping[str, Any]) -> None:
    for key, value in content.items():
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in texts):
            raise ConfigurationError(f"{path}: {section}.{key} must be a text, or a list of texts, as in swanctl.conf.")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}. Give the right path.") from error
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is longer than {_MAX_FILE_BYTES} bytes. Give another file.")
    return content


def _der(content: bytes) -> bytes:
    if not content.startswith(b"-----BEGIN CERTIFICATE-----"):
        return content
    try:
        return ssl.PEM_cert_to_DER_cert(content.decode("ascii").strip())
    except ValueError:
        return content
