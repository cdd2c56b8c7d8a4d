"""The folder of one batch, and the run over a stack of cards.

Beside `BATCH.json` stands `BATCH.cards/`, mode 0700, always there, so that a second run takes up the first:

- `journal.jsonl`: which card has which identity and how far it is; holds ICCIDs, so keep it private
- `pin-letters.jsonl`: transport PIN and PUK of each card; print, then destroy
- `registrations.jsonl`: for the operator, without ICCID, EID or PIN (docs/identity.md)
- `cards.jsonl`: identity, ICCID, EID, device key: for the operator's subscriber base, not for the ledger
- `attestations.jsonl`: the personaliser's signature over each attested key
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from sim_applet_tools.access_rules import AccessRule
from sim_applet_tools.errors import InputError, StorageError
from sim_applet_tools.iot_safe.commands import ObjectName
from sim_applet_tools.iot_safe.pin import APPROVAL_KEY
from sim_applet_tools.iot_safe.signature_check import SeenInMemory, SeenNonces
from sim_applet_tools.personalise.attestation import Attester
from sim_applet_tools.personalise.batch import Batch
from sim_applet_tools.personalise.card_steps import CardReport, CardSteps, Outcome
from sim_applet_tools.personalise.durable_lines import replace_file
from sim_applet_tools.personalise.journal import CardRecord, Journal
from sim_applet_tools.personalise.letters import PinLetters
from sim_applet_tools.personalise.possession import base64url
from sim_applet_tools.profiles import CardProfile, load_profile, profile_names
from sim_applet_tools.transport.base import Transport

REGISTRATIONS_FORMAT = "tally-identity-registrations/1"


class Workplace:
    """Context manager over the folder of one batch; the files for others are written at its end."""

    def __init__(self, folder: Path, batch: Batch) -> None:
        self.folder = folder
        self.batch = batch
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
        self.journal = Journal(folder / "journal.jsonl", batch)
        try:
            self.letters = PinLetters(folder / "pin-letters.jsonl")
        except BaseException:
            self.journal.close()
            raise

    def __enter__(self) -> Workplace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.write_results()
        finally:
            self.letters.close()
            self.journal.close()

    def steps(
        self,
        profiles: Sequence[CardProfile] | None = None,
        application_ids: Sequence[bytes] = (),
        *,
        container: ObjectName = APPROVAL_KEY,
        with_device_key: bool = False,
        attester: Attester | None = None,
        access_rule: AccessRule | None = None,
        seen: SeenNonces | None = None,
    ) -> CardSteps:
        return CardSteps(
            self.batch,
            self.journal,
            self.letters,
            profiles or [load_profile(name) for name in profile_names()],
            application_ids,
            container=container,
            with_device_key=with_device_key,
            attester=attester,
            access_rule=access_rule,
            seen=seen or SeenInMemory(),
        )

    def set_aside(self, iccid: str, reason: str) -> CardRecord:
        """Give up a card that is not finished and will not come back; its identity is spent."""
        record = self.journal.record(iccid)
        if record is None or not record.is_open:
            raise InputError(f"no card {iccid} of this batch is half done: see `journal.jsonl` in {self.folder}")
        return self.journal.note(record, set_aside=reason)

    def write_results(self) -> None:
        """Write the files for the operator from the journal, each whole or not at all."""
        finished = [record for record in self.journal if record.is_finished]
        header = {"format": REGISTRATIONS_FORMAT, "operator": self.batch.operator, "registry": self.batch.registry}
        self._write("registrations.jsonl", [header, *(_registration(record) for record in finished)])
        self._write("cards.jsonl", [_private_entry(record) for record in finished])
        attested = [record for record in finished if record.attestation]
        if attested:
            lines = [{"identity": _hex(record.identity), "attestation": record.attestation} for record in attested]
            self._write("attestations.jsonl", lines)

    def _write(self, name: str, lines: Iterable[Mapping[str, object]]) -> None:
        content = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        replace_file(self.folder / name, content.encode())


def folder_of(batch_file: Path) -> Path:
    """Where the work on a batch file is kept."""
    return batch_file.with_name(batch_file.name.removesuffix(".json") + ".cards")


def personalise(steps: CardSteps, cards: Iterable[Transport]) -> Iterator[CardReport]:
    """A report a card, in the order in which they come; ends with the cards, or once every identity is used up."""
    for transport in cards:
        report = steps.take(transport)
        yield replace(report, detail=f"{transport.name}: {report.detail}")
        if not steps.journal.identities_left and not any(record.is_open for record in steps.journal):
            return


def _registration(record: CardRecord) -> dict[str, object]:
    return {
        "identity": _hex(record.identity),
        "key": _jwk(record.key),
        "proof": record.proof,
        "attestation": "personaliser" if record.attestation else "none",
        "card_enforced": record.is_card_enforced,
        "emulator": record.is_emulator,
    }


def _private_entry(record: CardRecord) -> dict[str, object]:
    return {
        "identity": _hex(record.identity),
        "iccid": record.iccid,
        "eid": record.eid or None,
        "device_key": _jwk(record.device_key) if record.device_key else None,
        "access_rule": record.access_rule or None,
    }


def _jwk(point: bytes) -> dict[str, str]:
    """Source: RFC 7518 §6.2.1."""
    return {"kty": "EC", "crv": "P-256", "x": base64url(point[:32]), "y": base64url(point[32:])}


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


__all__ = ["CardReport", "Outcome", "Workplace", "folder_of", "personalise"]
