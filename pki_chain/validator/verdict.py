"""A validator's verdict on one batch, from the bytes alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eth_hash.auto import keccak

from pki_chain.errors import TallyError
from pki_chain.policy.context import BatchContext
from pki_chain.policy.rules import RuleBook
from pki_chain.validator.evidence import AwaitingBatch, BatchEntry, EntryEvidence
from pki_chain.x509.reasons import Reason


class BatchMismatchError(TallyError):
    """What the ledger says of a batch does not follow from its bytes. Nothing is endorsed: the batch lapses."""

    code = "batch-mismatch"
    exit_code = 65


@dataclass(frozen=True, slots=True)
class Verdict:
    """Maps of a batch's entries (bit i is entry i), the reasons for those not accepted, and the digest judged."""

    digest: bytes
    accepts: int
    abstains: int
    reasons: dict[int, Reason]


def judge_batch(
    batch: AwaitingBatch, rules: RuleBook, evidence: Callable[[BatchEntry], EntryEvidence], now: int
) -> Verdict:
    """Judge every entry that got a slot; `now` is this validator's clock, in seconds.

    1. The digest is computed from the bytes; one that differs from the ledger's is a `BatchMismatchError`.
    2. Each certificate is read, checked and judged by the rules at the submission's block time.
    3. The id that the ledger gave it must be its own, else it is rejected.
    """
    digest = _recompute_digest(batch)
    accepts = abstains = 0
    reasons: dict[int, Reason] = {}
    for entry in batch.entries:
        if entry.certificate is None:
            continue
        reason = _judge_entry(batch, entry, rules, evidence(entry), now)
        if reason is None:
            accepts |= 1 << entry.number
            continue
        reasons[entry.number] = reason
        if reason.transient:
            abstains |= 1 << entry.number
    return Verdict(digest, accepts, abstains, reasons)


def _recompute_digest(batch: AwaitingBatch) -> bytes:
    if [entry.number for entry in batch.entries] != list(range(batch.count)):
        raise BatchMismatchError(f"batch {batch.id}: the ledger showed {len(batch.entries)} of {batch.count} entries")
    present = sum(1 << entry.number for entry in batch.entries if entry.certificate is not None)
    if present != batch.present:
        raise BatchMismatchError(f"batch {batch.id}: its map of entries differs from the entries that it showed")
    hashes = [keccak(entry.der) if entry.certificate is not None else entry.entry_hash for entry in batch.entries]
    digest = keccak(b"".join(hashes))
    if digest != batch.digest:
        raise BatchMismatchError(
            f"batch {batch.id}: its bytes give digest {digest.hex()}, the ledger says {batch.digest.hex()}; "
            "not endorsed: compare the ledger's nodes and contracts"
        )
    return digest


def _judge_entry(
    batch: AwaitingBatch, entry: BatchEntry, rules: RuleBook, evidence: EntryEvidence, now: int
) -> Reason | None:
    context = BatchContext(
        block_time=batch.submitted_at,
        now=now,
        profile=batch.profile,
        organisation=batch.organisation,
        ranges=batch.ranges,
        names_in_use=evidence,
        serials_in_use=evidence,
        issuers=batch.issuers,
    )
    judgement = rules.judge(entry.der, context)
    if judgement.reason is not None:
        return judgement.reason
    if judgement.certificate is None or judgement.certificate.certificate_id != entry.certificate:
        return Reason.NOT_IN_OWN_RULES
    return None
