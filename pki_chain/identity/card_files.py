"""What comes back from cards: registration and activation files, read strictly. Format: docs/identity.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from pki_chain.errors import InputError
from pki_chain.identity.possession import Possession, parse_base64url, parse_possession, public_key
from pki_chain.ports import Attestation, CardKey

REGISTRATIONS: Final = "tally-identity-registrations/1"
ACTIVATIONS: Final = "tally-identity-activations/1"
ATTESTATIONS: Final = {
    "none": Attestation.NONE,
    "personaliser": Attestation.PERSONALISER,
    "vendor-certificate": Attestation.VENDOR_CERTIFICATE,
}
_MAX_FILE_BYTES: Final = 64 << 20
_MAX_LINES: Final = 10_001
_ID: Final = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RegistrationLine:
    """A card's key and its proof."""

    identity: bytes
    key: CardKey
    possession: Possession


@dataclass(frozen=True, slots=True)
class ActivationLine:
    """A proof by a card whose PIN its holder has changed."""

    identity: bytes
    possession: Possession


@dataclass(frozen=True, slots=True)
class Addressee:
    """For whom a file must be: the operator's number, and the registry's address."""

    operator: int
    registry: str


def load_registrations(path: Path, addressee: Addressee) -> tuple[RegistrationLine, ...]:
    """Read a registration file. Raises `InputError` that names the line."""
    return tuple(_registration(fields) for fields in _lines(path, REGISTRATIONS, addressee))


def load_activations(path: Path, addressee: Addressee) -> tuple[ActivationLine, ...]:
    """Read an activation file. Raises `InputError` that names the line."""
    return tuple(_activation(fields) for fields in _lines(path, ACTIVATIONS, addressee))


@dataclass(frozen=True, slots=True)
class _Line:
    """One line's object, each field asked for once; errors name file and line."""

    path: Path
    number: int
    content: Mapping[str, Any]

    def fail(self, what: str) -> NoReturn:
        raise InputError(f"{self.path}, line {self.number}: {what}: ask who made the file for another")

    def require(self, *names: str) -> None:
        if set(self.content) != set(names):
            different = ", ".join(sorted(set(names) ^ set(self.content)))
            self.fail(f"fields missing or unknown: {different[:200]}")

    def identity(self) -> bytes:
        value = self.content["identity"]
        if not isinstance(value, str) or not _ID.fullmatch(value):
            self.fail("identity is not 0x and 64 lower-case hexadecimal digits")
        return bytes.fromhex(value[2:])

    def boolean(self, name: str) -> bool:
        value = self.content[name]
        if not isinstance(value, bool):
            self.fail(f"{name} is neither true nor false")
        return bool(value)

    def possession(self) -> Possession:
        value = self.content["proof"]
        if not isinstance(value, str):
            self.fail("proof is no text")
        try:
            return parse_possession(value)
        except InputError as error:
            self.fail(error.message)

    def coordinates(self) -> tuple[bytes, bytes]:
        value = self.content["key"]
        if not isinstance(value, dict) or set(value) != {"kty", "crv", "x", "y"}:
            self.fail("key is no JWK with kty, crv, x and y alone")
        x, y = (parse_base64url(each) if isinstance(each, str) else None for each in (value["x"], value["y"]))
        is_p256 = (value["kty"], value["crv"]) == ("EC", "P-256")
        if not is_p256 or x is None or y is None or len(x) != 32 or len(y) != 32:
            self.fail("key is no JWK of a P-256 key with coordinates of 32 bytes")
        try:
            public_key(x, y)
        except InputError as error:
            self.fail(error.message)
        return x, y


def _registration(line: _Line) -> RegistrationLine:
    line.require("identity", "key", "proof", "attestation", "card_enforced", "emulator")
    x, y = line.coordinates()
    attestation = ATTESTATIONS.get(str(line.content["attestation"]))
    if attestation is None:
        line.fail(f"attestation is none of {', '.join(ATTESTATIONS)}")
    emulator = line.boolean("emulator")
    if emulator and attestation is not Attestation.NONE:
        line.fail("an emulator is attested, which nobody can do")
    key = CardKey(x, y, attestation, card_enforced=line.boolean("card_enforced"), emulator=emulator)
    return RegistrationLine(line.identity(), key, line.possession())


def _activation(line: _Line) -> ActivationLine:
    line.require("identity", "proof")
    return ActivationLine(line.identity(), line.possession())


def _lines(path: Path, wanted: str, addressee: Addressee) -> Iterator[_Line]:
    """The file's lines after its header, which must be of this format and for this addressee."""
    header, *lines = read_json_lines(path)
    first = _Line(path, 1, header)
    first.require("format", "operator", "registry")
    if header["format"] != wanted:
        first.fail(f"format is not {wanted}")
    if header["operator"] != addressee.operator or isinstance(header["operator"], bool):
        first.fail(f"it is for operator {header['operator']!r}, not for {addressee.operator}")
    if str(header["registry"]).lower() != addressee.registry.lower():
        first.fail("it is for another consortium's registry")
    seen: set[str] = set()
    for number, content in enumerate(lines, 2):
        named = str(content.get("identity"))
        if named in seen:
            _Line(path, number, content).fail("an identity stands there twice")
        seen.add(named)
        yield _Line(path, number, content)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file; a last line without line feed was cut off and is left out.

    Raises `InputError`, also for an empty file, a field that stands twice, or more than 10,001 lines.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    raw_lines = content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]
    if not raw_lines or len(content) > _MAX_FILE_BYTES or len(raw_lines) > _MAX_LINES:
        raise InputError(f"{path} is empty, or longer than such a file can be: give the right one")
    return [_object(path, number, raw) for number, raw in enumerate(raw_lines, 1)]


def _object(path: Path, number: int, raw: bytes) -> dict[str, Any]:
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}, line {number} is no JSON: {str(error)[:100]}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}, line {number} is no JSON object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands there twice")
    return found
