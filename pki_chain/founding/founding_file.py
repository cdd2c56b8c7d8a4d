"""The founding as a public file, `founding.json`: the whole plan, and where its contracts stand. No secret is in it.

It is what every founder reads, verifies on the ledger and signs; its hash is what founders compare by telephone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from eth_hash.auto import keccak

from pki_chain.chain.deployment import REGISTRIES, Deployment
from pki_chain.chain.founding import (
    PROFILE_FIELDS,
    DirectoryPlan,
    FoundingPlan,
    FullFounding,
    Parameters,
    ProfilePlan,
)
from pki_chain.config import ConsortiumFile
from pki_chain.errors import InputError
from pki_chain.founding.member_file import load_json, member_content, read_addresses, read_member, store_json
from pki_chain.ports import Address

_KEYS: Final = frozenset(
    {
        "founding_hash",
        "members",
        "founders",
        "profiles",
        "electorate",
        "quorum",
        "parameters",
        "replacement_delay_s",
    }
)
_LEDGER_KEYS: Final = frozenset(
    {
        "chain_id",
        "salt",
        "consortium",
        "directory",
        "certificate_registry",
        "identity_registry",
        "trust_list",
        "code_hashes",
        "libraries",
        "founding_block",
    }
)
_PARAMETERS: Final = ("age_bound_s", "cut_off_s", "emergency_hold_h", "delay_s", "governance_window_s")
_FLAGS: Final = frozenset({"active", "caIssued", "endlessAllowed", "ekuMayBeAbsent"})
_BYTES32: Final = re.compile(r"0x[0-9a-f]{64}")
_UINT64: Final = (1 << 64) - 1


def store_founding(path: Path, deployment: Deployment) -> None:
    """Write the file. Raises `StorageError`, also when it exists."""
    plan, file = deployment.founding.plan, deployment.file
    content = {
        "founding_hash": "0x" + file.founding_hash.hex(),
        "members": [member_content(member) for member in plan.members],
        "founders": list(plan.founders),
        "profiles": [{"id": profile.id, **profile.content} for profile in plan.profiles],
        "electorate": list(plan.electorate),
        "quorum": plan.quorum,
        "parameters": {name: getattr(plan.parameters, name) for name in _PARAMETERS},
        "replacement_delay_s": plan.replacement_delay_s,
        "ledger": {
            "chain_id": file.chain_id,
            "salt": "0x" + file.salt.hex(),
            "consortium": file.consortium,
            "directory": file.directory,
            "certificate_registry": file.certificate_registry,
            "identity_registry": file.identity_registry,
            "trust_list": file.trust_list,
            "code_hashes": {name: "0x" + value.hex() for name, value in sorted(file.code_hashes.items())},
            "libraries": dict(sorted(deployment.libraries.items())),
            "founding_block": file.founding_block,
        },
    }
    store_json(path, content)


def load_founding(path: Path, endpoints: tuple[str, ...]) -> Deployment:
    """Read the file; `endpoints` are the reader's own. Nothing of it is verified yet but its form.

    Raises `InputError` naming file and key.
    """
    reader = _Reader(str(path), load_json(path), _KEYS | {"ledger"})
    plan = FoundingPlan(
        members=tuple(
            read_member(each, f"{path}: member {number}") for number, each in enumerate(reader.items("members"), 1)
        ),
        founders=reader.addresses("founders"),
        profiles=tuple(_profile(f"{path}: profiles", each) for each in reader.items("profiles")),
        electorate=tuple(reader.integer_of(each, "electorate") for each in reader.items("electorate")),
        quorum=reader.integer("quorum"),
        parameters=read_parameters(str(path), reader.value("parameters")),
        replacement_delay_s=reader.integer("replacement_delay_s"),
    )
    ledger = _Reader(f"{path}: ledger", reader.value("ledger"), _LEDGER_KEYS)
    hashes = _Reader(f"{path}: code_hashes", ledger.value("code_hashes"), None)
    libraries = _Reader(f"{path}: libraries", ledger.value("libraries"), None)
    code_hashes = {name: hashes.bytes32(name) for name in hashes.content}
    located = {
        "CertificateRegistry": ledger.address("certificate_registry"),
        "IdentityRegistry": ledger.address("identity_registry"),
        "TrustList": ledger.address("trust_list"),
    }
    missing = [name for name in REGISTRIES if name not in code_hashes]
    if missing:
        raise InputError(f"{path}: ledger: code_hashes has no {missing[0]}: ask for the whole file")
    directory = ledger.address("directory")
    entries = tuple(DirectoryPlan(keccak(name.encode()), located[name], code_hashes[name]) for name in REGISTRIES)
    return Deployment(
        file=ConsortiumFile(
            chain_id=ledger.integer("chain_id"),
            salt=ledger.bytes32("salt"),
            consortium=ledger.address("consortium"),
            directory=directory,
            certificate_registry=located["CertificateRegistry"],
            identity_registry=located["IdentityRegistry"],
            trust_list=located["TrustList"],
            code_hashes=MappingProxyType(code_hashes),
            endpoints=endpoints,
            founding_block=ledger.integer("founding_block"),
            founding_hash=reader.bytes32("founding_hash"),
        ),
        founding=FullFounding(plan, directory, entries),
        libraries=MappingProxyType({name: libraries.address(name) for name in libraries.content}),
    )


def read_parameters(where: str, content: object) -> Parameters:
    """The consortium's parameters from JSON, all of them. Raises `InputError`."""
    reader = _Reader(f"{where}: parameters", content, frozenset(_PARAMETERS))
    return Parameters(**{name: reader.integer(name) for name in _PARAMETERS})


def _profile(where: str, content: object) -> ProfilePlan:
    reader = _Reader(where, content, frozenset({"id", *PROFILE_FIELDS}))
    values = {name: reader.value(name) for name in PROFILE_FIELDS}
    for name, value in values.items():
        wanted = str if name == "name" else bool if name in _FLAGS else int
        if type(value) is not wanted:
            raise InputError(f"{where}: {name} must be a {wanted.__name__}")
    return ProfilePlan(reader.integer("id"), values)


class _Reader:
    """One JSON object with exactly these keys (None: any); every complaint names where and which key."""

    def __init__(self, where: str, content: object, keys: frozenset[str] | None) -> None:
        if not isinstance(content, dict):
            raise InputError(f"{where} is no JSON object: ask for the right file")
        wrong = sorted(content.keys() ^ keys) if keys is not None else []
        if wrong:
            raise InputError(f"{where}: {wrong[0]} is missing or unknown: ask for the right file")
        self.content: Mapping[str, Any] = content
        self._where = where

    def value(self, key: str) -> Any:
        return self.content[key]

    def items(self, key: str) -> list[Any]:
        found = self.content[key]
        if not isinstance(found, list) or len(found) > 255:
            raise InputError(f"{self._where}: {key} must be a list of at most 255")
        return found

    def integer(self, key: str) -> int:
        return self.integer_of(self.content[key], key)

    def integer_of(self, value: object, key: str) -> int:
        if type(value) is not int or not 0 <= value <= _UINT64:
            raise InputError(f"{self._where}: {key}: {value!r} is not a whole number that fits")
        return value

    def bytes32(self, key: str) -> bytes:
        found = self.content[key]
        if not isinstance(found, str) or not _BYTES32.fullmatch(found):
            raise InputError(f"{self._where}: {key} is not 0x and 64 lower-case hexadecimal digits")
        return bytes.fromhex(found[2:])

    def address(self, key: str) -> Address:
        (found,) = read_addresses({key: [self.content[key]]}, key, self._where)
        return found

    def addresses(self, key: str) -> tuple[Address, ...]:
        return read_addresses(self.content, key, self._where)
