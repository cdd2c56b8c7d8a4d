"""Peers whose certificates CAs issued: which CAs, and where the daemon asks about them. `[authority]` in ipsec.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pki_chain.errors import ConfigurationError, TallyError
from pki_chain.founding.authority_terms import load_authority_certificate
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.delegation import parse_delegation
from pki_chain.x509.pem import encode_pem

_LISTS: Final = ("certificates", "list_signers", "ocsp_uris")
_TEXTS: Final = {"id": "%any", "revocation": "strict"}
_POLICIES: Final = ("strict", "ifuri", "relaxed")


@dataclass(frozen=True, slots=True)
class IssuingAuthorities:
    """`certificates` are of CAs, `list_signers` of those that sign their CRLs, all in PEM; `identity` is whom the other
    side must be, `%any` for all that have a certificate; `revocation` is strongSwan's word.

    `ocsp_uris` stand beside those in the certificates. Lists are fetched from where the certificates say: the daemon
    takes one from elsewhere only when the CA's own key signed it.
    """

    certificates: tuple[str, ...]
    list_signers: tuple[str, ...]
    ocsp_uris: tuple[str, ...]
    identity: str
    revocation: str

    @classmethod
    def read(cls, path: Path, content: Mapping[str, Any]) -> Self:
        """The section of the file at `path`, with the files that it names beside it. Raises `ConfigurationError`."""
        if unknown := content.keys() - {*_LISTS, *_TEXTS}:
            raise ConfigurationError(f"{path}: [authority] has no {', '.join(sorted(unknown))}. Take it out.")
        lists = {name: content.get(name, []) for name in _LISTS}
        texts = {name: content.get(name, default) for name, default in _TEXTS.items()}
        if not all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in lists.values()):
            raise ConfigurationError(f"{path}: {', '.join(_LISTS)} of [authority] must be lists of texts.")
        if not all(isinstance(each, str) for each in texts.values()) or texts["revocation"] not in _POLICIES:
            raise ConfigurationError(f"{path}: authority.revocation must be one of {', '.join(_POLICIES)}.")
        if not lists["certificates"]:
            raise ConfigurationError(f"{path}: authority.certificates names no CA. Give the root's certificate.")
        try:
            authorities = [load_authority_certificate(path.parent / each) for each in lists["certificates"]]
            signers = [load_authority_certificate(path.parent / each) for each in lists["list_signers"]]
            for der in authorities:
                parse_authority(der)
            for der in signers:
                parse_delegation(der)
        except TallyError as error:
            raise ConfigurationError(f"{path}: [authority]: {error.message}") from error
        return cls(
            certificates=tuple(encode_pem("CERTIFICATE", each) for each in authorities),
            list_signers=tuple(encode_pem("CERTIFICATE", each) for each in signers),
            ocsp_uris=tuple(lists["ocsp_uris"]),
            identity=texts["id"],
            revocation=texts["revocation"],
        )
