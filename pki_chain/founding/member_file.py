"""A member to be as a public file: what founders plan with, and what `consortium propose admit` takes.

{"kind": "vendor", "name": "Acme Cells", "spaces": ["dns:cells.acme.example"], "administrators": ["0x..."],
"duty_accounts": [], "endorsers": [], "stations": []}; no secret is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eth_utils.address import is_address, to_checksum_address

from pki_chain.chain.founding import MemberPlan
from pki_chain.errors import ConfigurationError, InputError, StorageError
from pki_chain.founding.founders import KINDS, format_space, parse_space
from pki_chain.ports import Address

MAXIMUM_FILE_BYTES: Final = 1 << 20
_ROLES: Final = ("administrators", "duty_accounts", "endorsers", "stations")


def member_content(plan: MemberPlan) -> dict[str, Any]:
    """As JSON."""
    return {
        "kind": plan.kind.name.lower().replace("_", "-"),
        "name": plan.name,
        "spaces": [format_space(space) for space in plan.spaces],
        **{role: list(getattr(plan, role)) for role in _ROLES},
    }


def read_member(content: object, where: str) -> MemberPlan:
    """From JSON. Raises `InputError` that names `where` and the key."""
    if not isinstance(content, dict):
        raise InputError(f"{where} is no JSON object: make it with `tally consortium prepare`")
    unknown = sorted(content.keys() - {"kind", "name", "spaces", *_ROLES})
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}: leave it out")
    name = content.get("name")
    if not isinstance(name, str) or not 1 <= len(name.encode()) <= 64:
        raise InputError(f"{where}: name must have 1 to 64 octets in UTF-8")
    kind = KINDS.get(str(content.get("kind")))
    if kind is None:
        raise InputError(f"{where}: kind {content.get('kind')!r} is not one of {', '.join(KINDS)}")
    try:
        spaces = tuple(parse_space(each) for each in _texts(content, "spaces", where))
    except ConfigurationError as error:
        raise InputError(f"{where}: {error.message}") from error
    administrators, duty, endorsers, stations = (read_addresses(content, role, where) for role in _ROLES)
    if not administrators:
        raise InputError(f"{where}: administrators is empty: a member needs one to sign for it")
    return MemberPlan(kind, name, administrators, duty, endorsers, stations, spaces)


def load_member_plan(path: Path) -> MemberPlan:
    """Read the file. Raises `InputError`."""
    return read_member(load_json(path), str(path))


def load_json(path: Path) -> object:
    """What a JSON file of at most 1 MiB holds. Raises `InputError` naming the file."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAXIMUM_FILE_BYTES + 1)
        if len(content) > MAXIMUM_FILE_BYTES:
            raise InputError(f"{path} is longer than {MAXIMUM_FILE_BYTES} bytes: give the right file")
        return json.loads(content.decode("utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}: give the right path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}: give the right file") from error


def store_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a public file anew. Raises `StorageError`, also when it exists."""
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except FileExistsError as error:
        raise StorageError(f"{path} exists already: move it away, or choose another name") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}: free space or choose another place") from error


def read_addresses(content: Mapping[str, Any], key: str, where: str) -> tuple[Address, ...]:
    """A list of accounts, in EIP-55 whatever their case. Raises `InputError`."""
    found = _texts(content, key, where)
    wrong = [each for each in found if not is_address(each)]
    if wrong:
        raise InputError(f"{where}: {key}: {wrong[0]!r} is not an address of 0x and 40 hexadecimal digits")
    return tuple(Address(to_checksum_address(each)) for each in found)


def _texts(content: Mapping[str, Any], key: str, where: str) -> list[str]:
    found = content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InputError(f"{where}: {key} must be a list of strings")
    return found
