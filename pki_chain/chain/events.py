"""Events of the consortium's contracts: from logs to the values of `pki_chain.ports`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address

from pki_chain import ports
from pki_chain.chain.abi import Entry, load_interface
from pki_chain.chain.connection import parse_bytes, parse_quantity
from pki_chain.chain.founding import PROFILE_FIELDS
from pki_chain.errors import LedgerUnavailableError
from pki_chain.ports import Address, CertificateId, EventContent, LoggedEvent

_IGNORED = frozenset({"ConsortiumFounded", "DirectoryChanged", "EIP712DomainChanged"})
"""Events that the read model has no use for: founding and Directory are read from the consortium's file, and a domain
never changes (ERC-5267 declares the event all the same)."""


@cache
def _known() -> Mapping[bytes, Entry]:
    names = ("Consortium", "CertificateRegistry", "IdentityRegistry", "TrustList", "Directory")
    return {topic: entry for name in names for topic, entry in load_interface(name).events.items()}


@cache
def _certificate_submitted() -> bytes:
    return next(topic for topic, entry in _known().items() if entry.name == "CertificateSubmitted")


def parse_event(log: Mapping[str, Any]) -> LoggedEvent | None:
    """An event from a log of eth_getLogs; None for one that readers ignore.

    Raises `LedgerUnavailableError` for what is not an event of this version's contracts.
    """
    topics = log.get("topics")
    if not isinstance(topics, list):
        raise LedgerUnavailableError("An endpoint sent a log without topics. Ask another endpoint.")
    topics = [parse_bytes(topic, 32) for topic in topics]
    data = parse_bytes(log.get("data"))
    if not topics or topics[0] not in _known():
        raise LedgerUnavailableError("The ledger holds an event unknown to this version. Install the version in use.")
    content = _parse_content(topics, data)
    if content is None:
        return None
    return LoggedEvent(
        block_number=parse_quantity(log.get("blockNumber")),
        transaction_hash=parse_bytes(log.get("transactionHash"), 32),
        log_index=parse_quantity(log.get("logIndex")),
        content=content,
    )


def _parse_content(topics: Sequence[bytes], data: bytes) -> EventContent | None:
    if topics[0] == _certificate_submitted():
        return _parse_certificate_submitted(topics, data)
    entry = _known()[topics[0]]
    if entry.name in _IGNORED:
        return None
    indexed = [each for each in entry.inputs if each.indexed]
    plain = [each for each in entry.inputs if not each.indexed]
    try:
        values = {each.name: decode([each.type], topic)[0] for each, topic in zip(indexed, topics[1:], strict=True)}
        values |= zip((each.name for each in plain), decode([each.type for each in plain], data), strict=True)
        return _MAKERS[entry.name](values)
    except (DecodingError, ValueError, UnicodeDecodeError, OverflowError) as error:
        raise LedgerUnavailableError(
            f"An endpoint sent an event {entry.name} that is not well formed. Ask another endpoint."
        ) from error


def _parse_certificate_submitted(topics: Sequence[bytes], data: bytes) -> ports.CertificateSubmitted:
    """By hand: a full batch holds 200 of these, and this is ten times as fast as the general way.

    Data: entry (32 bytes), offset 64 (32), length (32), DER, zeros to a multiple of 32.
    """
    entry, offset, length = int.from_bytes(data[:32]), int.from_bytes(data[32:64]), int.from_bytes(data[64:96])
    end = 96 + length
    padded = 96 + -(-length // 32) * 32
    if len(topics) != 3 or entry > 255 or offset != 64 or len(data) != padded or data[end:].strip(b"\x00"):
        raise LedgerUnavailableError("An endpoint sent an event CertificateSubmitted that is not well formed.")
    return ports.CertificateSubmitted(
        certificate=CertificateId(topics[1]),
        batch=int.from_bytes(topics[2]),
        entry=entry,
        der=data[96:end],
    )


def _address(value: str) -> Address:
    return Address(to_checksum_address(value))


def _terms(value: tuple[Any, ...]) -> ports.LotTerms:
    owner, profile, maximum, closes_at, stations, ranges = value
    return ports.LotTerms(
        owner=owner,
        profile=profile,
        maximum=maximum,
        closes_at=closes_at,
        stations=tuple(_address(station) for station in stations),
        ranges=tuple(ports.NameRange(ports.RangeKind(each[0]), *each[1:]) for each in ranges),
    )


def _card_key(v: Mapping[str, Any]) -> ports.CardKey:
    attestation = ports.Attestation(v["attestation"])
    return ports.CardKey(v["x"], v["y"], attestation, card_enforced=v["cardEnforced"], emulator=v["emulator"])


def _submission(value: tuple[Any, ...]) -> ports.Submission:
    return ports.Submission(_address(value[0]), *value[1:])


def _reasons(packed: bytes) -> tuple[tuple[int, int], ...]:
    """Three octets each: entry, reason (big endian)."""
    if len(packed) % 3:
        raise ValueError("reasons")
    return tuple((packed[at], int.from_bytes(packed[at + 1 : at + 3])) for at in range(0, len(packed), 3))


_MAKERS: Mapping[str, Callable[[dict[str, Any]], EventContent]] = {
    "MemberChanged": lambda v: ports.MemberChanged(
        v["member"], ports.MemberKind(v["kind"]), ports.MemberState(v["state"]), v["name"]
    ),
    "AccountChanged": lambda v: ports.AccountChanged(
        _address(v["account"]), v["member"], ports.Role(v["role"]), v["active"]
    ),
    "NameSpaceChanged": lambda v: ports.NameSpaceChanged(
        v["member"], ports.NameSpace(ports.NameKind(v["kind"]), v["bits"], v["value"]), v["added"]
    ),
    "ProfileChanged": lambda v: ports.ProfileChanged(
        v["profile"], dict(zip(PROFILE_FIELDS, v["content"], strict=True))
    ),
    "ElectorateChanged": lambda v: ports.ElectorateChanged(v["electorate"], tuple(v["members"]), v["quorum"]),
    "ParametersChanged": lambda v: ports.ParametersChanged(*v["content"]),
    "ProposalMade": lambda v: ports.ProposalMade(
        v["proposal"], v["member"], v["kind"], v["contentHash"], v["content"], v["expiresAt"]
    ),
    "VoteCast": lambda v: ports.VoteCast(v["proposal"], v["member"], v["support"]),
    "ProposalAdopted": lambda v: ports.ProposalAdopted(v["proposal"], v["executableAt"], v["expiresAt"]),
    "ProposalExecuted": lambda v: ports.ProposalExecuted(v["proposal"]),
    "LotOpened": lambda v: ports.LotOpened(v["lot"], v["owner"], _address(v["by"]), _terms(v["terms"])),
    "LotClosed": lambda v: ports.LotClosed(v["lot"], _address(v["by"])),
    "BatchSubmitted": lambda v: ports.BatchSubmitted(
        batch=v["batch"],
        digest=v["digest"],
        submission=_submission(v["submission"]),
        station_member=v["stationMember"],
        lot_owner=v["lotOwner"],
        electorate=v["electorate"],
        k=v["k"],
        n=v["n"],
        count=v["count"],
        window_end=v["windowEnd"],
        present=v["present"],
    ),
    "EntryRefused": lambda v: ports.EntryRefused(v["batch"], v["entry"], v["entryHash"], v["reason"]),
    "BatchEndorsed": lambda v: ports.BatchEndorsed(
        batch=v["batch"],
        member=v["member"],
        endorser=_address(v["endorser"]),
        accepts=v["accepts"],
        abstains=v["abstains"],
        reasons=_reasons(v["reasons"]),
        accepted_now=v["acceptedNow"],
        rejected_now=v["rejectedNow"],
        settled=v["settled"],
    ),
    "CertificateHeld": lambda v: ports.CertificateHeld(
        CertificateId(v["certificate"]),
        v["member"],
        _address(v["by"]),
        ports.HoldKind(v["kind"]),
        v["reason"],
        v["counter"],
        v["until"],
    ),
    "CertificateReleased": lambda v: ports.CertificateReleased(
        CertificateId(v["certificate"]), v["member"], _address(v["by"]), ports.HoldKind(v["kind"]), v["counter"]
    ),
    "CertificateRevoked": lambda v: ports.CertificateRevoked(
        CertificateId(v["certificate"]), v["member"], _address(v["by"]), v["reason"]
    ),
    "KeyBlocked": lambda v: ports.KeyBlocked(v["spkiHash"], v["reason"], v["byProof"]),
    "IdentityRegistered": lambda v: ports.IdentityRegistered(
        v["identity"], v["operator"], _address(v["by"]), _card_key(v)
    ),
    "IdentityEntryRefused": lambda v: ports.IdentityEntryRefused(
        v["identity"], v["operator"], v["x"], ports.IdentityRefusal(v["refusal"])
    ),
    "IdentityActivated": lambda v: ports.IdentityActivated(v["identity"], v["operator"], _address(v["by"])),
    "IdentityHeld": lambda v: ports.IdentityHeld(v["identity"], v["member"], _address(v["by"]), v["counter"]),
    "IdentityReleased": lambda v: ports.IdentityReleased(v["identity"], v["member"], _address(v["by"]), v["counter"]),
    "IdentityRevoked": lambda v: ports.IdentityRevoked(v["identity"], v["member"], _address(v["by"]), v["reason"]),
    "ReplacementStarted": lambda v: ports.ReplacementStarted(
        v["identity"], v["operator"], _address(v["by"]), _card_key(v), v["executableAt"], v["counter"]
    ),
    "ReplacementCancelled": lambda v: ports.ReplacementCancelled(
        v["identity"], v["operator"], _address(v["by"]), v["byCard"], v["counter"]
    ),
    "IdentityKeyReplaced": lambda v: ports.IdentityKeyReplaced(
        v["identity"], v["operator"], _address(v["by"]), v["index"], _card_key(v), v["byOldKey"], v["counter"]
    ),
    "AuthorityPublished": lambda v: ports.AuthorityPublished(
        authority=CertificateId(v["authority"]),
        member=v["member"],
        parent=CertificateId(v["parent"]),
        scope=ports.TrustScope(v["scope"]),
        path_length=v["pathLength"],
        trusted_from=v["trustedFrom"],
        trusted_until=v["trustedUntil"],
        subject_hash=v["subjectHash"],
        key_identifier_hash=v["keyIdentifierHash"],
        by=_address(v["by"]),
        der=v["der"],
    ),
    "DelegationPublished": lambda v: ports.DelegationPublished(
        CertificateId(v["delegation"]),
        CertificateId(v["authority"]),
        ports.DelegationKind(v["kind"]),
        v["validFrom"],
        v["validUntil"],
        v["der"],
    ),
    "AuthorityWithdrawn": lambda v: ports.AuthorityWithdrawn(
        CertificateId(v["authority"]), v["member"], _address(v["by"]), v["reason"]
    ),
    "DelegationWithdrawn": lambda v: ports.DelegationWithdrawn(
        CertificateId(v["delegation"]), v["member"], _address(v["by"]), v["reason"]
    ),
}
