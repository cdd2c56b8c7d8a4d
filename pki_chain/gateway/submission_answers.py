"""What became of a submission: how far it has come, and the outcome and reason of each entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from eth_hash.auto import keccak

from pki_chain.gateway.inbox import Inbox, InboxState, StoredSubmission
from pki_chain.index.queries import ReadModel
from pki_chain.index.records import BatchRecord, CertificateRecord, EndorsementRecord, EntryRecord
from pki_chain.ports import Status, Submission
from pki_chain.status.certificate_status import derive_status
from pki_chain.x509.reasons import Reason

_UNDECIDED: Final = {"stored", "sent", "submitted"}


class SubmissionAnswers:
    """Puts the inbox and the read model together. The ledger wins over what the inbox remembers."""

    def __init__(self, read_model: ReadModel, inbox: Inbox) -> None:
        self._read_model = read_model
        self._inbox = inbox

    def answer(self, digest: bytes, block_time: int) -> dict[str, Any] | None:
        """Fields of the answer about the latest submission of these certificates; None for an unknown digest."""
        stored = self._inbox.submission(digest)
        batch = self._read_model.submission(digest)
        if batch is not None and (stored is None or not self._is_newer(stored, batch)):
            return self._on_ledger(batch, stored, block_time)
        return None if stored is None else _in_inbox(stored)

    def _is_newer(self, stored: StoredSubmission, batch: BatchRecord) -> bool:
        """Whether this gateway holds a later attempt under another nonce that is still on its way."""
        same = stored.submission.nonce == batch.submission.nonce
        return not same and stored.state not in {InboxState.DONE, InboxState.FAILED}

    def _on_ledger(self, batch: BatchRecord, stored: StoredSubmission | None, block_time: int) -> dict[str, Any]:
        endorsements = self._read_model.endorsements(batch.id)
        certificates = {record.id: record for record in self._read_model.certificates_of(batch.id)}
        hashes = [] if stored is None else [sha256(der).hexdigest() for der in stored.certificates]
        listed = self._read_model.entries(batch.id)
        seen = self._seen(batch, listed, block_time)
        entries = [
            seen[entry.entry]
            if entry.entry in seen
            else _refused(entry, hashes)
            if entry.certificate is None
            else _judged(
                entry, _state(entry.entry, certificates.get(entry.certificate), batch, block_time), endorsements
            )
            for entry in listed
        ]
        is_open = any(entry["state"] in _UNDECIDED for entry in entries)
        return {
            **_header(batch.digest, batch.submission, batch.count),
            "state": "on_ledger" if is_open else "settled",
            "received_at": None if stored is None else stored.received_at,
            "failure": None,
            "transaction": "0x" + batch.transaction_hash.hex(),
            "batch": batch.id,
            "submitted_at": batch.submitted_at,
            "window_end": batch.window_end,
            "settled_at": batch.settled_at or None,
            "electorate": batch.electorate,
            "k": batch.k,
            "n": batch.n,
            "endorsements": [
                {"member": each.member, "endorser": each.endorser, "endorsed_at": each.endorsed_at}
                for each in endorsements
            ],
            "entries": entries,
        }

    def _seen(self, batch: BatchRecord, listed: Sequence[EntryRecord], block_time: int) -> dict[int, dict[str, Any]]:
        """Entries refused as seen that an earlier batch of the same bytes was taken in with: as the certificate stands.

        Source: docs/decisions/0003.
        """
        refused = [entry for entry in listed if entry.refused == Reason.ALREADY_SEEN]
        taken = self._read_model.taken_under(batch.digest) if refused else {}
        found = {}
        for entry in refused:
            record = self._read_model.certificate_by_id(taken[entry.entry]) if entry.entry in taken else None
            if record is None or keccak(record.der) != entry.entry_hash:
                continue  # never taken, or by now with another signature: those are other bytes
            state = derive_status(record.facts, block_time).state.name.lower()
            verdicts = _verdicts(self._read_model.endorsements(record.facts.batch), record.facts.entry)
            found[entry.entry] = _outcome(entry.entry, record.sha256, record.id, state, verdicts)
        return found


def _header(digest: bytes, submission: Submission, count: int) -> dict[str, Any]:
    return {
        "digest": "0x" + digest.hex(),
        "station": submission.station,
        "profile": submission.profile,
        "lot": submission.lot,
        "nonce": str(submission.nonce),
        "deadline": submission.deadline,
        "count": count,
    }


def shown_state(state: InboxState) -> str:
    """As the asker sees it: until the read model has the batch, one that is in a block is still on its way."""
    return "sent" if state is InboxState.DONE else state.value


def _in_inbox(stored: StoredSubmission) -> dict[str, Any]:
    failed = stored.state is InboxState.FAILED
    reason = None
    if failed:
        reason = {"number": 0, "name": "batch_refused", "text": stored.failure, "remedy": "correct it and submit again"}
    return {
        **_header(stored.digest, stored.submission, len(stored.certificates)),
        "state": shown_state(stored.state),
        "received_at": stored.received_at,
        "failure": stored.failure or None,
        "transaction": None if stored.transaction_hash is None else "0x" + stored.transaction_hash.hex(),
        "batch": None,
        "submitted_at": None,
        "window_end": None,
        "settled_at": None,
        "electorate": None,
        "k": None,
        "n": None,
        "endorsements": [],
        "entries": [
            {
                "entry": index,
                "sha256": sha256(der).hexdigest(),
                "certificate": None,
                "state": "refused" if failed else "stored",
                "reason": reason,
                "verdicts": [],
            }
            for index, der in enumerate(stored.certificates)
        ],
    }


def _refused(entry: EntryRecord, hashes: Sequence[str]) -> dict[str, Any]:
    """An entry without a slot; its SHA-256 is known where this gateway took the submission in."""
    return {
        "entry": entry.entry,
        "sha256": hashes[entry.entry] if entry.entry < len(hashes) else None,
        "certificate": None,
        "state": "refused",
        "reason": reason_content(entry.refused or 0),
        "verdicts": [],
    }


def _judged(entry: EntryRecord, state: str, endorsements: Sequence[EndorsementRecord]) -> dict[str, Any]:
    verdicts = _verdicts(endorsements, entry.entry)
    return _outcome(entry.entry, entry.sha256, entry.certificate or b"", state, verdicts)


def _outcome(
    index: int, sha256_: bytes | None, certificate: bytes, state: str, verdicts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "entry": index,
        "sha256": None if sha256_ is None else sha256_.hex(),
        "certificate": "0x" + certificate.hex(),
        "state": state,
        "reason": _reason(verdicts) if state in {"rejected", "lapsed"} else None,
        "verdicts": verdicts,
    }


def _verdicts(endorsements: Sequence[EndorsementRecord], index: int) -> list[Mapping[str, Any]]:
    return [verdict for each in endorsements if (verdict := _verdict(each, index))]


def _state(index: int, certificate: CertificateRecord | None, batch: BatchRecord, block_time: int) -> str:
    """The certificate's state; where a later batch took it over, what became of it in this one."""
    if certificate is not None:
        return derive_status(certificate.facts, block_time).state.name.lower()
    if batch.rejected >> index & 1:
        return Status.REJECTED.name.lower()
    return Status.LAPSED.name.lower()


def _verdict(endorsement: EndorsementRecord, index: int) -> Mapping[str, Any] | None:
    """A member's word on an entry that it did not accept."""
    if endorsement.accepts >> index & 1:
        return None
    number = endorsement.reasons.get(index, 0)
    verdict = "abstained" if endorsement.abstains >> index & 1 else "rejected"
    return {"member": endorsement.member, "verdict": verdict, "reason": reason_content(number)}


def _reason(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The reason that most members gave, the lowest number where they are even."""
    numbers = [verdict["reason"]["number"] for verdict in verdicts]
    if not numbers:
        return None
    return reason_content(min(set(numbers), key=lambda number: (-numbers.count(number), number)))


def reason_content(number: int) -> dict[str, Any]:
    """A numbered reason with its name, text and remedy; numbers that this version does not know keep their number."""
    try:
        reason = Reason(number)
    except ValueError:
        return {
            "number": number,
            "name": "unknown",
            "text": "a reason that this version does not know",
            "remedy": "install the version in use",
        }
    return {"number": number, "name": reason.label, "text": reason.text, "remedy": reason.remedy}
