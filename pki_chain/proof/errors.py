"""Why a proof, a header or a trust file is refused: each cause has its own code, the same in every verifier."""

from __future__ import annotations

from enum import StrEnum

from pki_chain.errors import TallyError


class Refusal(StrEnum):
    """Codes of refusal. `examples/proof-verifier` answers the same ones."""

    # The proof's form
    MALFORMED_PROOF = "malformed-proof"
    PROOF_TOO_LARGE = "proof-too-large"
    OTHER_CERTIFICATE = "other-certificate"
    OTHER_CHAIN = "other-chain"
    # The trust file
    MALFORMED_TRUST = "malformed-trust"
    TRUST_NOT_SIGNED = "trust-not-signed"
    CHECKPOINT_TOO_OLD = "checkpoint-too-old"
    CHECKPOINT_FROM_FUTURE = "checkpoint-from-future"
    CHECKPOINT_CONFLICT = "checkpoint-conflict"
    # The header
    MALFORMED_HEADER = "malformed-header"
    WRONG_MIX_HASH = "wrong-mix-hash"
    WRONG_DIFFICULTY = "wrong-difficulty"
    BLOCK_HASH_MISMATCH = "block-hash-mismatch"
    HEADER_BEFORE_CHECKPOINT = "header-before-checkpoint"
    HEADER_NOT_NEXT = "header-not-next"
    STALE_HEADER = "stale-header"
    OLDER_THAN_SEEN = "older-than-seen"
    HEADER_FROM_FUTURE = "header-from-future"
    # Its seals
    UNSEALED = "unsealed"
    SEALING_MISMATCH = "sealing-mismatch"
    MALFORMED_EXTRA_DATA = "malformed-extra-data"
    WRONG_SEALER_LIST = "wrong-sealer-list"
    MALFORMED_SEAL = "malformed-seal"
    FOREIGN_SEAL = "foreign-seal"
    REPEATED_SEAL = "repeated-seal"
    NO_QUORUM = "no-quorum"
    FOREIGN_PROPOSER = "foreign-proposer"
    BAD_SEALER_SET = "bad-sealer-set"
    # State
    MALFORMED_NODE = "malformed-node"
    WRONG_NODE = "wrong-node"
    INCOMPLETE_PROOF = "incomplete-proof"
    SPARE_NODE = "spare-node"
    CLAIM_MISMATCH = "claim-mismatch"
    SLOT_NOT_ANSWERED = "slot-not-answered"
    NO_CONTRACT = "no-contract"
    OTHER_CONTRACT = "other-contract"
    HOSTILE_DIRECTORY = "hostile-directory"
    UNKNOWN_RECORD = "unknown-record"
    # CAs above a certificate
    OTHER_ISSUER = "other-issuer"
    ISSUER_NOT_THEN = "issuer-not-then"
    BROKEN_PATH = "broken-path"
    UNKNOWN_AUTHORITY = "unknown-authority"
    ISSUER_OUT_OF_SCOPE = "issuer-out-of-scope"
    ISSUER_OUTLIVED = "issuer-outlived"
    SPARE_AUTHORITY = "spare-authority"


class ProofRefusedError(TallyError):
    """Nothing is proved. `refusal` says why; the text says of which input and what to do."""

    code = "proof-refused"
    http_status = 422
    exit_code = 76

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(f"{refusal}: {message}")
        self.refusal = refusal
