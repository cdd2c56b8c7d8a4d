"""Whether a gateway takes a submission: form, limits, rights, time left and signature; never the certificates.

What is taken here can still be refused by the contract, entry by entry or whole; what is refused here would be refused
there, only later. Steps in the order in which they cost more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pki_chain.chain.typed_data import TypedTexts, batch_digest, recover
from pki_chain.errors import InputError
from pki_chain.gateway.problems import RejectedError
from pki_chain.gateway.strict_json import MAX_INTEGER, MAX_SIGNATURE_BYTES, JsonObject
from pki_chain.index.queries import ReadModel
from pki_chain.index.records import LotRecord
from pki_chain.ports import Address, MemberState, Role, Submission

MAX_ENTRIES: Final = 200
LEAST_TIME_LEFT_S: Final = 60
"""A submission that is acknowledged must still be able to reach a block."""

LONGEST_DEADLINE_S: Final = 7 * 86_400 + 300
MAX_TRANSACTION_BYTES: Final = 128 * 1024
_ENVELOPE_BYTES: Final = 1_024
"""RLP, selector, submission, heads of the arrays, and an account's signature, rounded up."""

FIELDS: Final = ("station", "profile", "lot", "nonce", "deadline", "certificates", "signature")


@dataclass(frozen=True, slots=True)
class SubmissionEnvelope:
    """A submission as posted; `digest` is the batch digest."""

    submission: Submission
    certificates: tuple[bytes, ...]
    signature: bytes
    digest: bytes


def read_envelope(fields: JsonObject) -> SubmissionEnvelope:
    """The envelope's form. Raises `EnvelopeError`, `RejectedError` (batch-too-large)."""
    fields.require_fields(FIELDS)
    submission = Submission(
        station=fields.address("station"),
        profile=fields.integer("profile", 0xFFFF),
        lot=fields.integer("lot", (1 << 40) - 1),
        nonce=fields.uint256("nonce"),
        deadline=fields.integer("deadline", MAX_INTEGER),
    )
    certificates = fields.base64_items("certificates", MAX_ENTRIES, 1, code="batch-size")
    signature = fields.octets("signature", longest=MAX_SIGNATURE_BYTES)
    size = _ENVELOPE_BYTES + len(signature) + sum(64 + (len(der) + 31) // 32 * 32 for der in certificates)
    if size > MAX_TRANSACTION_BYTES:
        raise RejectedError(
            413,
            "batch-too-large",
            f"The certificates make a transaction of about {size} bytes, and the ledger takes {MAX_TRANSACTION_BYTES}."
            " Split the batch.",
        )
    return SubmissionEnvelope(submission, certificates, signature, batch_digest(certificates))


class EnvelopeJudge:
    """Judges an envelope by the read model. `has_code` tells whether an account is a contract (ERC-1271), and
    `simulate` runs the submission on the ledger; both raise `LedgerUnavailableError`."""

    def __init__(
        self,
        read_model: ReadModel,
        texts: TypedTexts,
        has_code: Callable[[Address], bool],
        simulate: Callable[[SubmissionEnvelope], None],
    ) -> None:
        self._read_model = read_model
        self._texts = texts
        self._has_code = has_code
        self._simulate = simulate

    def judge(self, envelope: SubmissionEnvelope, now: int) -> None:
        """Raises `RejectedError` with the first thing that is wrong. The read model must be fresh."""
        submission = envelope.submission
        self._check_profile(submission)
        lot = self._check_lot(submission)
        self._check_station(submission, lot)
        _check_deadline(submission, now, self._read_model.head().time)
        self._check_nonce(envelope)
        self._check_signature(envelope)

    def is_known(self, envelope: SubmissionEnvelope) -> bool:
        """Whether the ledger has this very submission: same station, nonce and certificates."""
        submission = envelope.submission
        known = self._read_model.submission_of_nonce(submission.station, submission.nonce)
        return known is not None and known.digest == envelope.digest

    def _check_profile(self, submission: Submission) -> None:
        profile = self._read_model.profile(submission.profile)
        if profile is None or not profile["active"]:
            raise RejectedError(
                422,
                "unknown-profile",
                f"Profile {submission.profile} is not one of the consortium's active profiles. Use the lot's profile.",
            )

    def _check_lot(self, submission: Submission) -> LotRecord:
        lot = self._read_model.lot(submission.lot)
        if lot is None:
            raise RejectedError(
                422, "unknown-lot", f"There is no lot {submission.lot}. Open it, or correct its number."
            )
        if not lot.is_open(self._read_model.head().time):
            raise RejectedError(409, "lot-closed", f"Lot {lot.id} takes no certificates any more. Open another.")
        if lot.terms.profile != submission.profile:
            raise RejectedError(
                422,
                "lot-profile",
                f"Lot {lot.id} takes profile {lot.terms.profile}, not {submission.profile}. Use the lot's profile.",
            )
        return lot

    def _check_station(self, submission: Submission, lot: LotRecord) -> None:
        account = self._read_model.account(submission.station)
        if account is None or account.role != Role.STATION:
            raise RejectedError(
                403, "unknown-station", f"{submission.station} is no station of a member. Have its member add it."
            )
        member = self._read_model.member(account.member)
        if not account.active or member is None or member.state != MemberState.ACTIVE:
            raise RejectedError(
                403,
                "station-suspended",
                f"Station {account.address} or its member is suspended. Ask its administrator.",
            )
        if account.address.lower() not in {station.lower() for station in lot.terms.stations}:
            raise RejectedError(
                403,
                "station-not-in-lot",
                f"Lot {lot.id} does not name station {account.address}. Open a lot for it, or use the lot's station.",
            )

    def _check_nonce(self, envelope: SubmissionEnvelope) -> None:
        submission = envelope.submission
        known = self._read_model.submission_of_nonce(submission.station, submission.nonce)
        if known is not None and known.digest != envelope.digest:
            raise RejectedError(
                409,
                "nonce-used",
                f"Station {submission.station} has used nonce {submission.nonce} for other certificates."
                " Choose a fresh nonce and sign again.",
            )

    def _check_signature(self, envelope: SubmissionEnvelope) -> None:
        submission = envelope.submission
        typed = self._texts.submission(submission, envelope.digest)
        try:
            signer = recover(typed, envelope.signature)
        except InputError:
            signer = None
        if signer is not None and signer.lower() == submission.station.lower():
            return
        if self._has_code(submission.station):
            self._simulate(envelope)  # a contract account says itself whether it signed
            return
        raise RejectedError(
            403,
            "bad-signature",
            f"The signature is not one by {submission.station} over this submission on this consortium's ledger."
            " Check chain id, registry, salt and every field, and sign again.",
        )


def _check_deadline(submission: Submission, now: int, block_time: int) -> None:
    left = submission.deadline - max(now, block_time)
    if left < 0:
        raise RejectedError(
            422, "deadline-passed", f"The deadline {submission.deadline} has passed. Sign again with a later one."
        )
    if left < LEAST_TIME_LEFT_S:
        raise RejectedError(
            422,
            "deadline-too-near",
            f"Only {left} s are left until the deadline, and {LEAST_TIME_LEFT_S} s are needed. Sign with a later one.",
        )
    if left > LONGEST_DEADLINE_S:
        raise RejectedError(
            422,
            "deadline-too-far",
            f"The deadline is {left} s away, and at most {LONGEST_DEADLINE_S} s are taken. Sign with an earlier one.",
        )
