"""Calls of the contracts as bytes: where to, which data, how much gas. Pure.

Gas limits are what the act may take at most; what a contract refuses costs nothing but its place in the block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pki_chain.chain.abi import load_interface
from pki_chain.chain.call import TRANSACTION_GAS, Call
from pki_chain.chain.founding import terms_value
from pki_chain.chain.identity_calls import IdentityCalls
from pki_chain.chain.trust_calls import TrustCalls
from pki_chain.config import ConsortiumFile
from pki_chain.ports import Address, HoldKind, LotTerms, Role, Submission

__all__ = ["TRANSACTION_GAS", "Call", "Calls"]

_ORDER_GAS = 1_000_000
_VOTED_GAS = 8_000_000
_PER_ENTRY_GAS = 60_000


class Calls(IdentityCalls, TrustCalls):
    """Makes the calls of one consortium's contracts; arguments as in `contracts/interfaces/`."""

    def __init__(self, consortium_file: ConsortiumFile) -> None:
        IdentityCalls.__init__(self, consortium_file)
        TrustCalls.__init__(self, consortium_file)
        self._file = consortium_file

    def submit(self, submission: Submission, certificates: Sequence[bytes], signature: bytes) -> Call:
        """Relay a station's signed submission of these DER certificates."""
        value = (submission.station, submission.profile, submission.lot, submission.nonce, submission.deadline)
        return self._registry("submit", [value, list(certificates), signature], TRANSACTION_GAS)

    def endorse(self, batch: int, digest: bytes, accepts: int, abstains: int, reasons: Mapping[int, int]) -> Call:
        """An endorser's verdict on a batch; `reasons` maps each entry that is not accepted to its reason's number."""
        packed = b"".join(entry.to_bytes(1) + number.to_bytes(2) for entry, number in sorted(reasons.items()))
        return self._registry("endorse", [batch, digest, accepts, abstains, packed], _ORDER_GAS)

    def open_lot(self, terms: LotTerms, *, administrator: Address, nonce: int, deadline: int, signature: bytes) -> Call:
        return self._registry("openLot", [terms_value(terms), administrator, nonce, deadline, signature], _VOTED_GAS)

    def close_lot(self, lot: int, *, administrator: Address, deadline: int, signature: bytes) -> Call:
        return self._registry("closeLot", [lot, administrator, deadline, signature], _ORDER_GAS)

    def hold(
        self,
        certificate: bytes,
        kind: HoldKind,
        reason: int,
        counter: int,
        *,
        deadline: int,
        signer: Address,
        signature: bytes,
    ) -> Call:
        arguments = [certificate, int(kind), reason, counter, deadline, signer, signature]
        return self._registry("hold", arguments, _ORDER_GAS)

    def release(
        self,
        certificate: bytes,
        kind: HoldKind,
        reason: int,
        counter: int,
        *,
        deadline: int,
        signer: Address,
        signature: bytes,
    ) -> Call:
        arguments = [certificate, int(kind), reason, counter, deadline, signer, signature]
        return self._registry("release", arguments, _ORDER_GAS)

    def revoke(self, certificate: bytes, reason: int, *, deadline: int, signer: Address, signature: bytes) -> Call:
        return self._registry("revoke", [certificate, reason, deadline, signer, signature], _ORDER_GAS)

    def revoke_by_key(
        self,
        spki_hash: bytes,
        tbs_hashes: Sequence[bytes],
        reason: int,
        *,
        deadline: int,
        signer: Address,
        signature: bytes,
    ) -> Call:
        """Revoke those of the certificates (SHA-256 of their TBS) under this key that the signer's member owns."""
        arguments = [spki_hash, list(tbs_hashes), reason, deadline, signer, signature]
        gas = min(TRANSACTION_GAS, _ORDER_GAS + len(tbs_hashes) * _PER_ENTRY_GAS)
        return self._registry("revokeByKey", arguments, gas)

    def block_key_by_proof(self, subject_public_key_info: bytes, r: int, s: int) -> Call:
        """Block a key for everybody by its own P-256 signature over `KeyCompromise`."""
        arguments = [subject_public_key_info, r.to_bytes(32), s.to_bytes(32)]
        return self._registry("blockKeyByProof", arguments, _ORDER_GAS)

    def set_account(
        self,
        member: int,
        account: Address,
        role: Role,
        *,
        administrator: Address,
        nonce: int,
        deadline: int,
        signature: bytes,
        active: bool,
        consent: bytes = b"",
    ) -> Call:
        """Add, suspend or restore an account; a new one's `consent` is its own signature over `Join`."""
        arguments = [member, account, int(role), active, administrator, nonce, deadline, signature, consent]
        return self._consortium("setAccount", arguments, _ORDER_GAS)

    def propose(
        self, kind: int, content: bytes, *, administrator: Address, nonce: int, deadline: int, signature: bytes
    ) -> Call:
        arguments = [int(kind), content, administrator, nonce, deadline, signature]
        return self._consortium("propose", arguments, _VOTED_GAS)

    def vote(
        self,
        proposal: int,
        content_hash: bytes,
        *,
        administrator: Address,
        deadline: int,
        signature: bytes,
        support: bool,
    ) -> Call:
        arguments = [proposal, content_hash, support, administrator, deadline, signature]
        return self._consortium("vote", arguments, _ORDER_GAS)

    def execute(self, proposal: int, content: bytes) -> Call:
        """Carry out an adopted proposal, with the content that was voted."""
        return self._consortium("execute", [proposal, content], _VOTED_GAS)

    def _registry(self, function: str, arguments: Sequence[object], gas: int) -> Call:
        data = load_interface("CertificateRegistry").encode(function, arguments)
        return Call(self._file.certificate_registry, data, gas)

    def _consortium(self, function: str, arguments: Sequence[object], gas: int) -> Call:
        return Call(self._file.consortium, load_interface("Consortium").encode(function, arguments), gas)
