"""A gateway over a recorded ledger, on a socket."""

from tests.relying.conftest import address, gateway, publishing, signer_file, signers

__all__ = ["address", "gateway", "publishing", "signer_file", "signers"]
