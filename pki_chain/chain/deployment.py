"""Deploying a consortium's contracts and founding it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pki_chain.chain.connection import Connection
from pki_chain.chain.founding import FoundingPlan
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedData
from pki_chain.config import ConsortiumFile


def deploy(
    connection: Connection,
    signer: Signer,
    salt: bytes,
    founding: FoundingPlan,
    sign_founding: Callable[[TypedData], Sequence[bytes]],
) -> ConsortiumFile:
    """Deploy libraries, Consortium, Directory, CertificateRegistry; found; check what then stands on the ledger.

    `sign_founding` gets the text `Found` and returns a signature of each founder, in the order of the plan. `signer`
    (use `Signer.ephemeral()`) pays nothing and keeps no right. Raises `ConfigurationError` when the chain has no
    P256VERIFY, `RefusedError` when a contract refuses the plan, `LedgerUnavailableError`.
    """
    raise NotImplementedError
