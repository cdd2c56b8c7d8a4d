"""From a trust list's entries to the CAs that may issue: every chain built and verified again.

A validator believes the ledger only that an entry is there, not that its chain holds. Source: RFC 5280 §6.1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pki_chain.ports import CertificateId, TrustScope
from pki_chain.x509.authority import MOST_BELOW_A_ROOT, AuthorityCertificate, parse_authority
from pki_chain.x509.errors import AuthorityRefusedError
from pki_chain.x509.issued_by import verify_issued_by
from pki_chain.x509.rules import Issuer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListedAuthority:
    """An entry of the trust list as the ledger has it; `parent` is None for a root.

    `ended_at` is when it was withdrawn, or when its member lost its rights; 0 while neither happened.
    """

    id: CertificateId
    parent: CertificateId | None
    scope: TrustScope
    trusted_from: int
    trusted_until: int
    ended_at: int
    der: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A CA whose chain up to its root holds. `path_length`: how many CAs may stand below it."""

    certificate: AuthorityCertificate
    scope: TrustScope
    path_length: int
    live_from: int
    live_until: int
    trusted_until: int


def build_issuers(listed: Iterable[ListedAuthority]) -> tuple[Issuer, ...]:
    """The CAs that issue, one for a name and key identifier: the last of the list. Parents come before their children.

    One whose chain does not hold issues nothing here, whatever the ledger says; the log says which.
    """
    links: dict[CertificateId, Link] = {}
    issuers: dict[tuple[bytes, bytes], Issuer] = {}
    for entry in listed:
        try:
            certificate = parse_authority(entry.der)
            issuers.pop((certificate.subject, certificate.key_identifier), None)
            link = extend_chain(entry, certificate, None if entry.parent is None else links.get(entry.parent))
        except AuthorityRefusedError as refused:
            log.warning("authority 0x%s of the trust list is not believed: %s", entry.id.hex(), refused.message)
            continue
        links[entry.id] = link
        issuers[certificate.subject, certificate.key_identifier] = _issuer(entry.id, link)
    return tuple(issuers.values())


def extend_chain(entry: ListedAuthority, certificate: AuthorityCertificate, parent: Link | None) -> Link:
    """Judge one CA below its parent, or a root. Raises AuthorityRefusedError.

    1. The id is that of the certificate.
    2. It is signed by its parent; a root stands for itself, as members voted.
    3. Its parent may have CAs below it.
    4. Scope and time lie inside the parent's, and time inside the certificate's own.
    """
    if certificate.id != entry.id:
        raise AuthorityRefusedError("the id is not that of the certificate: ask another endpoint")
    if not entry.scope or entry.scope & ~certificate.scope:
        raise AuthorityRefusedError("its scope is wider than its extended key usage: give what that allows")
    if not entry.trusted_from <= entry.trusted_until <= certificate.not_after:
        raise AuthorityRefusedError("it is trusted for longer than the certificate lives: give an earlier end")
    live_until = min(entry.trusted_until, entry.ended_at - 1) if entry.ended_at else entry.trusted_until
    live_from = max(entry.trusted_from, certificate.not_before)
    if certificate.is_self_issued != (entry.parent is None):
        raise AuthorityRefusedError("a root, and only a root, names itself as its issuer: give the right one")
    if entry.parent is None:
        allowed = MOST_BELOW_A_ROOT
    else:
        if parent is None:
            raise AuthorityRefusedError("the CA above it is not believed: publish that one first")
        verify_issued_by(certificate, parent.certificate)
        if parent.path_length < 1:
            raise AuthorityRefusedError("the CA above it may have no CA below it (path length)")
        if entry.scope & ~parent.scope:
            raise AuthorityRefusedError("its scope is wider than that of the CA above it: give a part of that one")
        if entry.trusted_until > parent.trusted_until:
            raise AuthorityRefusedError("it is trusted for longer than the CA above it: give an earlier end")
        allowed = parent.path_length - 1
        live_from, live_until = max(live_from, parent.live_from), min(live_until, parent.live_until)
    own = certificate.path_length
    return Link(
        certificate=certificate,
        scope=entry.scope,
        path_length=allowed if own is None else min(own, allowed),
        live_from=live_from,
        live_until=live_until,
        trusted_until=entry.trusted_until,
    )


def _issuer(identity: CertificateId, link: Link) -> Issuer:
    return Issuer(
        authority=identity,
        subject=link.certificate.subject,
        key_identifier=link.certificate.key_identifier,
        spki=link.certificate.spki,
        public_key=link.certificate.public_key,
        scope=link.scope,
        live_from=link.live_from,
        live_until=link.live_until,
        trusted_until=link.trusted_until,
    )
