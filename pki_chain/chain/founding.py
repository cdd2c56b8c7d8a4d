"""What holds on a consortium's first day, as founders agree on it and as the contract takes it.

Fields and numbers are those of `IConsortium.Founding`. Members are numbered from 1 in the order of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pki_chain.chain.abi import load_interface
from pki_chain.ports import Address, LotTerms, MemberKind, NameSpace

TERMS_TYPE = "(uint16,uint16,uint32,uint64,address[],(uint8,uint8,uint64,uint64,bytes)[])"
SPACE_TYPE = "(uint8,uint8,bytes)"
MEMBER_TYPE = f"(uint8,string,address[],address[],address[],address[],{SPACE_TYPE}[])"
PROFILE_TYPE = (
    "(string,bool,bool,bool,bool,uint8,uint8,uint8,uint8,uint16,uint16,uint16,uint32,uint32,uint8,uint8,uint32,uint32)"
)
PROFILE_SEED_TYPE = f"(uint16,{PROFILE_TYPE})"
PARAMETERS_TYPE = "(uint32,uint32,uint32,uint32,uint32)"
DIRECTORY_TYPE = "(bytes32,address,bytes32)"
FOUNDING_TYPE = (
    f"({MEMBER_TYPE}[],address[],{PROFILE_SEED_TYPE}[],uint16[],uint8,{PARAMETERS_TYPE},address,{DIRECTORY_TYPE}[])"
)
PROFILE_FIELDS = (
    "name",
    "active",
    "caIssued",
    "endlessAllowed",
    "ekuMayBeAbsent",
    "keyAlgorithms",
    "signatureAlgorithms",
    "sanTypes",
    "sanMaximum",
    "ekuRequired",
    "ekuAllowed",
    "requiredExtensions",
    "longestLifeDays",
    "skewSeconds",
    "k",
    "kPrime",
    "windowSeconds",
    "overlapSeconds",
)
"""Fields of `IConsortium.Profile`, in order."""

REPLACEMENT_DELAY_S = 24 * 3600
"""How long the replacement of a person's key waits without the old card, unless founders say otherwise."""


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """A member to be: its kind, registered name, accounts by role, and name spaces."""

    kind: MemberKind
    name: str
    administrators: tuple[Address, ...]
    duty_accounts: tuple[Address, ...] = ()
    endorsers: tuple[Address, ...] = ()
    stations: tuple[Address, ...] = ()
    spaces: tuple[NameSpace, ...] = ()

    def value(self) -> tuple[Any, ...]:
        """As `IConsortium.MemberSeed`, for eth_abi."""
        return (
            int(self.kind),
            self.name,
            list(self.administrators),
            list(self.duty_accounts),
            list(self.endorsers),
            list(self.stations),
            [space_value(space) for space in self.spaces],
        )


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """A profile by number; `content` has the fields of `IConsortium.Profile`, by their Solidity names."""

    id: int
    content: Mapping[str, str | int | bool]

    def value(self) -> tuple[Any, ...]:
        """As `IConsortium.ProfileSeed`, for eth_abi."""
        return (self.id, tuple(self.content[field] for field in PROFILE_FIELDS))


@dataclass(frozen=True, slots=True)
class Parameters:
    """The consortium's parameters; defaults as in design.md."""

    age_bound_s: int = 30
    cut_off_s: int = 60
    emergency_hold_h: int = 72
    delay_s: int = 48 * 3600
    governance_window_s: int = 30 * 86400

    def value(self) -> tuple[int, ...]:
        """As `IConsortium.Parameters`, for eth_abi."""
        return (self.age_bound_s, self.cut_off_s, self.emergency_hold_h, self.delay_s, self.governance_window_s)


@dataclass(frozen=True, slots=True)
class FoundingPlan:
    """What founders agree on before anything is deployed.

    `founders` holds one administrator of each member, in the order of `members`; `electorate` the numbers of the
    members whose endorsers decide. `replacement_delay_s` is what the replacement of a person's key waits without the
    old card; it is fixed for good.
    """

    members: tuple[MemberPlan, ...]
    founders: tuple[Address, ...]
    profiles: tuple[ProfilePlan, ...]
    electorate: tuple[int, ...]
    quorum: int
    parameters: Parameters = Parameters()
    replacement_delay_s: int = REPLACEMENT_DELAY_S


@dataclass(frozen=True, slots=True)
class DirectoryPlan:
    """An entry of the Directory: keccak256 of the contract's name, its address, keccak256 of its runtime code."""

    name: bytes
    location: Address
    code_hash: bytes


@dataclass(frozen=True, slots=True)
class FullFounding:
    """The plan with the addresses and code hashes that deployment gave: this is what founders sign."""

    plan: FoundingPlan
    directory: Address
    entries: tuple[DirectoryPlan, ...]

    def value(self) -> tuple[Any, ...]:
        """As `IConsortium.Founding`, for eth_abi."""
        plan = self.plan
        return (
            [member.value() for member in plan.members],
            list(plan.founders),
            [profile.value() for profile in plan.profiles],
            list(plan.electorate),
            plan.quorum,
            plan.parameters.value(),
            self.directory,
            [(entry.name, entry.location, entry.code_hash) for entry in self.entries],
        )

    def call_data(self, signatures: tuple[bytes, ...]) -> bytes:
        """Data of the call `found` with the founders' signatures in their order."""
        return load_interface("Consortium").encode("found", [self.value(), list(signatures)])


def space_value(space: NameSpace) -> tuple[int, int, bytes]:
    """As `IConsortium.NameSpace`, for eth_abi."""
    return (int(space.kind), space.bits, space.value)


def terms_value(terms: LotTerms) -> tuple[Any, ...]:
    """As `ICertificateRegistry.LotTerms`, for eth_abi."""
    return (
        terms.owner,
        terms.profile,
        terms.maximum,
        terms.closes_at,
        list(terms.stations),
        [(int(each.kind), each.bits, each.first, each.last, each.value) for each in terms.ranges],
    )
