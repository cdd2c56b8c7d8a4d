"""The CAs that may issue, for a station's check: from a gateway's trust list, every chain verified here."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pki_chain.errors import LedgerUnavailableError
from pki_chain.ports import CertificateId, TrustScope
from pki_chain.station.gateway_client import GatewayClient
from pki_chain.x509.rules import Issuer
from pki_chain.x509.trust_chain import ListedAuthority, build_issuers


def fetch_issuers(gateways: GatewayClient) -> tuple[Issuer, ...]:
    """Those whose chains hold. Raises `LedgerUnavailableError` for an answer that is none, and as `GatewayClient`."""
    answer = gateways.get("/v1/authorities")
    try:
        return build_issuers([_listed(each) for each in answer["authorities"]])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise LedgerUnavailableError(
            "a gateway's trust list is not well formed: ask another gateway", detail=repr(error)
        ) from error


def _listed(fields: Mapping[str, Any]) -> ListedAuthority:
    scope = TrustScope(0)
    for word in fields["scope"]:
        scope |= TrustScope[str(word).upper()]
    parent = fields["parent"]
    return ListedAuthority(
        id=_identity(fields["id"]),
        parent=None if parent is None else _identity(parent),
        scope=scope,
        trusted_from=int(fields["trusted_from"]),
        trusted_until=int(fields["trusted_until"]),
        ended_at=int(fields["ended_at"] or 0),
        der=base64.b64decode(fields["der"], validate=True),
    )


def _identity(text: str) -> CertificateId:
    identity = bytes.fromhex(text.removeprefix("0x"))
    if len(identity) != 32:
        raise ValueError(text)
    return CertificateId(identity)
