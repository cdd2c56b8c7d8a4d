"""Founding: directories and keys of all founders, then contracts on the ledger, then the public file."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pki_chain.chain.connection import Connection
from pki_chain.chain.deployment import deploy
from pki_chain.chain.founding import FoundingPlan, MemberPlan, Parameters, ProfilePlan
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedData
from pki_chain.config import ConsortiumFile
from pki_chain.errors import StorageError
from pki_chain.founding.founders import Founder
from pki_chain.founding.member_directory import (
    ADMINISTRATOR,
    DUTY,
    ENDORSER,
    STATION,
    MemberDirectory,
    Services,
    create_member_directory,
    write_settings,
)
from pki_chain.ports import Address
from pki_chain.x509.profile import BUILT_IN_PROFILES

CONSORTIUM_FILE = "consortium.json"


@dataclass(frozen=True, slots=True)
class Founded:
    """What stands after founding: the public file, and each founder's directory in the order of member numbers."""

    consortium: ConsortiumFile
    consortium_path: Path
    members: tuple[MemberDirectory, ...]


def found_consortium(
    directory: Path,
    founders: Sequence[Founder],
    endpoints: Sequence[str],
    *,
    quorum: int,
    parameters: Parameters,
    services: Mapping[str, Services],
    report: Callable[[str], None] = lambda _: None,
) -> Founded:
    """Make `directory`/<label>/ for each founder, deploy, found, and write `directory`/consortium.json.

    All founders' administrators sign here: right for a trial; founders at several places would each sign the text
    `Found` on their own machine. `services` is by label. Raises `StorageError`, `ConfigurationError`, `RefusedError`,
    `LedgerUnavailableError`.
    """
    consortium_path = directory / CONSORTIUM_FILE
    if consortium_path.exists():
        raise StorageError(f"{consortium_path} exists already: a consortium is founded once; choose another directory")
    connection = Connection(tuple(endpoints))
    connection.chain_id()  # before any key is made: a ledger that does not answer should leave nothing behind
    report("making directories and keys")
    made: list[MemberDirectory] = []
    try:
        made += (create_member_directory(directory / founder.label, founder) for founder in founders)
        report("deploying the contracts and founding")
        consortium = deploy(
            connection,
            Signer.ephemeral(),
            secrets.token_bytes(32),
            _plan(made, quorum, parameters),
            lambda typed: _sign(made, typed),
        )
    except BaseException:
        for member in made:  # keys of a consortium that does not exist: the next try makes its own
            shutil.rmtree(member.path)
        raise
    members = tuple(made)
    consortium = consortium.with_endpoints(tuple(endpoints))
    consortium.store(consortium_path)
    for number, member in enumerate(members, 1):
        # A copy each: a member's processes read nothing outside of the member's own directory.
        consortium.store(member.path / CONSORTIUM_FILE)
        write_settings(member, number, Path(CONSORTIUM_FILE), services.get(member.founder.label, Services()))
    return Founded(consortium, consortium_path, members)


def _plan(members: Sequence[MemberDirectory], quorum: int, parameters: Parameters) -> FoundingPlan:
    def accounts(member: MemberDirectory, label: str) -> tuple[Address, ...]:
        return (member.accounts[label],) if label in member.accounts else ()

    return FoundingPlan(
        members=tuple(
            MemberPlan(
                kind=member.founder.kind,
                name=member.founder.name,
                administrators=accounts(member, ADMINISTRATOR),
                duty_accounts=accounts(member, DUTY),
                endorsers=accounts(member, ENDORSER),
                stations=accounts(member, STATION),
                spaces=member.founder.spaces,
            )
            for member in members
        ),
        founders=tuple(member.accounts[ADMINISTRATOR] for member in members),
        profiles=tuple(ProfilePlan(profile.profile_id, profile.content()) for profile in BUILT_IN_PROFILES),
        electorate=tuple(range(1, len(members) + 1)),
        quorum=quorum,
        parameters=parameters,
    )


def _sign(members: Sequence[MemberDirectory], typed: TypedData) -> list[bytes]:
    return [member.keystore().load(ADMINISTRATOR).sign(typed) for member in members]
