"""Committed seals of a QBFT header: signed by a quorum of the sealers that the reader knows, and by nobody else.

The header's own list proves nothing; the set comes from the trust file and what followed from it.
Source: QBFT specification; docs/proofs.md, Seals.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final

import coincurve
from eth_hash.auto import keccak

from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.extra_data import SEAL_BYTES, ExtraData, parse_extra_data
from pki_chain.proof.header import Header

MIX_HASH: Final = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
"""The fixed value by which a header says that it is of IBFT or QBFT."""

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1."""


class SealerMode(StrEnum):
    """Where the set of sealers stands."""

    NONE = "none"
    """Nowhere: the engine seals nothing (the embedded one)."""
    HEADER = "header"
    """In each header, changed by votes in headers."""
    CONTRACT = "contract"
    """In a contract's storage; headers have neither list nor vote."""


def quorum(sealers: int) -> int:
    """ceil(2N/3): the least number of seals."""
    return -(-2 * sealers // 3)


def verify_seals(header: Header, sealers: Collection[bytes], mode: SealerMode) -> tuple[bytes, ExtraData]:
    """Block hash and extra data of a header that a quorum of `sealers` sealed.

    `sealers` (20 bytes each) is the set in force for this block: as it stands after its parent. Raises
    `ProofRefusedError`.
    """
    # 1. The fixed fields, before anything else
    if header.mix_hash != MIX_HASH:
        raise _refused(Refusal.WRONG_MIX_HASH, "mixHash is not QBFT's")
    if header.difficulty != 1:
        raise _refused(Refusal.WRONG_DIFFICULTY, f"difficulty is {header.difficulty}, not 1")
    # 2. Extra data; list and vote as the mode has them
    extra = parse_extra_data(header.extra_data)
    if mode is SealerMode.HEADER and extra.sealers != tuple(sorted(sealers)):
        raise _refused(Refusal.WRONG_SEALER_LIST, "the header lists other sealers than those in force")
    if mode is SealerMode.CONTRACT and (extra.sealers or extra.vote):
        raise _refused(Refusal.WRONG_SEALER_LIST, "the header has a list or a vote where a contract holds the set")
    # 3. Seals by distinct sealers of the set, and no others
    digest = header.hash_with(extra.for_seal_hash())
    signers: set[bytes] = set()
    for seal in extra.seals:
        signer = recover_signer(digest, seal)
        if signer not in sealers:
            raise _refused(Refusal.FOREIGN_SEAL, f"a seal is by 0x{signer.hex()}, who is no sealer of this block")
        if signer in signers:
            raise _refused(Refusal.REPEATED_SEAL, f"two seals are by 0x{signer.hex()}")
        signers.add(signer)
    # 4. Enough of them
    if not sealers or len(signers) < quorum(len(sealers)):
        raise _refused(Refusal.NO_QUORUM, f"{len(signers)} of {len(sealers)} sealed, {quorum(len(sealers))} are needed")
    return header.hash_with(extra.for_block_hash()), extra


def recover_signer(digest: bytes, seal: bytes) -> bytes:
    """Address of who signed `digest` (32 bytes), from r, s and v (0 or 1). A high s is taken: the engines take it.

    Raises `ProofRefusedError` (malformed-seal).
    """
    r, s = int.from_bytes(seal[:32]), int.from_bytes(seal[32:64])
    if len(seal) != SEAL_BYTES or not 0 < r < _ORDER or not 0 < s < _ORDER or seal[64] not in {0, 1}:
        raise _refused(Refusal.MALFORMED_SEAL, "a seal is not r, s (1 to n-1) and v (0 or 1)")
    try:
        key = coincurve.PublicKey.from_signature_and_message(seal, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception where r is no point's coordinate
        raise _refused(Refusal.MALFORMED_SEAL, "a seal is no signature by any key") from error
    return keccak(key.format(compressed=False)[1:])[12:]


def _refused(refusal: Refusal, what: str) -> ProofRefusedError:
    return ProofRefusedError(refusal, f"{what}. Do not rely on this gateway; ask another one.")
