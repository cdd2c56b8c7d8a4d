"""The ledger is asked again whenever tokens are given (design, "People")."""

from __future__ import annotations

from identity_oidc.authentication.holds import is_held
from identity_oidc.errors import LedgerStaleError
from identity_oidc.ports import IdentityId, IdentityState
from identity_oidc.provider import Provider


def is_still_active(provider: Provider, identity: bytes) -> bool:
    """Whether the identity may be logged in now. Raises `LedgerStaleError` where that is not known."""
    with provider.database.reading() as connection:
        if is_held(connection, identity):
            return False
    found = provider.ledger.identity(IdentityId(identity))
    if found is not None and found.age_s > provider.config.ledger.max_age_s:
        raise LedgerStaleError("What is known of the ledger is too old. Nothing was used up: try again.")
    is_taken = found is not None and (provider.config.ledger.accept_emulators or not found.is_emulator)
    return is_taken and found is not None and found.state is IdentityState.ACTIVE
