"""The contracts' ABI, from the artifacts built into this package: encode calls, decode results, events and errors.

eth_abi does the encoding; this module only finds the types by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_hash.auto import keccak

from pki_chain.errors import InputError, LedgerUnavailableError

_PANIC = "Panic(uint256)"
_ERROR = "Error(string)"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function, event or error: its name, its ABI type (tuples written out), its Solidity fields."""

    name: str
    type: str
    indexed: bool
    components: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event or error of a contract."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(each.type for each in self.inputs)})"


@dataclass(frozen=True, slots=True)
class Interface:
    """Functions by name, events by topic, errors by selector, of one contract."""

    name: str
    functions: Mapping[str, Entry]
    events: Mapping[bytes, Entry]
    errors: Mapping[bytes, Entry]

    def encode(self, function: str, arguments: Sequence[Any]) -> bytes:
        """Call data of a function. Raises `InputError` for an argument that does not fit its type."""
        entry = self.functions[function]
        types = [each.type for each in entry.inputs]
        return keccak(entry.signature.encode())[:4] + encode_values(types, arguments, what=function)

    def decode(self, function: str, data: bytes) -> tuple[Any, ...]:
        """What a function returned. Raises `LedgerUnavailableError` when the bytes are not that."""
        entry = self.functions[function]
        try:
            return decode([each.type for each in entry.outputs], data)
        except DecodingError as error:
            raise LedgerUnavailableError(
                f"{self.name}.{function} answered what its interface does not allow. Check the consortium's file."
            ) from error


def encode_values(types: Sequence[str], values: Sequence[Any], *, what: str) -> bytes:
    """`abi.encode` of values. Raises `InputError` naming `what` for a value that does not fit its type."""
    try:
        return encode(types, values)
    except (EncodingError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{what}: a value is missing or out of range. Give each field a value of its type.", detail=str(error)
        ) from error


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract as built: ABI, creation code with blanks for libraries, and where the blanks are.

    `links` maps a library's name to the places (byte offsets) of its 20-byte address.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    links: Mapping[str, tuple[int, ...]]


def _artifacts() -> Traversable:
    return resources.files("pki_chain.chain").joinpath("artifacts")


@cache
def load_artifact(contract: str) -> Artifact:
    """The built contract of this name."""
    source = _artifacts().joinpath(f"{contract}.json")
    content = json.loads(source.read_text(encoding="utf-8"))
    links = {
        library: tuple(place["start"] for place in places)
        for file in content["linkReferences"].values()
        for library, places in file.items()
    }
    return Artifact(contract, content["abi"], content["bytecode"].removeprefix("0x"), links)


@cache
def load_interface(contract: str) -> Interface:
    """The interface of a contract of this name."""
    functions, events, errors = {}, {}, {}
    for item in load_artifact(contract).abi:
        if item["type"] not in {"function", "event", "error"}:
            continue
        entry = Entry(item["name"], _parameters(item["inputs"]), _parameters(item.get("outputs", [])))
        digest = keccak(entry.signature.encode())
        if item["type"] == "function":
            functions[entry.name] = entry
        elif item["type"] == "event":
            events[digest] = entry
        else:
            errors[digest[:4]] = entry
    return Interface(contract, functions, events, errors)


def _parameters(items: Sequence[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    return tuple(_parameter(item) for item in items)


def _parameter(item: Mapping[str, Any]) -> Parameter:
    components = _parameters(item.get("components", []))
    kind = str(item["type"])
    if kind.startswith("tuple"):
        kind = f"({','.join(each.type for each in components)}){kind.removeprefix('tuple')}"
    return Parameter(item["name"], kind, bool(item.get("indexed")), components)


@cache
def _errors() -> dict[bytes, Entry]:
    names = (file.name.removesuffix(".json") for file in _artifacts().iterdir() if file.name.endswith(".json"))
    return {selector: entry for name in sorted(names) for selector, entry in load_interface(name).errors.items()}


def describe_revert(data: bytes) -> str:
    """A revert's data as text: `RegistryLotClosed(lot=3)`; the contract's text for `require`; never raises."""
    if not data:
        return "The contract refused without giving a reason."
    selector, arguments = data[:4], data[4:]
    entry = _errors().get(selector)
    try:
        if entry is not None:
            values = decode([each.type for each in entry.inputs], arguments)
            shown = (f"{each.name}={_show(value)}" for each, value in zip(entry.inputs, values, strict=True))
            return f"{entry.name}({', '.join(shown)})"
        if selector == keccak(_ERROR.encode())[:4]:
            return str(decode(["string"], arguments)[0])[:500]
        if selector == keccak(_PANIC.encode())[:4]:
            return f"Panic(code=0x{decode(['uint256'], arguments)[0]:02x})"
    except (DecodingError, UnicodeDecodeError, OverflowError):
        pass
    return f"The contract refused with an error unknown here: 0x{data[:36].hex()}."


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
