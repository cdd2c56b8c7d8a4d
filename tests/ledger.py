"""Fixtures: an embedded ledger with a founded consortium of four members, their keys in directories of their own.

Import what you need into a conftest.py or test module: `from tests.ledger import engine_process, consortium` (session
scope; tests share one ledger, so use your own lots, keys and names). Needs the marker `chain`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pki_chain.chain.calls import Call, Calls
from pki_chain.chain.connection import Connection
from pki_chain.chain.deployment import deploy
from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.founding import FoundingPlan, MemberPlan, Parameters, ProfilePlan
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.outbox import Outbox
from pki_chain.chain.signer import Keystore, Signer, create_passphrase
from pki_chain.chain.typed_data import TypedTexts, batch_digest
from pki_chain.config import ConsortiumFile
from pki_chain.ports import (
    Address,
    LotTerms,
    MemberKind,
    NameKind,
    NameRange,
    NameSpace,
    RangeKind,
    Receipt,
    Submission,
)
from pki_chain.x509.certificate import SubjectAltName
from pki_chain.x509.profile import BUILT_IN_PROFILES, SMALL_CELL, SanType
from pki_chain.x509.self_signed import create_key, issue

OPERATOR, VENDOR, OEM, AUTHORITY = 1, 2, 3, 4
QUORUM = 2
DAY_S = 86_400
ROLES = ("administrator", "duty", "endorser", "station", "relayer")
"""Labels of the keys in each member's keystore; "relayer" has no right."""

_NAMES = {
    OPERATOR: ("Tiger Mobile", MemberKind.OPERATOR, b"operator.example"),
    VENDOR: ("Acme Cells", MemberKind.VENDOR, b"cells.vendor.example"),
    OEM: ("Delta Boards", MemberKind.OEM, b"oem.example"),
    AUTHORITY: ("Root & Sons", MemberKind.CERTIFICATE_AUTHORITY, b"authority.example"),
}


@dataclass(frozen=True, slots=True)
class FoundedMember:
    """A member's number, registered name, DNS space, and its keys by label (see `ROLES`)."""

    number: int
    name: str
    space: str
    keystore: Keystore
    keys: dict[str, Signer]


@dataclass(slots=True)
class Consortium:
    """A founded consortium on a running ledger, and the acts that tests begin with."""

    file: ConsortiumFile
    directory: Path
    plan: FoundingPlan
    members: dict[int, FoundedMember]
    ledger: LedgerClient
    texts: TypedTexts
    calls: Calls
    outboxes: dict[Address, Outbox] = field(default_factory=dict)

    def outbox(self, signer: Signer) -> Outbox:
        """The one outbox of a key in this process."""
        if signer.address not in self.outboxes:
            database = self.directory / "outboxes" / f"{signer.address}.sqlite"
            self.outboxes[signer.address] = Outbox(database, signer, self.ledger.connection, self.file.chain_id)
        return self.outboxes[signer.address]

    def send(self, call: Call, signer: Signer | None = None, *, timeout_s: float = 60) -> Receipt:
        """Send a call (from the operator's relayer unless told otherwise) and wait for its outcome."""
        outbox = self.outbox(signer or self.members[OPERATOR].keys["relayer"])
        digest = outbox.enqueue(call.to, call.data, gas=call.gas)
        deadline = time.monotonic() + timeout_s
        while True:
            outbox.pump()
            receipt = outbox.receipt(digest)
            if receipt is not None:
                return receipt
            assert time.monotonic() < deadline, "no receipt in time"
            time.sleep(0.05)

    def now(self) -> int:
        """Time of the last block."""
        return self.ledger.head().time

    def deadline(self) -> int:
        """A deadline seven days ahead."""
        return self.now() + 7 * DAY_S

    def open_lot(
        self, owner: int = VENDOR, *, station: int | None = None, profile: int = 2, maximum: int = 10_000
    ) -> int:
        """Open a lot for the owner's (or another member's) station over the owner's DNS space; its number."""
        member = self.members[owner]
        terms = LotTerms(
            owner=owner,
            profile=profile,
            maximum=maximum,
            closes_at=self.now() + 30 * DAY_S,
            stations=(self.members[station or owner].keys["station"].address,),
            ranges=(NameRange(RangeKind.DNS, 0, 0, 0, member.space.encode()),),
        )
        administrator, nonce, deadline = member.keys["administrator"], secrets.randbits(256), self.deadline()
        signature = administrator.sign(self.texts.open_lot(terms, nonce, deadline))
        call = self.calls.open_lot(
            terms, administrator=administrator.address, nonce=nonce, deadline=deadline, signature=signature
        )
        receipt = self.send(call)
        assert receipt.succeeded, receipt.revert
        return self.ledger.lot_count()

    def submission(
        self, certificates: list[bytes], lot: int, *, station: int = VENDOR, profile: int = 2
    ) -> tuple[Submission, bytes]:
        """A station's submission of DER certificates with a fresh nonce, and its signature."""
        signer = self.members[station].keys["station"]
        submission = Submission(signer.address, profile, lot, secrets.randbits(256), self.deadline())
        return submission, signer.sign(self.texts.submission(submission, batch_digest(certificates)))

    def submit(self, certificates: list[bytes], lot: int, *, station: int = VENDOR, profile: int = 2) -> int:
        """Submit DER certificates and wait; the batch's number."""
        submission, signature = self.submission(certificates, lot, station=station, profile=profile)
        receipt = self.send(self.calls.submit(submission, certificates, signature))
        assert receipt.succeeded, receipt.revert
        return self.ledger.batch_of(batch_digest(certificates))

    def endorse(self, batch: int, member: int, *, accepts: int | None = None) -> Receipt:
        """A member's endorsement of a batch, of all entries that got in unless told otherwise."""
        stands = self.ledger.batch(batch)
        accepted = stands.present if accepts is None else accepts
        refused = {entry: 1 for entry in range(stands.count) if (stands.present & ~accepted) >> entry & 1}
        call = self.calls.endorse(batch, stands.digest, accepted, 0, refused)
        return self.send(call, self.members[member].keys["endorser"])

    def close(self) -> None:
        for outbox in self.outboxes.values():
            outbox.close()


def issue_certificates(member: FoundedMember, count: int, *, now: int, lifetime_days: int = 365) -> list[bytes]:
    """DER certificates of fresh keys for the profile small-cell, with random names in the member's space."""
    return [
        issue(
            create_key(),
            profile=SMALL_CELL,
            organisation=member.name,
            names=[SubjectAltName(SanType.DNS, f"{secrets.token_hex(6)}.{member.space}".encode())],
            not_before=now - 60,
            lifetime_days=lifetime_days,
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def ledger_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    """A running embedded engine on a port of its own; `.endpoint` says where."""
    with EmbeddedEngine(tmp_path_factory.mktemp("ledger"), port=0) as running:
        yield running


@pytest.fixture(scope="session")
def consortium(ledger_engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """A founded consortium of four members on `ledger_engine`."""
    founded = found_consortium([ledger_engine.endpoint], tmp_path_factory.mktemp("consortium"))
    yield founded
    founded.close()


def found_consortium(endpoints: list[str], directory: Path, parameters: Parameters | None = None) -> Consortium:
    """Make four members' keys below `directory` and found their consortium on the ledger at `endpoints`."""
    members = {number: _make_member(directory, number) for number in _NAMES}
    plan = FoundingPlan(
        members=tuple(_plan_member(member) for member in members.values()),
        founders=tuple(member.keys["administrator"].address for member in members.values()),
        profiles=tuple(ProfilePlan(profile.profile_id, profile.content()) for profile in BUILT_IN_PROFILES),
        electorate=tuple(members),
        quorum=QUORUM,
        parameters=parameters or Parameters(),
    )
    file = deploy(
        Connection(endpoints, timeout_s=30),
        Signer.ephemeral(),
        secrets.token_bytes(32),
        plan,
        lambda typed: [member.keys["administrator"].sign(typed) for member in members.values()],
    )
    file.store(directory / "consortium.json")
    ledger = LedgerClient(file, timeout_s=30)
    return Consortium(file, directory, plan, members, ledger, TypedTexts(file), Calls(file))


def _make_member(directory: Path, number: int) -> FoundedMember:
    name, _, space = _NAMES[number]
    home = directory / f"member-{number}"
    create_passphrase(home / "passphrase")
    keystore = Keystore.open(home / "keystore", home / "passphrase")
    for label in ROLES:
        keystore.create(label)
    return FoundedMember(number, name, space.decode(), keystore, {label: keystore.load(label) for label in ROLES})


def _plan_member(member: FoundedMember) -> MemberPlan:
    return MemberPlan(
        kind=_NAMES[member.number][1],
        name=member.name,
        administrators=(member.keys["administrator"].address,),
        duty_accounts=(member.keys["duty"].address,),
        endorsers=(member.keys["endorser"].address,),
        stations=(member.keys["station"].address,),
        spaces=(NameSpace(NameKind.DNS, 0, member.space.encode()),),
    )
