#!/usr/bin/env python3
"""Compile contracts/ and write ABI and bytecode into the Python package, and the list of reasons into Solidity.

Usage: build_contracts.py [--check]. With --check nothing is written: exit status 1 when a committed output differs.
The compiler's settings are those of foundry.toml, so that what is tested is what is deployed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "contracts"
ARTIFACTS = ROOT / "pki_chain" / "chain" / "artifacts"
REASONS_LIST = ROOT / "pki_chain" / "x509" / "reasons.json"
REASONS_LIBRARY = SOURCES / "x509" / "Reasons.sol"
CODE_LIMIT = 24_576
"""EIP-170, octets of runtime code."""

IMPORT = re.compile(r'^import\b[^;]*?["\']([^"\']+)["\'];', re.MULTILINE | re.DOTALL)


class BuildError(Exception):
    """The compiler refused, or a contract is too large."""


def remappings() -> dict[str, Path]:
    """Import prefixes and the folders that they stand for, from foundry.toml."""
    pairs = (entry.split("=", 1) for entry in foundry_profile()["remappings"])
    return {prefix: ROOT / folder for prefix, folder in pairs}


def foundry_profile() -> dict[str, Any]:
    """The default profile of foundry.toml."""
    profile: dict[str, Any] = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    return profile


def collect_sources() -> dict[str, str]:
    """Source text by unit name: our contracts without tests, and what they import."""
    units: dict[str, str] = {}
    waiting = [
        path.relative_to(ROOT).as_posix()
        for path in sorted(SOURCES.rglob("*.sol"))
        if "test" not in path.relative_to(SOURCES).parts
    ]
    prefixes = remappings()
    while waiting:
        name = waiting.pop()
        if name in units:
            continue
        path = next((base / name[len(p) :] for p, base in prefixes.items() if name.startswith(p)), ROOT / name)
        units[name] = path.read_text()
        waiting += [resolve_import(name, target) for target in IMPORT.findall(units[name])]
    return dict(sorted(units.items()))


def resolve_import(importer: str, target: str) -> str:
    """The unit name that an import in `importer` means: relative ones as Solidity resolves them."""
    if not target.startswith("."):
        return target
    parts = importer.split("/")[:-1]
    for step in target.split("/"):
        if step == "..":
            parts.pop()
        elif step != ".":
            parts.append(step)
    return "/".join(parts)


def compile_contracts() -> dict[str, dict[str, Any]]:
    """Artifacts by contract name. Raises BuildError on any error or warning of our own sources."""
    profile = foundry_profile()
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in collect_sources().items()},
        "settings": {
            "evmVersion": profile["evm_version"],
            "viaIR": profile["via_ir"],
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "metadata": {"bytecodeHash": profile["bytecode_hash"]},
            "outputSelection": {"*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode.object"]}},
        },
    }
    answer = subprocess.run(
        ["node", ROOT / "tools" / "solc"], input=json.dumps(request).encode(), capture_output=True, check=True, cwd=ROOT
    ).stdout
    output = json.loads(answer)
    complaints = [error["formattedMessage"] for error in output.get("errors", []) if error["severity"] != "info"]
    if complaints:
        raise BuildError("\n".join(complaints))
    return dict(deployable(output["contracts"]))


def deployable(contracts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The contracts and external libraries that have to be deployed, of our own sources."""
    linked = {
        library
        for members in contracts.values()
        for compiled in members.values()
        for libraries in compiled["evm"]["bytecode"]["linkReferences"].values()
        for library in libraries
    }
    for unit, members in sorted(contracts.items()):
        if not unit.startswith("contracts/"):
            continue
        for name, compiled in sorted(members.items()):
            has_entries = any(item["type"] in {"function", "constructor"} for item in compiled["abi"])
            bytecode = compiled["evm"]["bytecode"]
            # A library's functions over storage are in no ABI, but who links to it needs it deployed.
            if not bytecode["object"] or not (has_entries or name in linked):
                continue
            size = len(compiled["evm"]["deployedBytecode"]["object"]) // 2
            if size > CODE_LIMIT:
                raise BuildError(f"{name} has {size} octets of code, {size - CODE_LIMIT} more than EIP-170 allows")
            yield (
                name,
                {
                    "contractName": name,
                    "abi": compiled["abi"],
                    "bytecode": "0x" + bytecode["object"],
                    "linkReferences": bytecode["linkReferences"],
                },
            )


def render_reasons() -> str:
    """contracts/x509/Reasons.sol as the list of reasons makes it."""
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "pragma solidity ^0.8.30;",
        "",
        "/// @title Why an entry is refused or rejected",
        "/// @notice Generated from pki_chain/x509/reasons.json by tools/build_contracts.py; a test compares the two.",
        "library Reasons {",
        "    uint16 internal constant NONE = 0;",
    ]
    reasons = json.loads(REASONS_LIST.read_text())["reasons"]
    lines += [f"    uint16 internal constant {r['name'].upper()} = {r['number']};" for r in reasons]
    first = min(r["number"] for r in reasons if r["transient"])
    lines += [f"    uint16 internal constant FIRST_TRANSIENT = {first};", "}", ""]
    return "\n".join(lines)


def render_outputs() -> dict[Path, str]:
    """Every generated file with its content."""
    outputs = {REASONS_LIBRARY: render_reasons()}
    for name, artifact in compile_contracts().items():
        outputs[ARTIFACTS / f"{name}.json"] = json.dumps(artifact, indent=1, sort_keys=True) + "\n"
    return outputs


def main() -> int:
    """Write the outputs, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when an output differs")
    arguments = parser.parse_args()
    try:
        outputs = render_outputs()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    known = {*ARTIFACTS.glob("*.json"), REASONS_LIBRARY}
    stale = [p for p, text in outputs.items() if not p.exists() or p.read_text() != text]
    orphans = sorted(known - outputs.keys())
    if arguments.check:
        for path in [*stale, *orphans]:
            print(f"{path.relative_to(ROOT)} differs: run tools/build_contracts.py", file=sys.stderr)
        return 1 if stale or orphans else 0
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(outputs[path])
    for path in orphans:
        path.unlink()
    print(f"{len(stale)} of {len(outputs)} outputs changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
