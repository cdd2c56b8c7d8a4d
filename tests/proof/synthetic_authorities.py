"""CAs on the trust list of the synthetic ledger, and certificates that they issued: one for every answer.

Source: docs/ledger.md, Slots of TrustList; written apart from `pki_chain.proof.trust_list_state`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eth_hash.auto import keccak

from pki_chain.ports import TrustScope
from pki_chain.proof.registry_state import Identity
from pki_chain.proof.trust_list_state import NamedIssuer

NOW = 1_795_000_000
YEAR = 365 * 86_400
SUBMITTED_AT = NOW - 6_000
IKE, TLS, ALL = TrustScope.IKE, TrustScope.TLS, TrustScope.IKE | TrustScope.TLS | TrustScope.SLICE


@dataclass(frozen=True, slots=True)
class ListedCa:
    """An entry of the trust list; `called` stands for name and key identifier, `parent` is a name here."""

    called: str
    parent: str = ""
    scope: TrustScope = IKE
    trusted_from: int = NOW - 50_000
    trusted_until: int = NOW + 5 * YEAR
    withdrawn_at: int = 0
    reason: int = 0
    replaced_at: int = 0
    more: int = 0

    def words(self) -> tuple[int, int, int, int]:
        """The first four words."""
        packed = shift = 0
        for value, bits in (
            (4, 16),
            (int(self.scope), 8),
            (1, 8),
            (1 if self.parent else 0, 8),
            (1, 8),
            (self.trusted_from, 40),
            (self.trusted_until, 40),
            (self.withdrawn_at, 40),
            (self.reason, 8),
            (self.replaced_at, 40),
            (self.more, 40),
        ):
            packed |= value << shift
            shift += bits
        named = named_issuer(self.called)
        parent = int.from_bytes(authority(self.parent)) if self.parent else 0
        return packed, parent, int.from_bytes(named.name_hash), int.from_bytes(named.key_identifier_hash)


def authority(name: str) -> bytes:
    """The id of a CA by its name here."""
    return keccak(b"authority " + name.encode())


def named_issuer(called: str, scope: TrustScope = IKE) -> NamedIssuer:
    """What certificates of a CA say of it."""
    return NamedIssuer(keccak(b"name of " + called.encode()), keccak(b"key identifier of " + called.encode()), scope)


CAS = {
    "root": ListedCa("root", scope=ALL, trusted_until=NOW + 10 * YEAR),
    "before": ListedCa("cells", "root", trusted_from=NOW - 40_000, replaced_at=NOW - 30_000),
    "cells": ListedCa("cells", "root", trusted_from=NOW - 30_000, replaced_at=NOW - 5_500),
    "renewed": ListedCa("cells", "root", trusted_from=NOW - 5_500),
    "last": ListedCa("seconds", "root", replaced_at=SUBMITTED_AT + 1),
    "first": ListedCa("firsts", "root", trusted_from=SUBMITTED_AT),
    "past": ListedCa("firsts", "root", replaced_at=SUBMITTED_AT),
    "to come": ListedCa("seconds", "root", trusted_from=SUBMITTED_AT + 1),
    "policy": ListedCa("policy", "root", scope=IKE | TLS, trusted_until=NOW + 6 * YEAR),
    "region": ListedCa("region", "policy", scope=IKE | TLS, trusted_until=NOW + 6 * YEAR),
    "site": ListedCa("site", "region"),
    "withdrawn": ListedCa("withdrawn", "root", withdrawn_at=NOW - 1_000, reason=1),
    "affiliation": ListedCa("affiliation", "root", withdrawn_at=NOW - 1_000, reason=3),
    "late": ListedCa("late", "root", withdrawn_at=NOW - 50, reason=4),
    "fallen root": ListedCa("fallen root", withdrawn_at=NOW - 2_500, reason=2),
    "below it": ListedCa("below it", "fallen root"),
    "ended first": ListedCa("ended first", "fallen root", withdrawn_at=NOW - 2_600, reason=5),
    "ended later": ListedCa("ended later", "fallen root", withdrawn_at=NOW - 2_400, reason=5),
    "ended with it": ListedCa("ended with it", "fallen root", withdrawn_at=NOW - 2_500, reason=9),
    "wider": ListedCa("wider", "narrow", scope=IKE | TLS),
    "narrow": ListedCa("narrow", "root", scope=IKE),
    "longer": ListedCa("longer", "short", trusted_until=NOW + 3 * YEAR),
    "short": ListedCa("short", "root", trusted_until=NOW + 2 * YEAR),
    "brief": ListedCa("brief", "root", trusted_until=NOW + YEAR - 1),
    "of the future": ListedCa("of the future", "root", more=1),
}
"""By name here. The last ones could not come about under our contract."""


def path(name: str) -> tuple[bytes, ...]:
    """Ids from a CA up to its root."""
    found = []
    while name:
        found.append(authority(name))
        name = CAS[name].parent
    return tuple(found)


ISSUERS = {
    "issued": "cells",
    "issued and held": "cells",
    "issued and revoked": "withdrawn",
    "issued, with a blocked key": "withdrawn",
    "issued and rejected": "withdrawn",
    "issued and submitted": "withdrawn",
    "issued and superseded": "cells",
    "issued and expired": "cells",
    "of four CAs": "site",
    "of a root": "root",
    "of a withdrawn CA": "withdrawn",
    "held, of a withdrawn CA": "withdrawn",
    "of a CA that changed hands": "affiliation",
    "expired after its CA fell": "withdrawn",
    "expired before its CA fell": "late",
    "of a fallen root": "below it",
    "of one that ended before its root": "ended first",
    "of one that ended after its root": "ended later",
    "of one that ended with its root": "ended with it",
    "of a wider CA": "wider",
    "of a longer CA": "longer",
    "of a brief CA": "brief",
    "of a CA of the future": "of the future",
    "issued in its CA's first second": "first",
    "issued in its CA's last second": "last",
}
"""The CA of each certificate."""

WITHOUT_PATH = frozenset(
    {"issued and revoked", "issued, with a blocked key", "issued and rejected", "issued and submitted"}
)
"""Answers that no CA can change."""


def issued_identity(name: str) -> Identity:
    """As `synthetic.identity`, with the issuer that the certificate names."""
    named = named_issuer(CAS[ISSUERS[name]].called)
    return Identity(keccak(b"spki of " + name.encode()), keccak(b"tbs of " + name.encode()), named)


def rescoped(certificate: Identity, scope: TrustScope) -> Identity:
    """The same certificate, if its purposes asked for another scope."""
    assert certificate.issuer is not None
    return replace(certificate, issuer=replace(certificate.issuer, scope=scope))
