"""The CA that issued a certificate and those above it, in the state of the trust list: which it was, and what ended it.

That one CA signed the other, and the certificate, is not verified again: the pinned contracts did that before they
wrote these slots, as they verify self-signed certificates. Whether the proof speaks of *the* issuer is: two CAs may
have had one name and key. Source: docs/decisions/0021-proofs-of-issued-certificates.md; docs/ledger.md, Slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pki_chain.ports import TrustScope
from pki_chain.proof.directory_state import Word, bits_of, mapping_slot
from pki_chain.proof.errors import ProofRefusedError, Refusal

MOST_AUTHORITIES: Final = 4
"""CAs on a path, the root among them."""

_AUTHORITIES: Final = 0
_PARENT, _SUBJECT, _KEY_IDENTIFIER = 1, 2, 3
"""Words of an authority, after the first."""

_KNOWN_BITS: Final = 216
_KEY_COMPROMISE, _CA_COMPROMISE = 1, 2


@dataclass(frozen=True, slots=True)
class NamedIssuer:
    """What a certificate says of who issued it: keccak256 of the issuer's Name (DER) and of the octets of
    authorityKeyIdentifier, and what a CA must be trusted for to issue it (0 where no scope allows it)."""

    name_hash: bytes
    key_identifier_hash: bytes
    scope: TrustScope


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """What the CAs above a certificate make of it: what its issuer is trusted for, and the first withdrawal on the
    path, told as a certificate's revocation; `since` 0 where there is none."""

    scope: TrustScope
    reason: int
    since: int


@dataclass(frozen=True, slots=True)
class _Authority:
    """An entry of the trust list; `parent` is 32 zero bytes for a root, `replaced_at` 0 while it issues."""

    scope: int
    trusted_from: int
    trusted_until: int
    withdrawn_at: int
    reason: int
    replaced_at: int
    parent: bytes


def authority_slots(authority: bytes, *, is_issuer: bool) -> tuple[int, ...]:
    """Slots that are read of an authority: of the issuer also what it is called by."""
    first = mapping_slot(authority, _AUTHORITIES)
    named = (first + _SUBJECT, first + _KEY_IDENTIFIER) if is_issuer else ()
    return first, first + _PARENT, *named


def path_slots(authorities: Sequence[bytes]) -> tuple[int, ...]:
    """Slots that are read of a path, the issuer first."""
    return tuple(
        slot
        for number, authority in enumerate(authorities)
        for slot in authority_slots(authority, is_issuer=number == 0)
    )


def prove_issuer(
    authorities: Sequence[bytes], named: NamedIssuer | None, submitted_at: int, not_after: int, word: Word
) -> IssuerFacts:
    """Whether the issuer of a certificate, or a CA above it, was withdrawn, and its scope.

    `authorities` are ids, from the issuer to the root; the times are the certificate's. Raises `ProofRefusedError`.
    """
    if not authorities:
        raise _broken("a CA issued the certificate, and the proof names none")
    # 1. The issuer: the name, the key identifier, and listed under them when the certificate was submitted
    path = [_read_authority(authorities[0], word)]
    _require_issuer(authorities[0], path[0], named, submitted_at, word)
    # 2. Those above it, each named by the one below, up to a root
    path += [_read_authority(each, word) for each in authorities[1:]]
    for authority, above in zip(path, [*authorities[1:], bytes(32)], strict=True):
        if authority.parent != above:
            raise _broken("the CAs do not lead from the issuer to a root, each to the one above it")
    # 3. Scope and time of each inside those of the one above
    scope, until = int(named.scope) if named else 0, not_after
    for authority in path:
        if not scope or scope & ~authority.scope:
            raise ProofRefusedError(
                Refusal.ISSUER_OUT_OF_SCOPE,
                f"a CA is trusted for scope {authority.scope}, and {scope} is needed. Do not rely on the certificate.",
            )
        if until > authority.trusted_until:
            raise ProofRefusedError(
                Refusal.ISSUER_OUTLIVED, "what a CA issued lives longer than it is trusted. Do not rely on it."
            )
        scope, until = authority.scope, authority.trusted_until
    # 4. The first withdrawal, of several in one block the lowest
    ended = min((each for each in path if each.withdrawn_at), key=lambda each: each.withdrawn_at, default=None)
    trusted_for = TrustScope(path[0].scope)
    if ended is None:
        return IssuerFacts(trusted_for, 0, 0)
    reason = _CA_COMPROMISE if ended.reason == _KEY_COMPROMISE else ended.reason
    return IssuerFacts(trusted_for, reason, ended.withdrawn_at)


def _read_authority(authority: bytes, word: Word) -> _Authority:
    first, parent = authority_slots(authority, is_issuer=False)
    packed = word(first)
    if packed == 0:
        raise ProofRefusedError(
            Refusal.UNKNOWN_AUTHORITY, f"0x{authority.hex()} is not on the trust list. Ask another gateway."
        )
    if packed >> _KNOWN_BITS:
        raise ProofRefusedError(
            Refusal.UNKNOWN_RECORD,
            "a CA's word has bits that this program does not know. Bring this program up to date.",
        )
    return _Authority(
        scope=bits_of(packed, 16, 8),
        trusted_from=bits_of(packed, 48, 40),
        trusted_until=bits_of(packed, 88, 40),
        withdrawn_at=bits_of(packed, 128, 40),
        reason=bits_of(packed, 168, 8),
        replaced_at=bits_of(packed, 176, 40),
        parent=word(parent).to_bytes(32),
    )


def _require_issuer(
    authority: bytes, found: _Authority, named: NamedIssuer | None, submitted_at: int, word: Word
) -> None:
    _, _, subject, key_identifier = authority_slots(authority, is_issuer=True)
    called = word(subject).to_bytes(32), word(key_identifier).to_bytes(32)
    if named is None or called != (named.name_hash, named.key_identifier_hash):
        raise ProofRefusedError(
            Refusal.OTHER_ISSUER,
            "the proof's CA has another name or key identifier than the certificate's issuer. Ask another gateway.",
        )
    # The contract sees to it that in no second two of one name issue.
    ended = found.replaced_at
    if submitted_at < found.trusted_from or (ended and submitted_at >= ended):
        raise ProofRefusedError(
            Refusal.ISSUER_NOT_THEN,
            "the proof's CA was not the issuer of that name when the certificate was submitted. Ask another gateway.",
        )


def _broken(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.BROKEN_PATH, f"{what}. Ask another gateway.")
