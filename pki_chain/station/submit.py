"""A station at work: certificates in, signed batches out, and nothing let go before it is final.

`Station.step` is idempotent and does what there is to do now; a process killed between any two statements goes on with
the next `step` of its successor, with the same signed bytes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedTexts, batch_digest
from pki_chain.errors import ConfigurationError, LedgerUnavailableError, NotFoundError, StorageError
from pki_chain.ports import Submission
from pki_chain.station.batch import split
from pki_chain.station.gateway_client import GatewayClient, GatewayRefusedError
from pki_chain.station.outbox import BatchState, Entry, EntryState, Outcome, SignedBatch, StationOutbox
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.verify import check_certificate

DEADLINE_S: Final = 7 * 86_400
MAXIMUM_TRIES: Final = 3
_EXPIRY_MARGIN_S: Final = 120
_FINAL_TEXTS: Final = {
    "valid": EntryState.VALID,
    "held": EntryState.VALID,
    "superseded": EntryState.VALID,
    "revoked": EntryState.VALID,
    "expired": EntryState.VALID,
    "rejected": EntryState.REJECTED,
    "refused": EntryState.REFUSED,
    "lapsed": EntryState.LAPSED,
}
"""What a gateway may say of an entry that is decided; everything that was valid once counts as accepted."""

_DEADLINE_CODES: Final = frozenset({"deadline-passed", "deadline-too-near"})
_TOO_LARGE_CODES: Final = frozenset({"batch-too-large", "body-too-large"})
_UNKNOWN_CODES: Final = frozenset({"unknown-lot", "unknown-station", "unknown-profile"})
_LAG_S: Final = 30.0
"""Refusals that may come of a gateway's read model being behind, and for how long that is believed."""

_FRESH_SIGNATURE_HELPS: Final = ("RegistryDeadlinePassed", "RegistryNonceUsed", "Send the call again")
"""Of failures of a whole submission: it waited too long, its nonce is used, or the relayer lost its own nonce."""

_CONTRACT_ERROR: Final = re.compile(r"\b(Registry|Consortium)[A-Z]")
"""A contract's own error: a smaller batch would get the same. What fails without one ran out of gas or is too large."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StationSettings:
    """How batches are sent. `copies`: to how many gateways each; `deadline_s`: how long a signature is good."""

    copies: int = 1
    deadline_s: int = DEADLINE_S
    maximum_tries: int = MAXIMUM_TRIES


class Station:
    """One station account's outbox, key and gateways; holds a lock on the outbox until `close`."""

    def __init__(
        self,
        directory: Path,
        signer: Signer,
        *,
        texts: TypedTexts,
        gateways: GatewayClient,
        settings: StationSettings = StationSettings(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises `ConfigurationError` when another process has this outbox, `StorageError`."""
        self._lock = _lock(directory)
        try:
            self._outbox = StationOutbox(directory / "outbox.sqlite", signer.address)
        except BaseException:
            os.close(self._lock)
            raise
        self._signer = signer
        self._texts = texts
        self._gateways = gateways
        self._settings = settings
        self._clock = clock
        self._first_refused: dict[int, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the outbox and let another process have it."""
        self._outbox.close()
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # also where a child that is being started has a copy of the descriptor
        os.close(self._lock)

    @property
    def outbox(self) -> StationOutbox:
        return self._outbox

    def take_in(
        self, lot: int, profile: int, certificates: Iterable[tuple[str, bytes]], rules: CertificateRules | None
    ) -> int:
        """Store certificates (source, DER) for a lot; returns how many will be sent.

        With `rules` each is checked first, and one that breaks a rule is kept with its reason and not sent.
        """
        return self._outbox.add(
            lot, profile, ((source, der, None if rules is None else _check(der, rules)) for source, der in certificates)
        )

    def step(self) -> bool:
        """Sign what waits, post what no gateway has, ask about the rest; returns whether anything is still open.

        Raises `LedgerUnavailableError` when no gateway answers, `StorageError`.
        """
        for lot, profile in self._outbox.lots_waiting():
            for entries in split(self._outbox.waiting(lot, profile)):
                self._sign(lot, profile, entries)
        for batch in self._outbox.open_batches():
            if batch.state is BatchState.SIGNED:
                self._post(batch)
            else:
                self._ask(batch)
        return bool(self._outbox.open_batches() or self._outbox.lots_waiting())

    def run(
        self,
        stop: threading.Event,
        *,
        timeout_s: float,
        poll_s: float = 0.3,
        report: Callable[[Mapping[EntryState, int]], None] = lambda _: None,
    ) -> bool:
        """Step until everything is final (True), or until `stop` is set or the time is up (False).

        Gateways that do not answer are asked again; the last such error is raised when the time is up.
        """
        end = time.monotonic() + timeout_s
        trouble: LedgerUnavailableError | None = None
        while True:
            try:
                is_open = self.step()
                trouble = None
            except LedgerUnavailableError as error:
                is_open, trouble = True, error
                log.warning("%s", error.message)
            report(self._outbox.counts())
            if not is_open:
                return True
            if stop.is_set() or time.monotonic() > end:
                break
            stop.wait(poll_s)
        if trouble is not None:
            raise trouble
        return False

    def _sign(self, lot: int, profile: int, entries: Sequence[Entry]) -> None:
        submission = Submission(
            station=self._signer.address,
            profile=profile,
            lot=lot,
            nonce=self._outbox.next_nonce(),
            deadline=int(self._clock()) + self._settings.deadline_s,
        )
        digest = batch_digest([entry.der for entry in entries])
        signature = self._signer.sign(self._texts.submission(submission, digest))
        self._outbox.store_batch(digest, submission, signature, entries)

    def _post(self, batch: SignedBatch) -> None:
        if batch.submission.deadline < self._clock():
            self._give_back(batch, "its deadline passed before a gateway took it")
            return
        try:
            acknowledged = self._gateways.submit(batch, copies=self._settings.copies)
        except GatewayRefusedError as refused:
            self._refused(batch, refused)
            return
        log.info("batch %s acknowledged by %s", batch.digest.hex(), ", ".join(acknowledged))
        self._outbox.mark_acknowledged(batch)

    def _refused(self, batch: SignedBatch, refused: GatewayRefusedError) -> None:
        code = refused.refusal.code
        if code in _DEADLINE_CODES:
            self._give_back(batch, refused.message)
            return
        if code in _TOO_LARGE_CODES and len(batch.entries) > 1:
            self._halve(batch, refused.message)
            return
        first = self._first_refused.setdefault(batch.id, self._clock())
        if code in _UNKNOWN_CODES and self._clock() - first < _LAG_S:
            return  # a gateway may not have read yet what the ledger has: the next step asks again
        outcome = Outcome(EntryState.NOT_SENT, 0, f"the gateway refused the batch: {refused.message}")
        self._outbox.settle(batch, [(entry, outcome) for entry in batch.entries], over=True)

    def _ask(self, batch: SignedBatch) -> None:
        try:
            answer = self._gateways.get(f"/v1/submissions/0x{batch.digest.hex()}")
        except NotFoundError:
            # The gateway that acknowledged is away, and this one never heard of the batch: give it the same bytes.
            self._post(batch)
            return
        if answer.get("batch") is None and answer.get("nonce") != str(batch.submission.nonce):
            self._post(batch)  # what it knows is an earlier attempt that never reached the ledger
            return
        failure = str(answer.get("failure") or "")
        if answer.get("state") == "failed" and answer.get("batch") is None:
            if any(text in failure for text in _FRESH_SIGNATURE_HELPS):
                self._give_back(batch, failure)
                return
            if len(batch.entries) > 1 and not _CONTRACT_ERROR.search(failure):
                self._halve(batch, failure)
                return
        told, _ = read_outcomes(batch, answer)
        outcomes = [(entry, outcome) for entry, each in told if (outcome := self._judge(entry, each))]
        undecided = sum(entry.state is EntryState.SENT for entry in batch.entries) - len(outcomes)
        if outcomes or undecided == 0:
            self._outbox.settle(batch, outcomes, over=undecided == 0)
        elif batch.submission.deadline + _EXPIRY_MARGIN_S < self._clock() and answer.get("batch") is None:
            self._give_back(batch, "its deadline passed before the ledger took it")

    def _judge(self, entry: Entry, outcome: Outcome) -> Outcome | None:
        """The outcome to keep; None while it is undecided after all."""
        if outcome.reason != Reason.ALREADY_SEEN or entry.tries < 2:
            return self._again_or(entry, outcome)
        # An earlier try of ours reached the ledger late: what became of it is what became of the certificate.
        state = str(self._gateways.get(f"/v1/certificates/{entry.sha256.hex()}/status").get("state"))
        if state == "submitted":
            return None
        return Outcome(EntryState.VALID) if _FINAL_TEXTS.get(state) is EntryState.VALID else outcome

    def _give_back(self, batch: SignedBatch, why: str) -> None:
        outcome = Outcome(EntryState.LAPSED, 0, why)
        settled = [(entry, self._again_or(entry, outcome)) for entry in batch.entries if entry.state is EntryState.SENT]
        self._outbox.settle(batch, settled, over=True)

    def _halve(self, batch: SignedBatch, why: str) -> None:
        """Sign the two halves instead. Killed in between, they wait together, and are halved again."""
        log.warning("batch %s of %d is sent again in halves: %s", batch.digest.hex(), len(batch.entries), why)
        self._outbox.take_back(batch)
        middle = len(batch.entries) // 2
        for half in (batch.entries[:middle], batch.entries[middle:]):
            self._sign(batch.submission.lot, batch.submission.profile, half)

    def _again_or(self, entry: Entry, outcome: Outcome) -> Outcome:
        """A lapsed entry waits for a new batch, as long as it has tries left."""
        if outcome.state is EntryState.LAPSED and entry.tries < self._settings.maximum_tries:
            return Outcome(EntryState.WAITING, outcome.reason, outcome.explanation)
        return outcome


def read_outcomes(batch: SignedBatch, answer: Mapping[str, Any]) -> tuple[list[tuple[Entry, Outcome]], bool]:
    """Outcomes of those entries that are decided, and whether all are, from `GET /v1/submissions/{digest}`.

    The same certificates may have come before under another nonce: that attempt's lapse says nothing of this one.
    Raises `LedgerUnavailableError` when the answer is not about this batch.
    """
    listed = answer.get("entries")
    if not isinstance(listed, list) or len(listed) != len(batch.entries):
        raise LedgerUnavailableError("a gateway answered about a batch with another number of entries")
    is_this_attempt = answer.get("nonce") == str(batch.submission.nonce)
    outcomes = []
    for entry, told in zip(batch.entries, listed, strict=True):
        if told.get("sha256") not in {None, entry.sha256.hex()}:
            raise LedgerUnavailableError("a gateway answered about a batch with other certificates")
        state = _FINAL_TEXTS.get(str(told.get("state")))
        if state is None or entry.state is not EntryState.SENT:
            continue
        outcome = _outcome(state, told.get("reason"))
        if outcome.state is not EntryState.LAPSED or is_this_attempt:
            outcomes.append((entry, outcome))
    undecided = sum(entry.state is EntryState.SENT for entry in batch.entries) - len(outcomes)
    return outcomes, undecided == 0


def _outcome(state: EntryState, told: object) -> Outcome:
    if state is EntryState.VALID or not isinstance(told, dict):
        return Outcome(state)
    number, text, remedy = told.get("number"), told.get("text"), told.get("remedy")
    return Outcome(state, number if isinstance(number, int) else 0, f"{text}; {remedy}")


def _check(der: bytes, rules: CertificateRules) -> Outcome | None:
    try:
        check_certificate(der, rules)
    except CertificateRefusedError as refused:
        reason = refused.reason
        return Outcome(EntryState.NOT_SENT, int(reason), f"local check: {reason.text}; {reason.remedy}")
    return None


def _lock(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot use the station's directory {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"another process uses the station's outbox in {directory}: wait for it or stop it first"
        ) from error
    return descriptor
