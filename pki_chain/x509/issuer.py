"""The CA that a certificate names as its issuer, among those on the trust list.

Source: RFC 5280 §4.1.2.4, §4.2.1.1, §6.1.3; docs/decisions/0019-trust-list.md.
"""

from __future__ import annotations

from pki_chain.ports import TrustScope
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.extensions import Extensions, key_purposes
from pki_chain.x509.profile import ExtensionKind, KeyPurpose
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules, Issuer
from pki_chain.x509.structure import CertificateStructure

_IKE_PURPOSES = KeyPurpose.IPSEC_IKE | KeyPurpose.ANY
_TLS_PURPOSES = KeyPurpose.SERVER_AUTH | KeyPurpose.CLIENT_AUTH


def needed_scope(extensions: Extensions) -> TrustScope:
    """What a CA must be trusted for to issue this. IKE is also what any purpose, or none named, stands for."""
    if ExtensionKind.EXTENDED_KEY_USAGE not in extensions.present:
        return TrustScope.IKE
    purposes, scope = key_purposes(extensions), TrustScope(0)
    if purposes & _IKE_PURPOSES:
        scope |= TrustScope.IKE
    if purposes & _TLS_PURPOSES:
        scope |= TrustScope.TLS
    return scope


def find_issuer(
    structure: CertificateStructure, extensions: Extensions, not_after: int, rules: CertificateRules
) -> Issuer:
    """Reasons 33 to 35: the CA with this name and key identifier, live at the block's time, trusted for the purposes.

    A certificate whose issuer is its own subject names no CA: many a verifier takes it for a self-signed one.
    Raises CertificateRefusedError.
    """
    named = (structure.issuer, extensions.authority_key_identifier)
    found = next((each for each in rules.issuers if (each.subject, each.key_identifier) == named), None)
    if found is None or structure.issuer == structure.subject:
        raise CertificateRefusedError(Reason.UNKNOWN_ISSUER, f"key identifier {(named[1] or b'').hex()}")
    if not found.live_from <= rules.block_time <= found.live_until or not_after > found.trusted_until:
        raise CertificateRefusedError(Reason.ISSUER_NOT_LIVE, found.authority.hex())
    scope = needed_scope(extensions)
    if not scope or scope & ~found.scope:
        raise CertificateRefusedError(Reason.ISSUER_OUT_OF_SCOPE, f"needs {int(scope)}, has {int(found.scope)}")
    return found
