"""Contents of proposals as `abi.encode` of their kind's arguments. Source: docs/ledger.md, contracts/Consortium.sol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_hash.auto import keccak

from pki_chain.chain.founding import (
    DIRECTORY_TYPE,
    MEMBER_TYPE,
    PARAMETERS_TYPE,
    PROFILE_FIELDS,
    PROFILE_SEED_TYPE,
    SPACE_TYPE,
    Parameters,
    ProfilePlan,
    space_value,
)
from pki_chain.errors import InputError
from pki_chain.founding.authority_terms import load_authority_certificate, parse_scope, parse_until
from pki_chain.founding.founders import parse_space
from pki_chain.founding.member_file import load_member_plan
from pki_chain.x509.authority import parse_authority
from pki_chain.x509.errors import AuthorityRefusedError


class ProposalKind(IntEnum):
    """What members vote on; numbers of `IConsortium.ProposalKind`."""

    ADMIT = 1
    SUSPEND = 2
    RESTORE = 3
    REMOVE = 4
    BLOCK_KEY = 5
    SET_PROFILE = 6
    SET_ELECTORATE = 7
    SET_PARAMETERS = 8
    ADD_NAME_SPACE = 9
    REMOVE_NAME_SPACE = 10
    SET_DIRECTORY = 11
    HOLD_CERTIFICATE = 12
    RELEASE_CERTIFICATE = 13
    TRUST_ROOT = 14
    WITHDRAW_AUTHORITY = 15

    @property
    def label(self) -> str:
        """As the command line spells it."""
        return self.name.lower().replace("_", "-")


def encode_content(kind: ProposalKind, arguments: Sequence[str]) -> bytes:
    """The content of a proposal from its arguments as people write them (see `USAGE`). Raises `InputError`."""
    usage, build = _BUILDERS[kind]
    if len(arguments) != len(usage.split()):
        raise InputError(f"a proposal {kind.label} takes {usage}: {len(arguments)} arguments were given")
    try:
        types, values = build(*arguments)
        return encode(types, values)
    except (InputError, AuthorityRefusedError):
        raise  # names its file and key already
    except (ValueError, TypeError, KeyError, EncodingError, OSError) as error:
        raise InputError(
            f"a proposal {kind.label} takes {usage}: {error or type(error).__name__}. Correct the arguments."
        ) from error


def _member(member: str) -> tuple[list[str], list[Any]]:
    return ["uint16"], [int(member)]


def _hash_and_reason(value: str, reason: str) -> tuple[list[str], list[Any]]:
    return ["bytes32", "uint8"], [_bytes32(value), int(reason)]


def _hash(value: str) -> tuple[list[str], list[Any]]:
    return ["bytes32"], [_bytes32(value)]


def _space(member: str, space: str) -> tuple[list[str], list[Any]]:
    return ["uint16", SPACE_TYPE], [int(member), space_value(parse_space(space))]


def _electorate(members: str, quorum: str) -> tuple[list[str], list[Any]]:
    return ["uint16[]", "uint8"], [[int(each) for each in members.split(",")], int(quorum)]


def _directory(name: str, address: str, code_hash: str) -> tuple[list[str], list[Any]]:
    return [DIRECTORY_TYPE], [(keccak(name.encode("ascii")), address, _bytes32(code_hash))]


def _parameters(file: str) -> tuple[list[str], list[Any]]:
    return [PARAMETERS_TYPE], [Parameters(**_load(file)).value()]


def load_profile_plan(number: str, file: str) -> ProfilePlan:
    """A profile from a JSON file with exactly the contract's fields. Raises `InputError`."""
    try:
        content, numbered = _load(file), int(number)
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"profile {number} {file}: {error}. Correct the arguments.") from error
    if set(content) != set(PROFILE_FIELDS):
        raise InputError(f"{file} must have exactly the fields {', '.join(PROFILE_FIELDS)}")
    return ProfilePlan(numbered, content)


def _profile(number: str, file: str) -> tuple[list[str], list[Any]]:
    return [PROFILE_SEED_TYPE], [load_profile_plan(number, file).value()]


def _admit(file: str) -> tuple[list[str], list[Any]]:
    return [MEMBER_TYPE], [load_member_plan(Path(file)).value()]


def _root(member: str, file: str, scope: str, until: str) -> tuple[list[str], list[Any]]:
    der = load_authority_certificate(Path(file))
    authority = parse_authority(der)
    if not authority.is_self_issued:
        raise InputError(f"{file} is not a root: its issuer is another CA, which publishes it (`tally ca publish`)")
    return ["uint16", "bytes", "uint8", "uint40"], [int(member), der, int(parse_scope(scope)), parse_until(until)]


def _load(file: str) -> dict[str, Any]:
    content = json.loads(Path(file).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError(f"{file} is no JSON object")
    return content


def _bytes32(value: str) -> bytes:
    found = bytes.fromhex(value.removeprefix("0x"))
    if len(found) != 32:
        raise ValueError(f"{value!r} is not 64 hexadecimal digits")
    return found


_BUILDERS: Mapping[ProposalKind, tuple[str, Callable[..., tuple[list[str], list[Any]]]]] = MappingProxyType(
    {
        ProposalKind.ADMIT: ("FILE.json", _admit),
        ProposalKind.SUSPEND: ("MEMBER", _member),
        ProposalKind.RESTORE: ("MEMBER", _member),
        ProposalKind.REMOVE: ("MEMBER", _member),
        ProposalKind.BLOCK_KEY: ("SPKI-SHA256 REASON", _hash_and_reason),
        ProposalKind.SET_PROFILE: ("NUMBER FILE.json", _profile),
        ProposalKind.SET_ELECTORATE: ("MEMBER,MEMBER,... QUORUM", _electorate),
        ProposalKind.SET_PARAMETERS: ("FILE.json", _parameters),
        ProposalKind.ADD_NAME_SPACE: ("MEMBER SPACE", _space),
        ProposalKind.REMOVE_NAME_SPACE: ("MEMBER SPACE", _space),
        ProposalKind.SET_DIRECTORY: ("NAME ADDRESS CODE-HASH", _directory),
        ProposalKind.HOLD_CERTIFICATE: ("CERTIFICATE-ID REASON", _hash_and_reason),
        ProposalKind.RELEASE_CERTIFICATE: ("CERTIFICATE-ID", _hash),
        ProposalKind.TRUST_ROOT: ("MEMBER FILE SCOPE,SCOPE,... UNTIL", _root),
        ProposalKind.WITHDRAW_AUTHORITY: ("AUTHORITY-ID REASON", _hash_and_reason),
    }
)

USAGE: Mapping[str, str] = MappingProxyType({kind.label: usage for kind, (usage, _) in _BUILDERS.items()})
"""Arguments of each kind, as `tally consortium propose` takes them."""
