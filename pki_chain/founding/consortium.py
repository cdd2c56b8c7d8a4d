"""Founding on one machine, where all founders' keys are: the ceremony's steps one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pki_chain.chain.connection import Connection
from pki_chain.chain.founding import Parameters
from pki_chain.config import ConsortiumFile
from pki_chain.errors import StorageError
from pki_chain.founding.ceremony import (
    complete_founding,
    deploy_founding,
    plan_founding,
    prepare_member,
    sign_founding,
)
from pki_chain.founding.founders import Founder
from pki_chain.founding.member_directory import ADMINISTRATOR, CONSORTIUM_FILE, MemberDirectory, Services


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

    All founders' administrators sign here: right for a trial, and for nothing else; `pki_chain.founding.ceremony` is
    for founders at several places. `services` is by label. Raises `StorageError`, `ConfigurationError`,
    `InputError`, `RefusedError`, `LedgerUnavailableError`.
    """
    consortium_path = directory / CONSORTIUM_FILE
    if consortium_path.exists():
        raise StorageError(f"{consortium_path} exists already: a consortium is founded once; choose another directory")
    connection = Connection(tuple(endpoints))
    connection.chain_id()  # before any key is made: a ledger that does not answer should leave nothing behind
    report("making directories and keys")
    made: list[MemberDirectory] = []
    try:
        made += (
            prepare_member(directory / founder.label, founder, services.get(founder.label, Services()))
            for founder in founders
        )
        plan = plan_founding([member.plan() for member in made], quorum=quorum, parameters=parameters)
        report("deploying the contracts and founding")
        deployment = deploy_founding(connection, plan)
        signatures = {
            member.accounts[ADMINISTRATOR]: sign_founding(member.path, member.keystore(), deployment, connection)
            for member in made
        }
        consortium = complete_founding(connection, deployment, signatures)
    except BaseException:
        for member in made:  # keys of a consortium that does not exist: the next try makes its own
            shutil.rmtree(member.path)
        raise
    consortium.store(consortium_path)
    return Founded(consortium, consortium_path, tuple(made))
