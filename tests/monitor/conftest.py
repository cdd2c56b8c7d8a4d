"""A gateway over a recorded ledger, on a socket."""

from tests.relying.conftest import address, gateway, publishing, signers

__all__ = ["address", "gateway", "publishing", "signers"]
