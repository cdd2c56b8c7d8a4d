"""Founding by members at several places: no key leaves its machine, and nobody signs what it has not verified.

1. Each member prepares its directory and gives away `founder.json`: names and accounts, no secret.
2. Anyone makes the plan of all of them and deploys the contracts, which give nobody a right yet: `founding.json`.
3. Each member's administrator verifies plan and contracts on the ledger by itself, and signs.
4. Anyone brings the signatures to the ledger. Docs: docs/decisions/0006-founding-ceremony.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pki_chain.chain.connection import Connection
from pki_chain.chain.deployment import Deployment, deploy_contracts, found, verify_deployment
from pki_chain.chain.founding import REPLACEMENT_DELAY_S, FoundingPlan, MemberPlan, Parameters, ProfilePlan
from pki_chain.chain.signer import Keystore, Signer
from pki_chain.chain.typed_data import TypedTexts, recover
from pki_chain.config import ConsortiumFile
from pki_chain.errors import InputError, StorageError
from pki_chain.founding.founders import Founder
from pki_chain.founding.member_directory import (
    CONSORTIUM_FILE,
    FOUNDER_FILE,
    MemberDirectory,
    Services,
    create_member_directory,
    number_member,
    write_settings,
)
from pki_chain.founding.member_file import load_json, load_member_plan, member_content, store_json
from pki_chain.ports import Address
from pki_chain.x509.profile import BUILT_IN_PROFILES


def prepare_member(path: Path, founder: Founder, services: Services) -> MemberDirectory:
    """Make a member's directory with fresh keys, settings, rules and its public `founder.json`.

    Raises `StorageError`, also when it exists.
    """
    member = create_member_directory(path, founder)
    write_settings(member, services)
    store_json(path / FOUNDER_FILE, member_content(member.plan()))
    return member


def plan_founding(
    members: Sequence[MemberPlan],
    *,
    quorum: int,
    parameters: Parameters,
    electorate: Sequence[int] = (),
    profiles: Sequence[ProfilePlan] = (),
    replacement_delay_s: int = REPLACEMENT_DELAY_S,
) -> FoundingPlan:
    """What members, numbered from 1 in this order, are to agree on. Each one's first administrator signs for it.

    Without `electorate` all members' endorsers decide; `profiles` replace or come after the built-in ones. Raises
    `InputError` for what the contracts would refuse only when everybody has signed.
    """
    names: list[str] = [member.name for member in members]
    accounts: list[str] = [account for member in members for account in _accounts(member)]
    for what, values in (("name", names), ("account", accounts)):
        twice = sorted({each for each in values if values.count(each) > 1})
        if twice:
            raise InputError(f"{what} {twice[0]} is given twice: each founder has its own, and is named once")
    chosen = tuple(electorate) or tuple(range(1, len(members) + 1))
    if len(set(chosen)) != len(chosen) or not all(1 <= number <= len(members) for number in chosen):
        raise InputError(f"electorate {', '.join(map(str, chosen))}: name each member once, by 1 to {len(members)}")
    if not 2 <= quorum <= len(chosen):
        raise InputError(f"quorum {quorum} is not at least 2 and at most the {len(chosen)} of the electorate")
    by_number = {
        profile.profile_id: ProfilePlan(profile.profile_id, profile.content()) for profile in BUILT_IN_PROFILES
    }
    by_number |= {profile.id: profile for profile in profiles}
    return FoundingPlan(
        members=tuple(members),
        founders=tuple(member.administrators[0] for member in members),
        profiles=tuple(by_number.values()),
        electorate=chosen,
        quorum=quorum,
        parameters=parameters,
        replacement_delay_s=replacement_delay_s,
    )


def deploy_founding(connection: Connection, plan: FoundingPlan) -> Deployment:
    """Deploy the contracts under a fresh salt. Raises as `deploy_contracts`."""
    return deploy_contracts(connection, Signer.ephemeral(), secrets.token_bytes(32), plan)


def find_founder(path: Path, deployment: Deployment) -> int:
    """The number that the plan gives the member in this directory.

    Raises `InputError` when the plan leaves it out, or says of it anything else than its own `founder.json`.
    """
    own = load_member_plan(path / FOUNDER_FILE)
    for number, member in enumerate(deployment.founding.plan.members, 1):
        if member == own:
            return number
        if member.name == own.name or set(_accounts(member)) & set(_accounts(own)):
            raise InputError(
                f"the plan says something else of {own.name} than {path / FOUNDER_FILE}: do not sign, ask who made it"
            )
    raise InputError(f"{own.name} is not in the plan: give {path / FOUNDER_FILE} to whoever makes it")


def sign_founding(path: Path, keystore: Keystore, deployment: Deployment, connection: Connection) -> bytes:
    """The signature of the member in this directory, after everything was verified on the ledger at `connection`.

    Puts the member's number and `consortium.json` into the directory. Raises as `find_founder` and
    `verify_deployment`, and `StorageError` when the directory is another consortium's already.
    """
    number = find_founder(path, deployment)
    verify_deployment(connection, deployment)
    signer = keystore.load(deployment.founding.plan.founders[number - 1])
    store_consortium(path / CONSORTIUM_FILE, deployment.file)
    number_member(path, number)
    return signer.sign(TypedTexts(deployment.file).found(deployment.file.founding_hash))


def store_consortium(path: Path, file: ConsortiumFile) -> None:
    """Write the public file. Raises `StorageError` when another consortium's is there."""
    if path.exists() and ConsortiumFile.load(path).consortium != file.consortium:
        raise StorageError(f"{path} is of another consortium: move it away if that was given up")
    file.store(path)


def signature_content(deployment: Deployment, founder: Address, signature: bytes) -> dict[str, Any]:
    """A founder's signature as a public file."""
    return {
        "founding_hash": "0x" + deployment.file.founding_hash.hex(),
        "founder": founder,
        "signature": "0x" + signature.hex(),
    }


def load_signatures(paths: Sequence[Path], deployment: Deployment) -> dict[Address, bytes]:
    """Founders' signatures from their files, by account.

    Raises `InputError` for a file of another plan, by somebody who is no founder, or that is no signature of it.
    """
    typed = TypedTexts(deployment.file).found(deployment.file.founding_hash)
    found_by: dict[Address, bytes] = {}
    for path in paths:
        content = load_json(path)
        if not isinstance(content, dict) or content.keys() != {"founding_hash", "founder", "signature"}:
            raise InputError(f"{path} is no signature of a founding: make it with `tally consortium sign`")
        if content["founding_hash"] != "0x" + deployment.file.founding_hash.hex():
            raise InputError(f"{path} signs another plan, of hash {content['founding_hash']}: have it signed again")
        try:
            signature = bytes.fromhex(str(content["signature"]).removeprefix("0x"))
            signer = recover(typed, signature)
        except (ValueError, InputError) as error:
            raise InputError(f"{path} holds no signature: have it signed again") from error
        if signer not in deployment.founding.plan.founders:
            raise InputError(f"{path} is signed by {signer}, who is no founder in this plan: leave it out")
        found_by[signer] = signature
    return found_by


def complete_founding(
    connection: Connection, deployment: Deployment, signatures: Mapping[Address, bytes]
) -> ConsortiumFile:
    """Verify once more, and found. Raises `InputError` naming whose signature is missing, and as `found`."""
    plan = deployment.founding.plan
    missing = [
        f"{member.name} ({founder})"
        for member, founder in zip(plan.members, plan.founders, strict=True)
        if founder not in signatures
    ]
    if missing:
        raise InputError(f"the signature of {', '.join(missing)} is missing: every founder signs")
    verify_deployment(connection, deployment)
    return found(connection, Signer.ephemeral(), deployment, [signatures[founder] for founder in plan.founders])


def _accounts(member: MemberPlan) -> tuple[Address, ...]:
    return (*member.administrators, *member.duty_accounts, *member.endorsers, *member.stations)
