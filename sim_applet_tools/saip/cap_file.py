"""CAP files, what a Java Card converter makes of the applet, and the load block in them.

Source: Java Card Virtual Machine Specification 3.0.5 §4.1.3, §6; GlobalPlatform Card Specification 2.3 §11.6.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sim_applet_tools.errors import InputError, StorageError

MAX_CAP_BYTES = 1 << 20
MAGIC = bytes.fromhex("DECAFFED")
LOADED = (
    "Header",
    "Directory",
    "Import",
    "Applet",
    "Class",
    "Method",
    "StaticField",
    "Export",
    "ConstantPool",
    "RefLocation",
)
"""Components that go to a card, in their order; Descriptor and Debug stay off it."""
TAGS = {"Header": 1, "Directory": 2, "Import": 4, "Applet": 3, "Class": 6, "Method": 7}
TAGS |= {"StaticField": 8, "Export": 10, "ConstantPool": 5, "RefLocation": 9}
REQUIRED = frozenset(LOADED) - {"Export"}


@dataclass(frozen=True, slots=True)
class CapFile:
    """What a card needs of a CAP file."""

    package_id: bytes
    applet_ids: tuple[bytes, ...]
    load_block: bytes


def load_cap(path: Path) -> CapFile:
    """Read a CAP file from disk."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CAP_BYTES + 1)
    except OSError as error:
        raise StorageError(f"cannot read the CAP file {path}: {error.strerror}") from error
    return parse_cap(raw, str(path))


def parse_cap(raw: bytes, name: str) -> CapFile:
    """An `InputError` for what is no CAP file of one package with at least one applet."""
    components = _components(raw, name)
    return CapFile(
        package_id=_package_id(components["Header"], name),
        applet_ids=_applet_ids(components["Applet"], name),
        load_block=b"".join(components[part] for part in LOADED if part in components),
    )


def _components(raw: bytes, name: str) -> dict[str, bytes]:
    if len(raw) > MAX_CAP_BYTES:
        raise _refused(name, f"is longer than {MAX_CAP_BYTES} bytes")
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for entry in archive.infolist():
                part = entry.filename.rsplit("/", 1)[-1].removesuffix(".cap")
                if not entry.filename.endswith(".cap") or part not in LOADED:
                    continue
                if part in found or entry.file_size > MAX_CAP_BYTES:
                    raise _refused(name, f"has {part} twice, or too long")
                found[part] = archive.read(entry)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _refused(name, f"does not open: {error}") from error
    missing = REQUIRED - found.keys()
    if missing:
        raise _refused(name, f"lacks {', '.join(sorted(missing))}")
    for part, content in found.items():
        if content[:1] != bytes((TAGS[part],)) or content[1:3] != (len(content) - 3).to_bytes(2, "big"):
            raise _refused(name, f"has a malformed {part}")
    return found


def _package_id(header: bytes, name: str) -> bytes:
    """u4 magic, u1 minor, u1 major, u1 flags, then u1 minor, u1 major, u1 length, AID. Source: JCVM §6.4."""
    package = _aid(header, 12)
    if header[3:7] != MAGIC or package is None:
        raise _refused(name, "has a malformed Header")
    return package


def _applet_ids(component: bytes, name: str) -> tuple[bytes, ...]:
    """u1 count, then u1 length, AID, u2 offset each. Source: JCVM §6.6."""
    found, offset = [], 4
    for _ in range(component[3] if len(component) > 3 else 0):
        application_id = _aid(component, offset)
        if application_id is None:
            raise _refused(name, "has a malformed Applet component")
        found.append(application_id)
        offset += 3 + len(application_id)
    if not found or offset != len(component):
        raise _refused(name, "has no applet, or a malformed Applet component")
    return tuple(found)


def _aid(raw: bytes, offset: int) -> bytes | None:
    length = raw[offset] if offset < len(raw) else 0
    value = raw[offset + 1 : offset + 1 + length]
    return value if 5 <= length <= 16 and len(value) == length else None


def _refused(name: str, what: str) -> InputError:
    return InputError(f"the CAP file {name} {what}: make it anew with `mvn package` (docs/applet.md)")
