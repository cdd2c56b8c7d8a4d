"""The trust file: which ledger a relying party believes, and from which block on.

Terms and checkpoint are signed by administrators of several members (EIP-712, docs/proofs.md); the digest that they
sign is compared out of band the first time. `followed` is this reader's own note of how far it has followed the
sealers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from eth_hash.auto import keccak

from pki_chain.proof.directory_state import PINNED, Contracts
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.sealer_set import MAX_SEALERS, SealerState, Sealing
from pki_chain.proof.seals import SealerMode, recover_signer
from pki_chain.proof.strict_form import Form, parse_json

FORMAT: Final = "tiger-tally-trust-1"
MAX_TRUST_BYTES: Final = 1 << 20
SKEW_S: Final = 15
"""How far the ledger's clock may lie ahead of the reader's."""

CHECKPOINT_TYPE: Final = (
    "TrustCheckpoint(bytes32 termsHash,uint64 number,bytes32 blockHash,uint64 time,bytes32 sealersHash)"
)
_DOMAIN_TYPE: Final = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
_NAME, _VERSION = "Tiger Tally", "1"
_ORDER_HALF: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_MAX_TIME: Final = (1 << 40) - 1
_MAX_NUMBER: Final = (1 << 63) - 1
_MAX_ADMINISTRATORS: Final = 4_096

_TERMS: Final = (
    "chain_id",
    "salt",
    "directory",
    "code_hashes",
    "sealing",
    "age_bound_s",
    "governance_window_s",
    "administrators",
    "threshold",
)
_CHECKPOINT: Final = ("number", "hash", "time", "sealers")
_NAMES: Final = ("format", *_TERMS, "checkpoint", "signatures", "followed")
_SEALING: Final = {
    SealerMode.NONE: ("mode",),
    SealerMode.HEADER: ("mode", "epoch_length", "boundary_vote_counts"),
    SealerMode.CONTRACT: ("mode", "contract", "code_hash", "slot"),
}


@dataclass(frozen=True, slots=True)
class TrustTerms:
    """What does not change from block to block. `administrators` are (member, account of 20 bytes); of `threshold`
    distinct members one each must have signed the checkpoint. Times in seconds."""

    chain_id: int
    salt: bytes
    contracts: Contracts
    sealing: Sealing
    age_bound_s: int
    governance_window_s: int
    administrators: tuple[tuple[int, bytes], ...]
    threshold: int

    def content(self) -> dict[str, Any]:
        """As the file has it."""
        return {
            "chain_id": self.chain_id,
            "salt": _hex(self.salt),
            "directory": _hex(self.contracts.directory),
            "code_hashes": {name: _hex(value) for name, value in sorted(self.contracts.code_hashes.items())},
            "sealing": _sealing_content(self.sealing),
            "age_bound_s": self.age_bound_s,
            "governance_window_s": self.governance_window_s,
            "administrators": [{"account": _hex(account), "member": member} for member, account in self.administrators],
            "threshold": self.threshold,
        }

    def hash(self) -> bytes:
        """keccak256 of the content as JSON in canonical form (RFC 8785: sorted names, no spaces), 32 bytes."""
        return keccak(json.dumps(self.content(), sort_keys=True, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class Trust:
    """Terms, checkpoint with its signatures (r, s, v; 65 bytes each), and how far this reader has followed."""

    terms: TrustTerms
    checkpoint: SealerState
    signatures: tuple[bytes, ...]
    followed: SealerState | None = None

    @property
    def state(self) -> SealerState:
        """The newest block that is trusted."""
        return self.followed or self.checkpoint

    def digest(self) -> bytes:
        """What administrators sign and people compare, 32 bytes. Source: EIP-712."""
        domain = keccak(
            keccak(_DOMAIN_TYPE.encode())
            + keccak(_NAME.encode())
            + keccak(_VERSION.encode())
            + self.terms.chain_id.to_bytes(32)
            + self.terms.contracts.directory.rjust(32, b"\0")
            + self.terms.salt
        )
        text = keccak(
            keccak(CHECKPOINT_TYPE.encode())
            + self.terms.hash()
            + self.checkpoint.number.to_bytes(32)
            + self.checkpoint.block_hash
            + self.checkpoint.time.to_bytes(32)
            + sealers_hash(self.checkpoint.sealers)
        )
        return keccak(b"\x19\x01" + domain + text)

    def with_signature(self, signature: bytes) -> Trust:
        """The same with one more signature. Raises `ProofRefusedError` when its signer has no say or signed before."""
        signed = replace(self, signatures=(*self.signatures, signature))
        signed.signing_members(self.terms)
        return signed

    def signing_members(self, terms: TrustTerms) -> frozenset[int]:
        """The members, by `terms`, whose administrators signed. Raises `ProofRefusedError` (trust-not-signed) for a
        signature that is malformed, by no administrator, or a member's second."""
        members = {account: member for member, account in terms.administrators}
        digest = self.digest()
        found: set[int] = set()
        for signature in self.signatures:
            member = members.get(_signer(digest, signature))
            if member in found or (member is None and terms is self.terms):
                raise _not_signed("a signature is by no administrator, or a member's second")
            if member is not None:  # by older terms, a new administrator has no say, and does no harm
                found.add(member)
        return frozenset(found)

    def verify_signatures(self, terms: TrustTerms | None = None) -> None:
        """By its own terms, or by those that were trusted before. Raises `ProofRefusedError` (trust-not-signed)."""
        judged = terms or self.terms
        members = self.signing_members(judged)
        if len(members) < judged.threshold:
            raise _not_signed(f"{len(members)} members signed the checkpoint, {judged.threshold} are needed")

    def require_young(self, now: int) -> None:
        """Sealers who left longer ago than the governance window may have sold their keys. Raises `ProofRefusedError`:
        checkpoint-too-old, checkpoint-from-future."""
        age_s, window_s = now - self.state.time, self.terms.governance_window_s
        if age_s > window_s:
            raise ProofRefusedError(
                Refusal.CHECKPOINT_TOO_OLD,
                f"the trust file's last block is {age_s} s old, {window_s} s are allowed. Get a newer checkpoint.",
            )
        if age_s < -SKEW_S:
            raise ProofRefusedError(
                Refusal.CHECKPOINT_FROM_FUTURE,
                f"the trust file's last block is {-age_s} s ahead. Set this machine's clock.",
            )

    def renewed(self, newer: Trust) -> Trust:
        """`newer` in place of this: of the same consortium, later, signed by enough of the administrators that this
        file names and by enough of those that it names itself. Raises `ProofRefusedError`."""
        if (newer.terms.chain_id, newer.terms.salt) != (self.terms.chain_id, self.terms.salt):
            raise ProofRefusedError(Refusal.OTHER_CHAIN, "the newer trust file is of another consortium.")
        if newer.checkpoint.number <= self.checkpoint.number:
            raise ProofRefusedError(
                Refusal.HEADER_BEFORE_CHECKPOINT, "the newer trust file's checkpoint is not later than the old one's."
            )
        newer.verify_signatures()
        newer.verify_signatures(self.terms)
        ahead = self.followed is not None and self.followed.number > newer.checkpoint.number
        return replace(newer, followed=self.followed if ahead and newer.terms.sealing == self.terms.sealing else None)

    def encoded(self) -> bytes:
        """The file."""
        content = {
            "format": FORMAT,
            **self.terms.content(),
            "checkpoint": _state_content(self.checkpoint),
            "signatures": [_hex(each) for each in self.signatures],
            "followed": None
            if self.followed is None
            else {
                **_state_content(self.followed),
                "votes": [
                    {"proposer": _hex(proposer), "candidate": _hex(candidate), "add": add}
                    for (proposer, candidate), add in sorted(self.followed.votes.items())
                ],
            },
        }
        return json.dumps(content, indent=1).encode() + b"\n"


def sealers_hash(sealers: Sequence[bytes]) -> bytes:
    """keccak256 of the addresses, each filled up to 32 bytes, in their order."""
    return keccak(b"".join(each.rjust(32, b"\0") for each in sealers))


def parse_trust(content: bytes) -> Trust:
    """The file's form; signatures are not verified. Raises `ProofRefusedError` (malformed-trust)."""
    what = "the trust file"
    if len(content) > MAX_TRUST_BYTES:
        raise ProofRefusedError(Refusal.MALFORMED_TRUST, f"{what} has more than {MAX_TRUST_BYTES} bytes.")
    document = parse_json(content, Refusal.MALFORMED_TRUST, what)
    form = Form.of(document, _NAMES, Refusal.MALFORMED_TRUST, what, hexadecimal=True)
    if form.text("format") != FORMAT:
        raise form.error("format", FORMAT)
    terms = _terms(form)
    followed = None if form.content["followed"] is None else form.inner("followed", (*_CHECKPOINT, "votes"))
    return Trust(
        terms,
        _state(form.inner("checkpoint", _CHECKPOINT), terms.sealing),
        form.octets_list("signatures", _MAX_ADMINISTRATORS, 65),
        None if followed is None else replace(_state(followed, terms.sealing), votes=_votes(followed)),
    )


def _terms(form: Form) -> TrustTerms:
    hashes = form.inner("code_hashes", PINNED)
    listed = form.inner_list("administrators", ("account", "member"), _MAX_ADMINISTRATORS)
    administrators = tuple((each.integer("member", 1, 65_535), each.octets("account", 20)) for each in listed)
    if len({account for _, account in administrators}) != len(administrators):
        raise form.error("administrators", "accounts that stand there once each")
    return TrustTerms(
        chain_id=form.integer("chain_id", 1, _MAX_NUMBER),
        salt=form.octets("salt", 32),
        contracts=Contracts(
            form.octets("directory", 20),
            MappingProxyType({name: hashes.octets(name, 32) for name in PINNED}),
        ),
        sealing=_sealing(form),
        age_bound_s=form.integer("age_bound_s", 1, 86_400),
        governance_window_s=form.integer("governance_window_s", 1, 365 * 86_400),
        administrators=administrators,
        threshold=form.integer("threshold", 1, 255),
    )


def _sealing(form: Form) -> Sealing:
    value = form.content["sealing"]
    mode = value.get("mode") if isinstance(value, dict) else None
    if mode not in set(SealerMode):
        raise form.error("sealing", "an object with mode none, header or contract")
    mode = SealerMode(mode)
    sealing = form.inner("sealing", _SEALING[mode])
    match mode:
        case SealerMode.NONE:
            return Sealing(mode)
        case SealerMode.HEADER:
            epoch_length = sealing.integer("epoch_length", 1, _MAX_NUMBER)
            return Sealing(mode, epoch_length, sealing.boolean("boundary_vote_counts"))
        case SealerMode.CONTRACT:
            return Sealing(
                mode,
                contract=sealing.octets("contract", 20),
                code_hash=sealing.octets("code_hash", 32),
                slot=int.from_bytes(sealing.octets("slot", 32)),
            )


def _sealing_content(sealing: Sealing) -> dict[str, Any]:
    content = {
        "mode": sealing.mode.value,
        "epoch_length": sealing.epoch_length,
        "boundary_vote_counts": sealing.boundary_vote_counts,
        "contract": _hex(sealing.contract),
        "code_hash": _hex(sealing.code_hash),
        "slot": _hex(sealing.slot.to_bytes(32)),
    }
    return {name: content[name] for name in _SEALING[sealing.mode]}


def _state(form: Form, sealing: Sealing) -> SealerState:
    sealers = form.octets_list("sealers", MAX_SEALERS, 20)
    if sealers != tuple(sorted(set(sealers))) or bool(sealers) == (sealing.mode is SealerMode.NONE):
        raise form.error("sealers", "addresses in ascending order, and none where nothing is sealed")
    return SealerState(
        form.integer("number", 0, _MAX_NUMBER), form.octets("hash", 32), form.integer("time", 0, _MAX_TIME), sealers
    )


def _votes(form: Form) -> Mapping[tuple[bytes, bytes], bool]:
    listed = form.inner_list("votes", ("proposer", "candidate", "add"), MAX_SEALERS * MAX_SEALERS)
    votes = {(each.octets("proposer", 20), each.octets("candidate", 20)): each.boolean("add") for each in listed}
    return MappingProxyType(votes)


def _state_content(state: SealerState) -> dict[str, Any]:
    return {
        "number": state.number,
        "hash": _hex(state.block_hash),
        "time": state.time,
        "sealers": [_hex(each) for each in state.sealers],
    }


def _signer(digest: bytes, signature: bytes) -> bytes:
    """As contracts take signatures: v 27 or 28, low s."""
    if len(signature) != 65 or signature[64] not in {27, 28} or int.from_bytes(signature[32:64]) > _ORDER_HALF:
        raise _not_signed("a signature is not r, s, v with low s and v 27 or 28")
    try:
        return recover_signer(digest, signature[:64] + bytes([signature[64] - 27]))
    except ProofRefusedError as error:
        raise _not_signed("a signature is by no key") from error


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


def _not_signed(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.TRUST_NOT_SIGNED, f"{what}. Get a trust file that enough members signed.")
