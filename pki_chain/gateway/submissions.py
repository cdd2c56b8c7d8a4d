"""`/v1/submissions`: taking signed batches in, and telling what became of them."""

from __future__ import annotations

import re
from typing import Final

from flask import Blueprint, Response

from pki_chain.errors import NotFoundError
from pki_chain.gateway.answers import client, json_answer, limit_writes, posted_object
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.gateway.services import services
from pki_chain.gateway.submission_answers import shown_state
from pki_chain.gateway.submission_envelope import read_envelope

submissions = Blueprint("submissions", __name__)

_DIGEST: Final = re.compile(r"(?:0x)?([0-9a-f]{64})")


@submissions.post("/v1/submissions")
def submit() -> Response:
    """202 once the submission is on disk; the same again gives the same answer."""
    limit_writes()
    parts = services()
    envelope = read_envelope(posted_object())
    now = int(parts.freshness.now())
    stored = parts.inbox.submission(envelope.digest, envelope.submission)
    if stored is None or stored.signature != envelope.signature:
        with parts.read_model.snapshot():
            parts.freshness.moment()
            if not parts.judge.is_known(envelope):
                parts.judge.judge(envelope, now)
                stored = parts.inbox.put_submission(
                    envelope.digest, envelope.submission, envelope.certificates, envelope.signature, now
                )
    digest = "0x" + envelope.digest.hex()
    parts.audit.record(
        "submission",
        client(),
        "acknowledged",
        digest=digest,
        station=envelope.submission.station,
        lot=envelope.submission.lot,
        count=len(envelope.certificates),
    )
    content = {
        "digest": digest,
        "count": len(envelope.certificates),
        "state": "on_ledger" if stored is None else shown_state(stored.state),
    }
    response = json_answer(content, 202)
    response.headers["Location"] = f"/v1/submissions/{digest}"
    return response


@submissions.get("/v1/submissions/<digest>")
def submission(digest: str) -> Response:
    """Outcome and reason of each entry."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise EnvelopeError(
            400, "bad-digest", "A submission is named by its batch digest: 0x and 64 hexadecimal digits."
        )
    parts = services()
    with parts.read_model.snapshot():
        moment = parts.freshness.moment()
        content = parts.submission_answers.answer(bytes.fromhex(match[1]), moment.block.time)
    if content is None:
        raise NotFoundError(
            f"Neither this gateway nor the ledger has a submission {digest}. Post it, or ask the gateway that took it."
        )
    return json_answer({**content, **moment.content()})
