"""A ledger in memory that gives out events as the contracts make them, to show the read model's own rules.

It is no engine: it judges nothing but the counting of endorsements. Tests with the real engine are marked `chain`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import cache

from eth_account import Account
from eth_hash.auto import keccak

from pki_chain import ports
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import batch_digest
from pki_chain.errors import LedgerUnavailableError
from pki_chain.ports import (
    Address,
    Block,
    CertificateId,
    EventContent,
    HoldKind,
    LoggedEvent,
    LotTerms,
    MemberKind,
    MemberState,
    NameKind,
    NameSpace,
    Role,
    Submission,
)
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import BUILT_IN_PROFILES
from tests.certificates import (
    BLOCK_TIME,
    ECDSA_SHA256,
    EUI_RANGE,
    ORGANISATION,
    REALM,
    Draft,
    alternative_names,
    bits,
    dns,
    integer,
    key,
    key_usage,
    sequence,
    subject_key,
)

OPERATOR, VENDOR, OEM, AUTHORITY = 1, 2, 3, 4
MEMBER_NAMES = {OPERATOR: "Example Mobile", VENDOR: ORGANISATION, OEM: "Example OEM", AUTHORITY: "Example CA"}
KINDS = {
    OPERATOR: MemberKind.OPERATOR,
    VENDOR: MemberKind.VENDOR,
    OEM: MemberKind.OEM,
    AUTHORITY: MemberKind.CERTIFICATE_AUTHORITY,
}
SMALL_CELL = 2
WINDOW_S = 86_400


class RecordedLedger:
    """Implements `LedgerReader`. Block 1 is the founding; vendor's lot 1 is open in block 2."""

    def __init__(self, first_time: int = BLOCK_TIME, keys: tuple[bytes, bytes] | None = None) -> None:
        self._blocks: list[Block] = []
        self._events: list[list[LoggedEvent]] = []
        self._salt = b""
        self._counts = {"batch": 0, "lot": 0}
        self._batches: dict[int, tuple[ports.BatchSubmitted, dict[int, int], dict[int, int]]] = {}
        self.station, self.administrator = (
            (Signer.ephemeral(), Signer.ephemeral()) if keys is None else (_signer(keys[0]), _signer(keys[1]))
        )
        self.unavailable = False
        self.requests = 0
        self.mine([], time=first_time)
        self.mine(self._founding())
        self.open_lot()

    # LedgerReader

    def head(self) -> Block:
        self._answer()
        return self._blocks[-1]

    def block(self, number: int) -> Block:
        return self.blocks(number, number)[0]

    def blocks(self, first: int, last: int) -> Sequence[Block]:
        self._answer()
        return self._blocks[first : last + 1]

    def events(self, first_block: int, last_block: int, last_hash: bytes | None = None) -> Sequence[LoggedEvent]:
        self._answer()
        if last_hash not in {None, self._blocks[last_block].hash}:
            raise LedgerUnavailableError("An endpoint has another block than the one asked for.")
        return [event for events in self._events[first_block : last_block + 1] for event in events]

    def _answer(self) -> None:
        self.requests += 1
        if self.unavailable:
            raise LedgerUnavailableError("No endpoint of the ledger answers.")

    # Making blocks

    @property
    def time(self) -> int:
        return self._blocks[-1].time

    def mine(self, *transactions: Sequence[EventContent], time: int | None = None, after_s: int = 1) -> Block:
        """A block of these transactions, each a sequence of events."""
        number = len(self._blocks)
        parent = self._blocks[-1].hash if self._blocks else bytes(32)
        at = time if time is not None else self._blocks[-1].time + after_s
        material = repr((number, parent, at, transactions, self._salt)).encode()
        block = Block(number, hashlib.sha256(material).digest(), parent, at)
        logged = []
        for index, contents in enumerate(transactions):
            transaction_hash = hashlib.sha256(block.hash + bytes([index])).digest()
            for content in contents:
                logged.append(LoggedEvent(number, transaction_hash, len(logged), content))
        self._blocks.append(block)
        self._events.append(logged)
        return block

    def fork(self, number: int) -> None:
        """Forget everything from this block on, as if it had never been."""
        del self._blocks[number:]
        del self._events[number:]
        self._salt += b"fork"

    def _founding(self) -> list[EventContent]:
        events: list[EventContent] = []
        for member, name in MEMBER_NAMES.items():
            events.append(ports.MemberChanged(member, KINDS[member], MemberState.ACTIVE, name))
        space = NameSpace(NameKind.DNS, 0, REALM.encode())
        events += [
            ports.NameSpaceChanged(VENDOR, space, added=True),
            ports.AccountChanged(self.station.address, VENDOR, Role.STATION, active=True),
            ports.AccountChanged(self.administrator.address, VENDOR, Role.ADMINISTRATOR, active=True),
            *(ports.ProfileChanged(profile.profile_id, profile.content()) for profile in BUILT_IN_PROFILES),
            ports.ElectorateChanged(1, (OPERATOR, VENDOR, OEM, AUTHORITY), 2),
            ports.ParametersChanged(30, 60, 72, 172_800, 2_592_000),
        ]
        return events

    def open_lot(self, *, maximum: int = 10_000, closes_at: int | None = None, profile: int = SMALL_CELL) -> int:
        self._counts["lot"] += 1
        lot = self._counts["lot"]
        terms = LotTerms(
            VENDOR, profile, maximum, closes_at or self.time + 30 * 86_400, (self.station.address,), (EUI_RANGE,)
        )
        self.mine([ports.LotOpened(lot, VENDOR, self.administrator.address, terms)])
        return lot

    def submit(
        self,
        certificates: Sequence[bytes],
        *,
        refused: dict[int, int] | None = None,
        nonce: int | None = None,
        lot: int = 1,
        window_s: int = WINDOW_S,
        mined: bool = True,
    ) -> tuple[int, list[EventContent]]:
        """Number and events of a batch; the entries in `refused` (to a reason) get no slot."""
        refused = refused or {}
        self._counts["batch"] += 1
        batch = self._counts["batch"]
        present = sum(1 << entry for entry in range(len(certificates)) if entry not in refused)
        submission = Submission(
            self.station.address, SMALL_CELL, lot, batch if nonce is None else nonce, self.time + 7 * 86_400
        )
        events: list[EventContent] = []
        for entry, der in enumerate(certificates):
            if entry in refused:
                events.append(ports.EntryRefused(batch, entry, keccak(der), refused[entry]))
            else:
                events.append(ports.CertificateSubmitted(identity(der), batch, entry, der))
        header = ports.BatchSubmitted(
            batch=batch,
            digest=batch_digest(certificates),
            submission=submission,
            station_member=VENDOR,
            lot_owner=VENDOR,
            electorate=1,
            k=2,
            n=3,
            count=len(certificates),
            window_end=self.time + 1 + window_s,
            present=present,
        )
        events.append(header)
        self._batches[batch] = (header, {}, {})
        if mined:
            self.mine(events)
        return batch, events

    def endorse(
        self, batch: int, member: int, *, reject: dict[int, int] | None = None, mined: bool = True
    ) -> EventContent:
        """A member accepts all present entries but those in `reject` (to a reason)."""
        header, accepts, rejects = self._batches[batch]
        refused = sum(1 << entry for entry in reject or {})
        accepts[member], rejects[member] = header.present & ~refused, refused
        accepted = _at_least(accepts.values(), header.k)
        rejected = _at_least(rejects.values(), header.n - header.k + 1)
        event = ports.BatchEndorsed(
            batch=batch,
            member=member,
            endorser=Address("0x" + f"{member:040x}"),
            accepts=accepts[member],
            abstains=0,
            reasons=tuple((reject or {}).items()),
            accepted_now=accepted,
            rejected_now=rejected,
            settled=accepted | rejected == header.present,
        )
        if mined:
            self.mine([event])
        return event

    def accept(self, certificates: Sequence[bytes]) -> int:
        """Submit and have two members accept."""
        batch, _ = self.submit(certificates)
        self.endorse(batch, OPERATOR)
        self.endorse(batch, OEM)
        return batch

    def hold(self, der: bytes, kind: HoldKind = HoldKind.OWNER, *, counter: int = 1, until: int = 0) -> None:
        by = self.administrator.address
        self.mine([ports.CertificateHeld(identity(der), VENDOR, by, kind, 6, counter, until)])

    def release(self, der: bytes, kind: HoldKind = HoldKind.OWNER, *, counter: int = 2) -> None:
        self.mine([ports.CertificateReleased(identity(der), VENDOR, self.administrator.address, kind, counter)])

    def revoke(self, der: bytes, reason: int = 1) -> None:
        self.mine([ports.CertificateRevoked(identity(der), VENDOR, self.administrator.address, reason)])

    def block_key(self, der: bytes, reason: int = 1) -> None:
        self.mine([ports.KeyBlocked(parse_certificate(der).spki_hash, reason, by_proof=False)])


def _signer(key: bytes) -> Signer:
    return Signer(Account.from_key(key))


def identity(der: bytes) -> CertificateId:
    """A certificate's id; for bytes that are none, some id."""
    try:
        return parse_certificate(der).certificate_id
    except CertificateRefusedError:
        return CertificateId(hashlib.sha256(der).digest())


def certificates(count: int, first: int = 0) -> list[bytes]:
    """Good small-cell certificates, each of its own name and key."""
    return [certificate(number) for number in range(first, first + count)]


@cache
def certificate(number: int) -> bytes:
    """A good small-cell certificate."""
    return Draft(
        key=key(number),
        serial_number=integer(number + 1),
        extensions=(subject_key(), key_usage(), alternative_names(dns(f"{0x00A1B2C3D000 + number:012x}.{REALM}"))),
    ).encode()


def twin(der: bytes) -> bytes:
    """The same certificate with the other signature (r, n - s), which is as good."""
    parsed = parse_certificate(der)
    signature = parsed.ecdsa_signature
    assert signature is not None
    other = sequence(integer(signature.r), integer(_ORDER - signature.s))
    return sequence(parsed.tbs, ECDSA_SHA256, bits(other))


_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _at_least(maps: Collection[int], least: int) -> int:
    return sum(1 << entry for entry in range(200) if sum(each >> entry & 1 for each in maps) >= least)
