"""What a station must know of a lot before it submits: its profile, its owner's name, its ranges."""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.chain.abi import load_interface
from pki_chain.chain.ledger import LedgerClient
from pki_chain.config import ConsortiumFile
from pki_chain.errors import NotFoundError
from pki_chain.ports import Address, LotTerms, NameRange, RangeKind
from pki_chain.x509.profile import Profile
from pki_chain.x509.rules import CertificateRules, Issuer


@dataclass(frozen=True, slots=True)
class OpenLot:
    """A lot with its terms; `used` of `terms.maximum` certificates have been taken in."""

    number: int
    terms: LotTerms
    used: int
    closed: bool
    organisation: str
    profile: Profile

    def rules(self, block_time: int, issuers: tuple[Issuer, ...] = ()) -> CertificateRules:
        """What the contract will check each entry against, at this time (seconds since 1970).

        A profile of issued certificates needs the `issuers` on the trust list.
        """
        return CertificateRules(self.profile, self.organisation, self.terms.ranges, block_time, issuers)


def fetch_lot(ledger: LedgerClient, consortium: ConsortiumFile, number: int) -> OpenLot:
    """The lot as the ledger has it. Raises `NotFoundError`, `LedgerUnavailableError`."""
    lot = ledger.lot(number)
    if lot.owner == 0:
        raise NotFoundError(f"the ledger has no lot {number}: open one with `tally lot open`, or correct the number")
    registry = load_interface("CertificateRegistry")
    answer = ledger.connection.call(consortium.certificate_registry, registry.encode("lotTerms", [number]))
    owner, profile, maximum, closes_at, stations, ranges = registry.decode("lotTerms", answer)[0]
    member = ledger.member(owner)
    if member is None:
        raise NotFoundError(f"lot {number} has owner {owner}, which the ledger does not know: ask another endpoint")
    return OpenLot(
        number=number,
        terms=LotTerms(
            owner=owner,
            profile=profile,
            maximum=maximum,
            closes_at=closes_at,
            stations=tuple(Address(each) for each in stations),
            ranges=tuple(
                NameRange(RangeKind(kind), bits, first, last, bytes(value)) for kind, bits, first, last, value in ranges
            ),
        ),
        used=lot.used,
        closed=lot.closed,
        organisation=member.name,
        profile=Profile.from_content(ledger.profile(profile), profile),
    )
