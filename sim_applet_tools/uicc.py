"""What any SIM tells of itself: ICCID, applications, EID. Nothing here needs a PIN."""

from __future__ import annotations

from dataclasses import dataclass

from sim_applet_tools.apdu import MAX_SHORT_LE, CommandApdu
from sim_applet_tools.errors import CardResponseError
from sim_applet_tools.status_words import OK
from sim_applet_tools.tlv import MalformedTlvError, optional_value, parse_strict
from sim_applet_tools.transport.base import Transport, exchange

ECASD = bytes.fromhex("A0000005591010FFFFFFFF8900000200")
"""AID of the eUICC's controlling authority domain, which holds the EID. Source: SGP.02 §2.2.3, SGP.22 §2.4.3."""
MAX_RECORDS = 32


@dataclass(frozen=True, slots=True)
class Application:
    """An entry of EF.DIR."""

    application_id: bytes
    label: str


def read_iccid(transport: Transport) -> str | None:
    """The ICCID's digits, or None where the card has no such file. Source: ETSI TS 102 221 §13.2."""
    if not _select_file(transport, 0x2FE2):
        return None
    answer = exchange(transport, CommandApdu(0x00, 0xB0, 0x00, 0x00, le=10))
    if answer.status_word != OK:
        return None
    digits = "".join(f"{byte & 0x0F:X}{byte >> 4:X}" for byte in answer.data).rstrip("F")
    if not digits.isdigit():
        raise CardResponseError(f"the card's ICCID holds other than digits: {answer.data.hex()}")
    return digits


def read_applications(transport: Transport) -> list[Application]:
    """The applications that EF.DIR lists; empty where there is none. Source: ETSI TS 102 221 §13.1."""
    if not _select_file(transport, 0x2F00):
        return []
    found = []
    for number in range(1, MAX_RECORDS + 1):
        answer = exchange(transport, CommandApdu(0x00, 0xB2, number, 0x04, le=MAX_SHORT_LE))
        if answer.status_word != OK:
            break
        entry = _application(answer.data)
        if entry is not None:
            found.append(entry)
    return found


def read_eid(transport: Transport) -> str | None:
    """The EID's 32 digits where the card is an eUICC, else None. Source: SGP.22 §5.7.20 (ES10c), SGP.02 §4.1.1.1."""
    selected = exchange(transport, CommandApdu(0x00, 0xA4, 0x04, 0x00, ECASD, MAX_SHORT_LE))
    if selected.status_word != OK:
        return None
    answer = exchange(transport, CommandApdu(0x00, 0xCA, 0x00, 0x5A, le=MAX_SHORT_LE))
    if answer.status_word != OK:
        return None
    try:
        value = optional_value(parse_strict(answer.data), 0x5A) or b""
    except MalformedTlvError:
        value = b""
    if not is_eid(value.hex()):
        raise CardResponseError(f"the card's EID is malformed: {answer.data.hex()}")
    return value.hex()


def is_eid(digits: str) -> bool:
    """32 digits, and as a number 1 modulo 97. Source: SGP.29 §2."""
    return len(digits) == 32 and digits.isascii() and digits.isdigit() and int(digits) % 97 == 1


def _select_file(transport: Transport, identifier: int) -> bool:
    for wanted in (0x3F00, identifier):
        data = wanted.to_bytes(2, "big")
        if exchange(transport, CommandApdu(0x00, 0xA4, 0x00, 0x0C, data)).status_word != OK:
            return False
    return True


def _application(record: bytes) -> Application | None:
    """An entry, or None for an empty record (all FF)."""
    if not record.strip(b"\xff"):
        return None
    try:
        template = optional_value(parse_strict(record.rstrip(b"\xff")), 0x61)
        objects = parse_strict(template or b"")
    except MalformedTlvError as error:
        raise CardResponseError(f"an entry of the card's EF.DIR is malformed: {error}") from error
    application_id = optional_value(objects, 0x4F)
    if application_id is None:
        return None
    label = (optional_value(objects, 0x50) or b"").decode("ascii", errors="replace")
    return Application(application_id, "".join(c if c.isprintable() else "?" for c in label))
