"""Data for an app: claim by claim, at the moment of use, only what was granted. Source: R-ID-2, R-DATA-1.

What was refused, and what is not on file, is left out alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from identity_oidc.consent.grants import Grant
from identity_oidc.errors import ProviderError
from identity_oidc.subscribers.base import PersonId, SubscriberBase
from identity_oidc.subscribers.errors import SubscriberError


class DataUnavailableError(ProviderError):
    """The subscriber base does not answer: nothing was released."""

    code = "temporarily_unavailable"
    http_status = 503


def release(subscribers: SubscriberBase | None, grant: Grant, asked: Collection[str]) -> dict[str, Any]:
    """Values of those claims that were asked for, granted, and are on file. Raises `DataUnavailableError`.

    Who hands them on records it with `grants.record_release`, in the transaction of the hand-over.
    """
    names = [name for name in asked if name in grant.granted]
    if not names or subscribers is None:
        return {}
    try:
        found: Mapping[str, Any] = subscribers.claims(PersonId(grant.person), names)
    except SubscriberError as error:
        raise DataUnavailableError("The operator's data cannot be read now. Try again.", detail=error.code) from error
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in found.items()}
